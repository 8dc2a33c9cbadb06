// SPDX-License-Identifier: Apache-2.0
#pragma once
// The data plane under test: the appliance's own workers, rings, shards, boards and statistics, put
// together in ordinary memory, with the simulator in the place of DPDK and of the main core.

#include "dataplane/base/qsbr.hpp"
#include "dataplane/slow/slow_path.hpp"
#include "dataplane/stats/stats_page_reader.hpp"
#include "dataplane/worker/worker.hpp"
#include "tests/sim/frame_pool.hpp"
#include "tests/sim/plan.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace millrace::sim {

// What waits in a port's queue for a core to take it.
struct Arrival {
  Cargo cargo;
  Bytes bytes;
  uint8_t port = 0;
};

struct Core {
  std::unique_ptr<dp::Worker> worker;
  dp::StepIo io;
  dp::Mailbox mailbox;
  std::deque<Arrival> queue;
  uint64_t steps = 0;
  uint64_t stalled_until_ns = 0;
  uint64_t starved_until_ns = 0;
  bool asleep = false;  // offline for the grace period
};

class Plane {
 public:
  // `dial`: how the slow path reaches upstreams; without it there is no slow path.
  Plane(const Plan& plan, Random& random, slow::TcpUpstreams::Dial dial = nullptr);

  uint32_t worker_cnt() const { return static_cast<uint32_t>(cores_.size()); }
  Core& core(uint32_t w) { return *cores_[w]; }
  const std::vector<std::unique_ptr<cache::Shard>>& shards() const { return shards_; }
  abi::StatsArea& stats() { return *stats_; }
  dp::ConfigBoard& config() { return config_; }
  dp::RoutesBoard& routes() { return routes_; }
  GracePeriod grace() { return qsbr_.grace(); }
  WallClock& wall() { return wall_; }

  // One turn between reporting online and quiescent.
  void step(uint32_t w, uint64_t now_ns);
  void sleep(uint32_t w);
  slow::SlowPath& slow() { return *slow_; }
  uint32_t slow_turn(uint64_t now_ns);

  // Sums over the cores.
  uint64_t outcome(abi::Outcome which) const;
  uint64_t event(abi::Event which) const;
  uint64_t rx_packets() const;
  uint64_t evicted() const;
  uint64_t in_rings() const {
    return both(abi::Event::ring_sent) - both(abi::Event::ring_received);
  }
  stats::CoreSnapshot page(uint32_t w) const;

 private:
  struct alignas(64) RegionBlock {
    std::byte bytes[64];
  };
  using Region = std::unique_ptr<RegionBlock[]>;  // as it comes: format() takes any

  // Of the cores and the slow path.
  uint64_t both(abi::Event which) const {
    return event(which) + (slow_ == nullptr ? 0 : slow_->counters().of(which));
  }
  void make_shards(const Plan& plan);
  void make_slow_path(const Plan& plan, Random& random, slow::TcpUpstreams::Dial dial);
  dp::WorkRing* make_ring(Random& random);

  Qsbr<5> qsbr_;  // the workers, and behind them the slow path
  HashSecret secret_;
  WallClock wall_;
  std::vector<Region> regions_;
  std::vector<std::unique_ptr<cache::Shard>> shards_;
  std::vector<cache::Shard*> shard_list_;
  std::vector<std::unique_ptr<dp::WorkRing>> rings_;
  std::vector<std::vector<dp::WorkRing*>> from_, to_;
  dp::ConfigBoard config_;
  dp::RoutesBoard routes_;
  std::unique_ptr<abi::StatsArea> stats_;
  std::vector<std::unique_ptr<Core>> cores_;
  std::vector<dp::WorkRing*> slow_from_, slow_to_;
  std::unique_ptr<slow::SlowPath> slow_;
};

}  // namespace millrace::sim
