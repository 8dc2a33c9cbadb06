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
  auto queues = this->queues(now_ms);
  const auto [victim, looks] = queues.pick(queue);
  if (victim == kNoRef) return false;
  state_->turned[queue] += looks * kRound / queues.cnt(queue);
  ++(is_fresh(entry_of(victim), now_ms) ? state_->gauges.evicted : state_->gauges.expired);
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

// Evicts ahead of need: memory is of use only when its grace period has passed. Unused pages go to
// whoever nears its end first, so that each class has its reserve when the last of them is taken.
template <EvictionPolicy Policy>
void BasicShard<Policy>::make_room(uint32_t size_class, uint64_t now_ms) noexcept {
  ClassState& of_class = state_->slab.classes[size_class];
  for (uint32_t i = 0; i < kEvictionsPerInsert; ++i) {
    const uint32_t reserve = std::clamp(of_class.live / kReserveDivisor, kReserveMin, kReserveMax);
    if (of_class.free + of_class.retired >= reserve) return;
    if (Slab(region_, state_->slab).add_page(size_class)) continue;
    const uint32_t queue = next_queue(size_class);
    if (queue == kQueues) {
      take_page_from_richest(size_class, now_ms);
      return;
    }
    evict_from(queue, now_ms);
    if (turned_in_window(size_class) >= kWindowMin) rebalance(size_class, now_ms);
  }
}

// A queue that was empty begins where the others of its class are.
template <EvictionPolicy Policy>
void BasicShard<Policy>::enqueue(uint32_t queue, Ref ref, bool known, uint64_t now_ms) noexcept {
  auto queues = this->queues(now_ms);
  if (queues.cnt(queue) == 0) {
    const uint32_t first = queue - queue % kKinds;
    for (uint32_t other = first; other < first + kKinds; ++other) {
      if (queues.cnt(other) > 0)
        state_->turned[queue] = std::max(state_->turned[queue], state_->turned[other]);
    }
  }
  queues.add(queue, ref, known);
}

// The queue of the class that is to give way: of stale entries, else the one in which the policy
// has come round the least, so that all kinds are looked through equally often and an entry of
// each has the same time to be used in; kQueues: the class has no entries.
template <EvictionPolicy Policy>
uint32_t BasicShard<Policy>::next_queue(uint32_t size_class) const noexcept {
  const auto queues = this->queues(0);
  const uint32_t stale = queue_no(size_class, Kind::stale);
  if (queues.cnt(stale) > 0) return stale;
  uint32_t next = kQueues;
  for (uint32_t queue = stale; queue-- > queue_no(size_class, Kind::positive);) {
    if (queues.cnt(queue) == 0) continue;
    if (next == kQueues || state_->turned[queue] < state_->turned[next]) next = queue;
  }
  return next;
}

template <EvictionPolicy Policy>
uint64_t BasicShard<Policy>::turned_in_window(uint32_t size_class) const noexcept {
  const uint32_t queue = next_queue(size_class);
  if (queue == kQueues) return 0;
  const uint64_t turned = state_->turned[queue];
  const uint64_t from = state_->slab.classes[size_class].compared_at;
  return turned > from ? turned - from : 0;
}

// Memory is worth the same in two classes if the policy comes round in them equally fast. Where it
// comes round more than twice as fast as elsewhere, a page moves there.
template <EvictionPolicy Policy>
void BasicShard<Policy>::rebalance(uint32_t size_class, uint64_t now_ms) noexcept {
  const uint64_t own = turned_in_window(size_class);
  uint32_t donor = kClasses;
  uint64_t least = UINT64_MAX;
  for (uint32_t i = 0; i < kClasses; ++i) {
    const ClassState& of_class = state_->slab.classes[i];
    if (i == size_class || of_class.pages < 2 || of_class.live == 0) continue;
    const uint64_t turned = turned_in_window(i);
    if (turned >= least) continue;
    donor = i;
    least = turned;
  }
  const bool worth_more = donor != kClasses && own > 2 * least + kWindowMin;
  const bool moves = worth_more && state_->drain.page_no == 0;
  if (!moves && own < kWindowMax) return;
  for (uint32_t i = 0; i < kClasses; ++i)
    state_->slab.classes[i].compared_at += turned_in_window(i);
  if (!moves) return;
  start_drain(ref_page(queues(now_ms).candidate(next_queue(donor))), size_class, now_ms);
}

// For a class that has nothing to evict. A page that came to a class of which nothing was stored
// since is there for the taking.
template <EvictionPolicy Policy>
void BasicShard<Policy>::take_page_from_richest(uint32_t size_class, uint64_t now_ms) noexcept {
  uint32_t richest = kClasses;
  for (uint32_t i = 0; i < kClasses; ++i) {
    const ClassState& of_class = state_->slab.classes[i];
    if (i == size_class || of_class.pages == 0) continue;
    if (of_class.live + of_class.retired == 0) {
      Slab(region_, state_->slab).release_empty(i);
      return;
    }
    if (of_class.live == 0) continue;
    if (richest == kClasses || of_class.pages > state_->slab.classes[richest].pages) richest = i;
  }
  if (richest == kClasses || state_->drain.page_no != 0) return;
  start_drain(ref_page(queues(now_ms).candidate(next_queue(richest))), size_class, now_ms);
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
