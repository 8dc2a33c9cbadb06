// SPDX-License-Identifier: Apache-2.0
// The simulator itself: policies against runs worked out by hand, the offline bound, and on a small
// trace that nothing depends on chance and the real cache keeps its part of the gain. All of it is
// deterministic, so figures may gate.
#include "tests/sim/cache/bound.hpp"
#include "tests/sim/cache/plot.hpp"
#include "tests/sim/cache/reference_cache.hpp"
#include "tests/sim/cache/report.hpp"
#include "tests/sim/cache/run.hpp"

#include <cmath>
#include <map>
#include <string>

#include <gtest/gtest.h>

namespace millrace::cachesim {
namespace {

// The floors of the project.
constexpr double kR18Gate = 0.95, kFloodGate = 0.97;

// One query a second for names that are letters, each a byte, each alive for `ttl_s`.
Trace spell(const std::string& asks, uint32_t ttl_s = 1000) {
  Trace trace;
  trace.name = "letters";
  trace.names = 26;
  trace.qps = 1;
  Object object{};
  object.ttl_s = ttl_s;
  trace.objects.assign(26, object);
  for (const char letter : asks)
    trace.asks.push_back(static_cast<uint32_t>(letter - 'a'));
  return trace;
}

std::vector<uint32_t> ones(const Trace& trace) {
  return std::vector<uint32_t>(trace.objects.size(), 1);
}

// "x" for a hit, "-" for a miss, in order.
template <class Policy>
std::string hits(const Trace& trace, uint64_t capacity) {
  const auto costs = ones(trace);
  ReferenceCache<Policy> cache(trace, Bounds{costs, capacity});
  std::string said;
  for (uint32_t query = 0; query < trace.asks.size(); ++query) {
    const bool hit = cache.lookup(trace.asks[query], trace.time_ms(query));
    if (!hit) cache.insert(trace.asks[query], trace.time_ms(query));
    said += hit ? 'x' : '-';
  }
  return said;
}

TEST(Policies, FifoForgetsTheOldestWhateverItsUse) {
  EXPECT_EQ(hits<Fifo>(spell("abcadabc"), 3), "---x----");
}

TEST(Policies, LruForgetsWhatWasNotUsedForLongest) {
  EXPECT_EQ(hits<Lru>(spell("abcadabc"), 3), "---x-x--");
}

TEST(Policies, ClockGivesASecondChanceOnce) {
  // d: a was used and becomes the newest, b goes. b: c goes. c: a was not used again, so a goes. d
  // is a hit, so the next a makes d the newest and takes b; the next b takes c.
  EXPECT_EQ(hits<Clock>(spell("abcadbcdab"), 3), "---x---x--");
  // The same, but a is used again after its chance, and stays.
  EXPECT_EQ(hits<Clock>(spell("abcadabca"), 3), "---x-x--x");
}

TEST(Policies, SieveKeepsItsHandAndMovesNobody) {
  // d: the hand unmarks a and takes b, standing at c. e: takes c, then stands at d. a is still
  // there, unmarked, behind the hand. f: takes d. a again.
  EXPECT_EQ(hits<Sieve>(spell("abcadeafa"), 3), "---x--x-x");
  // A hand that finds everybody used goes round: it unmarks a, b, c and takes a.
  EXPECT_EQ(hits<Sieve>(spell("abcabcdab"), 3), "---xxx---");
}

TEST(Policies, S3FifoSendsHomeWhatComesOnceAndRemembersIt) {
  // Ten places: one in the small queue. a is used twice, so it passes to the main queue when it
  // yields; b is not, but is remembered and comes back into the main queue, past which m..v go.
  const std::string none(10, '-');
  EXPECT_EQ(hits<S3Fifo>(spell("aaabcdefghijklbmnopqrstuvab"), 10), "-xx--" + none + none + "xx");
  // Used once only: a goes like the others.
  EXPECT_EQ(hits<S3Fifo>(spell("aabcdefghijka"), 10), "-x-" + none);
}

TEST(Policies, WhatHasExpiredIsAMissAndMakesRoom) {
  for (const std::string& said :
       {hits<Lru>(spell("aabaa", 3), 2), hits<Sieve>(spell("aabaa", 3), 2),
        hits<S3Fifo>(spell("aabaa", 3), 2)}) {
    EXPECT_EQ(said, "-x--x");  // fetched at 0, over at 3
  }
  // At 4 both a and b are over: c and d need nobody's place.
  EXPECT_EQ(hits<Fifo>(spell("abbbbcdcd", 3), 2), "--xx---xx");
}

TEST(Bound, IsReachedWhereOneCanSeeHow) {
  const Trace trace = spell("abab");
  const auto costs = ones(trace);
  EXPECT_EQ(hits_bound(trace, Bounds{costs, 2}), 2u);
  EXPECT_EQ(hits_bound(trace, Bounds{costs, 1}), 2u);  // 4 byte-queries suffice for 2 gaps of 2
  EXPECT_EQ(hits_bound(trace, Bounds{costs, 0}), 0u);
  // Fetches cover 3 s each: 0, 3, 6.
  const Trace over = spell("aaaaaaa", 3);
  EXPECT_EQ(hits_bound(over, Bounds{costs, 9}), 4u);
}

TEST(Traces, TheFloodLeavesTheOrdinaryQueriesAlone) {
  auto plans = standard_plans(5000, 1000);
  const Trace flood = make_trace(plans[plans.size() - 1], 7);
  const Trace clean = make_trace(plans[plans.size() - 2], 7);
  ASSERT_EQ(flood.name, "flood");
  ASSERT_EQ(clean.name, "dns");
  ASSERT_EQ(flood.asks.size(), 2 * clean.asks.size());
  for (uint32_t i = 0; i < clean.asks.size(); ++i) {
    const uint32_t there = flood.asks[2 * i];
    ASSERT_EQ(there < flood.names, clean.asks[i] < clean.names) << i;
    if (there < flood.names) {
      ASSERT_EQ(there, clean.asks[i]);
    }
    ASSERT_EQ(flood.time_ms(2 * i), clean.time_ms(i));
    ASSERT_TRUE(flood.objects[flood.asks[2 * i + 1]].negative);
  }
}

TEST(Traces, PopularityFollowsZipf) {
  const Zipf zipf(1000, 1.0);
  Random random(3);
  std::vector<uint32_t> cnt(1000);
  for (uint32_t i = 0; i < 1'000'000; ++i)
    ++cnt[zipf.draw(random)];
  const double first = 1e6 / 7.4855;  // the 1000th harmonic number
  for (const uint32_t rank : {0u, 1u, 9u, 99u})
    EXPECT_NEAR(cnt[rank], first / (rank + 1), 5 * std::sqrt(first / (rank + 1))) << rank;
}

TEST(Traces, TtlMixes) {
  EXPECT_TRUE(ttl_mix_of("dns"));
  const auto table = ttl_mix_of("60:3,300");
  ASSERT_TRUE(table);
  Random random(1);
  std::map<uint32_t, uint32_t> drawn;
  for (uint32_t i = 0; i < 4000; ++i)
    ++drawn[table->every.draw(random)];
  EXPECT_EQ(drawn.size(), 2u);
  EXPECT_NEAR(drawn[60], 3000, 150);
  for (const char* wrong : {"", "dn", "60:", "60:0", "60,", "-1", "60;1", "99999999999"})
    EXPECT_FALSE(ttl_mix_of(wrong)) << wrong;
}

TEST(Plot, SaysWhatItShows) {
  Plot plot{"title", "x", "y", {8, 16}, {{"one", {50, 40}, false}, {"two", {60, 30}, true}}};
  const std::string svg = svg_of(plot);
  for (const char* part : {"<svg", ">title<", ">one<", ">two<", ">8<", ">16<", "</svg>"})
    EXPECT_NE(svg.find(part), std::string::npos) << part;
}

// The small comparison: "dns" and its flood, a cache of one shard's least real size.
class Small : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { all_ = make(); }
  static std::vector<Comparison> make() {
    std::vector<Comparison> all;
    for (TracePlan& plan : standard_plans(200'000, 50'000)) {
      if (plan.name != "dns" && plan.name != "flood") continue;
      const auto here = compare(make_trace(plan, 1), {2});
      all.insert(all.end(), here.begin(), here.end());
    }
    return all;
  }
  static std::vector<Comparison> all_;
};
std::vector<Comparison> Small::all_;

TEST_F(Small, TheSameSeedGivesTheSameTable) {
  const auto again = make();
  EXPECT_EQ(table_of(all_, true), table_of(again, true));
  EXPECT_EQ(json_of(all_, 1), json_of(again, 1));
}

TEST_F(Small, NoPolicyBeatsTheBound) {
  for (const Comparison& comparison : all_) {
    for (const Row& row : comparison.rows)
      EXPECT_LE(row.score.hit_ratio(), comparison.bound_ratio) << row.policy;
    EXPECT_LE(comparison.unlimited_ratio, comparison.bound_ratio);
  }
}

TEST_F(Small, B47_TheRealCacheKeepsItsPartOfTheGain) {
  for (const Row& row : all_.front().rows) {
    const Figures figures = figures_of(all_, row.policy);
    if (!row.real) continue;
    EXPECT_GE(figures.r18, kR18Gate) << row.policy;
    EXPECT_GE(figures.flood, kFloodGate) << row.policy << "\n" << table_of(all_, true);
  }
}

}  // namespace
}  // namespace millrace::cachesim
