// SPDX-License-Identifier: Apache-2.0
// A121: answers that clients want are asked for again before their time is over.
#include "tests/unit/worker/rig.hpp"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

// Asks for it at that worker, which answers from the cache or lets its owner ask.
void ask_and_run(Rig& rig, const std::string& name, uint32_t worker = 0) {
  rig.ask(name, 4000, worker);
  rig.step(worker);
  rig.step_all();
}

// In the cache since now, with this TTL, and hit `hits` times.
void put(Rig& rig, const std::string& name, uint32_t ttl_s, uint32_t hits = 1) {
  ask_and_run(rig, name);
  const Out asked = rig.only_asked();
  rig.answer(asked, rig.data_for(asked, ttl_s));
  rig.step_all();
  for (uint32_t i = 0; i < hits; ++i)
    ask_and_run(rig, name);
  rig.clear();
}

void put_without_ttl(Rig& rig, const Out& asked, uint8_t rcode) {
  rig.answer(asked, rig.answer_to(asked).rcode(rcode));
  rig.step_all();
}

TEST(Prefetch, A121_a_hit_near_the_end_starts_one_refresh) {
  Rig rig;
  put(rig, "www.example", 100);
  rig.jump_ms(89'999);
  ask_and_run(rig, "www.example");
  EXPECT_TRUE(rig.asked().empty()) << "not yet";
  rig.clear();
  rig.jump_ms(1);
  for (int i = 0; i < 5; ++i)
    ask_and_run(rig, "www.example");
  ASSERT_EQ(rig.replies().size(), 5u) << "the client does not wait";
  EXPECT_EQ(rig.replies()[0].message.records.at(0).ttl, 10u);
  EXPECT_EQ(rig.outcome(Outcome::hit), 7u);
  const Out asked = rig.only_asked();
  EXPECT_EQ(rig.event(Event::prefetch_sent), 1u);
  rig.clear();
  rig.answer(asked, rig.data_for(asked, 100));
  rig.step_all();
  EXPECT_TRUE(rig.out.empty());
  EXPECT_EQ(rig.event(Event::cache_replace), 1u);
  ask_and_run(rig, "www.example");
  EXPECT_EQ(rig.only_reply().message.records.at(0).ttl, 100u);
  EXPECT_TRUE(rig.asked().empty());
}

TEST(Prefetch, A121_an_entry_that_was_not_hit_before_is_left) {
  Rig rig;
  put(rig, "www.example", 100, 0);
  rig.jump_ms(95'000);
  ask_and_run(rig, "www.example");
  EXPECT_TRUE(rig.asked().empty());
  ask_and_run(rig, "www.example");
  EXPECT_EQ(rig.asked().size(), 1u) << "now it was";
}

TEST(Prefetch, A121_short_ttls_and_off) {
  Rig rig;
  put(rig, "short.example", 9);
  rig.jump_ms(8'900);
  ask_and_run(rig, "short.example");
  EXPECT_TRUE(rig.asked().empty());
  rig.service().prefetch.left_percent = 0;
  rig.publish();
  put(rig, "long.example", 100);
  rig.jump_ms(99'999);
  ask_and_run(rig, "long.example");
  EXPECT_TRUE(rig.asked().empty());
  EXPECT_EQ(rig.outcome(Outcome::hit), 4u);
}

// Who looks into the cache without recursion makes nobody ask (A111).
TEST(Prefetch, A121_not_without_rd) {
  Rig rig;
  rig.service().answer_rd0 = 1;
  rig.publish();
  put(rig, "www.example", 100);
  rig.jump_ms(95'000);
  rig.ask(DnsBuilder().id(1).question("www.example", kTypeA), 4000);
  rig.step();
  EXPECT_EQ(rig.only_reply().message.count(Section::answer), 1u);
  EXPECT_TRUE(rig.asked().empty());
}

// RFC 8767 section 4: a failure leaves what is there. And it is one refresh, not one per hit.
TEST(Prefetch, A121_a_failed_refresh_leaves_the_entry) {
  Rig rig;
  put(rig, "www.example", 100);
  rig.jump_ms(95'000);
  ask_and_run(rig, "www.example");
  while (!rig.asked().empty()) {
    const Out asked = rig.asked().back();
    rig.clear();
    put_without_ttl(rig, asked, 2);
  }
  EXPECT_EQ(rig.event(Event::prefetch_failed), 1u);
  EXPECT_EQ(rig.event(Event::waiter_failed), 0u);
  ask_and_run(rig, "www.example");
  EXPECT_EQ(rig.only_reply().message.records.at(0).ttl, 5u);
  EXPECT_TRUE(rig.asked().empty());
  rig.jump_ms(6'000);
  ask_and_run(rig, "www.example");
  EXPECT_EQ(rig.asked().size(), 1u) << "its time is over: no failure stands in its place";
}

TEST(Prefetch, A121_nxdomain_takes_the_place_of_data) {
  Rig rig;
  put(rig, "www.example", 100);
  rig.jump_ms(95'000);
  ask_and_run(rig, "www.example");
  const Out asked = rig.only_asked();
  rig.clear();
  rig.answer(asked, rig.answer_to(asked).rcode(3).authority(Name("example"), kTypeSoa, 60,
                                                            rdata_soa(SoaFields{})));
  rig.step_all();
  ask_and_run(rig, "www.example");
  EXPECT_EQ(rig.only_reply().message.rcode(), 3);
}

// Who misses the name while it is being refreshed joins.
TEST(Prefetch, A57_a_miss_joins_the_refresh) {
  Rig rig;
  put(rig, "www.example", 10);
  rig.jump_ms(9'900);
  ask_and_run(rig, "www.example");
  const Out asked = rig.only_asked();
  rig.clear();
  rig.jump_ms(200);
  ask_and_run(rig, "www.example");
  EXPECT_TRUE(rig.out.empty());
  EXPECT_EQ(rig.event(Event::waiter_joined), 1u);
  rig.answer(asked, rig.data_for(asked, 10));
  rig.step_all();
  EXPECT_EQ(rig.only_reply().message.records.at(0).ttl, 10u);
}

TEST(Prefetch, A121_no_more_in_a_second_than_configured) {
  Rig rig;
  rig.service().prefetch.per_second_max = 3;
  rig.publish();
  for (int i = 0; i < 8; ++i)
    put(rig, "n" + std::to_string(i) + ".example", 100);
  rig.jump_ms(91'000);
  const auto ask_all = [&rig] {
    for (int i = 0; i < 8; ++i)
      ask_and_run(rig, "n" + std::to_string(i) + ".example");
  };
  ask_all();
  EXPECT_EQ(rig.asked().size(), 3u);
  EXPECT_EQ(rig.event(Event::prefetch_limited), 5u);
  rig.jump_ms(1'000);
  ask_all();
  EXPECT_EQ(rig.event(Event::prefetch_sent), 6u) << "hits in the next second start the others";
  EXPECT_EQ(rig.outcome(Outcome::hit), 24u);
}

TEST(Prefetch, A121_room_in_flight_is_for_those_who_wait) {
  Rig rig(1, 2, 8, 64);
  put(rig, "www.example", 100);
  rig.jump_ms(95'000);
  for (int i = 0; i < 4; ++i)
    ask_and_run(rig, "m" + std::to_string(i) + ".example");
  rig.clear();
  ask_and_run(rig, "www.example");
  EXPECT_TRUE(rig.asked().empty());
  EXPECT_EQ(rig.event(Event::prefetch_limited), 1u);
}

// --- two workers

// In the cache of worker 0, and hit.
std::string put_at_worker_0(Rig& rig, uint32_t ttl_s, const std::string& zone = ".example") {
  for (int i = 0; i < 100; ++i) {
    const std::string name = "n" + std::to_string(i) + zone;
    rig.clear();
    rig.ask(name, 4000, 0);
    rig.step_all(2);
    const Out asked = rig.only_asked();
    rig.answer(asked, rig.data_for(asked, ttl_s));
    rig.step_all(2);
    rig.ask(name, 4000, 1);
    rig.step_all(2);
    rig.clear();
    if (asked.worker == 0) return name;
  }
  ADD_FAILURE() << "one worker owns everything";
  return "";
}

TEST(Prefetch, A121_a_hit_on_another_core_tells_the_owner) {
  Rig rig(2);
  const std::string name = put_at_worker_0(rig, 100);
  rig.jump_ms(95'000);
  for (int i = 0; i < 3; ++i) {
    rig.ask(name, 4000, 1);
    rig.step(1);
  }
  EXPECT_EQ(rig.replies().size(), 3u);
  EXPECT_TRUE(rig.asked().empty());
  rig.step(0);
  EXPECT_EQ(rig.only_asked().worker, 0u);
}

TEST(Prefetch, A121_an_entry_that_is_gone_is_not_refreshed) {
  Rig rig(2);
  const std::string name = put_at_worker_0(rig, 100);
  rig.jump_ms(95'000);
  rig.ask(name, 4000, 1);
  rig.step(1);
  uint32_t removed = 0;
  const auto all = [](const cache::Entry&) noexcept { return true; };
  rig.plane.shards()[0]->walk_remove(0, UINT32_MAX, all, removed);
  ASSERT_GE(removed, 1u);
  rig.step(0);
  EXPECT_TRUE(rig.asked().empty());
  EXPECT_EQ(rig.event(Event::prefetch_sent), 0u);
}

TEST(Prefetch, A121_a_record_of_another_generation_is_dropped) {
  Rig rig(2);
  const std::string name = put_at_worker_0(rig, 100);
  rig.jump_ms(95'000);
  rig.ask(name, 4000, 1);
  rig.step(1);
  rig.publish();
  rig.step(0);
  EXPECT_TRUE(rig.asked().empty());
}

TEST(Prefetch, A121_a_full_ring_costs_the_refresh_and_nothing_else) {
  Rig rig(2, 2, 64, 2048);
  const std::string over = put_at_worker_0(rig, 1, ".test");
  const std::string name = put_at_worker_0(rig, 100);
  rig.jump_ms(95'000);
  uint16_t port = 5000;
  for (uint32_t i = 0; i < dp::WorkRing::kCapacity / kBurstMax; ++i) {
    for (uint32_t k = 0; k < kBurstMax; ++k)
      rig.ask(over, port++, 1);
    rig.step(1);
  }
  rig.ask(name, 4000, 1);
  rig.step(1);
  EXPECT_EQ(rig.only_reply().message.count(Section::answer), 1u);
  EXPECT_EQ(rig.event(Event::prefetch_ring_full), 1u);
  for (int i = 0; i < 10; ++i)
    rig.step(0);
  EXPECT_EQ(rig.asked().size(), 1u);
  rig.clear();
  rig.ask(name, 4000, 1);
  rig.step(1);
  rig.step(0);
  EXPECT_EQ(rig.asked().size(), 1u) << "the next hit tries again";
}

}  // namespace
}  // namespace millrace::test
