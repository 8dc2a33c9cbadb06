// SPDX-License-Identifier: Apache-2.0
// Whose answers are let through while one config follows another, by itself and through the daemon.
#include "control/daemon/rule_overlap.hpp"

#include <gmock/gmock.h>

#include "daemon_fixture.hpp"

namespace millrace::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using std::chrono::milliseconds;

AnswerRules from_port(uint16_t first) {
  return {.backends = {{{198, 18, 1, 1}, 4, 0, 53}},
          .sources = {{{198, 18, 1, 2}, 4, 0, 0}},
          .port_first = first,
          .port_end = static_cast<uint16_t>(first + 100)};
}

std::vector<uint16_t> ports_of(const std::vector<AnswerRules>& all) {
  std::vector<uint16_t> ports;
  for (const auto& one : all) ports.push_back(one.port_first);
  return ports;
}

class Overlap : public ::testing::Test {
 protected:
  std::vector<uint16_t> also(int64_t at_ms) { return ports_of(overlap.also(time(at_ms))); }
  static RuleOverlap::Time time(int64_t at_ms) {
    return RuleOverlap::Time(milliseconds(1'000'000 + at_ms));
  }
  void ask(uint16_t port, int64_t at_ms, int64_t give_up_ms = 5000) {
    overlap.ask(from_port(port), milliseconds(give_up_ms), time(at_ms));
  }
  void expect(uint16_t port, int64_t at_ms, int64_t give_up_ms = 5000) {
    overlap.expect(from_port(port), milliseconds(give_up_ms), time(at_ms));
  }

  RuleOverlap overlap;
};

TEST_F(Overlap, TheFormerStaysForAQuestionsTime) {
  ask(1000, 0);
  EXPECT_THAT(also(0), IsEmpty());
  EXPECT_FALSE(overlap.until().has_value());
  expect(2000, 100);
  EXPECT_THAT(also(100), ElementsAre(2000));
  ask(1000, 150);  // routes are looked at meanwhile
  EXPECT_THAT(also(150), ElementsAre(2000));
  overlap.forget();
  ask(2000, 200);
  EXPECT_THAT(also(200), ElementsAre(1000));
  EXPECT_EQ(overlap.until(), time(200 + 5000 + 1000));
  EXPECT_THAT(also(6199), ElementsAre(1000));
  EXPECT_THAT(also(6200), IsEmpty());
  EXPECT_FALSE(overlap.until().has_value());
}

TEST_F(Overlap, TheSameTwiceIsNoChange) {
  ask(1000, 0);
  ask(1000, 100);
  EXPECT_THAT(also(100), IsEmpty());
}

TEST_F(Overlap, ChangesInsideThatTimeAddUp) {
  ask(1000, 0);
  ask(2000, 1000);
  ask(3000, 2000);
  EXPECT_THAT(also(2000), ElementsAre(2000, 1000));
  ask(1000, 3000);  // a rollback
  EXPECT_THAT(also(3000), ElementsAre(3000, 2000));
  EXPECT_THAT(also(8999), ElementsAre(3000, 2000));
  EXPECT_THAT(also(9000), IsEmpty());
  for (uint16_t i = 0; i < 100; ++i) ask(static_cast<uint16_t>(10'000 + i), 10'000 + i);
  EXPECT_EQ(also(10'100).size(), RuleOverlap::kFormerMax);
  EXPECT_EQ(also(10'100).front(), 10'098);
}

TEST_F(Overlap, TheLongerTimeCounts) {
  ask(1000, 0, 9000);
  ask(2000, 0, 2000);
  EXPECT_EQ(overlap.until(), time(10'000));
  ask(2000, 9'000, 30'000);  // lets the questions of before live longer
  EXPECT_EQ(overlap.until(), time(40'000));
  EXPECT_THAT(also(40'000), IsEmpty());
  ask(2000, 40'000, 2000);
  ask(3000, 50'000, 2000);
  EXPECT_EQ(overlap.until(), time(53'000)) << "what was long is over";
}

TEST_F(Overlap, WhatSomeCoresMayHaveTakenStaysUntilNoneHas) {
  ask(1000, 0);
  expect(2000, 0);
  EXPECT_THAT(also(100'000), ElementsAre(2000));
  expect(3000, 100'000);  // another apply comes before that is known
  EXPECT_THAT(also(100'000), ElementsAre(3000, 2000));
  overlap.retire(time(101'000));
  EXPECT_THAT(also(101'000), ElementsAre(3000, 2000));
  EXPECT_THAT(also(107'000), IsEmpty());
  expect(4000, 107'000);
  overlap.forget();
  EXPECT_THAT(also(107'000), IsEmpty());
}

TEST_F(Overlap, NothingIsAskedWithoutASource) {
  AnswerRules unknown = from_port(1000);
  unknown.sources.clear();
  overlap.ask(unknown, milliseconds(5000), time(0));
  ask(1000, 10);
  overlap.expect(unknown, milliseconds(5000), time(10));
  EXPECT_THAT(also(10), IsEmpty());
}

// --- the daemon

constexpr const char* kMoved = "upstream: {port_range: [40000, 50000], give_up: 300ms, "
                               "try_timeout: 200ms}\n";
constexpr const char* kAtFirst = "upstream: {port_range: [20000, 30000], give_up: 300ms, "
                                 "try_timeout: 200ms}\n";

TEST_F(DaemonFixture, AnswersUnderWayAreLetThroughAcrossAnApply) {
  start_and_wait(config_yaml(kAtFirst));
  EXPECT_THAT(ports_of(prefilter.rules.also), IsEmpty()) << "there is nothing before the start";
  const std::size_t before = prefilter.all_rules.size();
  const auto since = EventLoop::Clock::now();
  const auto answer = ask({{"verb", "config-apply"}, {"yaml", config_yaml(kMoved)}});
  ASSERT_TRUE(answer.status.ok()) << answer.status.message();
  ASSERT_GT(prefilter.all_rules.size(), before + 1);
  const PrefilterRules& first = prefilter.all_rules[before];
  EXPECT_EQ(first.upstream_port_first, 20000) << "that still runs";
  EXPECT_THAT(ports_of(first.also), ElementsAre(40000)) << "before any core asks from there";
  EXPECT_EQ(prefilter.rules.upstream_port_first, 40000);
  EXPECT_THAT(ports_of(prefilter.rules.also), ElementsAre(20000));
  ASSERT_TRUE(wait([&] { return prefilter.rules.also.empty(); }));
  EXPECT_GT(EventLoop::Clock::now() - since, milliseconds(1000));
  EXPECT_EQ(prefilter.rules.upstream_port_first, 40000);
}

TEST_F(DaemonFixture, ABackendThatMovesMayAnswerWhatItWasAsked) {
  start_and_wait();
  std::string moved = config_yaml();
  moved.replace(moved.find("198.18.1.1"), 10, "198.18.1.9");
  ASSERT_TRUE(ask({{"verb", "config-apply"}, {"yaml", moved}}).status.ok());
  ASSERT_EQ(prefilter.rules.backends.size(), 1u);
  EXPECT_EQ(prefilter.rules.backends[0].bytes[3], 9);
  ASSERT_FALSE(prefilter.rules.also.empty());
  EXPECT_EQ(prefilter.rules.also[0].backends.at(0).bytes[3], 1);
  EXPECT_EQ(prefilter.rules.also[0].sources.at(0).bytes[3], 53);
}

TEST_F(DaemonFixture, WhatTheDataPlaneRefusesIsNotLetThrough) {
  start_and_wait(config_yaml(kAtFirst));
  tell_fake("reject");
  ask({{"verb", "config-apply"}, {"yaml", config_yaml(kMoved)}});
  EXPECT_EQ(prefilter.rules.upstream_port_first, 20000);
  EXPECT_THAT(ports_of(prefilter.rules.also), IsEmpty());
}

TEST_F(DaemonFixture, WhatSomeCoresMayRunIsLetThroughUntilTheyAreBack) {
  start_and_wait(config_yaml(kAtFirst));
  tell_fake("config-timeout");
  ask({{"verb", "config-apply"}, {"yaml", config_yaml(kMoved)}});
  EXPECT_EQ(prefilter.rules.upstream_port_first, 20000);
  EXPECT_THAT(ports_of(prefilter.rules.also), ElementsAre(40000));
  tell_fake("");
  const std::string third = kAtFirst + std::string("dns: {identity: x}\n");
  ASSERT_TRUE(ask({{"verb", "config-apply"}, {"yaml", config_yaml(third)}}).status.ok());
  EXPECT_THAT(ports_of(prefilter.rules.also), ElementsAre(40000));
  ASSERT_TRUE(wait([&] { return prefilter.rules.also.empty(); }));
}

TEST_F(DaemonFixture, AfterAKillOnlyTheNewRulesAreLeft) {
  start_and_wait(config_yaml(kAtFirst));
  ASSERT_TRUE(ask({{"verb", "config-apply"}, {"yaml", config_yaml(kMoved)}}).status.ok());
  EXPECT_THAT(ports_of(prefilter.rules.also), ElementsAre(20000));
  abandon_daemon();
  start_and_wait(config_yaml(kMoved));
  EXPECT_EQ(prefilter.rules.upstream_port_first, 40000);
  EXPECT_THAT(ports_of(prefilter.rules.also), IsEmpty());
}

// --- SIGHUP

TEST_F(DaemonFixture, AReloadThatComesDuringAnApplyIsDoneAfterIt) {
  start_and_wait(config_yaml(kAtFirst));
  tell_fake("mute");
  bool first_done = false;
  daemon->apply({.yaml = config_yaml("upstream: {tries: 2}\n"), .source = "a"},
                [&](const Status&, const ApplyOutcome&) {
                  first_done = true;
                  tell_fake("");
                });
  write_file(dir / "millrace.yaml", config_yaml(kMoved));
  daemon->apply_own_file();
  daemon->apply_own_file();
  EXPECT_FALSE(first_done);
  ASSERT_TRUE(wait([&] { return daemon->current().config.upstream.port_range.first == 40000; }))
      << log();
  EXPECT_TRUE(first_done);
}

}  // namespace
}  // namespace millrace::ctl
