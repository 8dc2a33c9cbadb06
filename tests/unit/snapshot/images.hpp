// SPDX-License-Identifier: Apache-2.0
#pragma once
// Images that verification accepts, for tests to break.

#include "dataplane/snapshot/config_attach.hpp"
#include "tests/support/packet_builder.hpp"

#include <cstdint>
#include <cstring>
#include <memory>

namespace millrace::test {

template <class Image>
void seal_checksum(Image& image) {
  image.header.checksum = snapshot::image_checksum(&image, sizeof image);
}

inline void fill_header(abi::ImageHeader& header, uint64_t magic, uint32_t bytes,
                        uint64_t generation) {
  header.magic = magic;
  header.abi_version = abi::kAbiVersion;
  header.bytes = bytes;
  header.generation = generation;
}

inline void fill_boot(abi::BootSection& boot) {
  boot.workers = 2;
  boot.ports = 2;
  boot.shards = 4;
  boot.frames_per_worker = 4096;
  boot.cache_bytes = 4 * 2 * snapshot::kShardUnitBytes;
  boot.flows_per_worker = 65'536;
  boot.hugepages = 1;
  boot.cores[1] = 1;
  boot.cores[2] = 2;
  std::strcpy(boot.hugepage_dir, "/dev/hugepages/millrace");
  std::strcpy(boot.port[0].name, "clients");
  std::strcpy(boot.port[0].interface, "va");
  std::strcpy(boot.port[1].name, "upstream");
  std::strcpy(boot.port[1].device, "net_tap0,iface=tap0");
}

inline void fill_service(abi::ServiceSection& service) {
  service.binds = 2;
  service.backends = 2;
  service.pools = 2;
  service.packet_caches = 1;
  service.edns_udp_bytes = 1232;
  service.upstream_edns_udp_bytes = 1232;
  service.upstream_port_first = 20'000;
  service.upstream_port_end = 60'000;
  service.upstream_try_ms = 800;
  service.upstream_give_up_ms = 4000;
  service.upstream_tries_max = 4;
  service.probe_interval_ms = 1000;
  service.tcp = {1000, 100, 100, 10'000};
  service.prefetch = {10, 10, 1000};
  service.stale = {0, 1800, 30, 30};
  service.limits = {0, 0, 0, 2, 24, 56};
  service.down_after = 5;
  service.log_level = 2;
  service.bind[0] = {address_of("198.18.0.53", 53), 0};
  service.bind[1] = {address_of("fd00:18::53", 53), 1};
  std::strcpy(service.backend[0].name, "one");
  service.backend[0].address = address_of("198.18.1.1", 53);
  std::strcpy(service.backend[1].name, "two");
  service.backend[0].weight = service.backend[1].weight = 1;
  service.backend[1].address = address_of("fd00:18:1::1", 5300);
  std::strcpy(service.pool[0].name, "default");
  service.pool[0].backends = 0b11;
  std::strcpy(service.pool[1].name, "six");
  service.pool[1].backends = 0b10;
  std::strcpy(service.packet_cache[0].name, "main");
  service.rules = 2;
  service.prefixes = 3;
  service.rule[0] = {0b11, 2, abi::RuleAction::allow, 1};
  service.rule[1] = {0b10, 1, abi::RuleAction::drop, abi::kPoolOfBind};
  service.prefix[0] = {{198, 18}, 4, 16, {}};
  service.prefix[1] = {{0xfd, 0, 0, 0x18}, 6, 32, {}};
  service.prefix[2] = {{}, 6, 0, {}};
  service.forwards = 2;
  service.forward[0] = {0b11, 1, 6};
  service.forward[1] = {0b01, 1, 1};
  service.forward_bytes = 7;
  std::memcpy(service.forward_name, "\4corp\0", 7);
  service.local_zones = 2;
  service.local_zone[0] = {6, abi::LocalKind::nxdomain};
  service.local_zone[1] = {11, abi::LocalKind::empty};
  constexpr char kNames[] = "\4test\0\4home\4arpa";
  service.local_name_bytes = sizeof kNames;
  std::memcpy(service.local_name, kNames, sizeof kNames);
  service.packet_cache[0] = {{'m', 'a', 'i', 'n'}, 86'400, 0, 1, 3600, 20, 300, 4096,
                             abi::UnrelatedRecords::relay};
}

inline std::unique_ptr<abi::ConfigImage> good_config(uint64_t generation = 1) {
  auto image = std::make_unique<abi::ConfigImage>();
  fill_header(image->header, abi::kConfigMagic, sizeof *image, generation);
  fill_boot(image->boot);
  fill_service(image->service);
  seal_checksum(*image);
  return image;
}

inline std::unique_ptr<abi::RoutesImage> good_routes(const abi::ConfigImage& config) {
  auto image = std::make_unique<abi::RoutesImage>();
  fill_header(image->header, abi::kRoutesMagic, sizeof *image, 1);
  image->config_generation = config.header.generation;
  image->backends = config.service.backends;
  image->hop[0] = {
      address_of("198.18.1.2"), {2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, 1, 0, 0, 1500, 0};
  image->hop[1] = {
      address_of("fd00:18:1::2"), {2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 3}, 1, 1, 0, 1500, 0};
  seal_checksum(*image);
  return image;
}

}  // namespace millrace::test
