// SPDX-License-Identifier: Apache-2.0
#pragma once
// What goes when memory is short: the seam between a cache and its eviction policy.
//
// A cache keeps queues of entries (a shard: one for each size class and kind) and asks the policy
// which entry of a queue is to go. Between the two stands one byte in each entry, `visited`:
// readers store 1 in it, and only if they read 0; so a hit costs one store at most, whatever the
// policy.
//
//   cache                            policy                          entry
//   inserts      -- add ---------->  links the record into a queue; known? it may -- mark -->
//   needs memory -- pick --------->  looks at entries  -- take_mark -->  visited? then 0
//   removes it   -- remove ------->  unlinks the record
//
// Compile time chooses: a policy is a class with constants and with a class template On<Items>, the
// handle that works on the items of a cache. Sieve (sieve.hpp) and S3Fifo (s3_fifo.hpp) are two.
//
// Threads: the owner's, but for `visited`. Memory: the policy's own state is trivially copyable and
// all zeroes at first; it lies where the cache puts it (the shard: in its region, so it survives
// attach()) and names things by Ref only.
// Cost: add, remove and candidate O(1); pick looks at no more than kPolicySteps entries.

#include "dataplane/cache/region_layout.hpp"

#include <atomic>
#include <concepts>
#include <cstdint>
#include <type_traits>

namespace millrace::cache {

// After so many second chances in one pick, the entry that is looked at goes whatever its mark.
inline constexpr uint32_t kPolicySteps = 32;

// What pick() chose and how many entries it looked at for it, the chosen one included.
struct Picked {
  Ref ref;
  uint32_t looks;
};

// What a policy may ask of the cache it works for.
template <class Items>
concept PolicyItems = std::is_trivially_copyable_v<Items> && requires(const Items& items, Ref ref) {
  { items.record(ref) }
  noexcept->std::same_as<Record&>;
  // Was the entry used since this was last asked? Then it counts as not used from now on.
  { items.take_mark(ref) }
  noexcept->std::same_as<bool>;
  // It counts as used.
  { items.mark(ref) }
  noexcept;
};

// For the concept below and nothing else.
struct AnyPolicyItems {
  Record& record(Ref) const noexcept;
  bool take_mark(Ref) const noexcept;
  void mark(Ref) const noexcept;
};
static_assert(PolicyItems<AnyPolicyItems>);

// Queues are numbered from 0 and use the records of the heads from 0 on, kHeadsPerQueue for each.
template <class Policy>
concept EvictionPolicy = std::is_trivially_copyable_v<typename Policy::QueueState> &&
    requires(typename Policy::template On<AnyPolicyItems> queues,
             const typename Policy::template On<AnyPolicyItems> seen, AnyPolicyItems items,
             typename Policy::QueueState* states, uint32_t queue, Ref ref, bool known) {
  // Written into the region, so that no other policy takes up its queues.
  { Policy::kId } -> std::convertible_to<uint32_t>;
  { Policy::kHeadsPerQueue } -> std::convertible_to<uint32_t>;
  typename Policy::template On<AnyPolicyItems>;
  requires std::constructible_from < typename Policy::template On<AnyPolicyItems>,
  const AnyPolicyItems&, typename Policy::QueueState* > ;
  // `ref` is in no queue. `known`: the key was here before, not long ago (ghost.hpp).
  { queues.add(queue, ref, known) }
  noexcept;
  // `ref` is in `queue`.
  { queues.remove(queue, ref) }
  noexcept;
  // The entry that is to go, still in the queue; the caller removes it. kNoRef: queue is empty.
  { queues.pick(queue) }
  noexcept->std::same_as<Picked>;
  // The entry that pick would look at first; kNoRef: the queue is empty.
  { seen.candidate(queue) }
  noexcept->std::same_as<Ref>;
  { seen.cnt(queue) }
  noexcept->std::same_as<uint32_t>;
};

// Reads the mark and clears it.
inline bool take_mark_of(std::atomic<uint8_t>& visited) noexcept {
  // Relaxed, both: pairs with touch(); a mark that is lost in between costs one second chance.
  if (visited.load(std::memory_order_relaxed) == 0) return false;
  visited.store(0, std::memory_order_relaxed);
  return true;
}

// --- lists of records, newest at the front: head -- queue_next --> older

template <PolicyItems Items>
inline void link_newest(const Items& items, Ref head, Ref ref) noexcept {
  Record& head_record = items.record(head);
  Record& record = items.record(ref);
  record.queue_prev = head;
  record.queue_next = head_record.queue_next;
  items.record(head_record.queue_next).queue_prev = ref;
  head_record.queue_next = ref;
}

template <PolicyItems Items>
inline void unlink_from_queue(const Items& items, Ref ref) noexcept {
  const Record& record = items.record(ref);
  items.record(record.queue_prev).queue_next = record.queue_next;
  items.record(record.queue_next).queue_prev = record.queue_prev;
}

}  // namespace millrace::cache
