// SPDX-License-Identifier: Apache-2.0
// When a question goes to another upstream: after the round trips that were seen, or by a hedge.
#include "tests/unit/worker/rig.hpp"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

// Both backends answer a few questions after `ms` each.
void learn_round_trips(Rig& rig, uint64_t ms) {
  for (int i = 0; i < 60; ++i) {
    rig.clear();
    rig.ask("learn" + std::to_string(i) + ".example", 4000);
    rig.step();
    const auto asked = rig.asked();
    ASSERT_EQ(asked.size(), 1u);
    rig.jump_ms(ms);
    rig.answer(asked[0], rig.data_for(asked[0]));
    rig.step();
  }
  rig.clear();
}

// The ms after which query number `n` of ours left for this question; nobody answers.
uint64_t sent_after_ms(Rig& rig, std::size_t n, const std::string& name = "www.example") {
  rig.clear();
  rig.ask(name, 4000);
  rig.step();
  uint64_t ms = 0;
  while (rig.asked().size() < n && ms < 5000) {
    rig.wait_ms(5);
    ms += 5;
  }
  return ms;
}

TEST(WorkerTiming, A63_the_first_timeout_is_the_configs_until_round_trips_are_known) {
  Rig rig;
  EXPECT_NEAR(static_cast<double>(sent_after_ms(rig, 2)), 408, 10);
}

TEST(WorkerTiming, A63_another_backend_is_asked_after_the_usual_round_trip) {
  Rig rig;
  learn_round_trips(rig, 2);
  const uint64_t ms = sent_after_ms(rig, 2);
  EXPECT_GE(ms, 50u) << "not less";
  EXPECT_LE(ms, 70u);
  EXPECT_NE(rig.asked()[0].backend(), rig.asked()[1].backend());
  EXPECT_EQ(rig.event(Event::up_timeout), 1u);
}

TEST(WorkerTiming, A63_with_nobody_else_to_ask_it_may_be_a_slow_question) {
  Rig alone(1, 1);
  learn_round_trips(alone, 2);
  EXPECT_NEAR(static_cast<double>(sent_after_ms(alone, 2)), 408, 10);
  Rig rig(1, 2);
  learn_round_trips(rig, 2);
  const uint64_t second = sent_after_ms(rig, 2);
  EXPECT_LE(second, 70u);
  rig.wait_ms(780);
  EXPECT_EQ(rig.asked().size(), 2u) << "both were asked";
  rig.wait_ms(40);
  EXPECT_EQ(rig.asked().size(), 3u);
}

TEST(WorkerTiming, A63_a_late_answer_to_the_first_try_counts_and_teaches) {
  Rig rig;
  learn_round_trips(rig, 2);
  ASSERT_LE(sent_after_ms(rig, 2), 70u);
  const Out first = rig.asked()[0];
  rig.wait_ms(100);
  rig.answer(first, rig.data_for(first));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

TEST(WorkerTiming, A63_a_hedge_asks_a_second_backend_and_blames_nobody) {
  Rig rig;
  rig.service().upstream_hedge_ms = 30;
  rig.publish();
  const uint64_t ms = sent_after_ms(rig, 2);
  EXPECT_GE(ms, 30u);
  EXPECT_LE(ms, 45u);
  EXPECT_NE(rig.asked()[0].backend(), rig.asked()[1].backend());
  EXPECT_EQ(rig.event(Event::up_hedged), 1u);
  EXPECT_EQ(rig.event(Event::up_timeout), 0u);
  const Out second = rig.asked()[1];
  rig.answer(second, rig.data_for(second));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

TEST(WorkerTiming, A63_after_a_hedge_each_try_has_its_own_time) {
  Rig rig(1, 3);
  rig.service().upstream_hedge_ms = 30;
  rig.publish();
  rig.ask("www.example", 4000);
  rig.step();
  rig.wait_ms(420);
  EXPECT_EQ(rig.asked().size(), 2u);
  EXPECT_EQ(rig.event(Event::up_timeout), 1u) << "the first";
  rig.wait_ms(430);
  EXPECT_EQ(rig.asked().size(), 3u) << "when the second, which waits twice as long, is over";
  EXPECT_EQ(rig.event(Event::up_timeout), 2u);
}

TEST(WorkerTiming, A63_no_hedge_without_another_backend_or_a_second_try) {
  Rig alone(1, 1);
  alone.service().upstream_hedge_ms = 30;
  alone.publish();
  EXPECT_NEAR(static_cast<double>(sent_after_ms(alone, 2)), 408, 10);
  EXPECT_EQ(alone.event(Event::up_hedged), 0u);
  Rig once;
  once.service().upstream_hedge_ms = 30;
  once.service().upstream_tries_max = 1;
  once.publish();
  once.ask("www.example", 4000);
  once.step();
  once.wait_ms(1000);
  EXPECT_EQ(once.asked().size(), 1u);
}

// A dead backend is found out although a hedge always saves the question.
TEST(WorkerTiming, A63_hedging_does_not_hide_a_dead_backend) {
  Rig rig;
  rig.service().upstream_hedge_ms = 20;
  rig.service().pool[0].policy = abi::PoolPolicy::first_available;
  rig.publish();
  for (int i = 0; i < 400; ++i) {
    rig.clear();
    rig.ask("n" + std::to_string(i) + ".example", 4000);
    rig.step();
    rig.wait_ms(35);
    for (const Out& asked : rig.asked()) {
      if (asked.backend() == 1) rig.answer(asked, rig.data_for(asked));
    }
    rig.step();
  }
  EXPECT_EQ(rig.plane.stats().backends[0][0].up.load(), 0u);
  EXPECT_EQ(rig.plane.stats().backends[0][1].up.load(), 1u);
}

TEST(WorkerTiming, A_full_backend_is_passed_over_and_with_all_full_clients_are_told) {
  Rig rig;
  rig.service().backend[0].in_flight_max = 2;
  rig.service().backend[1].in_flight_max = 3;
  rig.publish();
  for (int i = 0; i < 7; ++i)
    rig.ask(rig.query("n" + std::to_string(i) + ".example").opt(), 4000);
  rig.step();
  uint32_t sent[2] = {};
  for (const Out& asked : rig.asked())
    sent[asked.backend()] += 1;
  EXPECT_EQ(sent[0], 2u);
  EXPECT_EQ(sent[1], 3u);
  EXPECT_EQ(rig.replies().size(), 2u);
  EXPECT_EQ(rig.outcome(Outcome::servfail_inflight_full), 2u);
  const Out asked = rig.asked()[0];
  rig.answer(asked, rig.data_for(asked));
  rig.step();
  rig.clear();
  rig.ask("later.example", 4000);
  rig.step();
  EXPECT_EQ(rig.only_asked().backend(), asked.backend());
}

TEST(WorkerTiming, One_name_is_asked_of_one_backend_whatever_the_type) {
  Rig rig(1, 4);
  rig.service().pool[0].policy = abi::PoolPolicy::consistent_hash;
  rig.publish();
  rig.ask("www.example", 4000);
  rig.ask("WWW.Example", 4001, 0, kTypeAaaa);
  rig.ask(rig.query("www.example").opt({.flag_do = true}), 4002);
  rig.step();
  ASSERT_EQ(rig.asked().size(), 3u);
  EXPECT_EQ(rig.asked()[0].backend(), rig.asked()[1].backend());
  EXPECT_EQ(rig.asked()[0].backend(), rig.asked()[2].backend());
}

}  // namespace
}  // namespace millrace::test
