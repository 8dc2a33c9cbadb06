// SPDX-License-Identifier: Apache-2.0
// What a new config changes, and what each change costs.
#include "control/config/diff.hpp"

#include "tests/unit/config/support.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace millrace::ctl {

void PrintTo(const Change& change, std::ostream* out) {
  *out << change.key << ": " << change.before << " -> " << change.after << " ("
       << reload_class_name(change.reload) << ")";
}

namespace testing {
namespace {

using Changes = std::vector<Change>;

Config good() {
  return load(kGood).config.value();
}

TEST(Diff, OfEqualConfigsIsEmpty) {
  EXPECT_EQ(diff(good(), good()), Changes{});
  EXPECT_EQ(reload_class({}), ReloadClass::live);
}

TEST(Diff, ShowsValuesAsInYaml) {
  Config wanted = good();
  wanted.upstream.give_up_ms = 6000;
  wanted.packet_caches[0].size_bytes = 1ull << 30;
  wanted.ports[0] = {.name = "p", .interface = "", .device = "0000:03:00.0"};
  EXPECT_EQ(diff(good(), wanted),
            (Changes{{"ports[p].interface", "eth0", "", ReloadClass::port},
                     {"ports[p].device", "", "\"0000:03:00.0\"", ReloadClass::port},
                     {"packet_caches[default].size", "64MiB", "1GiB", ReloadClass::restart},
                     {"upstream.give_up", "5s", "6s", ReloadClass::live}}));
  EXPECT_EQ(reload_class(diff(good(), wanted)), ReloadClass::restart);
}

TEST(Diff, MatchesObjectsByName) {
  Config running = good();
  running.backends.push_back({.name = "s", .address = {.bytes = {198, 18, 1, 2}, .family = 4}});
  Config wanted = running;
  wanted.backends.erase(wanted.backends.begin());
  wanted.backends[0].address.port = 5353;
  wanted.backends.push_back({.name = "t", .address = {.bytes = {198, 18, 1, 3}, .family = 4}});
  const std::string rest = ", pools: [default], weight: 1, max_in_flight: 0, trust_ad: false}";
  EXPECT_EQ(
      diff(running, wanted),
      (Changes{
          {"backends[r]", "{name: \"r\", address: \"198.18.1.1:53\"" + rest, "", ReloadClass::live},
          {"backends[s].address", "\"198.18.1.2:53\"", "\"198.18.1.2:5353\"", ReloadClass::live},
          {"backends[t]", "", "{name: \"t\", address: \"198.18.1.3:53\"" + rest,
           ReloadClass::live}}));
}

TEST(Diff, SeesANewOrder) {
  Config running = good();
  running.packet_caches.push_back({.name = "second"});
  Config wanted = running;
  std::swap(wanted.packet_caches[0], wanted.packet_caches[1]);
  EXPECT_EQ(
      diff(running, wanted),
      (Changes{{"packet_caches", "[default, second]", "[second, default]", ReloadClass::restart}}));
}

TEST(Diff, KnowsWhatEachKeyCosts) {
  const auto cost = [](auto change) {
    Config wanted = good();
    change(wanted);
    const Changes changes = diff(good(), wanted);
    EXPECT_EQ(changes.size(), 1u);
    return reload_class(changes);
  };
  EXPECT_EQ(cost([](Config& c) { c.logging.level = LogLevel::debug; }), ReloadClass::live);
  EXPECT_EQ(cost([](Config& c) { c.dataplane.idle = abi::IdleMode::poll; }), ReloadClass::live);
  EXPECT_EQ(cost([](Config& c) { c.upstream.port_range.end = 31001; }), ReloadClass::live);
  EXPECT_EQ(cost([](Config& c) { c.packet_caches[0].max_ttl_s = 60; }), ReloadClass::live);
  EXPECT_EQ(cost([](Config& c) { c.pools.push_back({.name = "x"}); }), ReloadClass::live);
  EXPECT_EQ(cost([](Config& c) { c.access.push_back({.name = "x", .sources = {}}); }),
            ReloadClass::live);
  EXPECT_EQ(cost([](Config& c) { c.dataplane.vlans = {10}; }), ReloadClass::live);
  EXPECT_EQ(cost([](Config& c) { c.dataplane.flows = 2048; }), ReloadClass::restart);
  EXPECT_EQ(cost([](Config& c) { c.ports[0].interface = "x"; }), ReloadClass::port);
  EXPECT_EQ(cost([](Config& c) { c.ports.push_back({.name = "x"}); }), ReloadClass::port);
  EXPECT_EQ(cost([](Config& c) { c.packet_caches.push_back({.name = "x"}); }),
            ReloadClass::restart);
  EXPECT_EQ(cost([](Config& c) { c.dataplane.main_core = 2; }), ReloadClass::restart);
  EXPECT_EQ(cost([](Config& c) { c.dataplane.hugepages = false; }), ReloadClass::restart);
  EXPECT_EQ(cost([](Config& c) { c.testing.clock = abi::ClockMode::manual; }),
            ReloadClass::restart);
}

// A walk over random neighbours: a difference is there exactly if the configs differ.
TEST(Diff, IsEmptyExactlyForEqualConfigs) {
  const uint64_t base = seed();
  for (uint64_t i = 0; i < 200; ++i) {
    SCOPED_TRACE("MR_SEED=" + std::to_string(base + i));
    const Config a = RandomConfig(base + i).make();
    Config b = a;
    const Config other = RandomConfig(base + i + 1).make();
    ASSERT_TRUE(diff(a, b).empty());
    std::mt19937_64 rng(base + i);
    switch (rng() % 6) {
      case 0:
        b.ports = other.ports;
        break;
      case 1:
        b.packet_caches = other.packet_caches;
        break;
      case 2:
        b.upstream = other.upstream;
        break;
      case 3:
        std::shuffle(b.backends.begin(), b.backends.end(), rng);
        break;
      case 4:
        b.binds = other.binds;
        break;
      default:
        b.dataplane = other.dataplane;
        break;
    }
    ASSERT_EQ(diff(a, b).empty(), a == b);
    ASSERT_EQ(diff(b, a).empty(), a == b);
  }
}

}  // namespace
}  // namespace testing
}  // namespace millrace::ctl
