// SPDX-License-Identifier: Apache-2.0
// The table of local zones against a list that is searched from end to end.
#include "dataplane/worker/local_zones.hpp"

#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/worker/images.hpp"

namespace millrace::test {
namespace {

using abi::LocalKind;

struct Zones {
  std::unique_ptr<abi::ServiceSection> service{new abi::ServiceSection{}};
  dp::LocalZones table;

  void add(const std::string& name, LocalKind kind) { add_zone(*service, name, kind); }
  void load() { table.load(*service); }
  // Offset of the zone in the name; -1: none.
  int at(const std::string& name) {
    dp::LocalZones::Match match{};
    return table.find(Name(name).bytes().data(), match) ? match.at : -1;
  }
};

TEST(LocalZones, NoneMatchNothing) {
  Zones zones;
  zones.load();
  EXPECT_EQ(zones.at("test"), -1);
  EXPECT_EQ(zones.at("."), -1);
}

TEST(LocalZones, AZoneHasItsNameAndAllBelowAndNothingElse) {
  Zones zones;
  zones.add("10.in-addr.arpa", LocalKind::empty);
  zones.add("test", LocalKind::nxdomain);
  zones.load();
  EXPECT_EQ(zones.at("test"), 0);
  EXPECT_EQ(zones.at("a.test"), 2);
  EXPECT_EQ(zones.at("a.b.c.test"), 6);
  EXPECT_EQ(zones.at("10.in-addr.arpa"), 0);
  EXPECT_EQ(zones.at("1.10.in-addr.arpa"), 2);
  for (const char* other : {".", "atest", "test.example", "0.in-addr.arpa", "110.in-addr.arpa",
                            "in-addr.arpa", "arpa", "a.tes"}) {
    EXPECT_EQ(zones.at(other), -1) << other;
  }
}

TEST(LocalZones, TheLongestWins) {
  Zones zones;
  zones.add("arpa", LocalKind::empty);
  zones.add("a.home.arpa", LocalKind::loopback);
  zones.add("home.arpa", LocalKind::nodata);
  zones.load();
  dp::LocalZones::Match match{};
  ASSERT_TRUE(zones.table.find(Name("x.a.home.arpa").bytes().data(), match));
  EXPECT_EQ(match.kind, LocalKind::loopback);
  ASSERT_TRUE(zones.table.find(Name("b.home.arpa").bytes().data(), match));
  EXPECT_EQ(match.kind, LocalKind::nodata);
  ASSERT_TRUE(zones.table.find(Name("ip6.arpa").bytes().data(), match));
  EXPECT_EQ(match.kind, LocalKind::empty);
}

TEST(LocalZones, AFullTableAndTheLongestName) {
  Zones zones;
  const std::string label(63, 'x');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'y');
  std::string deepest;
  for (int i = 0; i < 127; ++i) deepest += "z.";
  zones.add(longest, LocalKind::empty);
  zones.add(deepest, LocalKind::empty);
  while (zones.service->local_zones < abi::kLocalZonesMax) {
    zones.add("z" + std::to_string(zones.service->local_zones), LocalKind::empty);
  }
  zones.load();
  EXPECT_EQ(zones.at(longest), 0);
  EXPECT_EQ(zones.at(deepest), 0);
  for (uint32_t i = 2; i < abi::kLocalZonesMax; ++i) {
    EXPECT_EQ(zones.at("www.z" + std::to_string(i)), 4);
  }
  EXPECT_EQ(zones.at("z1"), -1);
}

// Few labels, so that zones often lie above one another and names often match.
TEST(LocalZones, RandomZonesAsAListWouldHaveThem) {
  std::mt19937 random(7);
  const auto name = [&random] {
    std::string text;
    for (uint64_t i = 0, labels = 1 + random() % 4; i < labels; ++i) {
      text += (text.empty() ? "" : ".") + std::string(1 + random() % 2, char('a' + random() % 3));
    }
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    Zones zones;
    std::vector<std::string> list;
    for (uint64_t i = 0, cnt = random() % 40; i < cnt; ++i) {
      list.push_back(name());
      zones.add(list.back(), LocalKind::empty);
    }
    zones.load();
    for (int k = 0; k < 50; ++k) {
      const std::string asked = name();
      int best = -1;
      for (const std::string& zone : list) {
        const bool whole = asked == zone;
        const bool below = asked.size() > zone.size() && asked.ends_with("." + zone);
        const int at = static_cast<int>(asked.size() - zone.size());
        if ((whole || below) && (best < 0 || at < best)) best = at;
      }
      ASSERT_EQ(zones.at(asked), best) << asked;
    }
  }
}

}  // namespace
}  // namespace millrace::test
