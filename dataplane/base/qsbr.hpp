// SPDX-License-Identifier: Apache-2.0
#pragma once
// A grace period of our own: quiescent-state based reclamation without DPDK.
//
// The appliance plugs rte_rcu_qsbr into base/grace.hpp; the tests and the simulator plug in this.
// Idea: a clock that writers advance, and per reader the last time of that clock at which the
// reader held no reference. A token is a time; it has passed when every reader is offline or has
// been quiescent at that time or later.
//
//     0    | clock_                          written by start(), read by every reader
//     128  | seen_[0]   0 = offline          written by reader 0, read by passed()
//     256  | seen_[1]                        ...
//
// Threads: online, quiescent and offline of one index by that reader alone; start and passed by any
// writer (each owner of memory is one). A reader begins offline.
// Cost: quiescent is a load of a line that rarely changes and a store to a line of its own.
// Failure: a reader that stays online and stops reporting makes passed() return false for ever;
// `straggler` names it.

#include "dataplane/base/atomics.hpp"
#include "dataplane/base/cache_line.hpp"
#include "dataplane/base/check.hpp"
#include "dataplane/base/grace.hpp"

#include <cstdint>

namespace millrace {

template <uint32_t kReadersMax, class Atomics = StdAtomics>
class Qsbr {
 public:
  // --- readers

  void online(uint32_t reader) noexcept {
    MR_DCHECK(reader < kReadersMax);
    // Relaxed load: an old value is safe, and the read-modify-write below orders the store. Release
    // pairs with the acquire in straggler(), which may find this value and no longer the zero of
    // the offline() before it: without it our reads of that time might not be over.
    seen_[reader].value.store(clock_.value.load(std::memory_order_relaxed),
                              std::memory_order_release);
    // Pairs with the fetch_add in start(). All read-modify-writes of one word stand in one order:
    // if this one is first, that writer's passed() sees us online; if it is second, we see
    // everything that the writer unlinked before. Without it a writer could miss a reader that
    // is about to load the old pointer.
    clock_.value.fetch_add(0, std::memory_order_acq_rel);
  }

  // "I hold no reference right now."
  void quiescent(uint32_t reader) noexcept {
    MR_DCHECK(reader < kReadersMax);
    // Acquire pairs with the fetch_add in start(): whoever reports that time sees what was
    // unlinked before it.
    const uint64_t now = clock_.value.load(std::memory_order_acquire);
    // Release pairs with the acquire in straggler(): our reads are over before memory is reused.
    seen_[reader].value.store(now, std::memory_order_release);
  }

  void offline(uint32_t reader) noexcept {
    MR_DCHECK(reader < kReadersMax);
    // Release pairs with the acquire in straggler(), as in quiescent().
    seen_[reader].value.store(kOffline, std::memory_order_release);
  }

  // --- writers

  uint64_t start() noexcept {
    // Pairs with the acquire in quiescent() and with the fetch_add in online().
    return clock_.value.fetch_add(1, std::memory_order_acq_rel) + 1;
  }

  bool passed(uint64_t token) const noexcept { return straggler(token) == kReadersMax; }

  // The first reader that holds `token` up; kReadersMax when it has passed.
  uint32_t straggler(uint64_t token) const noexcept {
    for (uint32_t reader = 0; reader < kReadersMax; ++reader) {
      // Acquire pairs with the releases in online(), quiescent() and offline().
      const uint64_t seen = seen_[reader].value.load(std::memory_order_acquire);
      if (seen != kOffline && seen < token) return reader;
    }
    return kReadersMax;
  }

  // This object behind the interface that caches and snapshots use. Must outlive its user.
  GracePeriod grace() noexcept {
    return {this, [](void* self) noexcept { return static_cast<Qsbr*>(self)->start(); },
            [](void* self, uint64_t token) noexcept {
              return static_cast<Qsbr*>(self)->passed(token);
            }};
  }

 private:
  static constexpr uint64_t kOffline = 0;

  struct alignas(kWriterSpacingBytes) Word {
    typename Atomics::template Atomic<uint64_t> value;
  };

  Word clock_{1};  // so that no reader ever reports kOffline by accident
  Word seen_[kReadersMax] = {};
};

static_assert(sizeof(Qsbr<3>) == 4 * kWriterSpacingBytes);

}  // namespace millrace
