// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/config/support.hpp"

#include "control/snapshot/compile.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace millrace::ctl::testing {

// Words that YAML, or some reader of YAML, takes for something else.
std::string RandomConfig::name(std::size_t idx) {
  static constexpr std::array<const char*, 10> kOdd{"null", "True", "no", "1",    "1e3",
                                                    "0x1F", "a-b",  "y",  "auto", "x.y_z"};
  if (idx < kOdd.size() && between(0, 1) == 0) return kOdd[idx];
  std::string text = "n" + std::to_string(idx) + "-";
  while (text.size() < abi::kNameMax - 1 && between(0, 7) != 0) {
    text += "abzAZ09._-"[between(0, 9)];
  }
  return text;
}

uint32_t RandomConfig::duration(uint32_t lo, uint32_t hi, uint32_t unit) {
  const uint32_t value = between32(lo, hi);
  const uint32_t rounded = value / unit * unit;
  return between(0, 1) == 0 && rounded >= lo ? rounded : value;
}

Endpoint RandomConfig::endpoint(std::size_t idx, bool backend) {
  Endpoint endpoint;
  endpoint.family = between(0, 1) == 0 ? 4 : 6;
  for (std::size_t i = 0; i < (endpoint.family == 4 ? 4u : 16u); ++i) {
    endpoint.bytes[i] = between(0, 2) == 0 ? 0 : static_cast<uint8_t>(between(0, 255));
  }
  endpoint.bytes[0] = endpoint.family == 4 ? 198 : 0xfd;
  endpoint.bytes[1] = backend ? 19 : 18;
  endpoint.bytes[3] = static_cast<uint8_t>(idx);
  endpoint.port = static_cast<uint16_t>(between(0, 1) == 0 ? 53 : between(1, 1023));
  return endpoint;
}

void RandomConfig::make_ports(Config& config) {
  config.ports.resize(between(1, abi::kPortsMax));
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    Port& port = config.ports[i];
    port.name = name(i);
    if (between(0, 1) == 0) {
      port.interface = "eth\"\\#" + std::to_string(i);
    } else {
      port.device = "net_tap" + std::to_string(i) + ",remote=\"a\\b\",mac={fixed}:#&*";
    }
  }
}

void RandomConfig::make_caches(Config& config) {
  config.packet_caches.resize(between(1, abi::kPacketCachesMax));
  for (std::size_t i = 0; i < config.packet_caches.size(); ++i) {
    PacketCache& cache = config.packet_caches[i];
    cache.name = name(i);
    cache.size_bytes = between(0, 1) == 0 ? between(1, 64) << 20 : between(1 << 20, 1ull << 40);
    cache.max_ttl_s = duration(1, 604800, 3600);
    cache.min_ttl_s = duration(0, std::min(cache.max_ttl_s, 86400u), 60);
    cache.min_cacheable_ttl_s = duration(0, std::min(cache.max_ttl_s, 86400u), 60);
    cache.max_negative_ttl_s = duration(1, 86400, 3600);
    cache.failure_ttl_s = duration(1, 60, 60);
    cache.max_failure_ttl_s = duration(60, 300, 60);
    cache.maximum_entry_size_bytes = duration(512, 4096, 1024);
  }
}

void RandomConfig::make_service(Config& config) {
  config.pools.resize(between(1, abi::kPoolsMax));
  for (std::size_t i = 0; i < config.pools.size(); ++i) {
    config.pools[i].name = name(i);
    config.pools[i].packet_cache =
        config.packet_caches[between(0, config.packet_caches.size() - 1)].name;
  }
  config.backends.resize(between(1, abi::kBackendsMax));
  for (std::size_t i = 0; i < config.backends.size(); ++i) {
    Backend& backend = config.backends[i];
    backend.name = name(i);
    backend.address = endpoint(i, true);
    backend.pools.clear();
    for (const Pool& pool : config.pools) {
      // The first serves every pool, so that none is without.
      if (i == 0 || between(0, 2) == 0) backend.pools.push_back(pool.name);
    }
    if (backend.pools.empty()) backend.pools.push_back(config.pools.front().name);
  }
  config.binds.resize(between(1, abi::kBindsMax));
  for (std::size_t i = 0; i < config.binds.size(); ++i) {
    config.binds[i].name = name(i);
    config.binds[i].listen_address = endpoint(i, false);
    config.binds[i].pool = config.pools[between(0, config.pools.size() - 1)].name;
  }
}

Prefix RandomConfig::prefix() {
  Prefix prefix;
  prefix.family = between(0, 1) == 0 ? 4 : 6;
  const std::size_t octets = prefix.family == 4 ? 4 : 16;
  prefix.bits = static_cast<uint8_t>(between(0, 8 * octets));
  for (std::size_t i = 0; i < octets; ++i)
    prefix.bytes[i] = static_cast<uint8_t>(between(0, 255));
  return prefix.cut();
}

void RandomConfig::make_access(Config& config) {
  config.access.resize(between(0, 2) == 0 ? 0 : between(0, abi::kRulesMax));
  for (std::size_t i = 0; i < config.access.size(); ++i) {
    AccessRule& rule = config.access[i];
    rule.name = name(i);
    rule.sources.resize(between(1, abi::kPrefixesMax / abi::kRulesMax));
    for (Prefix& source : rule.sources)
      source = prefix();
    for (const Bind& bind : config.binds) {
      if (between(0, 7) == 0) rule.binds.push_back(bind.name);
    }
    rule.action = static_cast<abi::RuleAction>(between(0, 2));
    if (rule.action == abi::RuleAction::allow && between(0, 1) == 0) {
      rule.pool = config.pools[between(0, config.pools.size() - 1)].name;
    }
  }
}

void RandomConfig::make_forward(Config& config) {
  config.forward.resize(between(0, 2) == 0 ? 0 : between(0, 8));
  for (std::size_t i = 0; i < config.forward.size(); ++i) {
    ForwardRule& rule = config.forward[i];
    rule.name = name(i);
    rule.suffixes.resize(between(1, 4));
    for (std::size_t j = 0; j < rule.suffixes.size(); ++j) {
      rule.suffixes[j] = (between(0, 1) == 0 ? "_x-" : "") + std::to_string(i) + "." +
                         std::to_string(j) + (between(0, 1) == 0 ? ".example" : "");
    }
    rule.pool = config.pools[between(0, config.pools.size() - 1)].name;
    for (const Pool& pool : config.pools) {
      if (between(0, 3) == 0) rule.from.push_back(pool.name);
    }
  }
}

void RandomConfig::make_dataplane(Config& config) {
  Dataplane& dataplane = config.dataplane;
  dataplane.workers = between32(1, abi::kWorkersMax);
  for (uint32_t i = 0; i < dataplane.workers; ++i) {
    dataplane.cores.push_back(kHost.cpus[between(0, kHost.cpus.size() - 1)]);
  }
  dataplane.main_core = kHost.cpus[between(0, kHost.cpus.size() - 1)];
  dataplane.idle = between(0, 1) == 0 ? abi::IdleMode::adaptive : abi::IdleMode::poll;
  dataplane.hugepages = between(0, 1) == 0;
  dataplane.hugepage_dir = between(0, 1) == 0 ? "/mnt/h" : "/mnt/a b: \"c\" \\ # &*";
  dataplane.buffers_per_worker = between32(2048, 1 << 20);
  dataplane.flows = between32(abi::kFlowsMin, abi::kFlowsMax);
  for (uint64_t i = between(0, 3); i > 0; --i)
    dataplane.vlans.push_back(static_cast<uint16_t>(between(0, abi::kVlans - 1)));
  uint64_t sizes = 0;
  for (const PacketCache& cache : config.packet_caches)
    sizes += cache.size_bytes;
  uint32_t shards = std::bit_ceil(dataplane.workers);
  while (shards < abi::kShardsMax && 2 * shards * kShardBytesMin <= sizes && between(0, 2) != 0) {
    shards *= 2;
  }
  dataplane.shards = shards;
}

void RandomConfig::make_groups(Config& config) {
  Upstream& upstream = config.upstream;
  upstream.port_range.first = static_cast<uint16_t>(between(1024, 60000));
  upstream.port_range.end =
      static_cast<uint16_t>(between(upstream.port_range.first + 1024u, 65535));
  upstream.try_timeout_ms = duration(10, 10'000, 1000);
  upstream.give_up_ms = duration(std::max(100u, upstream.try_timeout_ms), 30'000, 1);
  upstream.tries = between32(1, abi::kTriesMax);
  upstream.down_after = between32(1, 100);
  upstream.probe_interval_ms = duration(100, 60'000, 1000);
  upstream.udp_payload_size_bytes = static_cast<uint16_t>(between(512, 1400));
  upstream.randomize_case = between(0, 1) == 0;
  upstream.cookies = between(0, 1) == 0;
  upstream.unrelated_records = static_cast<abi::UnrelatedRecords>(between(0, 2));
  config.tcp.connections = between32(0, abi::kConnectionsMax);
  config.tcp.connections_per_source = between32(1, abi::kConnectionsMax);
  config.tcp.queries_per_connection = between32(1, abi::kQueriesPerConnectionMax);
  config.tcp.idle_timeout_ms = duration(100, abi::kIdleMsMax, 1000);
  config.serve_stale.keep_s = between32(0, abi::kStaleKeptSMax);
  config.serve_stale.client_timer_ms = duration(1, abi::kStaleTimerMsMax, 1000);
  config.serve_stale.recheck_s = between32(1, abi::kStaleSMax);
  config.serve_stale.shown_ttl_s = between32(1, abi::kStaleSMax);
  config.limits.misses_per_domain = between32(0, abi::kPendings);
  config.limits.misses_per_client = between32(0, abi::kWaiters);
  config.limits.responses_per_second = between32(0, abi::kResponseRateMax);
  config.limits.slip = static_cast<uint16_t>(between(0, abi::kSlipMax));
  config.limits.prefix_v4 = between32(abi::kLimitBitsMin4, 32);
  config.limits.prefix_v6 = between32(abi::kLimitBitsMin6, 128);
  config.prefetch.remaining_percent = between32(0, abi::kPrefetchPercentMax);
  config.prefetch.min_ttl_s = between32(1, 604'800);
  config.prefetch.rate = between32(1, abi::kPrefetchRateMax);
  config.edns.udp_payload_size_bytes = static_cast<uint16_t>(between(512, 1400));
  config.edns.cookies = between(0, 1) == 0;
  for (const char* secret :
       {"00112233445566778899aabbccddeeff", "DEADBEEF00000000000000000000000f"}) {
    if (between(0, 1) == 0) config.edns.cookie_secrets.push_back(secret);
  }
  if (between(0, 1) == 0) config.edns.nsid = name(0);
  if (between(0, 1) == 0) config.dns.version = name(1);
  if (between(0, 1) == 0) config.dns.identity = name(2);
  config.dns.any_over_udp = between(0, 1) == 0 ? AnyOverUdp::minimal : AnyOverUdp::forward;
  config.dns.recursion_not_desired =
      between(0, 1) == 0 ? RecursionNotDesired::refuse : RecursionNotDesired::cache_only;
  config.logging.level = static_cast<LogLevel>(between(0, 4));
  config.local_zones.builtin = between(0, 2) != 0;
  for (const char* name : {"test", "10.in-addr.arpa", "172.16.0.0/12", "::1/128"}) {
    if (between(0, 3) == 0) config.local_zones.except.push_back(name);
  }
  for (const char* name : {"corp", "local", "_tcp.example"}) {
    if (between(0, 3) == 0) config.local_zones.also.push_back(name);
  }
  config.testing.clock = between(0, 1) == 0 ? abi::ClockMode::real : abi::ClockMode::manual;
}

Config RandomConfig::make() {
  Config config;
  make_ports(config);
  make_caches(config);
  make_service(config);
  make_access(config);
  make_forward(config);
  make_dataplane(config);
  make_groups(config);
  return config;
}

}  // namespace millrace::ctl::testing
