// SPDX-License-Identifier: Apache-2.0
#include "control/config/host.hpp"

#include "control/snapshot/compile.hpp"

#include <algorithm>
#include <bit>

#include <sched.h>

namespace millrace::ctl {
namespace {

constexpr uint32_t kShardsDefault = 16;
constexpr const char* kDefaultName = "default";

uint32_t shards_for(const Config& config) {
  uint64_t total = 0;
  for (const PacketCache& cache : config.packet_caches)
    total += cache.size_bytes;
  uint32_t shards = kShardsDefault;
  while (shards > 1 && shards * kShardBytesMin > total)
    shards /= 2;
  return std::max(shards,
                  std::bit_ceil(std::clamp(config.dataplane.workers, 1u, abi::kWorkersMax)));
}

void resolve_cores(Dataplane& dataplane, const Host& host) {
  const std::vector<int>& cpus = host.cpus;
  if (dataplane.cores.empty() && dataplane.workers <= cpus.size()) {
    dataplane.cores.assign(cpus.end() - dataplane.workers, cpus.end());
  }
  if (dataplane.main_core != kAutoCore || dataplane.cores.empty()) return;
  const std::vector<int>& cores = dataplane.cores;
  const auto is_free = [&](int cpu) {
    return std::find(cores.begin(), cores.end(), cpu) == cores.end();
  };
  const auto free = std::find_if(cpus.begin(), cpus.end(), is_free);
  dataplane.main_core = free != cpus.end() ? *free : cores.front();
}

}  // namespace

Host Host::here(bool testing) {
  Host host;
  host.testing = testing;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return host;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) host.cpus.push_back(cpu);
  }
  return host;
}

void resolve(Config& config, const Host& host) {
  if (config.packet_caches.empty()) config.packet_caches.emplace_back().name = kDefaultName;
  if (config.pools.empty()) config.pools.emplace_back().name = kDefaultName;
  if (config.dataplane.shards == kAutoShards) config.dataplane.shards = shards_for(config);
  resolve_cores(config.dataplane, host);
}

}  // namespace millrace::ctl
