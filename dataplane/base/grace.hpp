// SPDX-License-Identifier: Apache-2.0
#pragma once
// The grace period as seen by a writer that wants memory back.
//
// Idea: quiescent-state based reclamation. A reader says, between bursts, "I hold no reference";
// the writer unlinks an object, takes a token, and may reuse the object once every reader that was
// online at that moment has said so. Readers never wait and never retry.
//
// This struct decouples the cache and the snapshots from who keeps the readers' counters: the
// appliance plugs in rte_rcu_qsbr, the tests and the simulator plug in their own.
//
// Threads: called by the owner of the memory only. Cost: cold (insert, evict, snapshot swap).

#include <cstdint>

namespace millrace {

struct GracePeriod {
  void* context;
  // Returns a token that stands for "now".
  uint64_t (*start)(void* context) noexcept;
  // True when every reader has been quiescent since `token` was made. Never blocks.
  bool (*passed)(void* context, uint64_t token) noexcept;
};

}  // namespace millrace
