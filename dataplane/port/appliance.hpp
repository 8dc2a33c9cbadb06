// SPDX-License-Identifier: Apache-2.0
#pragma once
// The whole data plane in one object: memory, ports, workers, slow path, and what the main core
// does to them.
//
// Threads: main only; the workers run in the lcores that start() launches, the slow path in a
// thread of its own on the main core's CPU.
// Failure: the constructor throws Failed; the install functions answer a Result and change nothing
// unless it is ok.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/abi/control_protocol.hpp"
#include "dataplane/abi/stats_page.hpp"
#include "dataplane/base/held_clock.hpp"
#include "dataplane/base/key_hash.hpp"
#include "dataplane/cache/shard.hpp"
#include "dataplane/port/boot_clock.hpp"
#include "dataplane/port/cache_regions.hpp"
#include "dataplane/port/lcore_loop.hpp"
#include "dataplane/port/port_set.hpp"
#include "dataplane/port/reader_set.hpp"
#include "dataplane/slow/slow_path.hpp"
#include "dataplane/snapshot/sealed_image.hpp"
#include "dataplane/worker/worker.hpp"

namespace millrace::dp {

// How a request of the control plane ended.
struct ControlResult {
  abi::ReplyCode code = abi::ReplyCode::ok;
  std::string text;
};

class Appliance {
 public:
  // `config` is verified. EAL runs already. `instance` names the folder of the hugepage files.
  Appliance(snapshot::SealedImage config, const std::string& instance);
  ~Appliance();

  void start();  // launches the workers
  void stop();   // asks them to end and waits

  // Verifies, publishes, waits until every worker runs under it and the old one is free.
  ControlResult install_config(int fd);
  ControlResult install_routes(int fd);
  // The sockets at which clients' TCP connections come in, in place of those before.
  void install_sockets(std::vector<slow::Listener> listeners) {
    slow_->listen_on(std::move(listeners));
  }
  // Walks all shards on the cores that own them.
  ControlResult walk_cache(const abi::CacheQuery& query, bool remove, abi::CacheReply& reply);

  // The time goes on by this much: for a config with ClockMode::manual. Returns when all cores have
  // done what became due.
  ControlResult advance_clock(uint64_t by_ns);

  // Looks whether a worker is stuck in one turn; says so on stderr and in the statistics, once when
  // it begins and once when it is over. To be called at least every kStallCheckPeriodNs.
  void watch_workers();

  int stats_fd() const noexcept { return stats_fd_; }
  uint32_t workers() const noexcept { return workers_; }
  uint64_t boot_checksum() const noexcept { return boot_checksum_; }
  uint64_t config_generation() const noexcept;
  uint64_t routes_generation() const noexcept;

 private:
  void make_stats_area();
  void make_shards();
  void make_workers();
  void make_slow_path();
  void run_slow_path();
  void set_wall_clock() noexcept;
  // Of the workers, then of the slow path.
  template <class Ready>
  ControlResult wait_for_workers(const char* what, Ready ready);

  snapshot::SealedImage config_;
  snapshot::SealedImage routes_;
  uint32_t workers_;
  uint32_t shard_cnt_;
  uint64_t boot_checksum_;
  BootClock clock_;
  std::unique_ptr<HeldClock> held_;  // with ClockMode::manual
  HashSecret secret_;
  WallClock wall_;
  CacheRegions regions_;
  ReaderSet readers_;
  PortSet ports_;
  ConfigBoard config_board_;
  RoutesBoard routes_board_;
  int stats_fd_ = -1;
  abi::StatsArea* stats_ = nullptr;
  std::vector<std::unique_ptr<cache::Shard>> shards_;
  std::vector<cache::Shard*> shard_table_;
  std::vector<std::unique_ptr<WorkRing>> rings_;  // [from * workers + to]
  std::vector<WorkRing*> ring_from_;              // [worker * workers + from]
  std::vector<WorkRing*> ring_to_;                // [worker * workers + to]
  std::vector<std::unique_ptr<Mailbox>> mailboxes_;
  std::vector<std::unique_ptr<Worker>> logic_;
  std::vector<std::unique_ptr<LcoreLoop>> loops_;
  std::vector<std::unique_ptr<WorkRing>> slow_rings_;  // [worker] from the slow path; then to it
  std::vector<WorkRing*> slow_from_, slow_to_;         // as the slow path sees them
  std::unique_ptr<slow::SlowPath> slow_;
  std::thread slow_thread_;
  std::atomic<bool> stop_{false};
  uint64_t watch_due_ns_ = 0;
  bool running_ = false;
};

}  // namespace millrace::dp
