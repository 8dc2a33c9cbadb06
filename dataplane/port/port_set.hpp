// SPDX-License-Identifier: Apache-2.0
#pragma once
// The NIC queues of all workers, and the packet buffers that travel through them.
//
// One buffer pool per worker, which every queue of that worker uses. An AF_XDP socket maps its
// whole pool as one piece from the pool's first address on, so the pool must lie in one piece: it
// is made without gaps, and that is checked.
//
// Threads: construction and stop by main; burst calls by the worker that owns the queue.
// Failure: the constructor throws Failed and names the port.

#include <cstdint>
#include <vector>

#include "dataplane/abi/config_image.hpp"

struct rte_mempool;

namespace millrace::dp {

struct PortQueue {
  uint16_t port;   // DPDK's number
  uint16_t queue;
};

class PortSet {
 public:
  explicit PortSet(const abi::BootSection& boot);
  ~PortSet();
  PortSet(const PortSet&) = delete;
  PortSet& operator=(const PortSet&) = delete;

  uint32_t port_cnt() const noexcept { return port_cnt_; }
  rte_mempool* pool(uint32_t worker) const noexcept { return pools_[worker]; }
  PortQueue queue(uint32_t worker, uint32_t port) const noexcept {
    return queues_[worker * port_cnt_ + port];
  }

 private:
  uint16_t port_number(const abi::BootSection& boot, uint32_t port, uint32_t worker) const;
  void start_port(uint16_t number, uint16_t queues, const char* name,
                  const std::vector<rte_mempool*>& pools);

  uint32_t port_cnt_;
  std::vector<rte_mempool*> pools_;
  std::vector<PortQueue> queues_;
  std::vector<uint16_t> started_;
};

}  // namespace millrace::dp
