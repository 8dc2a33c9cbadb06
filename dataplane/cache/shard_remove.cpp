// SPDX-License-Identifier: Apache-2.0
// The ways out: remove, expire, retire, reclaim.
#include "dataplane/base/check.hpp"
#include "dataplane/cache/shard.hpp"
#include "dataplane/cache/shard_state.hpp"

namespace millrace::cache {

bool Shard::remove(const Key& key) noexcept {
  const uint32_t slot_no = find_slot(key);
  if (slot_no == kNoSlot) return false;
  remove_slot(slot_no);
  return true;
}

void Shard::remove_slot(uint32_t slot_no) noexcept {
  std::atomic<SlotWord>& slot = this->slot(slot_no);
  // Relaxed: the owner wrote it.
  const SlotWord word = slot.load(std::memory_order_relaxed);
  MR_DCHECK(!slot_is_empty(word));
  // Relaxed: an empty slot leads to no bytes. That readers have let go of the entry is what the
  // grace period says, and GracePeriod::start orders this store before its token.
  slot.store(word & kSlotSpillsMask, std::memory_order_relaxed);
  if (slot_is_second(word)) {
    count_spill(other_bucket(slot_no / kSlotsPerBucket, slot_tag(word), bucket_cnt_), -1);
  }
  retire(region_.ref_of(slot_entry_no(word)));
}

// No slot names the entry any more.
void Shard::retire(Ref ref) noexcept {
  const uint32_t size_class = region_.page_header(ref_page(ref)).size_class;
  const Kind kind = kind_of(entry_of(ref));
  const auto kind_idx = static_cast<uint32_t>(kind);
  const uint32_t cost_bytes = class_cost_bytes(size_class);
  TimerWheel<Region>(region_, state_->wheel).cancel(ref);
  Sieve(region_, state_->queues).remove(queue_no(size_class, kind), ref);
  region_.record(ref).slot = kSlotOfRetired;
  Limbo(region_, state_->limbo).put(ref);
  --state_->slab.classes[size_class].live;
  ++state_->slab.classes[size_class].retired;
  --state_->gauges.entries;
  --state_->gauges.entries_of_kind[kind_idx];
  state_->gauges.memory_retired += cost_bytes;
  state_->retired_bytes_of_kind[kind_idx] += cost_bytes;
}

// The object was allocated and is in no list.
void Shard::free_object(Ref ref) noexcept {
  const uint32_t size_class = region_.page_header(ref_page(ref)).size_class;
  const auto kind_idx = static_cast<uint32_t>(kind_of(entry_of(ref)));
  const uint32_t cost_bytes = class_cost_bytes(size_class);
  if (region_.record(ref).slot == kSlotOfRetired) {
    --state_->slab.classes[size_class].retired;
    state_->gauges.memory_retired -= cost_bytes;
    state_->retired_bytes_of_kind[kind_idx] -= cost_bytes;
  }
  state_->gauges.memory_used -= cost_bytes;
  state_->gauges.memory_of_kind[kind_idx] -= cost_bytes;
  Slab(region_, state_->slab).give(ref);
  const uint32_t page_no = ref_page(ref);
  const bool drained =
      page_no == state_->drain.page_no && region_.page_header(page_no).state == PageState::unused;
  if (drained) state_->drain = DrainState{};
}

void Shard::reclaim() noexcept {
  Limbo limbo(region_, state_->limbo);
  limbo.close(grace_);
  limbo.take_passed(grace_, kFreedPerReclaim, [this](Ref ref) noexcept { free_object(ref); });
}

uint32_t Shard::expire(uint64_t now_ms, uint32_t budget) noexcept {
  if (now_ms < state_->wheel_quiet_until_ms) return 0;
  const uint64_t now_tick = now_ms / 1000;
  TimerWheel<Region> wheel(region_, state_->wheel);
  const uint32_t fired = wheel.turn(
      now_tick, budget, [this](Ref ref) noexcept { return due_tick_of(entry_of(ref)); },
      [this](Ref ref) noexcept { remove_slot(region_.record(ref).slot); });
  state_->gauges.expired += fired;
  if (wheel.quiet(now_tick)) state_->wheel_quiet_until_ms = (now_tick + 1) * 1000;
  return fired;
}

}  // namespace millrace::cache
