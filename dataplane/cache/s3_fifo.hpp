// SPDX-License-Identifier: Apache-2.0
#pragma once
// S3-FIFO as an eviction policy (eviction_policy.hpp): a small and a main list, and a ghost.
//
//   new --> small (a tenth) --+-- used ------> main --+-- used --> main again, as the newest
//                             |                 ^     |
//                             +-- not used      |     +-- not used --> gone
//                                   |           |
//                                   v           |
//                                  gone         +-- comes back while it is remembered
//
// What is asked for once leaves by the small list soon, and does not push out what is asked for
// again. (Yang et al., SOSP 2023; here with one bit of use instead of two, for a reader's store
// must not depend on what it read beyond zero or not.) The small list yields while it holds more
// than a tenth of its queue, else the main one does. The ghost is the cache's (ghost.hpp).
//
// Memory: 8 bytes for each queue, one bit in each record.

#include "dataplane/cache/eviction_policy.hpp"

namespace millrace::cache {

struct S3Fifo {
  static constexpr uint32_t kId = 2;
  static constexpr uint32_t kHeadsPerQueue = 2;
  static constexpr uint32_t kSmallDivisor = 10;

  struct QueueState {
    uint32_t small_cnt;
    uint32_t main_cnt;
  };

  template <PolicyItems Items>
  class On;
};

template <PolicyItems Items>
class S3Fifo::On {
 public:
  On(const Items& items, QueueState* queues) noexcept : items_(items), queues_(queues) {}

  void add(uint32_t queue, Ref ref, bool known) noexcept { link(queue, ref, known); }

  void remove(uint32_t queue, Ref ref) noexcept {
    unlink_from_queue(items_, ref);
    --(items_.record(ref).in_main ? queues_[queue].main_cnt : queues_[queue].small_cnt);
  }

  Ref candidate(uint32_t queue) const noexcept {
    if (cnt(queue) == 0) return kNoRef;
    return items_.record(head_of(queue, !small_yields(queue))).queue_prev;
  }

  Picked pick(uint32_t queue) noexcept {
    Ref ref = candidate(queue);
    if (ref == kNoRef) return Picked{kNoRef, 0};
    uint32_t step = 0;
    for (; step < kPolicySteps && items_.take_mark(ref); ++step) {
      remove(queue, ref);
      link(queue, ref, true);
      ref = candidate(queue);
    }
    return Picked{ref, step + 1};
  }

  uint32_t cnt(uint32_t queue) const noexcept {
    return queues_[queue].small_cnt + queues_[queue].main_cnt;
  }

  uint32_t main_cnt(uint32_t queue) const noexcept { return queues_[queue].main_cnt; }

 private:
  static Ref head_of(uint32_t queue, bool main) noexcept { return 2 * queue + (main ? 1 : 0); }

  bool small_yields(uint32_t queue) const noexcept {
    const QueueState& state = queues_[queue];
    return state.main_cnt == 0 || state.small_cnt > cnt(queue) / kSmallDivisor;
  }

  void link(uint32_t queue, Ref ref, bool main) noexcept {
    link_newest(items_, head_of(queue, main), ref);
    items_.record(ref).in_main = main;
    ++(main ? queues_[queue].main_cnt : queues_[queue].small_cnt);
  }

  const Items items_;
  QueueState* const queues_;
};

static_assert(EvictionPolicy<S3Fifo>);

}  // namespace millrace::cache
