// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a worker runs under: one config snapshot and one routes snapshot, digested.
//
// Snapshots are published by pointer; a worker looks once per burst and, when one changed, copies
// what it needs into its own Settings here, so that no later line of the burst touches shared
// memory or does arithmetic on units. After that the worker holds no reference to the snapshot.
//
// Backends are known by (name, address) across generations: next hops and health move along when a
// config changes order, and a next hop stays usable until fresh routes for the new config arrive.
//
// Threads: private to its worker. Cost: a few KiB of copying per change.

#include <array>
#include <cstdint>

#include "dataplane/abi/config_image.hpp"
#include "dataplane/abi/routes_image.hpp"
#include "dataplane/wire/packet.hpp"
#include "dataplane/wire/reply.hpp"

namespace millrace::dp {

// Where the things of one generation went in the next. kGone: not there any more.
struct Remap {
  static constexpr uint8_t kGone = 0xff;
  std::array<uint8_t, abi::kBackendsMax> backend;
  std::array<uint8_t, abi::kPoolsMax> pool;
};

class Settings {
 public:
  uint64_t generation() const noexcept { return generation_; }
  uint64_t routes_generation() const noexcept { return routes_generation_; }
  // The routes of the running config have not come yet.
  bool awaits_routes() const noexcept { return routes_config_ != generation_; }

  // Takes a verified config over. The result says how to translate what was kept by index.
  Remap apply(const abi::ConfigImage& image) noexcept;
  // Takes verified routes over; false, and nothing changes, if they were made for another config.
  bool apply(const abi::RoutesImage& image) noexcept;

  const abi::ServiceSection& service() const noexcept { return service_; }
  const wire::Endpoints& endpoints() const noexcept { return endpoints_; }
  const abi::NextHop& hop(uint32_t backend) const noexcept { return hop_[backend]; }
  // Index of the service at that address and port; abi::kBindsMax: none.
  uint32_t service_at(const abi::Address& address) const noexcept;
  // Whether a usable backend is reached through this port of ours: nowhere else can an answer come.
  bool leads_upstream(uint8_t port) const noexcept {
    return port < abi::kPortsMax && (upstream_ports_ >> port & 1) != 0;
  }
  const abi::PacketCacheConfig& cache_of_pool(uint32_t pool) const noexcept {
    return service_.packet_cache[service_.pool[pool].packet_cache];
  }
  // False, too, for a pool that is none any more.
  bool by_subnet(uint32_t pool) const noexcept {
    return pool < abi::kPoolsMax && service_.pool[pool].subnet_variants != 0;
  }
  uint8_t cache_idx_of_pool(uint32_t pool) const noexcept {
    return static_cast<uint8_t>(service_.pool[pool].packet_cache);
  }

 private:
  void derive_endpoints() noexcept;

  uint64_t generation_ = 0;
  uint64_t routes_generation_ = 0;
  uint64_t routes_config_ = 0;  // the config that they were made for
  abi::ServiceSection service_{};
  wire::Endpoints endpoints_{};
  std::array<abi::NextHop, abi::kBackendsMax> hop_{};
  uint32_t upstream_ports_ = 0;  // bit p: port p
};

}  // namespace millrace::dp
