// SPDX-License-Identifier: Apache-2.0
// The image: every field from its key, the same bytes for the same config, and good enough for the
// door of the data plane.
#include "control/snapshot/compile.hpp"

#include "control/config/diff.hpp"
#include "control/config/dump.hpp"
#include "dataplane/snapshot/config_attach.hpp"
#include "tests/unit/config/support.hpp"

#include <cstring>
#include <map>
#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace millrace::ctl::testing {
namespace {

using Image = std::unique_ptr<abi::ConfigImage>;

// Over memory that is not zero, so that a byte that is not written shows.
Image compiled(const Config& config, uint64_t generation, int fill = 0xa5) {
  Image image = std::make_unique<abi::ConfigImage>();
  std::memset(static_cast<void*>(image.get()), fill, sizeof *image);
  compile(config, generation, *image);
  return image;
}

bool same(const void* a, const void* b, std::size_t bytes) {
  return std::memcmp(a, b, bytes) == 0;
}

// Every key with a value that is not its default.
const char* const kEveryField =
    "ports:\n  - {name: lan, interface: eth1}\n  - {name: wan, device: '0000:03:00.0'}\n"
    "binds:\n  - {name: a, listen_address: 198.18.0.53}\n"
    "  - {name: b, listen_address: '[fd00:18::53]:5300', pool: two}\n"
    "backends:\n  - {name: r1, address: '198.18.1.1:5301', pools: [two], weight: 7,\n"
    "     max_in_flight: 1000, trust_ad: true}\n"
    "  - {name: r2, address: 'fd00:18:1::1', pools: [default, two]}\n"
    "pools:\n  - {name: default}\n  - {name: two, packet_cache: other, policy: weighted,\n"
    "     client_subnet: true, client_subnet_ipv4: 20, client_subnet_ipv6: 48,\n"
    "     client_subnet_variants: 200}\n"
    "packet_caches:\n  - {name: default, size: 64MiB}\n"
    "  - {name: other, size: 1MiB, max_ttl: 2h, min_ttl: 7s, min_cacheable_ttl: 8s,\n"
    "     max_negative_ttl: 9m, failure_ttl: 10s, max_failure_ttl: 20s,\n"
    "     maximum_entry_size: 2KiB}\n"
    "dataplane: {workers: 2, cores: [2, 1], main_core: 3, idle: poll, hugepages: false,\n"
    "            hugepage_dir: /mnt/huge, shards: 8, buffers_per_worker: 4096, flows: 2048,\n"
    "            vlans: [0, 31, 4094]}\n"
    "access:\n  - {name: x, sources: [198.18.0.0/16, 'fd00:18::/32'], binds: [b], action: refuse}\n"
    "  - {name: y, sources: [198.19.0.1], action: allow, pool: two}\n"
    "  - {name: z, sources: ['::/0'], binds: [b, a], action: drop}\n"
    "forward:\n  - {name: f, suffixes: [Corp.Example., '.'], pool: two}\n"
    "  - {name: g, suffixes: [10.in-addr.arpa], pool: default, from: [two]}\n"
    "upstream: {port_range: [20000, 30000], try_timeout: 300ms, hedge: 30ms, give_up: 4s,\n"
    "           tries: 4, down_after: 6, probe_interval: 7s, udp_payload_size: 1400,\n"
    "           randomize_case: false, cookies: false, unrelated_records: strip}\n"
    "tcp: {connections: 200, connections_per_source: 20, queries_per_connection: 2,\n"
    "      idle_timeout: 3s}\n"
    "prefetch: {remaining: 20, min_ttl: 11s, rate: 12}\n"
    "serve_stale: {keep: 2d, client_timer: 1700ms, recheck: 31s, shown_ttl: 29s}\n"
    "limits: {misses_per_domain: 100, misses_per_client: 101, responses_per_second: 102, slip: 3,\n"
    "         prefix_v4: 25, prefix_v6: 57}\n"
    "edns: {udp_payload_size: 1200, cookies: false, nsid: node-7,\n"
    "       cookie_secrets: [00112233445566778899aabbccddeeff, AABBCCDDEEFF00112233445566778899]}\n"
    "dns: {recursion_not_desired: cache_only, any_over_udp: forward, version: m-1, identity: id7}\n"
    "local_zones: {except: [TEST., 172.16.0.0/12, '100.64.0.0/10'], also: [corp, Local]}\n"
    "logging: {level: warning}\ntesting: {clock: manual}\n";

// The local zones of an image, as text, with their kinds.
std::map<std::string, abi::LocalKind> zones_of(const abi::ServiceSection& service) {
  std::map<std::string, abi::LocalKind> zones;
  const uint8_t* name = service.local_name;
  for (uint32_t i = 0; i < service.local_zones; ++i) {
    std::string text;
    for (const uint8_t* at = name; *at != 0; at += 1 + *at) {
      text += std::string(reinterpret_cast<const char*>(at + 1), *at) + ".";
    }
    zones[text] = service.local_zone[i].kind;
    name += service.local_zone[i].name_bytes;
  }
  return zones;
}

TEST(Compile, FillsEveryField) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const Image image = compiled(*loaded.config, 7);

  EXPECT_EQ(image->header.magic, abi::kConfigMagic);
  EXPECT_EQ(image->header.abi_version, abi::kAbiVersion);
  EXPECT_EQ(image->header.bytes, sizeof *image);
  EXPECT_EQ(image->header.generation, 7u);

  const abi::BootSection& boot = image->boot;
  EXPECT_EQ(boot.workers, 2u);
  EXPECT_EQ(boot.ports, 2u);
  EXPECT_EQ(boot.shards, 8u);
  EXPECT_EQ(boot.frames_per_worker, 4096u);
  EXPECT_EQ(boot.cache_bytes, 80ull << 20);
  EXPECT_EQ(boot.flows_per_worker, 2048u);
  EXPECT_EQ(boot.hugepages, 0);
  EXPECT_EQ(boot.clock, abi::ClockMode::manual);
  EXPECT_EQ(boot.cores[0], 3);
  EXPECT_EQ(boot.cores[1], 2);
  EXPECT_EQ(boot.cores[2], 1);
  EXPECT_STREQ(boot.hugepage_dir, "/mnt/huge");
  EXPECT_STREQ(boot.port[0].name, "lan");
  EXPECT_STREQ(boot.port[0].interface, "eth1");
  EXPECT_STREQ(boot.port[0].device, "");
  EXPECT_STREQ(boot.port[1].interface, "");
  EXPECT_STREQ(boot.port[1].device, "0000:03:00.0");

  const abi::ServiceSection& service = image->service;
  EXPECT_EQ(service.binds, 2u);
  EXPECT_EQ(service.backends, 2u);
  EXPECT_EQ(service.pools, 2u);
  EXPECT_EQ(service.packet_caches, 2u);
  EXPECT_EQ(service.edns_udp_bytes, 1200);
  EXPECT_EQ(service.upstream_edns_udp_bytes, 1400);
  EXPECT_EQ(service.upstream_port_first, 20000);
  EXPECT_EQ(service.upstream_port_end, 30001);
  EXPECT_EQ(service.upstream_try_ms, 300u);
  EXPECT_EQ(service.upstream_give_up_ms, 4000u);
  EXPECT_EQ(service.upstream_tries_max, 4u);
  EXPECT_EQ(service.down_after, 6u);
  EXPECT_EQ(service.probe_interval_ms, 7000u);
  EXPECT_EQ(service.idle, abi::IdleMode::poll);
  EXPECT_EQ(service.answer_rd0, 1);
  EXPECT_EQ(service.log_level, 3u);
  EXPECT_EQ(service.bind[0].address.family, 4);
  EXPECT_EQ(service.bind[0].pool, 0u);
  EXPECT_EQ(service.bind[1].address.family, 6);
  EXPECT_EQ(service.bind[1].address.port_be, __builtin_bswap16(5300));
  EXPECT_EQ(service.bind[1].pool, 1u);
  EXPECT_STREQ(service.backend[0].name, "r1");
  EXPECT_EQ(service.backend[0].address.port_be, __builtin_bswap16(5301));
  EXPECT_STREQ(service.backend[1].name, "r2");
  EXPECT_STREQ(service.pool[0].name, "default");
  EXPECT_EQ(service.pool[0].packet_cache, 0u);
  EXPECT_EQ(service.pool[0].backends, 0b10u);
  EXPECT_EQ(service.pool[1].packet_cache, 1u);
  EXPECT_EQ(service.pool[1].backends, 0b11u);
  const abi::PacketCacheConfig& cache = service.packet_cache[1];
  EXPECT_STREQ(cache.name, "other");
  EXPECT_EQ(cache.ttl_s_max, 7200u);
  EXPECT_EQ(cache.ttl_s_min, 7u);
  EXPECT_EQ(cache.ttl_s_min_cacheable, 8u);
  EXPECT_EQ(cache.negative_ttl_s_max, 540u);
  EXPECT_EQ(cache.failure_ttl_s, 10u);
  EXPECT_EQ(cache.failure_ttl_s_max, 20u);
  EXPECT_EQ(cache.entry_bytes_max, 2048u);
  EXPECT_EQ(cache.unrelated, abi::UnrelatedRecords::strip);
}

TEST(Compile, FillsWhoIsAskedWhen) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const Image image = compiled(*loaded.config, 7);
  const abi::ServiceSection& service = image->service;
  EXPECT_EQ(service.upstream_hedge_ms, 30u);
  EXPECT_EQ(service.upstream_randomize_case, 0);
  EXPECT_EQ(service.upstream_cookies, 0);
  EXPECT_EQ(service.backend[0].weight, 7u);
  EXPECT_EQ(service.backend[0].in_flight_max, 1000u);
  EXPECT_EQ(service.backend[1].weight, 1u);
  EXPECT_EQ(service.backend[0].trust_ad, 1);
  EXPECT_EQ(service.backend[1].trust_ad, 0);
  EXPECT_EQ(service.backend[1].in_flight_max, 0u);
  EXPECT_EQ(service.pool[0].policy, abi::PoolPolicy::least_outstanding);
  EXPECT_EQ(service.pool[1].policy, abi::PoolPolicy::weighted);
}

TEST(Compile, FillsTheVlans) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const Image image = compiled(*loaded.config, 7);
  EXPECT_EQ(image->service.vlan[0], 0x8000'0001u);
  EXPECT_EQ(image->service.vlan[1], 0u);
  EXPECT_EQ(image->service.vlan[127], 0x4000'0000u);
}

TEST(Compile, FillsWhatIsToldOfClients) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const Image image = compiled(*loaded.config, 7);
  const abi::PoolConfig& off = image->service.pool[0];
  const abi::PoolConfig& on = image->service.pool[1];
  EXPECT_EQ(off.subnet_variants, 0) << "off, whatever the other keys say";
  EXPECT_EQ(on.subnet_variants, 200);
  EXPECT_EQ(on.subnet_bits4, 20);
  EXPECT_EQ(on.subnet_bits6, 48);
}

TEST(Compile, FillsTheForwardingRules) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const Image image = compiled(*loaded.config, 7);
  const abi::ServiceSection& service = image->service;
  ASSERT_EQ(service.forwards, 3u);
  EXPECT_EQ(service.forward[0].pools, 0b11u) << "none named: all";
  EXPECT_EQ(service.forward[0].pool, 1);
  EXPECT_EQ(service.forward[0].bytes, 14);
  EXPECT_EQ(service.forward[1].bytes, 1) << "the root";
  EXPECT_EQ(service.forward[2].pools, 0b10u);
  EXPECT_EQ(service.forward[2].pool, 0);
  constexpr char kNames[] = "\4corp\7example\0" "\0" "\2" "10\7in-addr\4arpa";
  ASSERT_EQ(service.forward_bytes, sizeof kNames);
  EXPECT_TRUE(same(service.forward_name, kNames, sizeof kNames));
}

TEST(Compile, FillsTheLimitsOfTcp) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const abi::TcpConfig tcp = compiled(*loaded.config, 7)->service.tcp;
  EXPECT_EQ(tcp.connections_max, 200u);
  EXPECT_EQ(tcp.connections_per_source_max, 20u);
  EXPECT_EQ(tcp.queries_per_connection_max, 2u);
  EXPECT_EQ(tcp.idle_ms, 3000u);
}

TEST(Compile, FillsWhatIsSaidHere) {
  const abi::LocalConfig local = compiled(*load(kEveryField).config, 7)->service.local;
  EXPECT_STREQ(local.version, "m-1");
  EXPECT_STREQ(local.identity, "id7");
  EXPECT_STREQ(local.nsid, "node-7");
  EXPECT_EQ(local.cookies, 0);
  EXPECT_EQ(local.any_over_udp, 0);
  ASSERT_EQ(local.cookie_secrets, 2);
  for (uint8_t i = 0; i < 16; ++i) {
    EXPECT_EQ(local.cookie_secret[0][i], i * 0x11);
    EXPECT_EQ(local.cookie_secret[1][i], (i + 10) % 16 * 0x11);
  }
  const abi::LocalConfig plain = compiled(*load(kGood).config, 7)->service.local;
  EXPECT_EQ(plain.version[0] | plain.identity[0] | plain.nsid[0] | plain.cookie_secrets, 0);
  EXPECT_EQ(plain.cookies, 1);
  EXPECT_EQ(plain.any_over_udp, 1);
  EXPECT_EQ(compiled(*load(kGood).config, 7)->service.upstream_randomize_case, 1);
  EXPECT_EQ(compiled(*load(kGood).config, 7)->service.upstream_cookies, 1);
}

TEST(Compile, FillsPrefetch) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const abi::PrefetchConfig prefetch = compiled(*loaded.config, 7)->service.prefetch;
  EXPECT_EQ(prefetch.left_percent, 20u);
  EXPECT_EQ(prefetch.lifetime_s_min, 11u);
  EXPECT_EQ(prefetch.per_second_max, 12u);
}

TEST(Compile, FillsServeStale) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const abi::StaleConfig stale = compiled(*loaded.config, 7)->service.stale;
  EXPECT_EQ(stale.kept_s, 172'800u);
  EXPECT_EQ(stale.client_timer_ms, 1700u);
  EXPECT_EQ(stale.recheck_s, 31u);
  EXPECT_EQ(stale.ttl_s, 29u);
}

TEST(Compile, FillsTheLimits) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const abi::LimitsConfig limits = compiled(*loaded.config, 7)->service.limits;
  EXPECT_EQ(limits.domain_misses_max, 100u);
  EXPECT_EQ(limits.client_misses_max, 101u);
  EXPECT_EQ(limits.responses_per_second, 102u);
  EXPECT_EQ(limits.slip, 3);
  EXPECT_EQ(limits.prefix_bits4, 25);
  EXPECT_EQ(limits.prefix_bits6, 57);
  const abi::LimitsConfig usual = compiled(*load(kGood).config, 7)->service.limits;
  EXPECT_EQ(usual.domain_misses_max, 2048u);
  EXPECT_EQ(usual.client_misses_max, 4096u);
  EXPECT_EQ(usual.responses_per_second, 0u);
}

TEST(Compile, FillsTheAccessRules) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const Image image = compiled(*loaded.config, 7);
  const abi::ServiceSection& service = image->service;
  ASSERT_EQ(service.rules, 3u);
  EXPECT_EQ(service.rule[0].binds, 0b10u);
  EXPECT_EQ(service.rule[0].prefixes, 2);
  EXPECT_EQ(service.rule[0].action, abi::RuleAction::refuse);
  EXPECT_EQ(service.rule[0].pool, abi::kPoolOfBind);
  EXPECT_EQ(service.rule[1].binds, 0b11u) << "none named: all";
  EXPECT_EQ(service.rule[1].prefixes, 1);
  EXPECT_EQ(service.rule[1].action, abi::RuleAction::allow);
  EXPECT_EQ(service.rule[1].pool, 1u);
  EXPECT_EQ(service.rule[2].binds, 0b11u);
  EXPECT_EQ(service.rule[2].action, abi::RuleAction::drop);

  ASSERT_EQ(service.prefixes, 4u);
  const uint8_t v4[16] = {198, 18};
  const uint8_t v6[16] = {0xfd, 0x00, 0x00, 0x18};
  const uint8_t host[16] = {198, 19, 0, 1};
  EXPECT_TRUE(same(service.prefix[0].bytes, v4, 16));
  EXPECT_EQ(service.prefix[0].family, 4);
  EXPECT_EQ(service.prefix[0].bits, 16);
  EXPECT_TRUE(same(service.prefix[1].bytes, v6, 16));
  EXPECT_EQ(service.prefix[1].family, 6);
  EXPECT_EQ(service.prefix[1].bits, 32);
  EXPECT_TRUE(same(service.prefix[2].bytes, host, 16));
  EXPECT_EQ(service.prefix[2].bits, 32) << "an address by itself";
  EXPECT_EQ(service.prefix[3].family, 6);
  EXPECT_EQ(service.prefix[3].bits, 0);
}

TEST(Compile, A117_A118_A119_built_in_zones) {
  using abi::LocalKind;
  const auto zones = zones_of(compiled(*load(kGood).config, 7)->service);
  EXPECT_EQ(zones.size(), 7u + 97u);
  EXPECT_EQ(zones.at("localhost."), LocalKind::loopback);
  for (const char* name : {"invalid.", "test.", "onion.", "alt."}) {
    EXPECT_EQ(zones.at(name), LocalKind::nxdomain) << name;
  }
  EXPECT_EQ(zones.at("resolver.arpa."), LocalKind::nodata);
  for (const char* name :
       {"home.arpa.", "10.in-addr.arpa.", "16.172.in-addr.arpa.", "31.172.in-addr.arpa.",
        "168.192.in-addr.arpa.", "64.100.in-addr.arpa.", "127.100.in-addr.arpa.", "0.in-addr.arpa.",
        "127.in-addr.arpa.", "254.169.in-addr.arpa.", "2.0.192.in-addr.arpa.",
        "100.51.198.in-addr.arpa.", "113.0.203.in-addr.arpa.", "255.255.255.255.in-addr.arpa.",
        "d.f.ip6.arpa.", "8.e.f.ip6.arpa.", "b.e.f.ip6.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa.",
        "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa."}) {
    ASSERT_EQ(zones.count(name), 1u) << name;
    EXPECT_EQ(zones.at(name), LocalKind::empty) << name;
  }
  for (const char* name : {"example.", "local.", "ipv4only.arpa.", "15.172.in-addr.arpa.",
                           "32.172.in-addr.arpa.", "63.100.in-addr.arpa.", "c.f.ip6.arpa."}) {
    EXPECT_EQ(zones.count(name), 0u) << name;
  }
}

TEST(Compile, A118_zones_are_switched_one_by_one) {
  const LoadResult loaded = load(kEveryField);
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const auto zones = zones_of(compiled(*loaded.config, 7)->service);
  EXPECT_EQ(zones.size(), 7u + 97u - 1 - 16 - 64 + 2);
  EXPECT_EQ(zones.count("test."), 0u);
  EXPECT_EQ(zones.count("20.172.in-addr.arpa."), 0u);
  EXPECT_EQ(zones.count("100.100.in-addr.arpa."), 0u);
  EXPECT_EQ(zones.at("corp."), abi::LocalKind::nxdomain);
  EXPECT_EQ(zones.at("local."), abi::LocalKind::nxdomain);

  const auto none = load(kGood + "local_zones: {builtin: false}\n");
  EXPECT_TRUE(zones_of(compiled(*none.config, 7)->service).empty());
  // A built-in name that is added means what was added.
  const auto both = load(kGood + "local_zones: {except: [localhost], also: [localhost, test]}\n");
  ASSERT_TRUE(both.ok()) << both.text();
  const auto added = zones_of(compiled(*both.config, 7)->service);
  EXPECT_EQ(added.size(), 7u + 97u);
  EXPECT_EQ(added.at("localhost."), abi::LocalKind::nxdomain);
}

// Who forwards a name wants it asked, and what is above and beside it answered here as before.
TEST(Compile, A118_what_is_forwarded_is_not_answered_here) {
  using abi::LocalKind;
  const auto loaded = load(
      kGood + "forward: [{name: f, pool: default, suffixes: [10.in-addr.arpa, "
              "7.168.192.in-addr.arpa, a.Corp, b.a.corp, corp.example, .]}]\n"
              "local_zones: {also: [corp]}\n");
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const auto zones = zones_of(compiled(*loaded.config, 7)->service);
  EXPECT_EQ(zones.size(), 7u + 97u + 1 + 3);
  EXPECT_EQ(zones.at("10.in-addr.arpa."), LocalKind::elsewhere);
  EXPECT_EQ(zones.at("168.192.in-addr.arpa."), LocalKind::empty);
  EXPECT_EQ(zones.at("7.168.192.in-addr.arpa."), LocalKind::elsewhere);
  EXPECT_EQ(zones.at("corp."), LocalKind::nxdomain);
  EXPECT_EQ(zones.at("a.corp."), LocalKind::elsewhere);
  EXPECT_EQ(zones.at("b.a.corp."), LocalKind::elsewhere);
  EXPECT_EQ(zones.count("corp.example."), 0u) << "no local zone has it";
}

// 128 names of the largest total that is allowed, as many below them that are forwarded, and all
// that is built in.
TEST(Compile, AsManyZonesAsAreAllowedFit) {
  std::string names;
  std::string below;
  std::size_t bytes = 0;
  for (int i = 0; i < 128; ++i) {
    const std::string name = "a" + std::to_string(1000 + i) + std::string(17, 'x');
    names += (i == 0 ? "" : ", ") + name;
    below += (i == 0 ? "" : ", ") + ("b" + std::to_string(i)) + "." + name;
    bytes += name.size() + 2;
  }
  ASSERT_EQ(bytes, 3072u);
  const LoadResult loaded =
      load(kGood + "local_zones: {also: [" + names + "]}\n" +
           "forward: [{name: f, pool: default, suffixes: [" + below + "]}]\n");
  ASSERT_TRUE(loaded.ok()) << loaded.text();
  const Image image = compiled(*loaded.config, 7);
  EXPECT_EQ(image->service.local_zones, 128u + 128u + 104u);
  EXPECT_EQ(snapshot::verify_config(image.get(), sizeof *image), "");
}

TEST(Compile, GivesTheSameBytesForTheSameConfig) {
  const uint64_t base = seed();
  for (uint64_t i = 0; i < 100; ++i) {
    SCOPED_TRACE("MR_SEED=" + std::to_string(base + i));
    const Config config = RandomConfig(base + i).make();
    const Config again = load(dump_yaml(config)).config.value();
    const Image a = compiled(config, 3, 0x00);
    const Image b = compiled(again, 3, 0xff);
    ASSERT_TRUE(same(a.get(), b.get(), sizeof *a));
    const Image next = compiled(config, 4);
    EXPECT_NE(a->header.checksum, next->header.checksum);
    EXPECT_TRUE(same(&a->boot, &next->boot, sizeof *a - sizeof a->header));
  }
}

TEST(Compile, IsTakenByTheDataPlane) {
  const uint64_t base = seed();
  for (uint64_t i = 0; i < 300; ++i) {
    SCOPED_TRACE("MR_SEED=" + std::to_string(base + i));
    const Image image = compiled(RandomConfig(base + i).make(), i + 1);
    ASSERT_EQ(snapshot::verify_config(image.get(), sizeof *image), "");
  }
}

// The data plane refuses another boot section in a running process, so what diff() calls live must
// leave it alone, and what changes it must not be called live.
TEST(Compile, LiveChangesLeaveTheBootSectionAlone) {
  const uint64_t base = seed();
  for (uint64_t i = 0; i < 200; ++i) {
    SCOPED_TRACE("MR_SEED=" + std::to_string(base + i));
    const Config running = RandomConfig(base + i).make();
    const Config other = RandomConfig(base + i + 1).make();
    Config wanted = other;
    wanted.ports = running.ports;
    wanted.dataplane = running.dataplane;
    wanted.dataplane.idle = other.dataplane.idle;
    wanted.dataplane.vlans = other.dataplane.vlans;
    wanted.testing = running.testing;
    wanted.packet_caches = running.packet_caches;
    for (PacketCache& cache : wanted.packet_caches)
      cache.max_ttl_s = 604800;
    for (Pool& pool : wanted.pools)
      pool.packet_cache = wanted.packet_caches[0].name;
    const bool is_live = reload_class(diff(running, wanted)) == ReloadClass::live;
    const Image a = compiled(running, 1);
    const Image b = compiled(wanted, 1);
    ASSERT_TRUE(is_live);
    ASSERT_TRUE(same(&a->boot, &b->boot, sizeof a->boot));

    wanted = running;
    wanted.dataplane = other.dataplane;
    wanted.dataplane.shards = running.dataplane.shards;
    if (wanted.dataplane.workers > wanted.dataplane.shards) continue;
    const Image c = compiled(wanted, 1);
    if (!same(&a->boot, &c->boot, sizeof a->boot)) {
      ASSERT_NE(reload_class(diff(running, wanted)), ReloadClass::live);
    }
  }
}

}  // namespace
}  // namespace millrace::ctl::testing
