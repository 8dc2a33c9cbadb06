// SPDX-License-Identifier: Apache-2.0
#pragma once
// The door that every image passes before a worker may see it.
//
// An image comes from another process. Nothing in it is believed: magic, ABI version, size and
// checksum first, then every count against its maximum, every index against its count and every
// value against its range. A worker relies on that and checks nothing again, so a rule that is
// missing here is a bug of the data plane.
//
// Threads: the main lcore, or any tool; no state. Cost: microseconds, at a swap.
// Failure: the functions return a sentence for a person: the field, its value, what is allowed.
// Empty means that the image is good. Nothing is changed either way. The caller guarantees that the
// bytes do not change afterwards: it maps sealed descriptors only (snapshot/sealed_image.hpp).

#include "dataplane/abi/config_image.hpp"
#include "dataplane/abi/routes_image.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace millrace::snapshot {

// Ranges that are not written in the ABI itself.
inline constexpr uint64_t kShardUnitBytes = 2ULL << 20;  // cache_bytes: a multiple of shards * this
inline constexpr uint32_t kFramesPerWorkerMin = 1024;  // rx and tx rings of one queue, and a burst
inline constexpr uint32_t kFramesPerWorkerMax = 1u << 20;
inline constexpr int32_t kCoreMax = 1023;          // highest CPU number
inline constexpr uint32_t kTtlSMax = 7 * 86400;    // RFC 8767, section 4: a week
inline constexpr uint32_t kFailureTtlSMax = 300;   // RFC 2308, section 7.1: five minutes
inline constexpr uint32_t kEntryBytesMin = 512;    // an answer of the classic size fits
inline constexpr uint32_t kEntryBytesMax = 65536;  // a DNS message has no more
inline constexpr uint16_t kEdnsBytesMin = 512;     // RFC 6891, section 6.2.3
inline constexpr uint16_t kEdnsBytesMax = 4096;
inline constexpr uint16_t kUpstreamPortMin = 1024;  // below: other people's services
inline constexpr uint32_t kUpstreamPortsMin = 16;   // per worker; fewer are easily guessed
inline constexpr uint32_t kTimeoutMsMax = 60'000;
inline constexpr uint32_t kDownAfterMax = 1000;
inline constexpr uint32_t kWeightMax = 1000;
inline constexpr uint32_t kLogLevelMax = 6;  // trace .. off
inline constexpr uint32_t kMtuMinV4 = 576;   // RFC 1122, section 3.3.3
inline constexpr uint32_t kMtuMinV6 = 1280;  // RFC 8200, section 5
inline constexpr uint32_t kMtuMax = 65535;

// XXH3-64 of the image with the checksum field taken as zero. `len` >= sizeof(abi::ImageHeader).
uint64_t image_checksum(const void* bytes, std::size_t len) noexcept;

// XXH3-64 of what only a restart can change: the boot section, and which packet cache has which
// number, because the numbers are part of every stored key.
uint64_t boot_checksum(const abi::ConfigImage& image) noexcept;

// `bytes` must be aligned to 8. Empty: a worker may run under this image.
std::string verify_config(const void* bytes, std::size_t len);

// The same for routes, which must belong to `config` (itself verified).
std::string verify_routes(const void* bytes, std::size_t len, const abi::ConfigImage& config);

}  // namespace millrace::snapshot
