// SPDX-License-Identifier: Apache-2.0
// Memory for an entry: budgets, eviction ahead of need, pages moved between size classes.
#include "dataplane/base/check.hpp"
#include "dataplane/cache/shard.hpp"
#include "dataplane/cache/shard_state.hpp"

#include <algorithm>

namespace millrace::cache {

namespace {

// Not for positive entries, which have no budget.
uint64_t budget_bytes(const Budgets& budgets, uint64_t memory_total, Kind kind) noexcept {
  const uint8_t share_64ths = kind == Kind::failure    ? budgets.failure_64ths
                              : kind == Kind::negative ? budgets.negative_64ths
                                                       : budgets.stale_64ths;
  return memory_total * share_64ths / 64;
}

}  // namespace

// What is in the limbo counts: a flood during a stalled grace period must not creep past its share.
template <EvictionPolicy Policy>
bool BasicShard<Policy>::within_budget(uint32_t size_class, Kind kind) const noexcept {
  if (kind == Kind::positive) return true;
  const uint64_t held_bytes = state_->gauges.memory_of_kind[static_cast<uint32_t>(kind)];
  return held_bytes + class_cost_bytes(size_class) <=
         budget_bytes(state_->budgets, state_->gauges.memory_total, kind);
}

// Makes a kind that nears its budget evict its own. What it evicts is not free at once, hence a
// margin.
template <EvictionPolicy Policy>
void BasicShard<Policy>::hold_budget(uint32_t size_class, Kind kind, uint64_t now_ms) noexcept {
  if (kind == Kind::positive) return;
  const auto kind_idx = static_cast<uint32_t>(kind);
  const uint64_t budget = budget_bytes(state_->budgets, state_->gauges.memory_total, kind);
  const uint64_t mark = budget - budget / kBudgetMarginDivisor;
  for (uint32_t i = 0; i < kBudgetEvictionsPerInsert; ++i) {
    const uint64_t live_bytes =
        state_->gauges.memory_of_kind[kind_idx] - state_->retired_bytes_of_kind[kind_idx];
    if (live_bytes + class_cost_bytes(size_class) <= mark) return;
    if (!evict_from(bounded_queue(size_class, kind), now_ms)) return;
  }
}

// Where a kind at its budget evicts: its queue of this size class, else its longest.
template <EvictionPolicy Policy>
uint32_t BasicShard<Policy>::bounded_queue(uint32_t size_class, Kind kind) const noexcept {
  const auto queues = this->queues(0);
  uint32_t longest = queue_no(size_class, kind);
  if (queues.cnt(longest) > 0) return longest;
  for (uint32_t i = 0; i < kClasses; ++i) {
    const uint32_t queue = queue_no(i, kind);
    if (queues.cnt(queue) > queues.cnt(longest)) longest = queue;
  }
  return longest;
}

template <EvictionPolicy Policy>
bool BasicShard<Policy>::evict_from(uint32_t queue, uint64_t now_ms) noexcept {
  const Ref victim = queues(now_ms).pick(queue);
  if (victim == kNoRef) return false;
  ++(is_fresh(entry_of(victim), now_ms) ? state_->gauges.evicted : state_->gauges.expired);
  const uint32_t size_class = region_.page_header(ref_page(victim)).size_class;
  state_->slab.classes[size_class].evicted_bytes += class_cost_bytes(size_class);
  remove_entry(victim);
  return true;
}

template <EvictionPolicy Policy>
Ref BasicShard<Policy>::allocate(uint32_t size_class, Kind kind, uint64_t now_ms) noexcept {
  step_drain(now_ms);
  hold_budget(size_class, kind, now_ms);
  if (!within_budget(size_class, kind)) {
    reclaim();
    if (!within_budget(size_class, kind)) return kNoRef;
  }
  Slab slab(region_, state_->slab);
  Ref ref = slab.take(size_class);
  if (ref == kNoRef) {
    reclaim();
    ref = slab.take(size_class);
  }
  make_room(size_class, now_ms);
  if (ref == kNoRef) {
    reclaim();
    ref = slab.take(size_class);
  }
  if (ref == kNoRef) return kNoRef;
  region_.record(ref).set_bucket(kBucketOfFree);
  region_.record(ref).stale = 0;
  state_->gauges.memory_used += class_cost_bytes(size_class);
  state_->gauges.memory_of_kind[static_cast<uint32_t>(kind)] += class_cost_bytes(size_class);
  return ref;
}

// Evicts ahead of need: memory is of use only when its grace period has passed.
template <EvictionPolicy Policy>
void BasicShard<Policy>::make_room(uint32_t size_class, uint64_t now_ms) noexcept {
  ClassState& of_class = state_->slab.classes[size_class];
  for (uint32_t i = 0; i < kEvictionsPerInsert; ++i) {
    const uint32_t reserve = std::clamp(of_class.live / kReserveDivisor, 1u, kReserveMax);
    if (state_->slab.unused_pages > 0 || of_class.free + of_class.retired >= reserve) return;
    uint64_t born_ms;
    const uint32_t queue = oldest_queue(size_class, born_ms);
    if (queue == kQueues) {
      take_page_from_richest(size_class, now_ms);
      return;
    }
    evict_from(queue, now_ms);
    if (of_class.evicted_bytes < kPageBytes) continue;
    of_class.evicted_bytes = 0;
    rebalance(size_class, now_ms);
  }
}

// The queue of the class that is to give way: of stale entries, else the one whose next candidate
// is the oldest; kQueues: the class has no entries.
template <EvictionPolicy Policy>
uint32_t BasicShard<Policy>::oldest_queue(uint32_t size_class, uint64_t& born_ms) const noexcept {
  const auto queues = this->queues(0);
  uint32_t oldest = kQueues;
  born_ms = UINT64_MAX;
  for (uint32_t kind = kKinds; kind-- > 0;) {
    const uint32_t queue = queue_no(size_class, static_cast<Kind>(kind));
    const Ref ref = queues.candidate(queue);
    if (ref == kNoRef || born_ms_of(entry_of(ref)) >= born_ms) continue;
    oldest = queue;
    born_ms = born_ms_of(entry_of(ref));
    if (kind == static_cast<uint32_t>(Kind::stale)) break;
  }
  return oldest;
}

// A class that has just evicted a page's worth compares the age of what goes next with the others'.
// If somewhere candidates are more than twice as old, memory is worth more here: a page moves. The
// ages are smoothed: SIEVE's hand stands among the oldest now and among the newest later, in each
// class at another time, and says nothing at any one moment.
template <EvictionPolicy Policy>
void BasicShard<Policy>::rebalance(uint32_t size_class, uint64_t now_ms) noexcept {
  uint32_t donor = kClasses;
  uint64_t oldest_ms = 0;
  for (uint32_t i = 0; i < kClasses; ++i) {
    ClassState& of_class = state_->slab.classes[i];
    uint64_t born_ms;
    if (oldest_queue(i, born_ms) == kQueues) {
      of_class.candidate_age_ms = 0;
      continue;
    }
    uint64_t& age_ms = of_class.candidate_age_ms;
    const uint64_t now_aged_ms = now_ms > born_ms ? now_ms - born_ms : 0;
    age_ms = age_ms == 0 ? now_aged_ms : age_ms - age_ms / kAgeWindow + now_aged_ms / kAgeWindow;
    if (i == size_class || of_class.pages < 2 || age_ms < oldest_ms) continue;
    donor = i;
    oldest_ms = age_ms;
  }
  const uint64_t own_ms = state_->slab.classes[size_class].candidate_age_ms;
  if (state_->drain.page_no != 0 || donor == kClasses || oldest_ms <= 2 * own_ms + 1000) return;
  uint64_t born_ms;
  const uint32_t queue = oldest_queue(donor, born_ms);
  start_drain(ref_page(queues(now_ms).candidate(queue)), size_class, now_ms);
}

// For a class that has nothing to evict.
template <EvictionPolicy Policy>
void BasicShard<Policy>::take_page_from_richest(uint32_t size_class, uint64_t now_ms) noexcept {
  if (state_->drain.page_no != 0) return;
  uint32_t richest = kClasses;
  for (uint32_t i = 0; i < kClasses; ++i) {
    const ClassState& of_class = state_->slab.classes[i];
    if (i == size_class || of_class.live == 0) continue;
    if (richest == kClasses || of_class.pages > state_->slab.classes[richest].pages) richest = i;
  }
  if (richest == kClasses) return;
  uint64_t born_ms;
  const uint32_t queue = oldest_queue(richest, born_ms);
  start_drain(ref_page(queues(now_ms).candidate(queue)), size_class, now_ms);
}

template <EvictionPolicy Policy>
void BasicShard<Policy>::start_drain(uint32_t page_no, uint32_t for_class,
                                     uint64_t now_ms) noexcept {
  MR_DCHECK(region_.page_header(page_no).state == PageState::serving);
  Slab(region_, state_->slab).withdraw(page_no);
  state_->drain = DrainState{page_no, 0, for_class};
  ++state_->gauges.pages_moved;
  step_drain(now_ms);
}

// A page is emptied over several calls: up to 194 evictions in one would be felt.
template <EvictionPolicy Policy>
void BasicShard<Policy>::step_drain(uint64_t now_ms) noexcept {
  DrainState& drain = state_->drain;
  if (drain.page_no == 0) return;
  const uint32_t touched = region_.page_header(drain.page_no).touched;
  for (uint32_t i = 0; i < kDrainedPerStep && drain.index < touched; ++drain.index, ++i) {
    const Ref ref = make_ref(drain.page_no, drain.index);
    const uint32_t bucket_idx = region_.record(ref).bucket;
    if (bucket_idx == kBucketOfFree || bucket_idx == kBucketOfRetired) continue;
    ++(is_fresh(entry_of(ref), now_ms) ? state_->gauges.evicted : state_->gauges.expired);
    remove_entry(ref);
  }
}

template class BasicShard<Sieve>;
template class BasicShard<S3Fifo>;

}  // namespace millrace::cache
