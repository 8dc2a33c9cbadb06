// SPDX-License-Identifier: Apache-2.0
#pragma once
// The grace period of the appliance: rte_rcu_qsbr behind base/grace.hpp.
//
// Readers are the workers, by number, and behind them the slow path. A reader reports between turns
// and goes offline while it sleeps, so it holds up nobody.
//
// Threads: online/quiescent/offline by the reader itself; watch() by main; grace() by any writer.
// Cost: a report is two loads and a store, 1.2-1.4 ns here.
// Source: P. McKenney et al. on QSBR; DPDK's lib/rcu.

#include <rte_rcu_qsbr.h>

#include <cstdint>

#include "dataplane/abi/stats_page.hpp"
#include "dataplane/base/grace.hpp"
#include "dataplane/base/stall_watch.hpp"

namespace millrace::dp {

class ReaderSet {
 public:
  explicit ReaderSet(uint32_t readers);
  ~ReaderSet();
  ReaderSet(const ReaderSet&) = delete;
  ReaderSet& operator=(const ReaderSet&) = delete;

  void online(uint32_t reader) noexcept { rte_rcu_qsbr_thread_online(qsbr_, reader); }
  void quiescent(uint32_t reader) noexcept { rte_rcu_qsbr_quiescent(qsbr_, reader); }
  void offline(uint32_t reader) noexcept { rte_rcu_qsbr_thread_offline(qsbr_, reader); }

  // By one thread: takes a token and tells, as base/stall_watch.hpp has it, who does not pass.
  template <class Tell>
  void watch(uint64_t now_ns, Tell&& tell) {
    watch_.check(
        now_ns, rte_rcu_qsbr_start(qsbr_),
        // Relaxed: only how old it is matters; nothing is freed by it.
        [this](uint32_t reader) {
          return __atomic_load_n(&qsbr_->qsbr_cnt[reader].cnt, __ATOMIC_RELAXED);
        },
        tell);
  }

  GracePeriod grace() noexcept;

 private:
  rte_rcu_qsbr* qsbr_;
  StallWatch<abi::kWorkersMax + 1> watch_;
};

}  // namespace millrace::dp
