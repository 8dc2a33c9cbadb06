// SPDX-License-Identifier: Apache-2.0
// The ways out: remove, expire, retire, reclaim.
#include "dataplane/base/prefetch.hpp"
#include "dataplane/cache/ghost.hpp"
#include "dataplane/cache/shard.hpp"
#include "dataplane/cache/shard_state.hpp"

namespace millrace::cache {

template <EvictionPolicy Policy>
bool BasicShard<Policy>::remove(const Key& key) noexcept {
  const uint32_t slot_no = find_slot(key);
  if (slot_no == kNoSlot) return false;
  remove_slot(slot_no);
  return true;
}

template <EvictionPolicy Policy>
void BasicShard<Policy>::remove_slot(uint32_t slot_no) noexcept {
  retire(region_.ref_of(slot_entry_no(index().empty(slot_no))));
}

// For want of memory, or since its time is over: if the key comes back soon, it is known. An entry
// stores no hash, but the slot that names it knows the tag and the first bucket.
template <EvictionPolicy Policy>
void BasicShard<Policy>::give_way(uint32_t slot_no) noexcept {
  Ghost(ghost_table_).put(index().place(slot_no));
  remove_slot(slot_no);
}

template <EvictionPolicy Policy>
void BasicShard<Policy>::remove_entry(Ref ref) noexcept {
  give_way(items(0).slot_of(ref));
}

// No slot names the entry any more.
template <EvictionPolicy Policy>
void BasicShard<Policy>::retire(Ref ref) noexcept {
  const uint32_t size_class = region_.page_header(ref_page(ref)).size_class;
  const Kind kind = budget_kind_of(ref);
  const auto kind_idx = static_cast<uint32_t>(kind);
  const uint32_t cost_bytes = class_cost_bytes(size_class);
  TimerWheel<Region>(region_, state_->wheel).cancel(ref);
  queues(0).remove(queue_no(size_class, kind), ref);
  region_.record(ref).set_bucket(kBucketOfRetired);
  Limbo(region_, state_->limbo).put(ref);
  --state_->slab.classes[size_class].live;
  ++state_->slab.classes[size_class].retired;
  --state_->gauges.entries;
  --state_->gauges.entries_of_kind[kind_idx];
  state_->gauges.memory_retired += cost_bytes;
  state_->retired_bytes_of_kind[kind_idx] += cost_bytes;
}

// The object was allocated and is in no list.
template <EvictionPolicy Policy>
void BasicShard<Policy>::free_object(Ref ref) noexcept {
  const uint32_t size_class = region_.page_header(ref_page(ref)).size_class;
  const auto kind_idx = static_cast<uint32_t>(budget_kind_of(ref));
  const uint32_t cost_bytes = class_cost_bytes(size_class);
  if (region_.record(ref).bucket == kBucketOfRetired) {
    --state_->slab.classes[size_class].retired;
    state_->gauges.memory_retired -= cost_bytes;
    state_->retired_bytes_of_kind[kind_idx] -= cost_bytes;
  }
  state_->gauges.memory_used -= cost_bytes;
  state_->gauges.memory_of_kind[kind_idx] -= cost_bytes;
  Slab slab(region_, state_->slab);
  slab.give(ref);
  const ClassState& of_class = state_->slab.classes[size_class];
  if (of_class.live + of_class.retired == 0) slab.release_empty(size_class);
  const uint32_t page_no = ref_page(ref);
  const bool drained =
      page_no == state_->drain.page_no && region_.page_header(page_no).state == PageState::unused;
  if (!drained) return;
  // To the class that lacked it: left among the unused, the busiest class would take it.
  slab.add_page(state_->drain.for_class);
  state_->drain = DrainState{};
}

template <EvictionPolicy Policy>
void BasicShard<Policy>::reclaim() noexcept {
  Limbo limbo(region_, state_->limbo);
  limbo.close(grace_);
  limbo.take_passed(grace_, kFreedPerReclaim, [this](Ref ref) noexcept { free_object(ref); });
}

// Is there still a time in which the entry, which is over, may be of use as stale?
template <EvictionPolicy Policy>
bool BasicShard<Policy>::may_be_stale(const Entry& entry, uint64_t now_ms) const noexcept {
  const Budgets& budgets = state_->budgets;
  return budgets.stale_64ths > 0 && kind_of(entry) != Kind::failure &&
         now_ms / 1000 < due_tick_of(entry) + budgets.stale_window_s;
}

template <EvictionPolicy Policy>
uint64_t BasicShard<Policy>::due_of(Ref ref) const noexcept {
  const uint32_t kept_s = region_.record(ref).stale ? state_->budgets.stale_window_s : 0;
  return due_tick_of(entry_of(ref)) + kept_s;
}

// Moves an entry whose time is over to the stale ones of its class, if it may stay. It is not
// copied, its slot does not change, and from here on it counts against the stale budget alone.
template <EvictionPolicy Policy>
bool BasicShard<Policy>::keep_stale(Ref ref, uint64_t now_ms) noexcept {
  Record& record = region_.record(ref);
  if (record.stale || !may_be_stale(entry_of(ref), now_ms)) return false;
  const uint32_t size_class = region_.page_header(ref_page(ref)).size_class;
  hold_budget(size_class, Kind::stale, now_ms);
  if (!within_budget(size_class, Kind::stale)) return false;
  const Kind kind = kind_of(entry_of(ref));
  const auto from = static_cast<uint32_t>(kind);
  const auto to = static_cast<uint32_t>(Kind::stale);
  queues(now_ms).remove(queue_no(size_class, kind), ref);
  enqueue(queue_no(size_class, Kind::stale), ref, false, now_ms);
  record.stale = 1;
  --state_->gauges.entries_of_kind[from];
  ++state_->gauges.entries_of_kind[to];
  state_->gauges.memory_of_kind[from] -= class_cost_bytes(size_class);
  state_->gauges.memory_of_kind[to] += class_cost_bytes(size_class);
  TimerWheel<Region> wheel(region_, state_->wheel);
  wheel.cancel(ref);
  wheel.add(ref, due_of(ref), now_ms / 1000);
  return true;
}

// The lines that remove_entry() is going to touch, apart from the shard's own state.
template <EvictionPolicy Policy>
void BasicShard<Policy>::prefetch_for_removal(Ref ref) const noexcept {
  const Record& record = region_.record(ref);
  prefetch(&entry_of(ref));
  prefetch_for_write(&bucket(record.bucket));
  prefetch_for_write(&region_.record(record.queue_prev));
  prefetch_for_write(&region_.record(record.queue_next));
}

template <EvictionPolicy Policy>
uint32_t BasicShard<Policy>::expire_due(uint64_t now_ms, uint32_t budget) noexcept {
  const uint64_t now_tick = now_ms / 1000;
  const uint64_t expired_before = state_->gauges.expired;
  TimerWheel<Region> wheel(region_, state_->wheel);
  wheel.turn(
      now_tick, budget, [this](Ref ref) noexcept { return due_of(ref); },
      [this, now_ms](Ref ref) noexcept {
        if (keep_stale(ref, now_ms)) return;
        ++state_->gauges.expired;
        remove_entry(ref);
      },
      [this](Ref ref) noexcept { prefetch_for_removal(ref); });
  if (wheel.quiet(now_tick)) wheel_quiet_until_ms_ = (now_tick + 1) * 1000;
  return static_cast<uint32_t>(state_->gauges.expired - expired_before);
}

template class BasicShard<Sieve>;
template class BasicShard<S3Fifo>;

}  // namespace millrace::cache
