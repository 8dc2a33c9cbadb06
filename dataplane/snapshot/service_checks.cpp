// SPDX-License-Identifier: Apache-2.0
// What holds for the service section of every config image.
#include "dataplane/snapshot/config_attach.hpp"
#include "dataplane/snapshot/image_verdict.hpp"

#include <algorithm>
#include <cstring>

namespace millrace::snapshot {

using std::to_string;

namespace {

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
  while (at < bytes && name[at] != 0 && name[at] <= 63)
    at += 1u + name[at];
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

void check_local_zones(Verdict& verdict, const abi::ServiceSection& service) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < service.local_zones && verdict.good(); ++i) {
    const abi::LocalZoneConfig& zone = service.local_zone[i];
    const std::string field = row("service.local_zone", i);
    verdict.in_range(field + ".kind", static_cast<uint8_t>(zone.kind), 0,
                     static_cast<uint8_t>(abi::LocalKind::elsewhere));
    const bool is_root = zone.name_bytes < 2;
    if (at + zone.name_bytes > service.local_name_bytes || is_root ||
        !is_folded_name(service.local_name + at, zone.name_bytes)) {
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
  verdict.in_range("service.local.cookie_secrets", local.cookie_secrets, 0, abi::kCookieSecretsMax);
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

}  // namespace

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

}  // namespace millrace::snapshot
