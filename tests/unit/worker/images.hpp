// SPDX-License-Identifier: Apache-2.0
#pragma once
// Small configs and routes for tests: two binds (IPv4, IPv6), as many backends as wanted, one pool.

#include "dataplane/abi/routes_image.hpp"
#include "tests/support/packet_builder.hpp"

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace millrace::test {

inline constexpr uint64_t kMs = 1'000'000;  // in ns

inline constexpr const char* kServiceV4 = "198.18.0.53";
inline constexpr const char* kServiceV6 = "fd00:18::53";
inline constexpr const char* kSourceV4 = "198.18.1.2";

inline abi::Address backend_address(uint32_t number) {
  return address_of("198.18.1." + std::to_string(10 + number), 53);
}

inline void add_backend(abi::ServiceSection& service, uint32_t number) {
  abi::BackendConfig& backend = service.backend[service.backends++];
  std::snprintf(backend.name, sizeof backend.name, "backend%u", number);
  backend.address = backend_address(number);
  backend.weight = 1;
}

// Backends 0..backends-1 in the pool "pool0" behind both binds.
inline std::unique_ptr<abi::ConfigImage> make_config(uint32_t backends, uint64_t generation = 1) {
  auto image = std::make_unique<abi::ConfigImage>();
  image->header.generation = generation;
  abi::ServiceSection& service = image->service;
  for (uint32_t b = 0; b < backends; ++b)
    add_backend(service, b);
  service.pools = 1;
  std::snprintf(service.pool[0].name, sizeof service.pool[0].name, "pool0");
  service.pool[0].backends = (1u << backends) - 1;
  service.binds = 2;
  service.bind[0].address = address_of(kServiceV4, 53);
  service.bind[1].address = address_of(kServiceV6, 53);
  service.packet_caches = 1;
  std::snprintf(service.packet_cache[0].name, sizeof service.packet_cache[0].name, "cache0");
  service.packet_cache[0].ttl_s_max = 86400;
  service.packet_cache[0].negative_ttl_s_max = 3600;
  service.packet_cache[0].failure_ttl_s = 5;
  service.packet_cache[0].failure_ttl_s_max = 300;
  service.packet_cache[0].entry_bytes_max = 4096;
  service.edns_udp_bytes = service.upstream_edns_udp_bytes = 1232;
  service.upstream_port_first = 20000;
  service.upstream_port_end = 21000;
  service.upstream_try_ms = 400;
  service.upstream_give_up_ms = 2000;
  service.upstream_tries_max = 3;
  service.probe_interval_ms = 1000;
  service.tcp = {1000, 100, 100, 10'000};
  service.prefetch = {10, 10, 1000};
  service.stale = {0, 1800, 30, 30};
  service.limits = {0, 0, 0, 2, 24, 56};
  service.down_after = 2;
  return image;
}

// "198.18.0.0/16"
inline abi::PrefixConfig prefix_of(const std::string& text) {
  const std::size_t slash = text.find('/');
  const abi::Address address = address_of(text.substr(0, slash));
  abi::PrefixConfig prefix{};
  std::memcpy(prefix.bytes, address.bytes, sizeof prefix.bytes);
  prefix.family = address.family;
  prefix.bits = static_cast<uint8_t>(std::stoul(text.substr(slash + 1)));
  return prefix;
}

// A rule behind those that are there; at all binds, and for those allowed the bind's pool, if no
// other is said.
inline void add_rule(abi::ServiceSection& service, abi::RuleAction action,
                     const std::vector<std::string>& sources, uint8_t pool = abi::kPoolOfBind,
                     uint32_t binds = UINT32_MAX) {
  service.rule[service.rules++] = {binds, static_cast<uint16_t>(sources.size()), action, pool};
  for (const std::string& source : sources)
    service.prefix[service.prefixes++] = prefix_of(source);
}

inline void add_zone(abi::ServiceSection& service, const std::string& name, abi::LocalKind kind) {
  const Bytes wire = Name(name).bytes();
  service.local_zone[service.local_zones++] = {static_cast<uint8_t>(wire.size()), kind};
  std::memcpy(service.local_name + service.local_name_bytes, wire.data(), wire.size());
  service.local_name_bytes += static_cast<uint32_t>(wire.size());
}

// Routes to every backend of `config`.
inline std::unique_ptr<abi::RoutesImage> make_routes(const abi::ConfigImage& config,
                                                     uint64_t generation = 1) {
  auto image = std::make_unique<abi::RoutesImage>();
  image->header.generation = generation;
  image->config_generation = config.header.generation;
  image->backends = config.service.backends;
  for (uint32_t i = 0; i < image->backends; ++i) {
    abi::NextHop& hop = image->hop[i];
    hop.source = address_of(kSourceV4);
    hop.usable = 1;
    hop.mtu = 1500;
    hop.target_mac[0] = 0x02;
    hop.target_mac[5] = static_cast<uint8_t>(i);
  }
  return image;
}

}  // namespace millrace::test
