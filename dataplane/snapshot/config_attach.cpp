// SPDX-License-Identifier: Apache-2.0
#include "dataplane/snapshot/config_attach.hpp"

#include "dataplane/base/check.hpp"
#include "dataplane/snapshot/image_verdict.hpp"

#include <cinttypes>
#include <cstdio>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace millrace::snapshot {
namespace {

using abi::Address;
using std::to_string;

constexpr std::size_t kChecksumAt = offsetof(abi::ImageHeader, checksum);

void check_envelope(Verdict& verdict, const void* bytes, std::size_t len, std::size_t expected,
                    uint64_t magic) {
  if (len != expected) {
    return verdict.reject("the image has " + to_string(len) + " bytes; this version takes " +
                          to_string(expected));
  }
  if (reinterpret_cast<uintptr_t>(bytes) % alignof(abi::ImageHeader) != 0) {
    return verdict.reject("the image is not aligned to 8 bytes");
  }
  const auto& header = *static_cast<const abi::ImageHeader*>(bytes);
  if (header.magic != magic) {
    return verdict.reject("header.magic is not that of this kind of image");
  }
  if (header.abi_version != abi::kAbiVersion) {
    return verdict.reject("header.abi_version is " + to_string(header.abi_version) +
                          "; this data plane speaks " + to_string(abi::kAbiVersion) +
                          ": install programs of one release");
  }
  if (header.bytes != len) {
    return verdict.reject("header.bytes is " + to_string(header.bytes) + ", but the image has " +
                          to_string(len));
  }
  if (const uint64_t actual = image_checksum(bytes, len); header.checksum != actual) {
    char text[96];
    std::snprintf(text, sizeof text,
                  "header.checksum is %016" PRIx64 ", but the bytes give %016" PRIx64,
                  header.checksum, actual);
    return verdict.reject(text);
  }
  if (header.generation == 0) verdict.reject("header.generation is 0; the first one is 1");
  verdict.zero("header.reserved", header.reserved);
}

void check_port(Verdict& verdict, const std::string& field, const abi::PortConfig& port) {
  check_text(verdict, field + ".name", port.name, false);
  check_text(verdict, field + ".interface", port.interface, true);
  check_text(verdict, field + ".device", port.device, true);
  if ((port.interface[0] == '\0') == (port.device[0] == '\0')) {
    verdict.reject(field + " must have either an interface or a device");
  }
}

void check_memory(Verdict& verdict, const abi::BootSection& boot) {
  const bool power_of_two = boot.shards != 0 && (boot.shards & (boot.shards - 1)) == 0;
  if (!power_of_two || boot.shards < boot.workers || boot.shards > abi::kShardsMax) {
    return verdict.reject("boot.shards is " + to_string(boot.shards) +
                          "; allowed: a power of two from the number of workers (" +
                          to_string(boot.workers) + ") to " + to_string(abi::kShardsMax));
  }
  const uint64_t unit = boot.shards * kShardUnitBytes;
  if (boot.cache_bytes == 0 || boot.cache_bytes % unit != 0) {
    verdict.reject("boot.cache_bytes is " + to_string(boot.cache_bytes) +
                   "; allowed: a multiple of shards * 2 MiB (" + to_string(unit) + ") above 0");
  }
  verdict.in_range("boot.frames_per_worker", boot.frames_per_worker, kFramesPerWorkerMin,
                   kFramesPerWorkerMax);
  verdict.flag("boot.hugepages", boot.hugepages);
  check_text(verdict, "boot.hugepage_dir", boot.hugepage_dir, boot.hugepages == 0);
  if (boot.hugepages == 1 && boot.hugepage_dir[0] != '/') {
    verdict.reject("boot.hugepage_dir is not an absolute path");
  }
}

void check_boot(Verdict& verdict, const abi::BootSection& boot) {
  verdict.in_range("boot.workers", boot.workers, 1, abi::kWorkersMax);
  verdict.in_range("boot.ports", boot.ports, 1, abi::kPortsMax);
  if (!verdict.good()) return;
  check_memory(verdict, boot);
  for (uint32_t i = 0; i <= boot.workers; ++i) {
    if (boot.cores[i] < 0 || boot.cores[i] > kCoreMax) {
      verdict.reject(row("boot.cores", i) + " is " + to_string(boot.cores[i]) + "; allowed 0.." +
                     to_string(kCoreMax));
    }
  }
  for (uint32_t i = 0; i < boot.ports; ++i)
    check_port(verdict, row("boot.port", i), boot.port[i]);
  check_unused(verdict, "boot.port", boot.port, boot.ports);
  verdict.in_range("boot.clock", static_cast<uint8_t>(boot.clock), 0,
                   static_cast<uint8_t>(abi::ClockMode::manual));
  verdict.zero("boot.reserved", boot.reserved);
  verdict.in_range("boot.flows_per_worker", boot.flows_per_worker, abi::kFlowsMin, abi::kFlowsMax);
}

void check_hop(Verdict& verdict, const std::string& field, const abi::NextHop& hop,
               const Address& backend) {
  verdict.flag(field + ".usable", hop.usable);
  verdict.zero(field + ".reserved2", hop.reserved2);
  if (hop.usable == 0) return;
  check_address(verdict, field + ".source", hop.source);
  check_specified(verdict, field + ".source", hop.source);
  if (hop.source.family != backend.family) {
    verdict.reject(field + ".source.family is " + to_string(hop.source.family) +
                   ", but the backend is IPv" + to_string(backend.family));
  }
  if (hop.source.port_be != 0) verdict.reject(field + ".source.port_be is not zero");
  if (all_zero(hop.target_mac, hop.target_mac + 6)) {
    verdict.reject(field + ".target_mac is zero in a usable hop");
  }
  verdict.in_range(field + ".mtu", hop.mtu, backend.family == 6 ? kMtuMinV6 : kMtuMinV4, kMtuMax);
}

}  // namespace

uint64_t image_checksum(const void* bytes, std::size_t len) noexcept {
  MR_CHECK(len >= sizeof(abi::ImageHeader));
  static constexpr uint8_t kNoChecksum[sizeof(abi::ImageHeader::checksum)] = {};
  constexpr std::size_t kAfter = kChecksumAt + sizeof kNoChecksum;
  const auto* first = static_cast<const uint8_t*>(bytes);
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, first, kChecksumAt);
  XXH3_64bits_update(&state, kNoChecksum, sizeof kNoChecksum);
  XXH3_64bits_update(&state, first + kAfter, len - kAfter);
  return XXH3_64bits_digest(&state);
}

uint64_t boot_checksum(const abi::ConfigImage& image) noexcept {
  uint64_t sum = XXH3_64bits(&image.boot, sizeof image.boot);
  for (const abi::PacketCacheConfig& cache : image.service.packet_cache) {
    sum = XXH3_64bits_withSeed(cache.name, sizeof cache.name, sum);
  }
  return sum;
}

std::string verify_config(const void* bytes, std::size_t len) {
  Verdict verdict;
  check_envelope(verdict, bytes, len, sizeof(abi::ConfigImage), abi::kConfigMagic);
  if (!verdict.good()) return verdict.take();
  const auto& image = *static_cast<const abi::ConfigImage*>(bytes);
  check_boot(verdict, image.boot);
  if (verdict.good()) check_service(verdict, image.service, image.boot.workers);
  return verdict.take();
}

std::string verify_routes(const void* bytes, std::size_t len, const abi::ConfigImage& config) {
  Verdict verdict;
  check_envelope(verdict, bytes, len, sizeof(abi::RoutesImage), abi::kRoutesMagic);
  if (!verdict.good()) return verdict.take();
  const auto& image = *static_cast<const abi::RoutesImage*>(bytes);
  if (image.config_generation != config.header.generation) {
    return "config_generation is " + to_string(image.config_generation) +
           ", but the config that runs has generation " + to_string(config.header.generation);
  }
  if (image.backends != config.service.backends) {
    return "backends is " + to_string(image.backends) + ", but the config has " +
           to_string(config.service.backends);
  }
  verdict.zero("reserved", image.reserved);
  for (uint32_t i = 0; i < image.backends; ++i) {
    const std::string field = row("hop", i);
    verdict.index(field + ".port", image.hop[i].port, config.boot.ports, "ports");
    check_hop(verdict, field, image.hop[i], config.service.backend[i].address);
  }
  check_unused(verdict, "hop", image.hop, image.backends);
  return verdict.take();
}

}  // namespace millrace::snapshot
