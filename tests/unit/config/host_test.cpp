// SPDX-License-Identifier: Apache-2.0
// What is left to the machine, and what a minimal config implies.
#include "control/snapshot/compile.hpp"
#include "tests/unit/config/support.hpp"

#include <gtest/gtest.h>

namespace millrace::ctl::testing {
namespace {

Config on(const std::string& text, const Host& host) {
  LoadResult result = load_config_text(text, "t.yaml", host);
  EXPECT_TRUE(result.ok()) << result.text();
  return result.ok() ? *result.config : Config{};
}

TEST(Minimal, ImpliesOnePoolAndOneCache) {
  const Config config = on(kGood, kHost);
  ASSERT_EQ(config.pools.size(), 1u);
  EXPECT_EQ(config.pools[0], (Pool{.name = "default", .packet_cache = "default"}));
  ASSERT_EQ(config.packet_caches.size(), 1u);
  EXPECT_EQ(config.packet_caches[0], PacketCache{.name = "default"});
  EXPECT_EQ(config.binds[0].pool, "default");
  EXPECT_EQ(config.binds[0].listen_address.text(), "198.18.0.53:53");
  EXPECT_EQ(config.backends[0].pools, std::vector<std::string>{"default"});
  EXPECT_EQ(config.upstream, Upstream{});
  EXPECT_EQ(config.dataplane.workers, 1u);
}

TEST(Minimal, SectionsThatAreOnlyNamedAreDefaults) {
  EXPECT_EQ(on(kGood + "pools:\npacket_caches: []\nupstream:\nlogging: {}\n", kHost),
            on(kGood, kHost));
}

TEST(Cores, WorkersGetTheLastCpusAndTheMainThreadTheFirstFreeOne) {
  const Config one = on(kGood, kHost);
  EXPECT_EQ(one.dataplane.cores, std::vector<int>{3});
  EXPECT_EQ(one.dataplane.main_core, 0);
  const Config three = on(kGood + "dataplane: {workers: 3}\n", Host{{2, 5, 6, 9}});
  EXPECT_EQ(three.dataplane.cores, (std::vector<int>{5, 6, 9}));
  EXPECT_EQ(three.dataplane.main_core, 2);
}

TEST(Cores, MainSharesWithTheFirstWorkerWhenNoneIsFree) {
  const Config config = on(kGood + "dataplane: {workers: 2}\n", Host{{0, 1}});
  EXPECT_EQ(config.dataplane.cores, (std::vector<int>{0, 1}));
  EXPECT_EQ(config.dataplane.main_core, 0);
  EXPECT_EQ(on(kGood, Host{{7}}).dataplane.main_core, 7);
}

TEST(Cores, GivenOnesStay) {
  const Config config =
      on(kGood + "dataplane: {workers: 3, cores: [0, 0, 1], main_core: 1}\n", kHost);
  EXPECT_EQ(config.dataplane.cores, (std::vector<int>{0, 0, 1}));
  EXPECT_EQ(config.dataplane.main_core, 1);
  EXPECT_EQ(on(kGood + "dataplane: {cores: [0]}\n", kHost).dataplane.main_core, 1);
}

TEST(Cores, OfThisMachineAreKnown) {
  const Host host = Host::here();
  ASSERT_FALSE(host.cpus.empty());
  EXPECT_TRUE(load_config_text(kGood, "t.yaml").ok());
}

TEST(Shards, AreSixteenUnlessTheCacheIsTooSmall) {
  const auto shards = [](const std::string& size, const std::string& workers) {
    return on(kGood + "packet_caches: [{name: default, size: " + size + "}]\n" +
                  "dataplane: {workers: " + workers + ", cores: [" +
                  (workers == "1" ? "0" : "0, 0, 0") + "]}\n",
              kHost)
        .dataplane.shards;
  };
  EXPECT_EQ(shards("1GiB", "1"), 16u);
  EXPECT_EQ(shards("32MiB", "1"), 16u);
  EXPECT_EQ(shards("33554431B", "1"), 8u);
  EXPECT_EQ(shards("4MiB", "1"), 2u);
  EXPECT_EQ(shards("1MiB", "1"), 1u);
  EXPECT_EQ(shards("1MiB", "3"), 4u);
}

TEST(CacheBytes, AreTheSumRoundedUp) {
  Config config = on(kGood +
                         "packet_caches: [{name: default, size: 33MiB}, "
                         "{name: b, size: 32MiB}]\n",
                     kHost);
  EXPECT_EQ(config.dataplane.shards, 16u);
  EXPECT_EQ(cache_bytes(config), 96ull << 20);
  config.dataplane.shards = 1;
  EXPECT_EQ(cache_bytes(config), 66ull << 20);
}

TEST(Quantities, CanBeWrittenInEveryUnit) {
  const Config config = on(kGood +
                               "packet_caches:\n"
                               "  - {name: default, size: 65536KiB, max_ttl: 90m, min_ttl: 0s,\n"
                               "     max_negative_ttl: 2000ms, maximum_entry_size: 1024B}\n"
                               "upstream: {port_range: 20000-30000, give_up: 6s}\n",
                           kHost);
  EXPECT_EQ(config.packet_caches[0].size_bytes, 64ull << 20);
  EXPECT_EQ(config.packet_caches[0].max_ttl_s, 5400u);
  EXPECT_EQ(config.packet_caches[0].max_negative_ttl_s, 2u);
  EXPECT_EQ(config.packet_caches[0].maximum_entry_size_bytes, 1024u);
  EXPECT_EQ(config.upstream.port_range, (PortRange{.first = 20000, .end = 30001}));
  EXPECT_EQ(config.upstream.give_up_ms, 6000u);
}

}  // namespace
}  // namespace millrace::ctl::testing
