// SPDX-License-Identifier: Apache-2.0
#include "dataplane/snapshot/config_attach.hpp"

#define XXH_INLINE_ALL
#include "dataplane/base/check.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <utility>

#include <xxhash.h>

namespace millrace::snapshot {
namespace {

using abi::Address;
using std::to_string;

constexpr std::size_t kChecksumAt = offsetof(abi::ImageHeader, checksum);

template <class Bytes>
bool is_zero(const Bytes& bytes) {
  const auto* first = reinterpret_cast<const uint8_t*>(&bytes);
  return std::all_of(first, first + sizeof bytes, [](uint8_t b) { return b == 0; });
}

// Collects the first rule that is broken; later ones are not looked at.
class Verdict {
 public:
  bool good() const { return reason_.empty(); }
  std::string take() { return std::move(reason_); }

  void reject(std::string reason) {
    if (good()) reason_ = std::move(reason);
  }
  void in_range(const std::string& field, uint64_t value, uint64_t lowest, uint64_t highest) {
    if (value >= lowest && value <= highest) return;
    reject(field + " is " + to_string(value) + "; allowed " + to_string(lowest) + ".." +
           to_string(highest));
  }
  void index(const std::string& field, uint64_t value, uint64_t cnt, const char* of_what) {
    if (value < cnt) return;
    reject(field + " is " + to_string(value) + ", but there are " + to_string(cnt) + " " + of_what);
  }
  void flag(const std::string& field, uint8_t value) { in_range(field, value, 0, 1); }

  template <class Bytes>
  void zero(const std::string& field, const Bytes& bytes) {
    if (!is_zero(bytes)) reject(field + " is not zero; this version has no meaning for it");
  }

 private:
  std::string reason_;
};

std::string row(const char* table, uint32_t idx) {
  return std::string(table) + "[" + to_string(idx) + "]";
}

// Printable and closed by a NUL, after which nothing but NULs.
template <std::size_t kBytes>
void check_text(Verdict& verdict, const std::string& field, const char (&text)[kBytes],
                bool may_be_empty) {
  const char* end = std::find(text, text + kBytes, '\0');
  if (end == text + kBytes) {
    verdict.reject(field + " is not closed by a NUL within " + to_string(kBytes) + " bytes");
  } else if (end == text && !may_be_empty) {
    verdict.reject(field + " is empty");
  } else if (std::any_of(text, end, [](char c) { return c < 0x20 || c > 0x7e; })) {
    verdict.reject(field + " holds a byte that cannot be printed");
  } else if (std::any_of(end, text + kBytes, [](char c) { return c != '\0'; })) {
    verdict.reject(field + " holds bytes after its closing NUL");
  }
}

bool all_zero(const uint8_t* first, const uint8_t* end) {
  return std::all_of(first, end, [](uint8_t b) { return b == 0; });
}

void check_address(Verdict& verdict, const std::string& field, const Address& address) {
  if (address.family != 4 && address.family != 6) {
    verdict.reject(field + ".family is " + to_string(address.family) + "; allowed 4 or 6");
  }
  if (address.family == 4 && !all_zero(address.bytes + 4, address.bytes + 16)) {
    verdict.reject(field + " is IPv4 with bytes behind the fourth that are not zero");
  }
  verdict.zero(field + ".reserved", address.reserved);
}

void check_endpoint(Verdict& verdict, const std::string& field, const Address& address) {
  check_address(verdict, field, address);
  if (address.port_be == 0) verdict.reject(field + " has port 0; allowed 1..65535");
}

void check_specified(Verdict& verdict, const std::string& field, const Address& address) {
  if (all_zero(address.bytes, address.bytes + 16)) {
    verdict.reject(field + " is the unspecified address");
  }
}

template <class Row, std::size_t kRows>
void check_unused(Verdict& verdict, const char* table, const Row (&rows)[kRows], uint32_t used) {
  // Some tables have thousands of rows, octets: names are made for what is wrong only.
  for (uint32_t i = used; i < kRows; ++i) {
    if (!is_zero(rows[i])) verdict.zero(row(table, i) + " (unused)", rows[i]);
  }
}

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

void check_binds(Verdict& verdict, const abi::ServiceSection& service) {
  for (uint32_t i = 0; i < service.binds; ++i) {
    const abi::BindConfig& bind = service.bind[i];
    const std::string field = row("service.bind", i);
    check_endpoint(verdict, field + ".address", bind.address);
    verdict.index(field + ".pool", bind.pool, service.pools, "pools");
    const uint16_t port = __builtin_bswap16(bind.address.port_be);
    if (port >= service.upstream_port_first && port < service.upstream_port_end) {
      verdict.reject(field + " uses port " + to_string(port) + ", which is in the upstream range " +
                     to_string(service.upstream_port_first) + ".." +
                     to_string(service.upstream_port_end - 1));
    }
    for (uint32_t k = 0; k < i; ++k) {
      if (std::memcmp(&bind.address, &service.bind[k].address, sizeof bind.address) == 0) {
        verdict.reject(field + " has the address and port of " + row("service.bind", k));
      }
    }
  }
  check_unused(verdict, "service.bind", service.bind, service.binds);
}

void check_backends(Verdict& verdict, const abi::ServiceSection& service) {
  for (uint32_t i = 0; i < service.backends; ++i) {
    const std::string field = row("service.backend", i);
    check_text(verdict, field + ".name", service.backend[i].name, false);
    check_endpoint(verdict, field + ".address", service.backend[i].address);
    check_specified(verdict, field + ".address", service.backend[i].address);
    verdict.in_range(field + ".weight", service.backend[i].weight, 1, kWeightMax);
    verdict.flag(field + ".trust_ad", service.backend[i].trust_ad);
  }
  check_unused(verdict, "service.backend", service.backend, service.backends);
}

void check_pools(Verdict& verdict, const abi::ServiceSection& service) {
  const uint64_t known = (uint64_t{1} << service.backends) - 1;  // backends <= 32
  for (uint32_t i = 0; i < service.pools; ++i) {
    const abi::PoolConfig& pool = service.pool[i];
    const std::string field = row("service.pool", i);
    check_text(verdict, field + ".name", pool.name, false);
    verdict.index(field + ".packet_cache", pool.packet_cache, service.packet_caches,
                  "packet caches");
    verdict.in_range(field + ".policy", static_cast<uint8_t>(pool.policy), 0,
                     static_cast<uint8_t>(abi::PoolPolicy::consistent_hash));
    verdict.in_range(field + ".subnet_bits4", pool.subnet_bits4, 0, abi::kSubnetBits4Max);
    verdict.in_range(field + ".subnet_bits6", pool.subnet_bits6, 0, abi::kSubnetBits6Max);
    if ((pool.backends & ~known) != 0) {
      verdict.reject(field + ".backends names backend " +
                     to_string(__builtin_ctzll(pool.backends & ~known)) + ", but there are " +
                     to_string(service.backends) + " backends");
    }
  }
  check_unused(verdict, "service.pool", service.pool, service.pools);
}

void check_packet_caches(Verdict& verdict, const abi::ServiceSection& service) {
  for (uint32_t i = 0; i < service.packet_caches; ++i) {
    const abi::PacketCacheConfig& cache = service.packet_cache[i];
    const std::string field = row("service.packet_cache", i);
    check_text(verdict, field + ".name", cache.name, false);
    verdict.in_range(field + ".ttl_s_max", cache.ttl_s_max, 1, kTtlSMax);
    verdict.in_range(field + ".ttl_s_min", cache.ttl_s_min, 0, cache.ttl_s_max);
    verdict.in_range(field + ".ttl_s_min_cacheable", cache.ttl_s_min_cacheable, 0, cache.ttl_s_max);
    verdict.in_range(field + ".negative_ttl_s_max", cache.negative_ttl_s_max, 0, kTtlSMax);
    verdict.in_range(field + ".failure_ttl_s", cache.failure_ttl_s, 1, kFailureTtlSMax);
    verdict.in_range(field + ".failure_ttl_s_max", cache.failure_ttl_s_max, cache.failure_ttl_s,
                     kFailureTtlSMax);
    verdict.in_range(field + ".entry_bytes_max", cache.entry_bytes_max, kEntryBytesMin,
                     kEntryBytesMax);
    verdict.in_range(field + ".unrelated", static_cast<uint32_t>(cache.unrelated), 0,
                     static_cast<uint32_t>(abi::UnrelatedRecords::refuse));
  }
  check_unused(verdict, "service.packet_cache", service.packet_cache, service.packet_caches);
}

void check_prefix(Verdict& verdict, const std::string& field, const abi::PrefixConfig& prefix) {
  if (prefix.family != 4 && prefix.family != 6) {
    return verdict.reject(field + ".family is " + to_string(prefix.family) + "; allowed 4 or 6");
  }
  verdict.in_range(field + ".bits", prefix.bits, 0, prefix.family == 4 ? 32 : 128);
  verdict.zero(field + ".reserved", prefix.reserved);
  for (uint32_t bit = prefix.bits; bit < 128 && verdict.good(); ++bit) {
    if ((prefix.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) {
      verdict.reject(field + " has bits behind the first " + to_string(prefix.bits));
    }
  }
}

void check_rules(Verdict& verdict, const abi::ServiceSection& service) {
  const uint64_t known = (uint64_t{1} << service.binds) - 1;  // binds <= 32
  uint32_t prefixes = 0;
  for (uint32_t i = 0; i < service.rules; ++i) {
    const abi::RuleConfig& rule = service.rule[i];
    const std::string field = row("service.rule", i);
    if ((rule.binds & ~known) != 0) {
      verdict.reject(field + ".binds names bind " +
                     to_string(__builtin_ctzll(rule.binds & ~known)) + ", but there are " +
                     to_string(service.binds) + " binds");
    }
    verdict.in_range(field + ".action", static_cast<uint8_t>(rule.action), 0,
                     static_cast<uint8_t>(abi::RuleAction::drop));
    if (rule.pool != abi::kPoolOfBind) {
      verdict.index(field + ".pool", rule.pool, service.pools, "pools");
      if (rule.action != abi::RuleAction::allow) {
        verdict.reject(field + ".pool is " + to_string(rule.pool) + ", but nothing is allowed");
      }
    }
    prefixes += rule.prefixes;
  }
  if (prefixes != service.prefixes) {
    verdict.reject("service.prefixes is " + to_string(service.prefixes) + ", but the rules have " +
                   to_string(prefixes));
  }
  check_unused(verdict, "service.rule", service.rule, service.rules);
  for (uint32_t i = 0; i < service.prefixes; ++i)
    check_prefix(verdict, row("service.prefix", i), service.prefix[i]);
  check_unused(verdict, "service.prefix", service.prefix, service.prefixes);
}

// Labels up to the root, which is the last octet, in lower case.
bool is_folded_name(const uint8_t* name, uint32_t bytes) {
  uint32_t at = 0;
  while (at < bytes && name[at] != 0 && name[at] <= 63) at += 1u + name[at];
  return at + 1 == bytes && name[at] == 0 &&
         std::none_of(name, name + bytes, [](uint8_t b) { return b >= 'A' && b <= 'Z'; });
}

void check_forwards(Verdict& verdict, const abi::ServiceSection& service) {
  const uint32_t known = (uint32_t{1} << service.pools) - 1;  // pools <= 16
  uint32_t at = 0;
  for (uint32_t i = 0; i < service.forwards; ++i) {
    const abi::ForwardConfig& forward = service.forward[i];
    const std::string field = row("service.forward", i);
    verdict.index(field + ".pool", forward.pool, service.pools, "pools");
    if ((forward.pools & ~known) != 0) {
      verdict.reject(field + ".pools names pool " +
                     to_string(__builtin_ctz(forward.pools & ~known)) + ", but there are " +
                     to_string(service.pools) + " pools");
    }
    if (at + forward.bytes > service.forward_bytes ||
        !is_folded_name(service.forward_name + at, forward.bytes)) {
      return verdict.reject(field + " has no name in wire form and lower case");
    }
    at += forward.bytes;
  }
  if (at != service.forward_bytes) {
    verdict.reject("service.forward_bytes is " + to_string(service.forward_bytes) +
                   ", but the names have " + to_string(at));
  }
  check_unused(verdict, "service.forward", service.forward, service.forwards);
  check_unused(verdict, "service.forward_name", service.forward_name, service.forward_bytes);
}

// A name in wire form and lower case, other than the root, that ends with its last octet.
bool is_zone_name(const uint8_t* name, uint32_t bytes) {
  uint32_t at = 0;
  while (at < bytes && name[at] != 0) {
    const uint32_t label = name[at];
    if (label > 63 || at + 1 + label >= bytes) return false;
    const auto* first = name + at + 1;
    if (std::any_of(first, first + label, [](uint8_t c) { return c >= 'A' && c <= 'Z'; })) {
      return false;
    }
    at += 1 + label;
  }
  return bytes > 1 && at == bytes - 1;
}

void check_local_zones(Verdict& verdict, const abi::ServiceSection& service) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < service.local_zones && verdict.good(); ++i) {
    const abi::LocalZoneConfig& zone = service.local_zone[i];
    const std::string field = row("service.local_zone", i);
    verdict.in_range(field + ".kind", static_cast<uint8_t>(zone.kind), 0,
                     static_cast<uint8_t>(abi::LocalKind::elsewhere));
    if (at + zone.name_bytes > service.local_name_bytes ||
        !is_zone_name(service.local_name + at, zone.name_bytes)) {
      verdict.reject(field + " has no name in lower case and wire form");
    }
    at += zone.name_bytes;
  }
  if (!verdict.good()) return;
  if (at != service.local_name_bytes) {
    verdict.reject("service.local_name_bytes is " + to_string(service.local_name_bytes) +
                   ", but the zones have " + to_string(at));
  }
  check_unused(verdict, "service.local_zone", service.local_zone, service.local_zones);
  check_unused(verdict, "service.local_name", service.local_name, service.local_name_bytes);
}

void check_local(Verdict& verdict, const abi::LocalConfig& local) {
  check_text(verdict, "service.local.version", local.version, true);
  check_text(verdict, "service.local.identity", local.identity, true);
  check_text(verdict, "service.local.nsid", local.nsid, true);
  verdict.flag("service.local.cookies", local.cookies);
  verdict.flag("service.local.any_over_udp", local.any_over_udp);
  verdict.in_range("service.local.cookie_secrets", local.cookie_secrets, 0,
                   abi::kCookieSecretsMax);
  verdict.zero("service.local.reserved", local.reserved);
  if (!verdict.good()) return;
  check_unused(verdict, "service.local.cookie_secret", local.cookie_secret, local.cookie_secrets);
}

void check_upstream(Verdict& verdict, const abi::ServiceSection& service, uint32_t workers) {
  verdict.in_range("service.upstream_edns_udp_bytes", service.upstream_edns_udp_bytes,
                   kEdnsBytesMin, kEdnsBytesMax);
  verdict.in_range("service.upstream_port_first", service.upstream_port_first, kUpstreamPortMin,
                   65534);
  const uint64_t ports_min = uint64_t{workers} * kUpstreamPortsMin;
  verdict.in_range("service.upstream_port_end", service.upstream_port_end,
                   service.upstream_port_first + ports_min, 65535);
  verdict.in_range("service.upstream_try_ms", service.upstream_try_ms, 1, kTimeoutMsMax);
  verdict.in_range("service.upstream_hedge_ms", service.upstream_hedge_ms, 0, kTimeoutMsMax);
  verdict.in_range("service.upstream_give_up_ms", service.upstream_give_up_ms,
                   service.upstream_try_ms, kTimeoutMsMax);
  verdict.in_range("service.upstream_tries_max", service.upstream_tries_max, 1, abi::kTriesMax);
  verdict.in_range("service.probe_interval_ms", service.probe_interval_ms, 1, kTimeoutMsMax);
  verdict.in_range("service.down_after", service.down_after, 1, kDownAfterMax);
  verdict.flag("service.upstream_randomize_case", service.upstream_randomize_case);
  verdict.flag("service.upstream_cookies", service.upstream_cookies);
}

void check_limits(Verdict& verdict, const abi::LimitsConfig& limits) {
  verdict.in_range("service.limits.domain_misses_max", limits.domain_misses_max, 0, abi::kPendings);
  verdict.in_range("service.limits.client_misses_max", limits.client_misses_max, 0, abi::kWaiters);
  verdict.in_range("service.limits.responses_per_second", limits.responses_per_second, 0,
                   abi::kResponseRateMax);
  verdict.in_range("service.limits.slip", limits.slip, 0, abi::kSlipMax);
  verdict.in_range("service.limits.prefix_bits4", limits.prefix_bits4, abi::kLimitBitsMin4, 32);
  verdict.in_range("service.limits.prefix_bits6", limits.prefix_bits6, abi::kLimitBitsMin6, 128);
}

void check_vlans(Verdict& verdict, const abi::ServiceSection& service) {
  const uint32_t last = service.vlan[abi::kVlans / 32] >> abi::kVlans % 32;
  if (last != 0) verdict.reject("service.vlan holds 4095, which is no VLAN");
}

void check_service(Verdict& verdict, const abi::ServiceSection& service, uint32_t workers) {
  verdict.in_range("service.binds", service.binds, 0, abi::kBindsMax);
  verdict.in_range("service.backends", service.backends, 0, abi::kBackendsMax);
  verdict.in_range("service.pools", service.pools, 0, abi::kPoolsMax);
  verdict.in_range("service.packet_caches", service.packet_caches, 0, abi::kPacketCachesMax);
  verdict.in_range("service.rules", service.rules, 0, abi::kRulesMax);
  verdict.in_range("service.prefixes", service.prefixes, 0, abi::kPrefixesMax);
  verdict.in_range("service.forwards", service.forwards, 0, abi::kForwardsMax);
  verdict.in_range("service.forward_bytes", service.forward_bytes, 0, abi::kForwardBytesMax);
  verdict.in_range("service.local_zones", service.local_zones, 0, abi::kLocalZonesMax);
  verdict.in_range("service.local_name_bytes", service.local_name_bytes, 0,
                   abi::kLocalNameBytesMax);
  if (!verdict.good()) return;
  verdict.in_range("service.edns_udp_bytes", service.edns_udp_bytes, kEdnsBytesMin, kEdnsBytesMax);
  verdict.in_range("service.idle", static_cast<uint8_t>(service.idle), 0,
                   static_cast<uint8_t>(abi::IdleMode::poll));
  verdict.flag("service.answer_rd0", service.answer_rd0);
  const abi::TcpConfig& tcp = service.tcp;
  verdict.in_range("service.tcp.connections_max", tcp.connections_max, 0, abi::kConnectionsMax);
  verdict.in_range("service.tcp.connections_per_source_max", tcp.connections_per_source_max, 1,
                   abi::kConnectionsMax);
  verdict.in_range("service.tcp.queries_per_connection_max", tcp.queries_per_connection_max, 1,
                   abi::kQueriesPerConnectionMax);
  verdict.in_range("service.tcp.idle_ms", tcp.idle_ms, 100, abi::kIdleMsMax);
  const abi::PrefetchConfig& prefetch = service.prefetch;
  verdict.in_range("service.prefetch.left_percent", prefetch.left_percent, 0,
                   abi::kPrefetchPercentMax);
  verdict.in_range("service.prefetch.lifetime_s_min", prefetch.lifetime_s_min, 1, kTtlSMax);
  verdict.in_range("service.prefetch.per_second_max", prefetch.per_second_max, 1,
                   abi::kPrefetchRateMax);
  const abi::StaleConfig& stale = service.stale;
  verdict.in_range("service.stale.kept_s", stale.kept_s, 0, abi::kStaleKeptSMax);
  verdict.in_range("service.stale.client_timer_ms", stale.client_timer_ms, 1,
                   abi::kStaleTimerMsMax);
  verdict.in_range("service.stale.recheck_s", stale.recheck_s, 1, abi::kStaleSMax);
  verdict.in_range("service.stale.ttl_s", stale.ttl_s, 1, abi::kStaleSMax);
  check_limits(verdict, service.limits);
  verdict.in_range("service.log_level", service.log_level, 0, kLogLevelMax);
  check_upstream(verdict, service, workers);
  check_binds(verdict, service);
  check_backends(verdict, service);
  check_pools(verdict, service);
  check_packet_caches(verdict, service);
  check_rules(verdict, service);
  check_forwards(verdict, service);
  check_local_zones(verdict, service);
  check_local(verdict, service.local);
  check_vlans(verdict, service);
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
