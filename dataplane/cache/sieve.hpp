// SPDX-License-Identifier: Apache-2.0
#pragma once
// SIEVE as an eviction policy (eviction_policy.hpp): one list and a hand.
//
//   head -- newest -- ... -- hand -- ... -- oldest -- (head)        queue_next --> older
//                       <-- the hand moves this way
//
// The hand stands still while nothing is evicted. It passes over entries that were used since it
// last came by and unmarks them; the first that was not used goes, and the hand stays there.
// Entries are never moved. (Zhang et al., NSDI 2024; not from there: what comes back while the
// ghost remembers it is marked from the start, and so stays for one round of the hand more.)
//
// Memory: 8 bytes for each queue, nothing for each entry beyond its links.

#include "dataplane/cache/eviction_policy.hpp"

namespace millrace::cache {

struct Sieve {
  static constexpr uint32_t kId = 1;
  static constexpr uint32_t kHeadsPerQueue = 1;

  struct QueueState {
    Ref hand;  // kNoRef: at the oldest
    uint32_t cnt;
  };

  template <PolicyItems Items>
  class On;
};

template <PolicyItems Items>
class Sieve::On {
 public:
  On(const Items& items, QueueState* queues) noexcept : items_(items), queues_(queues) {}

  void add(uint32_t queue, Ref ref, bool known) noexcept {
    link_newest(items_, queue, ref);
    if (known) items_.mark(ref);
    ++queues_[queue].cnt;
  }

  void remove(uint32_t queue, Ref ref) noexcept {
    const Ref newer = items_.record(ref).queue_prev;
    unlink_from_queue(items_, ref);
    if (queues_[queue].hand == ref) queues_[queue].hand = is_head(newer) ? kNoRef : newer;
    --queues_[queue].cnt;
  }

  Ref candidate(uint32_t queue) const noexcept {
    if (queues_[queue].cnt == 0) return kNoRef;
    const Ref hand = queues_[queue].hand;
    return hand != kNoRef ? hand : items_.record(queue).queue_prev;
  }

  Picked pick(uint32_t queue) noexcept {
    Ref ref = candidate(queue);
    if (ref == kNoRef) return Picked{kNoRef, 0};
    uint32_t step = 0;
    for (; step < kPolicySteps && items_.take_mark(ref); ++step) {
      ref = items_.record(ref).queue_prev;
      if (is_head(ref)) ref = items_.record(queue).queue_prev;
    }
    queues_[queue].hand = ref;
    return Picked{ref, step + 1};
  }

  uint32_t cnt(uint32_t queue) const noexcept { return queues_[queue].cnt; }

 private:
  const Items items_;
  QueueState* const queues_;
};

static_assert(EvictionPolicy<Sieve>);

}  // namespace millrace::cache
