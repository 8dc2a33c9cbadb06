// SPDX-License-Identifier: Apache-2.0
#include "control/snapshot/compile.hpp"

#include "control/config/local_zones.hpp"
#include "dataplane/base/check.hpp"
#include "dataplane/snapshot/config_attach.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace millrace::ctl {
namespace {

// The rest of the field is zero already.
template <std::size_t kBytes>
void put_text(char (&field)[kBytes], const std::string& text) {
  MR_CHECK(text.size() < kBytes);
  std::memcpy(field, text.data(), text.size());
}

template <class Object>
uint32_t index_of(const std::vector<Object>& list, const std::string& name) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const Object& object) { return object.name == name; });
  MR_CHECK(found != list.end());
  return static_cast<uint32_t>(found - list.begin());
}

template <class Object>
uint32_t count_of(const std::vector<Object>& list, uint32_t count_max) {
  MR_CHECK(!list.empty() && list.size() <= count_max);
  return static_cast<uint32_t>(list.size());
}

void compile_boot(const Config& config, abi::BootSection& boot) {
  const Dataplane& dataplane = config.dataplane;
  MR_CHECK(dataplane.workers <= abi::kWorkersMax && dataplane.cores.size() == dataplane.workers);
  MR_CHECK(dataplane.shards != kAutoShards && dataplane.main_core != kAutoCore);
  boot.workers = dataplane.workers;
  boot.ports = count_of(config.ports, abi::kPortsMax);
  boot.shards = dataplane.shards;
  boot.frames_per_worker = dataplane.buffers_per_worker;
  boot.flows_per_worker = dataplane.flows;
  boot.cache_bytes = cache_bytes(config);
  boot.hugepages = dataplane.hugepages ? 1 : 0;
  boot.clock = config.testing.clock;
  boot.cores[0] = dataplane.main_core;
  std::copy(dataplane.cores.begin(), dataplane.cores.end(), boot.cores + 1);
  put_text(boot.hugepage_dir, dataplane.hugepage_dir);
  for (uint32_t i = 0; i < boot.ports; ++i) {
    put_text(boot.port[i].name, config.ports[i].name);
    put_text(boot.port[i].interface, config.ports[i].interface);
    put_text(boot.port[i].device, config.ports[i].device);
  }
}

void compile_settings(const Config& config, abi::ServiceSection& service) {
  const Upstream& upstream = config.upstream;
  service.edns_udp_bytes = config.edns.udp_payload_size_bytes;
  service.upstream_edns_udp_bytes = upstream.udp_payload_size_bytes;
  service.upstream_port_first = upstream.port_range.first;
  service.upstream_port_end = upstream.port_range.end;
  service.upstream_try_ms = upstream.try_timeout_ms;
  service.upstream_hedge_ms = upstream.hedge_ms;
  service.upstream_give_up_ms = upstream.give_up_ms;
  service.upstream_tries_max = upstream.tries;
  service.probe_interval_ms = upstream.probe_interval_ms;
  service.down_after = upstream.down_after;
  service.upstream_randomize_case = upstream.randomize_case ? 1 : 0;
  service.upstream_cookies = upstream.cookies ? 1 : 0;
  service.tcp = {.connections_max = config.tcp.connections,
                 .connections_per_source_max = config.tcp.connections_per_source,
                 .queries_per_connection_max = config.tcp.queries_per_connection,
                 .idle_ms = config.tcp.idle_timeout_ms};
  service.prefetch = {.left_percent = config.prefetch.remaining_percent,
                      .lifetime_s_min = config.prefetch.min_ttl_s,
                      .per_second_max = config.prefetch.rate};
  service.stale = {.kept_s = config.serve_stale.keep_s,
                   .client_timer_ms = config.serve_stale.client_timer_ms,
                   .recheck_s = config.serve_stale.recheck_s,
                   .ttl_s = config.serve_stale.shown_ttl_s};
  service.limits = {.domain_misses_max = config.limits.misses_per_domain,
                    .client_misses_max = config.limits.misses_per_client,
                    .responses_per_second = config.limits.responses_per_second,
                    .slip = config.limits.slip,
                    .prefix_bits4 = static_cast<uint8_t>(config.limits.prefix_v4),
                    .prefix_bits6 = static_cast<uint8_t>(config.limits.prefix_v6)};
  for (const uint16_t vlan : config.dataplane.vlans) {
    MR_CHECK(vlan < abi::kVlans);
    service.vlan[vlan / 32] |= 1u << vlan % 32;
  }
  service.idle = config.dataplane.idle;
  service.answer_rd0 = config.dns.recursion_not_desired == RecursionNotDesired::cache_only ? 1 : 0;
  service.log_level = static_cast<uint32_t>(config.logging.level);
}

uint8_t digit_of(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  return static_cast<uint8_t>((c | 0x20) - 'a' + 10);
}

void compile_local(const Config& config, abi::LocalConfig& local) {
  put_text(local.version, config.dns.version);
  put_text(local.identity, config.dns.identity);
  put_text(local.nsid, config.edns.nsid);
  local.any_over_udp = config.dns.any_over_udp == AnyOverUdp::minimal ? 1 : 0;
  local.cookies = config.edns.cookies ? 1 : 0;
  MR_CHECK(config.edns.cookie_secrets.size() <= abi::kCookieSecretsMax);
  for (const std::string& secret : config.edns.cookie_secrets) {
    uint8_t* const to = local.cookie_secret[local.cookie_secrets++];
    MR_CHECK(secret.size() == 2 * abi::kCookieSecretBytes);
    for (std::size_t i = 0; i < abi::kCookieSecretBytes; ++i) {
      to[i] = static_cast<uint8_t>(digit_of(secret[2 * i]) << 4 | digit_of(secret[2 * i + 1]));
    }
  }
}

void compile_tables(const Config& config, abi::ServiceSection& service) {
  service.binds = count_of(config.binds, abi::kBindsMax);
  service.backends = count_of(config.backends, abi::kBackendsMax);
  service.pools = count_of(config.pools, abi::kPoolsMax);
  service.packet_caches = count_of(config.packet_caches, abi::kPacketCachesMax);
  for (uint32_t i = 0; i < service.binds; ++i) {
    service.bind[i].address = config.binds[i].listen_address.to_abi();
    service.bind[i].pool = index_of(config.pools, config.binds[i].pool);
  }
  for (uint32_t i = 0; i < service.pools; ++i) {
    put_text(service.pool[i].name, config.pools[i].name);
    service.pool[i].packet_cache = index_of(config.packet_caches, config.pools[i].packet_cache);
    service.pool[i].policy = config.pools[i].policy;
    if (!config.pools[i].client_subnet) continue;
    service.pool[i].subnet_variants = static_cast<uint8_t>(config.pools[i].client_subnet_variants);
    service.pool[i].subnet_bits4 = static_cast<uint8_t>(config.pools[i].client_subnet_ipv4);
    service.pool[i].subnet_bits6 = static_cast<uint8_t>(config.pools[i].client_subnet_ipv6);
  }
  for (uint32_t i = 0; i < service.backends; ++i) {
    put_text(service.backend[i].name, config.backends[i].name);
    service.backend[i].address = config.backends[i].address.to_abi();
    service.backend[i].weight = config.backends[i].weight;
    service.backend[i].in_flight_max = config.backends[i].max_in_flight;
    service.backend[i].trust_ad = config.backends[i].trust_ad ? 1 : 0;
    for (const std::string& pool : config.backends[i].pools) {
      service.pool[index_of(config.pools, pool)].backends |= 1u << i;
    }
  }
  for (uint32_t i = 0; i < service.packet_caches; ++i) {
    const PacketCache& from = config.packet_caches[i];
    abi::PacketCacheConfig& to = service.packet_cache[i];
    put_text(to.name, from.name);
    to.ttl_s_max = from.max_ttl_s;
    to.ttl_s_min = from.min_ttl_s;
    to.ttl_s_min_cacheable = from.min_cacheable_ttl_s;
    to.negative_ttl_s_max = from.max_negative_ttl_s;
    to.failure_ttl_s = from.failure_ttl_s;
    to.failure_ttl_s_max = from.max_failure_ttl_s;
    to.entry_bytes_max = from.maximum_entry_size_bytes;
    to.unrelated = config.upstream.unrelated_records;
  }
}

void compile_rules(const Config& config, abi::ServiceSection& service) {
  MR_CHECK(config.access.size() <= abi::kRulesMax);
  for (const AccessRule& from : config.access) {
    abi::RuleConfig& to = service.rule[service.rules++];
    for (const std::string& bind : from.binds)
      to.binds |= 1u << index_of(config.binds, bind);
    if (from.binds.empty()) to.binds = static_cast<uint32_t>((uint64_t{1} << service.binds) - 1);
    to.action = from.action;
    to.pool = from.pool.empty() ? abi::kPoolOfBind
                                : static_cast<uint8_t>(index_of(config.pools, from.pool));
    MR_CHECK(service.prefixes + from.sources.size() <= abi::kPrefixesMax);
    to.prefixes = static_cast<uint16_t>(from.sources.size());
    for (const Prefix& source : from.sources)
      service.prefix[service.prefixes++] = source.to_abi();
  }
}

// The closing dot's label included.
void put_name(const std::string& text, abi::ServiceSection& service, abi::ForwardConfig& to) {
  std::string wire;
  for (std::size_t at = 0; text != "." && at <= text.size();) {
    const std::size_t dot = std::min(text.find('.', at), text.size());
    wire += static_cast<char>(dot - at);
    wire += text.substr(at, dot - at);
    at = dot + 1;
  }
  wire += '\0';
  MR_CHECK(wire.size() <= 255 && service.forward_bytes + wire.size() <= abi::kForwardBytesMax);
  std::memcpy(service.forward_name + service.forward_bytes, wire.data(), wire.size());
  service.forward_bytes += static_cast<uint32_t>(wire.size());
  to.bytes = static_cast<uint8_t>(wire.size());
}

void compile_forwards(const Config& config, abi::ServiceSection& service) {
  for (const ForwardRule& from : config.forward) {
    uint32_t pools = 0;
    for (const std::string& pool : from.from)
      pools |= 1u << index_of(config.pools, pool);
    if (from.from.empty()) pools = (1u << service.pools) - 1;
    for (const std::string& suffix : from.suffixes) {
      MR_CHECK(service.forwards < abi::kForwardsMax);
      abi::ForwardConfig& to = service.forward[service.forwards++];
      to.pools = static_cast<uint16_t>(pools);
      to.pool = static_cast<uint8_t>(index_of(config.pools, from.pool));
      put_name(suffix, service, to);
    }
  }
}

void compile_local_zones(const Config& config, abi::ServiceSection& service) {
  for (const ZoneName& zone : zones_served(config.local_zones, config.forward)) {
    MR_CHECK(service.local_zones < abi::kLocalZonesMax);
    MR_CHECK(service.local_name_bytes + zone.wire.size() <= abi::kLocalNameBytesMax);
    service.local_zone[service.local_zones++] = {static_cast<uint8_t>(zone.wire.size()), zone.kind};
    std::memcpy(service.local_name + service.local_name_bytes, zone.wire.data(), zone.wire.size());
    service.local_name_bytes += static_cast<uint32_t>(zone.wire.size());
  }
}

}  // namespace

static_assert(kShardBytesMin == snapshot::kShardUnitBytes);
static_assert(abi::kBackendsMax <= 32, "PoolConfig::backends has one bit per backend");

uint64_t cache_bytes(const Config& config) {
  uint64_t sizes = 0;
  for (const PacketCache& cache : config.packet_caches)
    sizes += cache.size_bytes;
  const uint64_t step = config.dataplane.shards * kShardBytesMin;
  MR_CHECK(step != 0);
  return (sizes + step - 1) / step * step;
}

void compile(const Config& config, uint64_t generation, abi::ConfigImage& image) {
  std::memset(&image, 0, sizeof image);
  image.header.magic = abi::kConfigMagic;
  image.header.abi_version = abi::kAbiVersion;
  image.header.bytes = sizeof image;
  image.header.generation = generation;
  compile_boot(config, image.boot);
  compile_settings(config, image.service);
  compile_local(config, image.service.local);
  compile_tables(config, image.service);
  compile_rules(config, image.service);
  compile_forwards(config, image.service);
  compile_local_zones(config, image.service);
  image.header.checksum = snapshot::image_checksum(&image, sizeof image);
}

}  // namespace millrace::ctl
