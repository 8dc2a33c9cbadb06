// SPDX-License-Identifier: Apache-2.0
#pragma once
// The owner's state of one shard, in page 0 of its region. Private to the cache.
//
// Threads: the owner's only; readers never come near these lines.

#include "dataplane/base/frame.hpp"
#include "dataplane/cache/limbo.hpp"
#include "dataplane/cache/region_layout.hpp"
#include "dataplane/cache/shard.hpp"
#include "dataplane/cache/slab.hpp"
#include "dataplane/cache/timer_wheel.hpp"

#include <cstdint>
#include <type_traits>

namespace millrace::cache {

// Bounds of the work that one call does beyond its own entry.
inline constexpr uint32_t kEvictionsPerInsert = 2;
inline constexpr uint32_t kBudgetEvictionsPerInsert = 4;
inline constexpr uint32_t kDrainedPerStep = 8;
inline constexpr uint32_t kFreedPerReclaim = 256;
// Of its live objects a class keeps this part free or in the limbo, so that inserts need not wait.
// The most is what comes in four turns that bring nothing but answers: what gives way in a turn is
// of use once every worker has reported after it, and another's turn may take twice as long.
inline constexpr uint32_t kReserveDivisor = 32;
inline constexpr uint32_t kReserveMin = 4;
inline constexpr uint32_t kReserveMax = 4 * kBurstMax;
// Of a queue, how far the policy has looked through it: a whole round.
inline constexpr uint64_t kRound = uint64_t{1} << 32;
inline constexpr uint64_t kWindowMin = kRound / 4;
inline constexpr uint64_t kWindowMax = kRound * 2;
// A kind evicts its own when this part of its budget is left: room for what is in the limbo.
inline constexpr uint64_t kBudgetMarginDivisor = 8;

// One eviction queue for each size class and kind.
inline constexpr uint32_t kQueues = kClasses * kKinds;

constexpr uint32_t queue_no(uint32_t size_class, Kind kind) noexcept {
  return size_class * kKinds + static_cast<uint32_t>(kind);
}

struct DrainState {
  uint32_t page_no;    // 0: none
  uint32_t index;      // objects [0, index) have been looked at
  uint32_t for_class;  // who gets the page
};

template <class Policy>
struct ShardState {
  WheelState wheel;
  SlabState slab;
  LimboState limbo;
  DrainState drain;
  typename Policy::QueueState queues[kQueues];
  uint64_t turned[kQueues];  // how far the policy has looked through the queue, in kRound
  Budgets budgets;
  uint64_t retired_bytes_of_kind[kKinds];
  ShardGauges gauges;
};

inline constexpr uint32_t kStateOffset = kRecordsOffset + kHeads * sizeof(Record);
static_assert(kStateOffset % kCacheLineBytes == 0);

template <class Policy>
inline constexpr bool kStateFits =
    std::is_trivially_copyable_v<ShardState<Policy>>&& kQueues* Policy::kHeadsPerQueue <=
    kHeads&& kStateOffset + sizeof(ShardState<Policy>) <= kPageBytes;
static_assert(kStateFits<Sieve> && kStateFits<S3Fifo>);

// The entries of a shard as the eviction policy sees them.
struct ShardItems {
  Region region;
  Index index;
  uint64_t now_ms;

  Record& record(Ref ref) const noexcept { return region.record(ref); }

  // What is over and not kept as stale has no second chance.
  bool take_mark(Ref ref) const noexcept {
    const auto& entry = *reinterpret_cast<const Entry*>(region.object(region.entry_no(ref)));
    return (is_fresh(entry, now_ms) || region.record(ref).stale) && take_mark_of(entry.visited);
  }

  void mark(Ref ref) const noexcept {
    touch(*reinterpret_cast<const Entry*>(region.object(region.entry_no(ref))));
  }

  // Of a live entry.
  uint32_t slot_of(Ref ref) const noexcept {
    return index.slot_of(region.record(ref).bucket, region.entry_no(ref));
  }
};
static_assert(PolicyItems<ShardItems>);

template <EvictionPolicy Policy>
ShardItems BasicShard<Policy>::items(uint64_t now_ms) const noexcept {
  return ShardItems{region_, index(), now_ms};
}

template <EvictionPolicy Policy>
auto BasicShard<Policy>::queues(uint64_t now_ms) const noexcept {
  return typename Policy::template On<ShardItems>(items(now_ms), state_->queues);
}

}  // namespace millrace::cache
