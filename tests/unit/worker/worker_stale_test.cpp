// SPDX-License-Identifier: Apache-2.0
// A122, A53: answers past their time, while no new one can be had (RFC 8767).
#include "tests/unit/worker/rig.hpp"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

constexpr const char* kName = "www.example";

// With serving stale on, and an answer in the cache whose time is over since 1 s.
class ServeStale : public ::testing::Test {
 protected:
  explicit ServeStale(uint32_t workers = 1) : rig(workers) {
    rig.service().stale = {86'400, 500, 30, 30};
    rig.service().prefetch.left_percent = 0;
    rig.publish();
  }
  void put(const std::string& name = kName, uint32_t ttl_s = 100) {
    ask(name);
    const Out asked = rig.only_asked();
    rig.answer(asked, rig.data_for(asked, ttl_s));
    rig.step_all(2);
    rig.clear();
    rig.jump_ms(ttl_s * 1000 + 1000);
  }
  void ask(const std::string& name = kName, uint16_t port = 4000) {
    rig.ask(rig.query(name).opt(), port);
    rig.step_all(2);
  }
  void fail(uint8_t rcode = 2) {
    while (!rig.asked().empty()) {
      const auto asked = rig.asked();
      rig.clear();
      for (const Out& out : asked)
        rig.answer(out, rig.answer_to(out).rcode(rcode));
      rig.step_all(2);
      if (!rig.replies().empty()) return;
    }
  }
  // That it is the stale answer, whole.
  static void expect_stale(const Out& reply, uint16_t code = 3) {
    EXPECT_EQ(reply.message.extended_errors(), std::vector<uint16_t>{code});
    EXPECT_FALSE(reply.message.has(kFlagAd));
    for (const ReadRecord& record : reply.message.records) {
      if (record.type != kTypeOpt) {
        EXPECT_EQ(record.ttl, 30u);
      }
    }
    if (code == 3) {
      EXPECT_EQ(reply.message.count(Section::answer), 1u);
    }
  }

  Rig rig;
};

TEST_F(ServeStale, A122_clients_get_it_when_their_timer_has_run_out) {
  put();
  ask(kName, 4000);
  ask(kName, 4001);
  rig.wait_ms(490);
  EXPECT_TRUE(rig.replies().empty()) << "a new answer may come yet";
  rig.wait_ms(30);
  ASSERT_EQ(rig.replies().size(), 2u);
  expect_stale(rig.replies()[0]);
  EXPECT_EQ(rig.replies()[0].message.rcode(), 0);
  EXPECT_EQ(rig.event(Event::waiter_stale), 2u);
  EXPECT_EQ(rig.event(Event::waiter_failed), 0u);
}

// RFC 8767 section 5: the question goes on, and who comes now need not wait again.
TEST_F(ServeStale, A122_the_question_goes_on_and_its_answer_counts) {
  put();
  ask();
  const Out asked = rig.only_asked();
  rig.wait_ms(520);
  rig.clear();
  ask();
  expect_stale(rig.only_reply());
  EXPECT_EQ(rig.outcome(Outcome::stale), 1u);
  rig.clear();
  rig.answer(asked, rig.data_for(asked, 200));
  rig.step_all(2);
  EXPECT_TRUE(rig.out.empty());
  ask();
  EXPECT_EQ(rig.only_reply().message.records.at(0).ttl, 200u);
  EXPECT_TRUE(rig.only_reply().message.extended_errors().empty());
}

TEST_F(ServeStale, A122_a_new_answer_in_time_is_what_clients_get) {
  put();
  ask();
  const Out asked = rig.only_asked();
  rig.wait_ms(300);
  rig.clear();
  rig.answer(asked, rig.data_for(asked, 200));
  rig.step_all(2);
  EXPECT_EQ(rig.only_reply().message.records.at(0).ttl, 200u);
}

TEST_F(ServeStale, A53_a_failure_gives_it_at_once_and_leaves_it) {
  put();
  ask();
  fail(2);
  expect_stale(rig.only_reply());
  rig.clear();
  // Until the recheck, nobody is asked.
  rig.jump_ms(29'000);
  for (int i = 0; i < 10; ++i)
    ask();
  EXPECT_TRUE(rig.asked().empty());
  ASSERT_EQ(rig.replies().size(), 10u);
  expect_stale(rig.replies()[9]);
  EXPECT_EQ(rig.outcome(Outcome::stale), 10u);
  EXPECT_EQ(rig.outcome(Outcome::servfail_cached), 0u);
  rig.clear();
  rig.jump_ms(1'100);
  ask();
  EXPECT_EQ(rig.asked().size(), 1u);
  EXPECT_TRUE(rig.replies().empty());
}

TEST_F(ServeStale, A53_refused_leaves_it_too) {
  put();
  ask();
  fail(5);
  expect_stale(rig.only_reply());
}

TEST_F(ServeStale, A122_nxdomain_beats_it) {
  put();
  ask();
  const Out asked = rig.only_asked();
  rig.clear();
  rig.answer(asked, rig.answer_to(asked).rcode(3).authority(Name("example"), kTypeSoa, 60,
                                                            rdata_soa(SoaFields{})));
  rig.step_all(2);
  EXPECT_EQ(rig.only_reply().message.rcode(), 3);
  EXPECT_TRUE(rig.only_reply().message.extended_errors().empty());
  rig.clear();
  // And is stale itself later on, which says 19.
  rig.jump_ms(61'000);
  ask();
  fail();
  EXPECT_EQ(rig.only_reply().message.rcode(), 3);
  expect_stale(rig.only_reply(), 19);
}

// An answer that is not stored is newer all the same.
TEST_F(ServeStale, A122_an_answer_with_ttl_0_ends_it) {
  put();
  ask();
  const Out asked = rig.only_asked();
  rig.clear();
  rig.answer(asked, rig.data_for(asked, 0));
  rig.step_all(2);
  EXPECT_EQ(rig.only_reply().message.records.at(0).ttl, 0u);
  rig.clear();
  ask();
  fail();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
}

// While none may be served, too: it may be again before the old one is taken out of the cache.
TEST_F(ServeStale, A122_an_answer_with_ttl_0_ends_it_where_stale_is_off) {
  put();
  rig.step_all(5);  // it is kept, for the time of this config
  rig.service().stale.kept_s = 0;
  rig.publish();
  ask();
  const Out asked = rig.only_asked();
  rig.answer(asked, rig.data_for(asked, 0));
  rig.step_all(2);
  rig.clear();
  rig.service().stale.kept_s = 86'400;
  rig.publish();
  ask();
  fail();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
}

TEST_F(ServeStale, A122_never_without_rd) {
  rig.service().answer_rd0 = 1;
  rig.publish();
  put();
  ask();
  fail();
  rig.clear();
  rig.ask(DnsBuilder().id(1).question(kName, kTypeA).opt(), 4000);
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 5);
  EXPECT_EQ(rig.outcome(Outcome::refused_rd0), 1u);
}

TEST_F(ServeStale, A122_not_longer_than_it_is_kept) {
  put();
  rig.jump_ms(86'399'000);
  ask();
  fail();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2) << "over for a day";
  put("b.example");
  rig.jump_ms(86'390'000);
  ask("b.example");
  fail();
  expect_stale(rig.only_reply());
  rig.clear();
  // Whoever reads checks, whether the cache has removed it or not.
  put("c.example");
  rig.publish_routes(0);
  rig.jump_ms(86'398'999);
  ask("c.example");
  expect_stale(rig.only_reply());
  rig.clear();
  rig.jump_ms(1);
  ask("c.example");
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
}

// Past its time again within the recheck of a failure before it, it is asked for.
TEST_F(ServeStale, A122_an_answer_ends_the_recheck) {
  put();
  ask();
  fail();
  rig.clear();
  uint32_t removed = 0;
  const auto all = [](const cache::Entry&) noexcept { return true; };
  rig.plane.shards()[0]->walk_remove(0, UINT32_MAX, all, removed);
  put(kName, 5);
  ask();
  EXPECT_EQ(rig.asked().size(), 1u);
  EXPECT_TRUE(rig.replies().empty());
}

TEST_F(ServeStale, A122_off) {
  rig.service().stale.kept_s = 0;
  rig.publish();
  put();
  ask();
  rig.wait_ms(600);
  EXPECT_TRUE(rig.replies().empty());
  fail();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_EQ(rig.only_reply().message.extended_errors(), std::vector<uint16_t>{22});
}

TEST_F(ServeStale, A64_with_no_upstream_to_ask) {
  put();
  rig.publish_routes(0);
  ask();
  expect_stale(rig.only_reply());
  EXPECT_EQ(rig.outcome(Outcome::stale), 1u);
  rig.clear();
  ask("other.example");
  EXPECT_EQ(rig.only_reply().message.rcode(), 2) << "a name of which nothing is known";
}

TEST_F(ServeStale, A122_one_question_fails_while_others_do_not) {
  put("a.example", 100);
  ask("a.example");
  fail();
  expect_stale(rig.only_reply());
  rig.clear();
  ask("b.example");
  const Out asked = rig.only_asked();
  rig.clear();
  rig.answer(asked, rig.data_for(asked, 100));
  rig.step_all(2);
  EXPECT_EQ(rig.only_reply().message.records.at(0).ttl, 100u);
}

TEST_F(ServeStale, A125_a_flush_takes_it_away) {
  put();
  uint32_t removed = 0;
  rig.plane.shards()[0]->walk_remove(
      0, UINT32_MAX, [](const cache::Entry&) noexcept { return true; }, removed);
  EXPECT_EQ(removed, 1u);
  ask();
  fail();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
}

// RFC 8914 section 3: the option goes before data does.
TEST_F(ServeStale, A122_no_room_for_the_option) {
  rig.service().edns_udp_bytes = 512;
  rig.publish();
  rig.ask(rig.query(kName, kTypeTxt).opt(), 4000);
  rig.step();
  const Out asked = rig.only_asked();
  // 12 header, 17 question, 11 OPT: 470 of 472 octets are taken.
  auto answer = rig.answer_to(asked);
  answer.answer(Name::pointer(12), kTypeTxt, 100, rdata_txt(std::string(222, 'a')));
  answer.answer(Name::pointer(12), kTypeTxt, 100, rdata_txt(std::string(222, 'b')));
  rig.answer(asked, answer);
  rig.step_all(2);
  rig.clear();
  rig.jump_ms(101'000);
  rig.publish_routes(0);
  rig.ask(rig.query(kName, kTypeTxt).opt(), 4000);
  rig.step();
  const Out reply = rig.only_reply();
  EXPECT_EQ(reply.frame.payload.size(), 510u);
  EXPECT_EQ(reply.message.count(Section::answer), 2u);
  EXPECT_TRUE(reply.message.extended_errors().empty());
}

// What an operator sees is what clients may get (RFC 8767): with the seconds that are left to it.
TEST_F(ServeStale, A122_a_lookup_shows_it_with_the_time_that_is_left) {
  uint64_t number = 0;
  const auto look = [this, &number]() -> const dp::Mailbox& {
    dp::Mailbox& mailbox = rig.plane.core(0).mailbox;
    mailbox.query = {};
    mailbox.query.packet_cache = 0xff;
    mailbox.query.match = abi::NameMatch::all;
    mailbox.asked.store(++number);
    for (int i = 0; i < 100 && mailbox.answered.load() != number; ++i) rig.step();
    return mailbox;
  };
  put();
  ASSERT_EQ(look().rows, 1u);
  EXPECT_EQ(look().row[0].ttl_s, 0u);
  EXPECT_EQ(look().row[0].lifetime_s, 100u);
  EXPECT_EQ(look().row[0].stale_s, 86'399u);
  rig.jump_ms(86'398'500);
  EXPECT_EQ(look().row[0].stale_s, 1u);
  rig.service().stale.kept_s = 0;
  rig.publish();
  EXPECT_EQ(look().rows, 0u) << "what is no longer served is not shown";
}

class ServeStalePair : public ServeStale {
 protected:
  ServeStalePair() : ServeStale(2) {}
};

// Whoever receives the query: the core that is not the owner, too.
TEST_F(ServeStalePair, A122_on_every_core) {
  put();
  ask();
  fail();
  rig.clear();
  for (uint32_t worker = 0; worker < 2; ++worker) {
    rig.ask(rig.query(kName).opt(), 4000, worker);
    rig.step_all(2);
  }
  ASSERT_EQ(rig.replies().size(), 2u);
  expect_stale(rig.replies()[0]);
  expect_stale(rig.replies()[1]);
  EXPECT_EQ(rig.outcome(Outcome::stale), 1u);
  EXPECT_EQ(rig.event(Event::waiter_stale), 2u) << "one at the failure, one over the ring";
}

TEST(Recheck, AQuestionHoldsUntilItsTime) {
  dp::Recheck recheck;
  EXPECT_FALSE(recheck.holds(5, 0));
  recheck.note(5, 1000);
  EXPECT_TRUE(recheck.holds(5, 999));
  EXPECT_FALSE(recheck.holds(5, 1000));
  EXPECT_FALSE(recheck.holds(5 + dp::Recheck::kSlots, 0)) << "the same slot, another question";
  recheck.forget(5 + dp::Recheck::kSlots);
  EXPECT_TRUE(recheck.holds(5, 0));
  recheck.forget(5);
  EXPECT_FALSE(recheck.holds(5, 0));
}

}  // namespace
}  // namespace millrace::test
