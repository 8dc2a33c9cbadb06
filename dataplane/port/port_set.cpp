// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/port_set.hpp"

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <string>

#include "dataplane/base/cache_line.hpp"
#include "dataplane/port/eal.hpp"

namespace millrace::dp {

static_assert(kCacheLineBytes == RTE_CACHE_LINE_SIZE);

namespace {

constexpr uint16_t kRingSlots = 2048;   // of one queue, each direction
constexpr unsigned kPoolCache = 256;    // buffers a core keeps to itself

struct Extent {
  uintptr_t first;
  uintptr_t end;
  uint32_t outside;
};

void check_inside(rte_mempool*, void* extent, void* object, unsigned) {
  auto* e = static_cast<Extent*>(extent);
  const auto at = reinterpret_cast<uintptr_t>(object);
  if (at < e->first || at >= e->end) e->outside += 1;
}

rte_mempool* make_pool(uint32_t worker, uint32_t frames) {
  const std::string name = "frames" + std::to_string(worker);
  const unsigned element = sizeof(rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE;
  rte_mempool* pool =
      rte_mempool_create_empty(name.c_str(), frames, element, kPoolCache,
                               sizeof(rte_pktmbuf_pool_private), static_cast<int>(SOCKET_ID_ANY),
                               RTE_MEMPOOL_F_NO_IOVA_CONTIG);
  if (pool == nullptr) {
    throw Failed("cannot make a pool of " + std::to_string(frames) +
                 " packet buffers: " + rte_strerror(rte_errno));
  }
  rte_pktmbuf_pool_init(pool, nullptr);
  if (rte_mempool_populate_default(pool) < 0) {
    throw Failed("no memory for " + std::to_string(frames) +
                 " packet buffers (about " + std::to_string(frames * 2432ULL >> 20) +
                 " MiB); reserve more hugepages or lower dataplane.buffers_per_worker");
  }
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);

  const rte_mempool_memhdr* chunk = STAILQ_FIRST(&pool->mem_list);
  const auto first = reinterpret_cast<uintptr_t>(chunk->addr);
  const uint64_t frame = pool->header_size + pool->elt_size + pool->trailer_size;
  Extent extent{first, first + uint64_t{pool->populated_size} * frame, 0};
  rte_mempool_obj_iter(pool, check_inside, &extent);
  if (extent.outside != 0) {
    throw Failed(std::to_string(extent.outside) +
                 " packet buffers lie outside of the memory that AF_XDP would map");
  }
  return pool;
}

}  // namespace

PortSet::PortSet(const abi::BootSection& boot) : port_cnt_(boot.ports) {
  for (uint32_t w = 0; w < boot.workers; ++w) {
    pools_.push_back(make_pool(w, boot.frames_per_worker));
  }
  queues_.resize(size_t{boot.workers} * port_cnt_);
  for (uint32_t p = 0; p < boot.ports; ++p) {
    const bool af_xdp = boot.port[p].interface[0] != '\0';
    for (uint32_t w = 0; w < boot.workers; ++w) {
      const uint16_t number = port_number(boot, p, w);
      queues_[w * port_cnt_ + p] = {number, static_cast<uint16_t>(af_xdp ? 0 : w)};
      if (af_xdp) start_port(number, 1, boot.port[p].name, {pools_[w]});
    }
    if (!af_xdp) {
      start_port(port_number(boot, p, 0), static_cast<uint16_t>(boot.workers), boot.port[p].name,
                 pools_);
    }
  }
}

PortSet::~PortSet() {
  for (const uint16_t port : started_) {
    rte_eth_dev_stop(port);
    rte_eth_dev_close(port);
  }
}

uint16_t PortSet::port_number(const abi::BootSection& boot, uint32_t port,
                              uint32_t worker) const {
  const abi::PortConfig& config = boot.port[port];
  const bool af_xdp = config.interface[0] != '\0';
  const std::string device = config.device;
  const std::string name = af_xdp ? vdev_name(port, worker) : device.substr(0, device.find(','));
  uint16_t number;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &number) != 0) {
    throw Failed("port " + std::string(config.name) + ": DPDK has no device " + name +
                 (af_xdp ? " (interface " + std::string(config.interface) + ", queue " +
                               std::to_string(worker) +
                               "): does the interface exist with that many queues?"
                         : ""));
  }
  return number;
}

void PortSet::start_port(uint16_t number, uint16_t queues, const char* name,
                         const std::vector<rte_mempool*>& pools) {
  const auto fail = [name](const char* step, int code) {
    throw Failed("port " + std::string(name) + ": " + step + ": " + rte_strerror(-code));
  };
  rte_eth_conf conf{};
  conf.rxmode.mq_mode = queues > 1 ? RTE_ETH_MQ_RX_RSS : RTE_ETH_MQ_RX_NONE;
  if (queues > 1) {
    rte_eth_dev_info info{};
    rte_eth_dev_info_get(number, &info);
    conf.rx_adv_conf.rss_conf.rss_hf =
        (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP) & info.flow_type_rss_offloads;
    if (conf.rx_adv_conf.rss_conf.rss_hf == 0) conf.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
  }
  int code = rte_eth_dev_configure(number, queues, queues, &conf);
  if (code < 0) fail("cannot be configured with that many queues (one per worker)", code);
  for (uint16_t q = 0; q < queues; ++q) {
    code = rte_eth_rx_queue_setup(number, q, kRingSlots, static_cast<unsigned>(SOCKET_ID_ANY),
                                  nullptr, pools[q]);
    if (code < 0) {
      fail("receive queue cannot be made (is another program using AF_XDP on it?)", code);
    }
    code = rte_eth_tx_queue_setup(number, q, kRingSlots, static_cast<unsigned>(SOCKET_ID_ANY),
                                  nullptr);
    if (code < 0) fail("transmit queue cannot be made", code);
  }
  code = rte_eth_dev_start(number);
  if (code < 0) fail("does not start", code);
  started_.push_back(number);
}

}  // namespace millrace::dp
