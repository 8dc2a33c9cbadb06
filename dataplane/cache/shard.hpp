// SPDX-License-Identifier: Apache-2.0
#pragma once
// One shard of the answer cache: one writer, any number of wait-free readers.
//
// The handle is a few addresses that never change after attach(); everything that changes lies in
// the region (region_layout.hpp), so a handle may be copied and read by any thread.
//
//   insert --> slab (slab.hpp) gives an object --> entry written (entry.hpp)
//          --> one store of a slot (slot.hpp) publishes it
//          --> timer wheel (timer_wheel.hpp) and eviction queue (eviction_policy.hpp) know it
//   remove, replace, expire, evict --> one store of the slot --> limbo (limbo.hpp)
//          --> grace period --> slab
//
// Threads: exactly one thread at a time, the owner, calls the functions below "owner only"; any
// thread that takes part in the grace period calls lookup_burst and may use the entries it got
// until its next quiescent state.
// Memory: one region handed to format(); offsets only; never grows. What is retired cannot be used
// before its grace period has passed, so eviction runs ahead of need by a reserve: what comes in
// while all workers turn, at the highest rate there is (shard_state.hpp).
// Cost: insert writes one line of the index, the entry, its record and four neighbours' records; it
// evicts, frees and moves no more than a fixed number of entries. Replacing and removing are alike.
// Failure: format() and attach() say what is wrong with a region; insert() reports. When memory
// waits for readers that do not pass, insert() answers no_memory and the cache goes on serving what
// it has.
//
// Budgets: failures may hold at most 1/16 of the slab's memory and negative answers 3/16, so
// together a quarter (set_budgets). At its budget a kind evicts its own; under it, the policy looks
// through all kinds of a size class equally often. So a flood of one kind can never take more than
// its share from the others. Memory that is retired but not yet free counts against the share.
//
// Stale entries: with a share and a window for them, a positive or negative entry whose time is
// over stays where it is for the window, for whoever serves stale answers (RFC 8767). The wheel
// then moves it from its own budget and queue to those of Kind::stale and removes it when the
// window ends. Stale entries give way first wherever room is needed, and among themselves by the
// policy. With no share, the default, the wheel removes what is over.
//
// The class is a template over the eviction policy. The functions are in shard_*.cpp, instantiated
// there for the policies there are; readers do not depend on it (lookup.hpp).

#include "dataplane/base/answer_view.hpp"
#include "dataplane/base/grace.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/cache/entry.hpp"
#include "dataplane/cache/index.hpp"
#include "dataplane/cache/lookup.hpp"
#include "dataplane/cache/region_layout.hpp"
#include "dataplane/cache/s3_fifo.hpp"
#include "dataplane/cache/sieve.hpp"
#include "dataplane/cache/slot.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace::cache {

template <class Policy>
struct ShardState;  // of the owner, in the region; shard_state.hpp
struct ShardItems;

enum class InsertResult : uint8_t {
  stored,
  replaced,
  no_memory,  // not stored; an older entry of the key was not replaced
  too_large,  // entry above kEntryBytesMax, or a key that is none
  kept,       // a failure met an answer of the same key that is fresh or kept as stale, and
              // that stays (RFC 8767 section 4)
  outranked,  // both buckets are full of entries that do not give way to one of this kind
};

// walk() and walk_remove() answer it when every bucket has been visited.
inline constexpr uint64_t kWalkEnd = UINT64_MAX;

// Shares of the slab memory, in 64ths, that these kinds of entry may hold.
struct Budgets {
  uint8_t failure_64ths = 4;
  uint8_t negative_64ths = 12;
  uint8_t stale_64ths = 0;
  uint32_t stale_window_s = 0;  // how long an entry is kept after its time
};

struct ShardGauges {
  uint64_t entries;                 // that a lookup can find, or could until their time was over
  uint64_t memory_used;             // bytes of live and retired objects with their records
  uint64_t memory_total;            // bytes of the slab pages
  uint64_t evicted;                 // entries that gave way while still fresh
  uint64_t expired;                 // entries reclaimed after their time
  uint64_t memory_retired;          // part of memory_used that waits for readers
  uint64_t memory_of_kind[kKinds];  // memory_used by Kind
  uint64_t entries_of_kind[kKinds];
  uint64_t pages_moved;  // slab pages taken from one size class for another
};

template <EvictionPolicy Policy>
class BasicShard : public ShardView {
 public:
  using Gauges = ShardGauges;

  // Region of `bytes` (>= kRegionBytesMin) at a 64-byte aligned address, all zero or not.
  // Touches page 0 and the index only. Returns an empty view, or what is wrong.
  static std::string_view format(void* region, std::size_t bytes, uint32_t shard_idx) noexcept;

  // Attaches this handle to a formatted region that no thread reads at the moment; the entries in
  // it are kept, retired memory is freed at once. The grace period must outlive the handle.
  std::string_view attach(void* region, std::size_t bytes, GracePeriod grace) noexcept;

  // --- owner only. `now_ms` is the boot clock, never going back, <= kClockMsMax.

  // Stores the answer under the key. An older entry of the key is replaced by one store: a reader
  // sees the one or the other. Entries live for answer.lifetime_s (at most kLifetimeSecondsMax).
  InsertResult insert(const Key& key, const AnswerView& answer, uint64_t now_ms) noexcept;

  // True when there was an entry (fresh or not).
  bool remove(const Key& key) noexcept;

  // Does the index still lead from this hash to the entry? What a reader saw a while ago may have
  // gone since, and its memory may be another's; any address within the region may be asked for.
  bool holds(uint64_t hash, const Entry& entry) const noexcept;

  // Turns the wheel: looks at no more than `budget` entries and reclaims those whose time is over,
  // or keeps them as stale; returns how many it reclaimed. Late, never early: up to a second by the
  // wheel's grain, and more while the budget is short; reads do not depend on it. An entry kept as
  // stale may evict up to kBudgetEvictionsPerInsert of those that already are.
  uint32_t expire(uint64_t now_ms, uint32_t budget) noexcept {
    return now_ms < wheel_quiet_until_ms_ ? 0 : expire_due(now_ms, budget);
  }

  // Gives retired memory back once its grace period has passed; bounded work. Must be called
  // regularly: insert() calls it by itself only when it finds no memory.
  void reclaim() noexcept;

  // Visits `buckets` index buckets from `cursor` (0 at first) on; removes entries for which
  // match(const Entry&) is true and adds their number to `removed`. Returns the new cursor;
  // kWalkEnd when the shard has been walked whole. Entries never move, so one that is present
  // during the whole walk is visited exactly once.
  template <class Match>
  uint64_t walk_remove(uint64_t cursor, uint32_t buckets, Match&& match,
                       uint32_t& removed) noexcept;

  // The same without removing: visit(const Entry&). Entries whose time is over may be among them.
  template <class Visit>
  uint64_t walk(uint64_t cursor, uint32_t buckets, Visit&& visit) const noexcept;

  // Holds from now on. What is held above a smaller share goes as its kind asks for memory again;
  // a stale entry leaves at the end of the window under which it became stale, or of the new one
  // if that is later.
  void set_budgets(const Budgets& budgets) noexcept;

  const Gauges& gauges() const noexcept;

 private:
  template <class>
  friend class ShardProbe;  // tests: checks every structure against every other

  Index index() const noexcept { return Index(buckets_, bucket_cnt_); }
  const Entry& entry_of(Ref ref) const noexcept { return *entry(region_.entry_no(ref)); }
  Kind budget_kind_of(Ref ref) const noexcept {
    return region_.record(ref).stale ? Kind::stale : kind_of(entry_of(ref));
  }
  // shard_state.hpp
  ShardItems items(uint64_t now_ms) const noexcept;
  auto queues(uint64_t now_ms) const noexcept;

  // shard_insert.cpp
  uint32_t find_slot(const Key& key) const noexcept;
  uint32_t evict_from_buckets(const Place& place, Kind kind, uint64_t now_ms) noexcept;
  void publish(uint32_t slot_no, const Place& place, Ref ref, uint32_t entry_bytes) noexcept;
  void link(Ref ref, uint32_t slot_no, const Entry& entry, bool known, uint64_t now_ms) noexcept;
  bool gives_way_to_failure(const Entry& there, uint64_t now_ms) const noexcept;
  // shard_remove.cpp
  void remove_entry(Ref ref) noexcept;
  uint32_t expire_due(uint64_t now_ms, uint32_t budget) noexcept;
  void prefetch_for_removal(Ref ref) const noexcept;
  uint64_t due_of(Ref ref) const noexcept;
  bool may_be_stale(const Entry& entry, uint64_t now_ms) const noexcept;
  bool keep_stale(Ref ref, uint64_t now_ms) noexcept;
  void give_way(uint32_t slot_no) noexcept;
  void remove_slot(uint32_t slot_no) noexcept;
  void retire(Ref ref) noexcept;
  void free_object(Ref ref) noexcept;
  // shard_memory.cpp
  Ref allocate(uint32_t size_class, Kind kind, uint64_t now_ms) noexcept;
  bool within_budget(uint32_t size_class, Kind kind) const noexcept;
  void hold_budget(uint32_t size_class, Kind kind, uint64_t now_ms) noexcept;
  uint32_t bounded_queue(uint32_t size_class, Kind kind) const noexcept;
  bool evict_from(uint32_t queue, uint64_t now_ms) noexcept;
  void enqueue(uint32_t queue, Ref ref, bool known, uint64_t now_ms) noexcept;
  void make_room(uint32_t size_class, uint64_t now_ms) noexcept;
  uint32_t next_queue(uint32_t size_class) const noexcept;
  uint64_t turned_in_window(uint32_t size_class) const noexcept;
  void rebalance(uint32_t size_class, uint64_t now_ms) noexcept;
  void take_page_from_richest(uint32_t size_class, uint64_t now_ms) noexcept;
  void start_drain(uint32_t page_no, uint32_t for_class, uint64_t now_ms) noexcept;
  void step_drain(uint64_t now_ms) noexcept;

  ShardState<Policy>* state_ = nullptr;
  std::byte* ghost_table_ = nullptr;
  GracePeriod grace_{};
  uint64_t wheel_quiet_until_ms_ = 0;  // owner only: until then a turn would find nothing
};

extern template class BasicShard<Sieve>;
extern template class BasicShard<S3Fifo>;

using Shard = BasicShard<Sieve>;

// --- inline

template <EvictionPolicy Policy>
template <class Visit>
uint64_t BasicShard<Policy>::walk(uint64_t cursor, uint32_t buckets, Visit&& visit) const noexcept {
  for (; buckets > 0 && cursor < bucket_cnt_; ++cursor, --buckets) {
    for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
      const SlotWord word = index().word(static_cast<uint32_t>(cursor) * kSlotsPerBucket + i);
      if (!slot_is_empty(word)) visit(*entry(slot_entry_no(word)));
    }
  }
  return cursor < bucket_cnt_ ? cursor : kWalkEnd;
}

template <EvictionPolicy Policy>
template <class Match>
uint64_t BasicShard<Policy>::walk_remove(uint64_t cursor, uint32_t buckets, Match&& match,
                                         uint32_t& removed) noexcept {
  for (; buckets > 0 && cursor < bucket_cnt_; ++cursor, --buckets) {
    for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
      const uint32_t slot_no = static_cast<uint32_t>(cursor) * kSlotsPerBucket + i;
      const SlotWord word = index().word(slot_no);
      if (slot_is_empty(word) || !match(*entry(slot_entry_no(word)))) continue;
      remove_slot(slot_no);
      ++removed;
    }
  }
  return cursor < bucket_cnt_ ? cursor : kWalkEnd;
}

}  // namespace millrace::cache
