// SPDX-License-Identifier: Apache-2.0
// Every rule of image verification: the good image passes, and each field taken out of its range is
// refused with a reason that names that field. Then bytes at random: none gets past the checksum.
#include "dataplane/snapshot/config_attach.hpp"

#define XXH_INLINE_ALL
#include "tests/unit/snapshot/images.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <xxhash.h>

namespace millrace::snapshot {
namespace {

using abi::ConfigImage;
using abi::RoutesImage;
using test::address_of;
using test::good_config;
using test::good_routes;
using test::seal_checksum;

std::string reason_for(const ConfigImage& image) {
  return verify_config(&image, sizeof image);
}

template <class Image>
struct Case {
  const char* names;  // what the reason must say
  std::function<void(Image&)> breaks;
};
using ConfigCase = Case<ConfigImage>;
using RoutesCase = Case<RoutesImage>;

// Rules that a valid checksum cannot excuse.
void expect_refused(const std::vector<ConfigCase>& cases) {
  for (const ConfigCase& one : cases) {
    auto image = good_config();
    one.breaks(*image);
    seal_checksum(*image);
    const std::string reason = reason_for(*image);
    EXPECT_EQ(reason.rfind(one.names, 0), 0u)
        << "expected a reason that begins with \"" << one.names << "\", got \"" << reason << '"';
  }
}

// The edges of each range are inside.
void expect_accepted(const std::vector<ConfigCase>& cases) {
  for (const ConfigCase& one : cases) {
    auto image = good_config();
    one.breaks(*image);
    seal_checksum(*image);
    EXPECT_EQ(reason_for(*image), "") << one.names;
  }
}

TEST(ConfigAttach, AcceptsAGoodImage) {
  EXPECT_EQ(reason_for(*good_config()), "");
}

TEST(ConfigAttach, RefusesAWrongHeader) {
  expect_refused({
      {"header.magic", [](auto& i) { i.header.magic ^= 1; }},
      {"header.magic", [](auto& i) { i.header.magic = abi::kRoutesMagic; }},
      {"header.abi_version", [](auto& i) { ++i.header.abi_version; }},
      {"header.abi_version", [](auto& i) { i.header.abi_version = 0; }},
      {"header.bytes", [](auto& i) { ++i.header.bytes; }},
      {"header.generation", [](auto& i) { i.header.generation = 0; }},
      {"header.reserved", [](auto& i) { i.header.reserved[3] = 1; }},
  });
  auto image = good_config();
  image->header.checksum ^= 1;
  EXPECT_EQ(reason_for(*image).rfind("header.checksum", 0), 0u);
}

TEST(ConfigAttach, RefusesAWrongBootSection) {
  expect_refused({
      {"boot.workers", [](auto& i) { i.boot.workers = 0; }},
      {"boot.workers", [](auto& i) { i.boot.workers = abi::kWorkersMax + 1; }},
      {"boot.ports", [](auto& i) { i.boot.ports = 0; }},
      {"boot.ports", [](auto& i) { i.boot.ports = abi::kPortsMax + 1; }},
      {"boot.shards", [](auto& i) { i.boot.shards = 0; }},
      {"boot.shards", [](auto& i) { i.boot.shards = 3; }},
      {"boot.shards", [](auto& i) { i.boot.shards = 1; }},
      {"boot.shards", [](auto& i) { i.boot.shards = abi::kShardsMax * 2; }},
      {"boot.cache_bytes", [](auto& i) { i.boot.cache_bytes = 0; }},
      {"boot.cache_bytes", [](auto& i) { i.boot.cache_bytes += 1; }},
      {"boot.cache_bytes", [](auto& i) { i.boot.cache_bytes -= kShardUnitBytes; }},
      {"boot.frames_per_worker", [](auto& i) { i.boot.frames_per_worker = 1023; }},
      {"boot.frames_per_worker", [](auto& i) { i.boot.frames_per_worker = (1u << 20) + 1; }},
      {"boot.hugepages", [](auto& i) { i.boot.hugepages = 2; }},
      {"boot.hugepage_dir is empty", [](auto& i) { std::memset(i.boot.hugepage_dir, 0, 128); }},
      {"boot.hugepage_dir is not an abs", [](auto& i) { i.boot.hugepage_dir[0] = 'd'; }},
      {"boot.hugepage_dir is not closed",
       [](auto& i) { std::memset(i.boot.hugepage_dir, 'a', 128); }},
      {"boot.hugepage_dir holds bytes", [](auto& i) { i.boot.hugepage_dir[127] = 'a'; }},
      {"boot.cores[0]", [](auto& i) { i.boot.cores[0] = -1; }},
      {"boot.cores[2]", [](auto& i) { i.boot.cores[2] = kCoreMax + 1; }},
      {"boot.port[0].name", [](auto& i) { std::memset(i.boot.port[0].name, 'a', 32); }},
      {"boot.port[1].name is empty", [](auto& i) { std::memset(i.boot.port[1].name, 0, 32); }},
      {"boot.port[0].interface", [](auto& i) { std::memset(i.boot.port[0].interface, 'a', 32); }},
      {"boot.port[1].device", [](auto& i) { i.boot.port[1].device[0] = '\n'; }},
      {"boot.port[0] must", [](auto& i) { std::memset(i.boot.port[0].interface, 0, 32); }},
      {"boot.port[1] must", [](auto& i) { std::strcpy(i.boot.port[1].interface, "vb"); }},
      {"boot.port[2] (unused)", [](auto& i) { i.boot.port[2].device[5] = 1; }},
      {"boot.reserved ", [](auto& i) { i.boot.reserved[5] = 1; }},
      {"boot.clock", [](auto& i) { i.boot.clock = abi::ClockMode{2}; }},
      {"boot.flows_per_worker", [](auto& i) { i.boot.flows_per_worker = 1023; }},
      {"boot.flows_per_worker", [](auto& i) { i.boot.flows_per_worker = (1u << 20) + 1; }},
  });
}

TEST(ConfigAttach, RefusesWrongCountsAndSwitches) {
  expect_refused({
      {"service.binds", [](auto& i) { i.service.binds = abi::kBindsMax + 1; }},
      {"service.backends", [](auto& i) { i.service.backends = abi::kBackendsMax + 1; }},
      {"service.pools", [](auto& i) { i.service.pools = abi::kPoolsMax + 1; }},
      {"service.packet_caches", [](auto& i) { i.service.packet_caches = 9; }},
      {"service.rules", [](auto& i) { i.service.rules = abi::kRulesMax + 1; }},
      {"service.prefixes is 257; allowed", [](auto& i) { i.service.prefixes = 257; }},
      {"service.packet_caches", [](auto& i) { i.service.packet_caches = UINT32_MAX; }},
      {"service.edns_udp_bytes", [](auto& i) { i.service.edns_udp_bytes = 511; }},
      {"service.edns_udp_bytes", [](auto& i) { i.service.edns_udp_bytes = 4097; }},
      {"service.idle", [](auto& i) { i.service.idle = abi::IdleMode{2}; }},
      {"service.answer_rd0", [](auto& i) { i.service.answer_rd0 = 2; }},
      {"service.log_level", [](auto& i) { i.service.log_level = 7; }},
      {"service.upstream_randomize_case is 2",
       [](auto& i) { i.service.upstream_randomize_case = 2; }},
      {"service.upstream_cookies is 9", [](auto& i) { i.service.upstream_cookies = 9; }},
      {"service.vlan", [](auto& i) { i.service.vlan[127] = 0x8000'0000u; }},
      {"service.stale.kept_s", [](auto& i) { i.service.stale.kept_s = 259'201; }},
      {"service.stale.client_timer_ms", [](auto& i) { i.service.stale.client_timer_ms = 0; }},
      {"service.stale.recheck_s", [](auto& i) { i.service.stale.recheck_s = 0; }},
      {"service.stale.ttl_s", [](auto& i) { i.service.stale.ttl_s = 0; }},
      {"service.limits.domain_misses_max",
       [](auto& i) { i.service.limits.domain_misses_max = 4097; }},
      {"service.limits.client_misses_max",
       [](auto& i) { i.service.limits.client_misses_max = 8193; }},
      {"service.limits.responses_per_second",
       [](auto& i) { i.service.limits.responses_per_second = 100'001; }},
      {"service.limits.slip", [](auto& i) { i.service.limits.slip = 1001; }},
      {"service.limits.prefix_bits4", [](auto& i) { i.service.limits.prefix_bits4 = 7; }},
      {"service.limits.prefix_bits4", [](auto& i) { i.service.limits.prefix_bits4 = 33; }},
      {"service.limits.prefix_bits6", [](auto& i) { i.service.limits.prefix_bits6 = 15; }},
      {"service.limits.prefix_bits6", [](auto& i) { i.service.limits.prefix_bits6 = 129; }},
      {"service.prefetch.left_percent", [](auto& i) { i.service.prefetch.left_percent = 51; }},
      {"service.prefetch.lifetime_s_min", [](auto& i) { i.service.prefetch.lifetime_s_min = 0; }},
      {"service.prefetch.per_second_max", [](auto& i) { i.service.prefetch.per_second_max = 0; }},
  });
}

TEST(ConfigAttach, RefusesWrongUpstreamSettings) {
  expect_refused({
      {"service.upstream_edns_udp_bytes", [](auto& i) { i.service.upstream_edns_udp_bytes = 0; }},
      {"service.upstream_edns_udp_bytes",
       [](auto& i) { i.service.upstream_edns_udp_bytes = 4097; }},
      {"service.upstream_port_first", [](auto& i) { i.service.upstream_port_first = 1023; }},
      {"service.upstream_port_first", [](auto& i) { i.service.upstream_port_first = 65'535; }},
      {"service.upstream_port_end", [](auto& i) { i.service.upstream_port_end = 20'031; }},
      {"service.upstream_port_end", [](auto& i) { i.service.upstream_port_end = 0; }},
      {"service.upstream_try_ms", [](auto& i) { i.service.upstream_try_ms = 0; }},
      {"service.upstream_try_ms", [](auto& i) { i.service.upstream_try_ms = 60'001; }},
      {"service.upstream_give_up_ms", [](auto& i) { i.service.upstream_give_up_ms = 799; }},
      {"service.upstream_give_up_ms", [](auto& i) { i.service.upstream_give_up_ms = 60'001; }},
      {"service.upstream_tries_max", [](auto& i) { i.service.upstream_tries_max = 0; }},
      {"service.upstream_tries_max", [](auto& i) { i.service.upstream_tries_max = 5; }},
      {"service.probe_interval_ms", [](auto& i) { i.service.probe_interval_ms = 0; }},
      {"service.probe_interval_ms", [](auto& i) { i.service.probe_interval_ms = 60'001; }},
      {"service.down_after", [](auto& i) { i.service.down_after = 0; }},
      {"service.down_after", [](auto& i) { i.service.down_after = 1001; }},
  });
}

TEST(ConfigAttach, RefusesWrongBinds) {
  expect_refused({
      {"service.bind[0].address.family", [](auto& i) { i.service.bind[0].address.family = 0; }},
      {"service.bind[1].address.family", [](auto& i) { i.service.bind[1].address.family = 5; }},
      {"service.bind[0].address is IPv4 with",
       [](auto& i) { i.service.bind[0].address.bytes[4] = 1; }},
      {"service.bind[0].address.reserved", [](auto& i) { i.service.bind[0].address.reserved = 1; }},
      {"service.bind[0].address has port 0",
       [](auto& i) { i.service.bind[0].address.port_be = 0; }},
      {"service.bind[1].pool", [](auto& i) { i.service.bind[1].pool = 2; }},
      {"service.bind[0] uses port 20000",
       [](auto& i) { i.service.bind[0].address.port_be = __builtin_bswap16(20'000); }},
      {"service.bind[0] uses port 59999",
       [](auto& i) { i.service.bind[0].address.port_be = __builtin_bswap16(59'999); }},
      {"service.bind[1] has the address", [](auto& i) { i.service.bind[1] = i.service.bind[0]; }},
      {"service.bind[2] (unused)", [](auto& i) { i.service.bind[2].pool = 1; }},
      {"service.bind[31] (unused)", [](auto& i) { i.service.bind[31].address.family = 4; }},
  });
}

TEST(ConfigAttach, RefusesWrongBackends) {
  expect_refused({
      {"service.backend[0].name", [](auto& i) { std::memset(i.service.backend[0].name, 'x', 32); }},
      {"service.backend[1].name", [](auto& i) { std::memset(i.service.backend[1].name, 0, 32); }},
      {"service.backend[1].name", [](auto& i) { i.service.backend[1].name[0] = '\x7f'; }},
      {"service.backend[0].address.family",
       [](auto& i) { i.service.backend[0].address.family = 7; }},
      {"service.backend[0].address has port",
       [](auto& i) { i.service.backend[0].address.port_be = 0; }},
      {"service.backend[0].address is the unspecified",
       [](auto& i) { i.service.backend[0].address = address_of("0.0.0.0", 53); }},
      {"service.backend[1].address.reserved",
       [](auto& i) { i.service.backend[1].address.reserved = 9; }},
      {"service.backend[0].weight", [](auto& i) { i.service.backend[0].weight = 0; }},
      {"service.backend[0].weight", [](auto& i) { i.service.backend[0].weight = 1001; }},
      {"service.pool[0].policy",
       [](auto& i) { i.service.pool[0].policy = static_cast<abi::PoolPolicy>(5); }},
      {"service.pool[0].subnet_bits4", [](auto& i) { i.service.pool[0].subnet_bits4 = 33; }},
      {"service.pool[0].subnet_bits6", [](auto& i) { i.service.pool[0].subnet_bits6 = 65; }},
      {"service.forwards", [](auto& i) { i.service.forwards = 129; }},
      {"service.forward_bytes", [](auto& i) { i.service.forward_bytes = 4097; }},
      {"service.forward_bytes", [](auto& i) { i.service.forward_bytes = 8; }},
      {"service.forward[1] has no name", [](auto& i) { i.service.forward_bytes = 6; }},
      {"service.forward[0].pool is", [](auto& i) { i.service.forward[0].pool = 2; }},
      {"service.forward[0].pools", [](auto& i) { i.service.forward[0].pools = 0b100; }},
      {"service.forward[0] has no name", [](auto& i) { i.service.forward[0].bytes = 5; }},
      {"service.forward[0] has no name", [](auto& i) { i.service.forward[0].bytes = 255; }},
      {"service.forward[0] has no name", [](auto& i) { i.service.forward_name[1] = 'C'; }},
      {"service.forward[0] has no name", [](auto& i) { i.service.forward_name[0] = 0xc0; }},
      {"service.forward[2] (unused)", [](auto& i) { i.service.forward[2].pool = 1; }},
      {"service.forward_name[7] (unused)", [](auto& i) { i.service.forward_name[7] = 1; }},
      {"service.upstream_hedge_ms", [](auto& i) { i.service.upstream_hedge_ms = 60'001; }},
      {"service.backend[2] (unused)", [](auto& i) { i.service.backend[2].name[0] = 'x'; }},
  });
}

TEST(ConfigAttach, RefusesWrongPools) {
  expect_refused({
      {"service.pool[0].name", [](auto& i) { std::memset(i.service.pool[0].name, 0, 32); }},
      {"service.pool[1].packet_cache", [](auto& i) { i.service.pool[1].packet_cache = 1; }},
      {"service.pool[1].packet_cache",
       [](auto& i) { i.service.pool[1].packet_cache = UINT32_MAX; }},
      {"service.pool[0].backends names backend 2", [](auto& i) { i.service.pool[0].backends = 7; }},
      {"service.pool[0].backends names backend 31",
       [](auto& i) { i.service.pool[0].backends = 1u << 31; }},
      {"service.pool[2] (unused)", [](auto& i) { i.service.pool[2].backends = 1; }},
  });
}

TEST(ConfigAttach, RefusesWrongPacketCaches) {
  expect_refused({
      {"service.packet_cache[0].name",
       [](auto& i) { std::memset(i.service.packet_cache[0].name, 0, 32); }},
      {"service.packet_cache[0].ttl_s_max",
       [](auto& i) { i.service.packet_cache[0].ttl_s_max = 0; }},
      {"service.packet_cache[0].ttl_s_max",
       [](auto& i) { i.service.packet_cache[0].ttl_s_max = kTtlSMax + 1; }},
      {"service.packet_cache[0].ttl_s_min",
       [](auto& i) { i.service.packet_cache[0].ttl_s_min = 86'401; }},
      {"service.packet_cache[0].ttl_s_min_cacheable",
       [](auto& i) { i.service.packet_cache[0].ttl_s_min_cacheable = 86'401; }},
      {"service.packet_cache[0].negative_ttl_s_max",
       [](auto& i) { i.service.packet_cache[0].negative_ttl_s_max = kTtlSMax + 1; }},
      {"service.packet_cache[0].failure_ttl_s",
       [](auto& i) { i.service.packet_cache[0].failure_ttl_s = 0; }},
      {"service.packet_cache[0].failure_ttl_s",
       [](auto& i) { i.service.packet_cache[0].failure_ttl_s = 301; }},
      {"service.packet_cache[0].failure_ttl_s_max",
       [](auto& i) {
         i.service.packet_cache[0].failure_ttl_s_max = i.service.packet_cache[0].failure_ttl_s - 1;
       }},
      {"service.packet_cache[0].failure_ttl_s_max",
       [](auto& i) { i.service.packet_cache[0].failure_ttl_s_max = 301; }},
      {"service.packet_cache[0].entry_bytes_max",
       [](auto& i) { i.service.packet_cache[0].entry_bytes_max = 511; }},
      {"service.packet_cache[0].entry_bytes_max",
       [](auto& i) { i.service.packet_cache[0].entry_bytes_max = 65'537; }},
      {"service.packet_cache[0].unrelated is 3; allowed 0..2",
       [](auto& i) { i.service.packet_cache[0].unrelated = abi::UnrelatedRecords{3}; }},
      {"service.packet_cache[1] (unused)",
       [](auto& i) { i.service.packet_cache[1].ttl_s_max = 1; }},
  });
}

TEST(ConfigAttach, RefusesWrongRules) {
  expect_refused({
      {"service.rule[0].binds names bind 2", [](auto& i) { i.service.rule[0].binds = 7; }},
      {"service.rule[1].binds names bind 31", [](auto& i) { i.service.rule[1].binds = 1u << 31; }},
      {"service.rule[0].action", [](auto& i) { i.service.rule[0].action = abi::RuleAction{3}; }},
      {"service.rule[0].pool is 2", [](auto& i) { i.service.rule[0].pool = 2; }},
      {"service.rule[0].pool is 254", [](auto& i) { i.service.rule[0].pool = 254; }},
      {"service.rule[1].pool is 1, but nothing", [](auto& i) { i.service.rule[1].pool = 1; }},
      {"service.prefixes is 3, but the rules have 4",
       [](auto& i) { i.service.rule[1].prefixes = 2; }},
      {"service.prefixes is 3, but the rules have 65537",
       [](auto& i) { i.service.rule[1].prefixes = 65'535; }},
      {"service.rule[2] (unused)", [](auto& i) { i.service.rule[2].binds = 1; }},
      {"service.prefix[0].family", [](auto& i) { i.service.prefix[0].family = 0; }},
      {"service.prefix[0].bits", [](auto& i) { i.service.prefix[0].bits = 33; }},
      {"service.prefix[1].bits", [](auto& i) { i.service.prefix[1].bits = 129; }},
      {"service.prefix[0] has bits behind", [](auto& i) { i.service.prefix[0].bits = 14; }},
      {"service.prefix[0] has bits behind", [](auto& i) { i.service.prefix[0].bytes[4] = 1; }},
      {"service.prefix[1] has bits behind", [](auto& i) { i.service.prefix[1].bytes[15] = 1; }},
      {"service.prefix[1].reserved", [](auto& i) { i.service.prefix[1].reserved[1] = 1; }},
      {"service.prefix[3] (unused)", [](auto& i) { i.service.prefix[3].family = 4; }},
  });
}

void fill_every_table(ConfigImage& image) {
  abi::ServiceSection& service = image.service;
  service.binds = abi::kBindsMax;
  service.backends = abi::kBackendsMax;
  service.pools = abi::kPoolsMax;
  service.packet_caches = abi::kPacketCachesMax;
  service.rules = abi::kRulesMax;
  service.prefixes = abi::kPrefixesMax;
  for (uint32_t i = 0; i < abi::kBindsMax; ++i) {
    service.bind[i] = {address_of("198.18.0." + std::to_string(i), 53), i % abi::kPoolsMax};
  }
  for (abi::BackendConfig& backend : service.backend)
    backend = service.backend[0];
  for (abi::PoolConfig& pool : service.pool)
    pool = service.pool[0];
  for (abi::PacketCacheConfig& cache : service.packet_cache)
    cache = service.packet_cache[0];
  for (abi::RuleConfig& rule : service.rule)
    rule = {UINT32_MAX, abi::kPrefixesMax / abi::kRulesMax, abi::RuleAction::allow, 15};
  for (abi::PrefixConfig& prefix : service.prefix) {
    prefix = {{}, 6, 128, {}};
    std::memset(prefix.bytes, 0xff, sizeof prefix.bytes);
  }
  service.pool[15].packet_cache = abi::kPacketCachesMax - 1;
  service.pool[15].backends = UINT32_MAX;
}

TEST(ConfigAttach, AcceptsTheEdgesOfEveryRange) {
  expect_accepted({
      {"one worker", [](auto& i) { i.boot.workers = 1; }},
      {"most workers and shards",
       [](auto& i) {
         i.boot.workers = abi::kWorkersMax;
         i.boot.shards = abi::kShardsMax;
         i.boot.cache_bytes = abi::kShardsMax * kShardUnitBytes;
       }},
      {"shards = workers", [](auto& i) { i.boot.shards = 2; }},
      {"fewest frames", [](auto& i) { i.boot.frames_per_worker = kFramesPerWorkerMin; }},
      {"fewest flows", [](auto& i) { i.boot.flows_per_worker = abi::kFlowsMin; }},
      {"most flows", [](auto& i) { i.boot.flows_per_worker = abi::kFlowsMax; }},
      {"a prefix of one address", [](auto& i) { i.service.prefix[0].bits = 32; }},
      {"no hugepages",
       [](auto& i) {
         i.boot.hugepages = 0;
         std::memset(i.boot.hugepage_dir, 0, 128);
       }},
      {"longest name", [](auto& i) { std::memset(i.service.pool[0].name, 'n', 31); }},
      {"nothing served",
       [](auto& i) {
         std::memset(i.service.bind, 0, sizeof i.service.bind);
         i.service.binds = 0;
         i.service.rule[0].binds = i.service.rule[1].binds = 0;
       }},
      {"no backends",
       [](auto& i) {
         std::memset(i.service.backend, 0, sizeof i.service.backend);
         i.service.backends = 0;
         i.service.pool[0].backends = i.service.pool[1].backends = 0;
       }},
      {"bind just below the upstream ports",
       [](auto& i) { i.service.bind[0].address.port_be = __builtin_bswap16(19'999); }},
      {"bind just above the upstream ports",
       [](auto& i) { i.service.bind[0].address.port_be = __builtin_bswap16(60'000); }},
      {"fewest upstream ports", [](auto& i) { i.service.upstream_port_end = 20'032; }},
      {"failure ttl 1", [](auto& i) { i.service.packet_cache[0].failure_ttl_s = 1; }},
      {"failure ttl 300", [](auto& i) { i.service.packet_cache[0].failure_ttl_s = 300; }},
      {"give up at the first timeout", [](auto& i) { i.service.upstream_give_up_ms = 800; }},
      {"every table full", [](auto& i) { fill_every_table(i); }},
  });
}

TEST(ConfigAttach, RefusesEveryOtherSize) {
  const auto image = good_config();
  std::vector<uint64_t> room(sizeof *image / 8 + 2);
  std::memcpy(room.data(), image.get(), sizeof *image);
  for (std::size_t len = 0; len <= sizeof *image + 8; ++len) {
    ASSERT_EQ(verify_config(room.data(), len).empty(), len == sizeof *image) << len << " bytes";
  }
}

TEST(ConfigAttach, RefusesMemoryThatIsNotAligned) {
  const auto image = good_config();
  std::vector<uint64_t> room(sizeof *image / 8 + 1);
  auto* odd = reinterpret_cast<uint8_t*>(room.data()) + 4;
  std::memcpy(odd, image.get(), sizeof *image);
  EXPECT_EQ(verify_config(odd, sizeof *image), "the image is not aligned to 8 bytes");
}

uint64_t seed_of_this_run() {
  const char* given = std::getenv("MR_TEST_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  std::printf("MR_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

TEST(ConfigAttach, NoChangedByteGetsPastTheChecksum) {
  auto image = good_config();
  auto* bytes = reinterpret_cast<uint8_t*>(image.get());
  for (std::size_t at = 0; at < sizeof *image; ++at) {
    bytes[at] ^= 1;
    ASSERT_NE(reason_for(*image), "") << "byte " << at;
    bytes[at] ^= 1;
  }
  EXPECT_EQ(reason_for(*image), "");
}

TEST(ConfigAttach, RandomCorruptionNeverPasses) {
  std::mt19937_64 random(seed_of_this_run());
  const auto good = good_config();
  ConfigImage image;
  for (int round = 0; round < 5000; ++round) {
    image = *good;
    auto* bytes = reinterpret_cast<uint8_t*>(&image);
    for (uint64_t n = 1 + random() % 16; n > 0; --n) {
      bytes[random() % sizeof image] = static_cast<uint8_t>(random());
    }
    if (std::memcmp(&image, good.get(), sizeof image) == 0) continue;
    ASSERT_NE(reason_for(image), "") << "round " << round;
  }
}

// With the checksum put right, anything may be in the fields: whatever is accepted must be safe to
// run under, judged here by rules of its own.
TEST(ConfigAttach, WhatIsAcceptedIsSafeToIndex) {
  std::mt19937_64 random(seed_of_this_run());
  const auto good = good_config();
  ConfigImage image;
  uint32_t accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    image = *good;
    auto* words = reinterpret_cast<uint32_t*>(&image.boot);
    const std::size_t cnt = (sizeof image - sizeof image.header) / sizeof *words;
    words[random() % (round % 2 == 0 ? 16 : cnt)] = static_cast<uint32_t>(random() % 40);
    seal_checksum(image);
    if (!reason_for(image).empty()) continue;
    ++accepted;
    const auto& [boot, service] = std::tie(image.boot, image.service);
    ASSERT_TRUE(boot.workers >= 1 && boot.workers <= abi::kWorkersMax);
    ASSERT_TRUE(boot.ports >= 1 && boot.ports <= abi::kPortsMax);
    ASSERT_EQ(__builtin_popcount(boot.shards), 1);
    ASSERT_GE(boot.cache_bytes / boot.shards, kShardUnitBytes);
    for (uint32_t i = 0; i < service.binds; ++i) {
      const abi::PoolConfig& pool = service.pool[service.bind[i].pool];
      ASSERT_LT(service.bind[i].pool, service.pools);
      ASSERT_LT(pool.packet_cache, service.packet_caches);
      ASSERT_EQ(uint64_t{pool.backends} >> service.backends, 0u);
      ASSERT_LE(std::strlen(pool.name), 31u);
    }
  }
  EXPECT_GT(accepted, 100u) << "the walk never met a valid image";
}

TEST(ConfigAttach, ChecksumsTellSectionsApart) {
  const auto a = good_config(1);
  const auto b = good_config(2);
  EXPECT_EQ(boot_checksum(*a), boot_checksum(*b));
  EXPECT_NE(a->header.checksum, b->header.checksum);
  b->boot.frames_per_worker += 1;
  EXPECT_NE(boot_checksum(*a), boot_checksum(*b));
}

// The number of a packet cache is in every stored key.
TEST(ConfigAttach, PacketCachesThatChangePlacesWantARestart) {
  auto image = good_config();
  std::strcpy(image->service.packet_cache[0].name, "first");
  std::strcpy(image->service.packet_cache[1].name, "second");
  const uint64_t before = boot_checksum(*image);
  image->service.packet_cache[0].ttl_s_max += 1;
  EXPECT_EQ(boot_checksum(*image), before);
  std::swap(image->service.packet_cache[0].name, image->service.packet_cache[1].name);
  EXPECT_NE(boot_checksum(*image), before);
}

TEST(ConfigAttach, TheChecksumIsXxh3WithItsFieldZero) {
  auto image = good_config();
  const uint64_t checksum = image->header.checksum;
  image->header.checksum = 0;
  EXPECT_EQ(XXH3_64bits(image.get(), sizeof *image), checksum);
  image->header.checksum = 12345;
  EXPECT_EQ(image_checksum(image.get(), sizeof *image), checksum);
}

// --- routes

std::string reason_for(const RoutesImage& image, const ConfigImage& config) {
  return verify_routes(&image, sizeof image, config);
}

TEST(RoutesAttach, AcceptsAGoodImage) {
  const auto config = good_config(7);
  EXPECT_EQ(reason_for(*good_routes(*config), *config), "");
}

TEST(RoutesAttach, AcceptsHopsThatAreNotUsable) {
  const auto config = good_config();
  const auto routes = good_routes(*config);
  std::memset(routes->hop, 0, sizeof routes->hop);
  seal_checksum(*routes);
  EXPECT_EQ(reason_for(*routes, *config), "");
}

TEST(RoutesAttach, RefusesEveryWrongField) {
  const auto config = good_config();
  const std::vector<RoutesCase> cases{
      {"header.magic", [](auto& i) { i.header.magic = abi::kConfigMagic; }},
      {"header.abi_version", [](auto& i) { ++i.header.abi_version; }},
      {"header.bytes", [](auto& i) { --i.header.bytes; }},
      {"header.generation", [](auto& i) { i.header.generation = 0; }},
      {"header.reserved", [](auto& i) { i.header.reserved[0] = 1; }},
      {"config_generation", [](auto& i) { ++i.config_generation; }},
      {"backends", [](auto& i) { i.backends = 1; }},
      {"backends", [](auto& i) { i.backends = UINT32_MAX; }},
      {"reserved", [](auto& i) { i.reserved = 1; }},
      {"hop[0].usable", [](auto& i) { i.hop[0].usable = 2; }},
      {"hop[0].reserved2", [](auto& i) { i.hop[0].reserved2 = 2; }},
      {"hop[1].port", [](auto& i) { i.hop[1].port = 2; }},
      {"hop[0].source.family", [](auto& i) { i.hop[0].source.family = 0; }},
      {"hop[0].source.family is 6", [](auto& i) { i.hop[0].source.family = 6; }},
      {"hop[0].source is IPv4 with", [](auto& i) { i.hop[0].source.bytes[15] = 6; }},
      {"hop[0].source is the unspecified",
       [](auto& i) { std::memset(i.hop[0].source.bytes, 0, 16); }},
      {"hop[0].source.reserved", [](auto& i) { i.hop[0].source.reserved = 1; }},
      {"hop[1].source.port_be", [](auto& i) { i.hop[1].source.port_be = 53; }},
      {"hop[1].target_mac", [](auto& i) { std::memset(i.hop[1].target_mac, 0, 6); }},
      {"hop[0].mtu", [](auto& i) { i.hop[0].mtu = 575; }},
      {"hop[1].mtu", [](auto& i) { i.hop[1].mtu = 1279; }},
      {"hop[0].mtu", [](auto& i) { i.hop[0].mtu = 65'536; }},
      {"hop[2] (unused)", [](auto& i) { i.hop[2].mtu = 1500; }},
  };
  for (const RoutesCase& one : cases) {
    auto routes = good_routes(*config);
    one.breaks(*routes);
    seal_checksum(*routes);
    const std::string reason = reason_for(*routes, *config);
    EXPECT_EQ(reason.rfind(one.names, 0), 0u)
        << "expected a reason that begins with \"" << one.names << "\", got \"" << reason << '"';
  }
}

TEST(RoutesAttach, RefusesAHopThatIsNotUsableWithAPortThatIsNot) {
  const auto config = good_config();
  const auto routes = good_routes(*config);
  routes->hop[0].usable = 0;
  routes->hop[0].port = 200;
  seal_checksum(*routes);
  EXPECT_EQ(reason_for(*routes, *config).rfind("hop[0].port", 0), 0u);
}

TEST(RoutesAttach, NoChangedByteGetsPastTheChecksum) {
  const auto config = good_config();
  const auto routes = good_routes(*config);
  auto* bytes = reinterpret_cast<uint8_t*>(routes.get());
  for (std::size_t at = 0; at < sizeof *routes; ++at) {
    bytes[at] ^= 0x80;
    ASSERT_NE(reason_for(*routes, *config), "") << "byte " << at;
    bytes[at] ^= 0x80;
  }
  for (std::size_t len = 0; len < sizeof *routes; ++len) {
    ASSERT_NE(verify_routes(routes.get(), len, *config), "");
  }
}

}  // namespace
}  // namespace millrace::snapshot
