// SPDX-License-Identifier: Apache-2.0
#pragma once
// The grace period of the appliance: rte_rcu_qsbr behind base/grace.hpp.
//
// Readers are the workers, by number. A worker reports between turns and goes offline while it
// sleeps, so it holds up nobody.
//
// Threads: online/quiescent/offline by the reader itself; grace() by any writer.
// Cost: a report is two loads and a store, 1.2-1.4 ns here.
// Source: P. McKenney et al. on QSBR; DPDK's lib/rcu.

#include <rte_rcu_qsbr.h>

#include <cstdint>

#include "dataplane/base/grace.hpp"

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

  GracePeriod grace() noexcept;

 private:
  rte_rcu_qsbr* qsbr_;
};

}  // namespace millrace::dp
