// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/reader_set.hpp"

#include <rte_malloc.h>

#include "dataplane/port/eal.hpp"

namespace millrace::dp {

static_assert(__RTE_QSBR_CNT_THR_OFFLINE == kReaderOffline);

ReaderSet::ReaderSet(uint32_t readers) : watch_(readers) {
  qsbr_ = static_cast<rte_rcu_qsbr*>(
      rte_zmalloc("readers", rte_rcu_qsbr_get_memsize(readers), RTE_CACHE_LINE_SIZE));
  if (qsbr_ == nullptr || rte_rcu_qsbr_init(qsbr_, readers) != 0) {
    throw Failed("no memory for the grace period");
  }
  for (uint32_t i = 0; i < readers; ++i) rte_rcu_qsbr_thread_register(qsbr_, i);
}

ReaderSet::~ReaderSet() { rte_free(qsbr_); }

GracePeriod ReaderSet::grace() noexcept {
  return {qsbr_,
          [](void* qsbr) noexcept { return rte_rcu_qsbr_start(static_cast<rte_rcu_qsbr*>(qsbr)); },
          [](void* qsbr, uint64_t token) noexcept {
            return rte_rcu_qsbr_check(static_cast<rte_rcu_qsbr*>(qsbr), token, false) != 0;
          }};
}

}  // namespace millrace::dp
