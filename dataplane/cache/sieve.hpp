// SPDX-License-Identifier: Apache-2.0
#pragma once
// What goes when memory is short: SIEVE, one queue per size class and kind.
//
//   head -- newest -- ... -- hand -- ... -- oldest -- (head)        queue_next --> older
//                       <-- the hand moves this way
//
// The hand stands still while nothing is evicted. It passes over entries that were used since it
// last came by and unmarks them; the first that was not used goes, and the hand stays there.
// Entries are never moved, so a hit costs its reader one byte, once. (Zhang et al., NSDI 2024.)
//
// Threads: the owner's, but for the `visited` byte. Memory: links in the records, heads in page 0.
// Cost: add and remove O(1). pick passes at most kSieveSteps entries, then takes the one it stands
// on.

#include "dataplane/cache/entry.hpp"
#include "dataplane/cache/region_layout.hpp"

#include <cstdint>

namespace millrace::cache {

inline constexpr uint32_t kSieveSteps = 32;
inline constexpr uint32_t kQueues = kClasses * kKinds;
static_assert(kQueues <= kHeads);

constexpr uint32_t queue_no(uint32_t size_class, Kind kind) noexcept {
  return size_class * kKinds + static_cast<uint32_t>(kind);
}

struct QueueState {
  Ref hand;  // kNoRef: at the oldest
  uint32_t cnt;
};

class Sieve {
 public:
  Sieve(const Region& region, QueueState* queues) noexcept : region_(region), queues_(queues) {}

  void add(uint32_t queue, Ref ref) noexcept {
    Record& head = region_.record(queue);
    Record& record = region_.record(ref);
    record.queue_prev = queue;
    record.queue_next = head.queue_next;
    region_.record(head.queue_next).queue_prev = ref;
    head.queue_next = ref;
    ++queues_[queue].cnt;
  }

  void remove(uint32_t queue, Ref ref) noexcept {
    const Ref newer = region_.record(ref).queue_prev;
    const Ref older = region_.record(ref).queue_next;
    region_.record(newer).queue_next = older;
    region_.record(older).queue_prev = newer;
    if (queues_[queue].hand == ref) queues_[queue].hand = is_head(newer) ? kNoRef : newer;
    --queues_[queue].cnt;
  }

  // The entry that the hand would look at next; kNoRef: the queue is empty.
  Ref candidate(uint32_t queue) const noexcept {
    if (queues_[queue].cnt == 0) return kNoRef;
    const Ref hand = queues_[queue].hand;
    return hand != kNoRef ? hand : region_.record(queue).queue_prev;
  }

  // The entry that is to go, still in the queue; kNoRef: the queue is empty.
  Ref pick(uint32_t queue, uint64_t now_ms) noexcept {
    Ref ref = candidate(queue);
    if (ref == kNoRef) return kNoRef;
    for (uint32_t step = 0; step < kSieveSteps; ++step) {
      const Entry& entry = entry_of(ref);
      // Relaxed, both: pairs with touch(); a mark that is lost in between costs one second chance.
      if (entry.visited.load(std::memory_order_relaxed) == 0) break;
      if (!is_fresh(entry, now_ms)) break;
      entry.visited.store(0, std::memory_order_relaxed);
      ref = region_.record(ref).queue_prev;
      if (is_head(ref)) ref = region_.record(queue).queue_prev;
    }
    queues_[queue].hand = ref;
    return ref;
  }

  uint32_t cnt(uint32_t queue) const noexcept { return queues_[queue].cnt; }

 private:
  const Entry& entry_of(Ref ref) const noexcept {
    return *reinterpret_cast<const Entry*>(region_.object(region_.entry_no(ref)));
  }

  const Region& region_;
  QueueState* queues_;
};

}  // namespace millrace::cache
