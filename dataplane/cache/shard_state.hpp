// SPDX-License-Identifier: Apache-2.0
#pragma once
// The owner's state of one shard, in page 0 of its region. Private to the cache.
//
// Threads: the owner's only; readers never come near these lines.

#include "dataplane/cache/limbo.hpp"
#include "dataplane/cache/region_layout.hpp"
#include "dataplane/cache/shard.hpp"
#include "dataplane/cache/sieve.hpp"
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
inline constexpr uint32_t kReserveDivisor = 64;
inline constexpr uint32_t kReserveMax = 64;
// A kind evicts its own when this part of its budget is left: room for what is in the limbo.
inline constexpr uint64_t kBudgetMarginDivisor = 8;

struct DrainState {
  uint32_t page_no;  // 0: none
  uint32_t index;    // objects [0, index) have been looked at
};

struct State {
  WheelState wheel;
  uint64_t wheel_quiet_until_ms;
  SlabState slab;
  LimboState limbo;
  DrainState drain;
  QueueState queues[kQueues];
  Budgets budgets;
  uint64_t retired_bytes_of_kind[kKinds];
  Shard::Gauges gauges;
};
static_assert(std::is_trivially_copyable_v<State>);

inline constexpr uint32_t kStateOffset = kRecordsOffset + kHeads * sizeof(Record);
static_assert(kStateOffset % kCacheLineBytes == 0);
static_assert(kStateOffset + sizeof(State) <= kPageBytes);

inline constexpr uint32_t kNoSlot = UINT32_MAX;

}  // namespace millrace::cache
