// SPDX-License-Identifier: Apache-2.0
// One worker and its upstreams: joining, retries, failures, health, what counts as an answer.
#include "tests/unit/worker/rig.hpp"

#include <set>
#include <utility>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

Rig& miss(Rig& rig, const std::string& name = "www.example") {
  rig.ask(rig.query(name).opt(), 4000);
  rig.step();
  return rig;
}

// Answers nothing for as long as one try takes.
void let_a_try_pass(Rig& rig, uint64_t ms = 420) {
  rig.wait_ms(ms);
}

// Everything below `suffix`, from its request to its end.
void flush(Rig& rig, const std::string& suffix) {
  dp::Mailbox& mailbox = rig.plane.core(0).mailbox;
  mailbox.remove = true;
  mailbox.query.match = abi::NameMatch::suffix;
  mailbox.query.packet_cache = 0xff;
  const Bytes name = Name(suffix).bytes();
  std::copy(name.begin(), name.end(), mailbox.query.name);
  mailbox.query.name_bytes = static_cast<uint8_t>(name.size());
  const uint64_t number = mailbox.asked.load() + 1;
  mailbox.asked.store(number);
  for (int i = 0; i < 100 && mailbox.answered.load() != number; ++i)
    rig.step();
  ASSERT_EQ(mailbox.answered.load(), number);
}

TEST(WorkerMiss, IdenticalQuestionsAreAskedOnce) {
  Rig rig;
  rig.ask(rig.query("Www.Example").id(1), 4001);
  rig.ask(rig.query("wWW.eXAMPLE").id(2), 4002);
  rig.step();
  rig.ask(rig.query("www.example").id(3), 4003);
  rig.ask(rig.query("www.example").id(3), 4003);  // sent again by its client
  rig.step();
  const Out asked = rig.only_asked();
  EXPECT_EQ(rig.event(Event::waiter_joined), 3u);
  rig.answer(asked, rig.data_for(asked));
  rig.clear();
  rig.step();
  const auto replies = rig.replies();
  ASSERT_EQ(replies.size(), 4u);
  EXPECT_EQ(replies[0].name(), std::string("\3Www\7Example\0", 13));
  EXPECT_EQ(replies[0].message.id, 1);
  EXPECT_EQ(replies[1].name(), std::string("\3wWW\7eXAMPLE\0", 13));
  EXPECT_EQ(replies[1].message.id, 2);
  EXPECT_EQ(replies[2].message.id, 3);
}

// On a miss and on a hit, for those who ask for it, and from the backend that is trusted alone.
TEST(WorkerMiss, A8_AdIsThatOfATrustedBackend) {
  for (const bool trusted : {false, true}) {
    Rig rig;
    rig.service().pool[0].backends = 0b01;
    rig.service().backend[0].trust_ad = trusted ? 1 : 0;
    rig.service().backend[1].trust_ad = 1;
    rig.publish();
    for (int i = 0; i < 2; ++i) {
      rig.clear();
      rig.ask(rig.query("www.example").add_flags(kFlagAd), 4001);
      rig.ask(rig.query("www.example"), 4002);
      rig.step();
      if (i == 0) {
        const Out asked = rig.only_asked();
        rig.answer(asked, rig.data_for(asked).add_flags(kFlagAd));
        rig.step();
      }
      const auto replies = rig.replies();
      ASSERT_EQ(replies.size(), 2u);
      EXPECT_EQ(replies[0].message.has(kFlagAd), trusted);
      EXPECT_FALSE(replies[1].message.has(kFlagAd));
    }
  }
}

// Of a config whose only backend is new.
void ask_before_the_routes_come(Rig& rig) {
  rig.step();
  rig.service().backends = 0;
  add_backend(rig.service(), 5);
  rig.service().pool[0].backends = 0b1;
  rig.publish_config();
  rig.ask("www.example", 4000);
  rig.step();
}

// Where a resolver moves, the route to its new address comes a moment after the config.
TEST(WorkerMiss, WhoAsksBetweenAConfigAndItsRoutesWaitsForThem) {
  Rig rig;
  ask_before_the_routes_come(rig);
  EXPECT_TRUE(rig.replies().empty());
  EXPECT_TRUE(rig.asked().empty());
  rig.publish_routes();
  rig.wait_ms(20);
  const Out asked = rig.only_asked();
  EXPECT_EQ(asked.backend(), 5u);
  rig.answer(asked, rig.data_for(asked));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

TEST(WorkerMiss, WithoutRoutesNobodyWaitsForLong) {
  Rig rig;
  ask_before_the_routes_come(rig);
  rig.wait_ms(1100);
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  rig.clear();
  rig.ask("www.example", 4001);
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_EQ(rig.outcome(Outcome::servfail_no_route), 1u);
  EXPECT_EQ(rig.outcome(Outcome::servfail_cached), 0u) << "nobody was asked";
  rig.publish_routes();
}

TEST(WorkerMiss, AnotherKeyIsAnotherQuestion) {
  Rig rig;
  rig.ask(rig.query("a.test"), 4001);
  rig.ask(rig.query("a.test", kTypeAaaa), 4002);
  rig.ask(rig.query("a.test").opt({.flag_do = true}), 4003);
  rig.ask(rig.query("a.test").add_flags(kFlagCd), 4004);
  rig.step();
  ASSERT_EQ(rig.asked().size(), 4u);
  std::set<std::pair<uint16_t, uint16_t>> tuples;
  for (const Out& out : rig.asked())
    tuples.emplace(out.frame.source.port_be, out.message.id);
  EXPECT_EQ(tuples.size(), 4u);
}

TEST(WorkerMiss, ATimeoutAsksAnotherBackendAndTheFirstMayStillAnswer) {
  Rig rig;
  miss(rig);
  const Out first = rig.only_asked();
  let_a_try_pass(rig);
  ASSERT_EQ(rig.asked().size(), 2u);
  const Out second = rig.asked()[1];
  EXPECT_NE(first.backend(), second.backend());
  EXPECT_NE(first.message.id, second.message.id);
  EXPECT_EQ(rig.event(Event::up_timeout), 1u);
  rig.answer(first, rig.data_for(first));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
  rig.answer(second, rig.data_for(second));
  rig.step();
  EXPECT_EQ(rig.replies().size(), 1u) << "one answer";
  EXPECT_EQ(rig.outcome(Outcome::up_drop_port), 1u);
}

TEST(WorkerMiss, TriesAreBoundedAndThenItIsGivenUp) {
  Rig rig;
  miss(rig);
  rig.wait_ms(1990);
  EXPECT_EQ(rig.asked().size(), 3u);
  EXPECT_TRUE(rig.replies().empty());
  rig.wait_ms(40);
  EXPECT_EQ(rig.asked().size(), 3u);
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_EQ(rig.only_reply().message.extended_errors(), std::vector<uint16_t>{22});
  EXPECT_EQ(rig.event(Event::waiter_failed), 1u);
}

// RFC 9520, section 3.1: at most three packets of one query to one address (A62), however many
// tries there are, and whatever the address is called meanwhile.
TEST(WorkerMiss, OneAddressIsAskedThreeTimesAtMost) {
  Rig rig(1, 1);
  rig.service().upstream_tries_max = abi::kTriesMax;
  rig.service().upstream_give_up_ms = 10'000;
  rig.service().down_after = 100;
  rig.publish();
  miss(rig);
  rig.wait_ms(500);
  ASSERT_EQ(rig.asked().size(), 2u);
  std::snprintf(rig.service().backend[0].name, abi::kNameMax, "renamed");
  rig.publish();
  rig.wait_ms(9480);
  EXPECT_EQ(rig.asked().size(), 3u);
  EXPECT_TRUE(rig.replies().empty()) << "the last packet may be answered yet";
  rig.wait_ms(40);
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
}

TEST(WorkerMiss, TwoNamesForOneAddressDoNotDoubleItsShare) {
  Rig rig(1, 2);
  rig.service().backend[1].address = rig.service().backend[0].address;
  rig.service().upstream_tries_max = abi::kTriesMax;
  rig.service().upstream_give_up_ms = 10'000;
  rig.service().down_after = 100;
  rig.publish();
  miss(rig);
  rig.wait_ms(9980);
  EXPECT_EQ(rig.asked().size(), 3u);
}

TEST(WorkerMiss, AFailureIsAskedElsewhereOnceAndThenRemembered) {
  Rig rig(1, 2);
  miss(rig);
  rig.answer(rig.asked()[0], rig.answer_to(rig.asked()[0]).rcode(5));
  rig.step();
  ASSERT_EQ(rig.asked().size(), 2u) << "at once, without waiting";
  EXPECT_NE(rig.asked()[0].backend(), rig.asked()[1].backend());
  EXPECT_TRUE(rig.replies().empty());
  rig.answer(rig.asked()[1], rig.answer_to(rig.asked()[1]).rcode(2));
  rig.step();
  EXPECT_EQ(rig.asked().size(), 2u);
  EXPECT_EQ(rig.only_reply().message.rcode(), 2) << "never the upstream's own REFUSED";

  rig.clear();
  for (uint16_t i = 0; i < 30; ++i)
    rig.ask(rig.query("www.example").opt(), static_cast<uint16_t>(5000 + i));
  rig.step();
  EXPECT_TRUE(rig.asked().empty());
  ASSERT_EQ(rig.replies().size(), 30u);
  EXPECT_EQ(rig.replies()[7].message.extended_errors(), std::vector<uint16_t>{13});
  EXPECT_EQ(rig.outcome(Outcome::servfail_cached), 30u);

  rig.clear();
  rig.jump_ms(5001);
  miss(rig);
  rig.only_asked();
}

TEST(WorkerMiss, TheOnlyBackendsFailureIsNotRepeated) {
  Rig rig(1, 1);
  miss(rig);
  rig.answer(rig.only_asked(), rig.answer_to(rig.only_asked()).rcode(2));
  rig.step();
  rig.only_asked();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
}

TEST(WorkerMiss, WithEverythingDownFailuresAreAtOnceAndProbesAreFew) {
  Rig rig(1, 2);
  // Questions that nobody answers make both suspect, probes that nobody answers take them down.
  for (const char* name : {"a.test", "b.test", "c.test"})
    rig.ask(name, 4000);
  rig.step();
  rig.wait_ms(2500);
  EXPECT_EQ(rig.plane.stats().backends[0][0].up.load(), 0u);
  EXPECT_EQ(rig.plane.stats().backends[0][1].up.load(), 0u);
  rig.clear();

  rig.ask(rig.query("d.test").opt(), 4001);
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_EQ(rig.only_reply().message.extended_errors(), std::vector<uint16_t>{22});
  EXPECT_TRUE(rig.asked().empty());

  rig.clear();
  for (int i = 0; i < 100; ++i) {
    rig.ask("q" + std::to_string(i) + ".test", 4002);
    rig.wait_ms(50);
  }
  EXPECT_TRUE(rig.asked().empty());
  EXPECT_EQ(rig.replies().size(), 100u);
  EXPECT_GE(rig.probes().size(), 8u) << "5 s, two backends, one interval of 1 s";
  EXPECT_LE(rig.probes().size(), 12u);

  const Out probe = rig.probes().back();
  rig.answer(probe, rig.answer_to(probe).rcode(5));  // any sign of life will do
  rig.step();
  rig.clear();
  rig.ask("e.test", 4003);
  rig.step();
  EXPECT_EQ(rig.only_asked().backend(), probe.backend());
}

// What a clock that jumps (base/held_clock.hpp) relies on.
TEST(WorkerMiss, NothingIsSentBeforeTheMomentThatWasNamed) {
  Rig rig(1, 2);
  const dp::Worker& worker = *rig.plane.core(0).worker;
  for (const char* name : {"a.test", "b.test", "c.test"})
    rig.ask(name, 4000);
  rig.step();
  rig.clear();
  uint64_t named_ns = worker.next_due_ns();
  for (int ms = 0; ms < 8000; ++ms) {
    rig.jump_ms(1);
    rig.step();
    if (!rig.out.empty()) {
      EXPECT_GE(rig.now_ns, named_ns) << ms;
    }
    rig.clear();
    named_ns = worker.next_due_ns();
  }
  EXPECT_GE(rig.event(Event::probe_sent), 8u);
}

TEST(WorkerMiss, FromMomentToMomentEverythingIsDone) {
  Rig rig(1, 2);
  const dp::Worker& worker = *rig.plane.core(0).worker;
  rig.step();
  EXPECT_EQ(worker.next_due_ns(), kNothingDue);
  for (const char* name : {"a.test", "b.test", "c.test"})
    rig.ask(name, 4000);
  const uint64_t start_ns = rig.now_ns;
  rig.step();
  for (int jumps = 0; jumps < 60; ++jumps) {
    ASSERT_GT(worker.next_due_ns(), rig.now_ns);
    rig.now_ns = worker.next_due_ns();
    rig.step();
  }
  EXPECT_EQ(rig.replies().size(), 3u);
  EXPECT_GE(rig.event(Event::probe_sent), 20u);
  EXPECT_GE(rig.now_ns - start_ns, 10'000 * kMs);
}

// For 10 s, two questions a second that get no data. What comes out is cleared as it comes.
template <class Answer>
void ask_in_vain(Rig& rig, Answer answer) {
  for (int i = 0; i < 1000; ++i) {
    if (i % 50 == 0) rig.ask("slow" + std::to_string(i) + ".test", 4000);
    rig.wait_ms(10);
    const std::vector<Out> out = std::exchange(rig.out, {});
    for (const Out& one : out) {
      if (!one.is_reply()) answer(one);
    }
  }
}

// The resolver stays silent for some names only: that must not cost the other clients theirs.
TEST(WorkerMiss, NamesThatAreNeverAnsweredTakeNoBackendDown) {
  Rig rig(1, 2);
  uint64_t probes = 0;
  ask_in_vain(rig, [&](const Out& asked) {
    if (asked.name().size() > 1) return;
    probes += 1;
    rig.answer(asked, rig.answer_to(asked));
    rig.step();
    EXPECT_EQ(rig.plane.stats().backends[0][0].up.load(), 1u);
    EXPECT_EQ(rig.plane.stats().backends[0][1].up.load(), 1u);
  });
  EXPECT_GE(probes, 4u);
  EXPECT_LE(probes, 20u) << "one per second of silence and backend";
  rig.clear();
  miss(rig);
  rig.only_asked();
}

TEST(WorkerMiss, WhatCannotBeParsedIsASignOfLife) {
  Rig rig(1, 1);
  ask_in_vain(rig, [&](const Out& asked) {
    rig.answer(asked, rig.answer_to(asked).ancount(9));
    rig.step();
    EXPECT_EQ(rig.plane.stats().backends[0][0].up.load(), 1u);
  });
  EXPECT_GE(rig.outcome(Outcome::up_drop_malformed), 20u);
  EXPECT_EQ(rig.outcome(Outcome::up_accepted), 0u);
}

// A probe that is answered later than the others wait for is an answer all the same.
TEST(WorkerMiss, ALateAnswerToAProbeBringsItBack) {
  Rig rig(1, 1);
  rig.service().probe_interval_ms = 5000;
  rig.publish();
  for (const char* name : {"a.test", "b.test"})
    rig.ask(name, 4000);
  rig.step();
  rig.wait_ms(2500);
  ASSERT_EQ(rig.probes().size(), 1u);
  const Out probe = rig.probes()[0];
  EXPECT_EQ(rig.plane.stats().backends[0][0].up.load(), 0u);
  rig.wait_ms(400);
  rig.answer(probe, rig.answer_to(probe));
  rig.step();
  EXPECT_EQ(rig.plane.stats().backends[0][0].up.load(), 1u);
}

TEST(WorkerMiss, WhatDoesNotMatchIsDroppedAndTheQuestionStays) {
  Rig rig;
  miss(rig);
  const Out asked = rig.only_asked();
  const std::string right = "198.18.1." + std::to_string(10 + asked.backend());
  const std::string wrong = "198.18.1." + std::to_string(10 + (1 - asked.backend()));
  const uint16_t port = __builtin_bswap16(asked.frame.source.port_be);
  const auto other_port = static_cast<uint16_t>(port == 20000 ? port + 1 : port - 1);
  const DnsBuilder good = rig.data_for(asked);
  DnsBuilder other_id = good, other_name, a_query, notify = good;
  other_id.id(static_cast<uint16_t>(asked.message.id + 1));
  other_name.id(asked.message.id).response().question("bank.example", kTypeA);
  a_query.id(asked.message.id).rd().question("www.example", kTypeA);
  notify.opcode(4);

  rig.answer_from(good, wrong, 53, port, 0);
  rig.answer_from(good, right, 5353, port, 0);
  rig.answer_from(good, right, 53, other_port, 0);
  rig.answer_from(other_id, right, 53, port, 0);
  rig.answer_from(other_name, right, 53, port, 0);
  rig.answer_from(a_query, right, 53, port, 0);
  rig.answer_from(notify, right, 53, port, 0);
  DnsBuilder lying = good;
  rig.answer_from(lying.ancount(9), right, 53, port, 0);
  rig.step();
  EXPECT_TRUE(rig.replies().empty());
  EXPECT_EQ(rig.outcome(Outcome::up_drop_addr), 2u);
  EXPECT_EQ(rig.outcome(Outcome::up_drop_port), 2u);
  EXPECT_EQ(rig.outcome(Outcome::up_drop_question), 1u);
  EXPECT_EQ(rig.outcome(Outcome::up_drop_qr), 1u);
  EXPECT_EQ(rig.outcome(Outcome::up_drop_opcode), 1u);
  EXPECT_EQ(rig.outcome(Outcome::up_drop_malformed), 1u);

  rig.answer(asked, good);
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
  EXPECT_EQ(rig.outcome(Outcome::up_accepted), 1u);
}

// Right in every byte, but it came from the side where the clients are (A55).
TEST(WorkerMiss, AnAnswerComesInByThePortItsQueryLeftBy) {
  Rig rig(1, 2);
  rig.publish_routes(0b11, 0b10);
  miss(rig);
  const Out asked = rig.only_asked();
  ASSERT_EQ(asked.port, asked.backend());
  Out elsewhere = asked;
  elsewhere.port = static_cast<uint8_t>(1 - asked.port);
  rig.answer(elsewhere, rig.data_for(asked));
  rig.step();
  EXPECT_TRUE(rig.replies().empty());
  EXPECT_EQ(rig.outcome(Outcome::up_drop_addr), 1u);
  rig.answer(asked, rig.data_for(asked));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

TEST(WorkerMiss, ATruncatedAnswerIsPassedOnAsSuchAndNotKept) {
  Rig rig;
  miss(rig);
  rig.answer(rig.only_asked(), rig.data_for(rig.only_asked()).add_flags(kFlagTc));
  rig.step();
  EXPECT_TRUE(rig.only_reply().message.has(kFlagTc));
  EXPECT_EQ(rig.only_reply().message.count(Section::answer), 0u);
  EXPECT_EQ(rig.event(Event::ins_skip_tc), 1u);
  rig.clear();
  miss(rig);
  rig.only_asked();
}

TEST(WorkerMiss, TtlZeroIsForThoseWhoWaitOnly) {
  Rig rig;
  miss(rig);
  rig.ask("www.example", 4001);
  rig.step();
  rig.answer(rig.only_asked(), rig.data_for(rig.only_asked(), 0));
  rig.step();
  EXPECT_EQ(rig.replies().size(), 2u);
  rig.clear();
  rig.wait_ms(5);
  miss(rig);
  rig.only_asked();
}

TEST(WorkerMiss, AFullTableSaysSo) {
  Rig rig(1, 2, 2, 64);
  rig.ask("a.test", 4000);
  rig.ask("b.test", 4001);
  rig.ask("c.test", 4002);
  rig.ask("a.test", 4003);
  rig.step();
  EXPECT_EQ(rig.asked().size(), 2u);
  EXPECT_EQ(rig.only_reply().frame.target.port_be, __builtin_bswap16(4002));
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_EQ(rig.outcome(Outcome::servfail_inflight_full), 1u);
  EXPECT_EQ(rig.event(Event::waiter_joined), 1u);
}

TEST(WorkerMiss, ClientsBeyondTheTableAreToldSo) {
  Rig rig(1, 2, 8, 3);
  for (uint16_t i = 0; i < 5; ++i)
    rig.ask("a.test", static_cast<uint16_t>(4000 + i));
  rig.step();
  EXPECT_EQ(rig.replies().size(), 2u);
  EXPECT_EQ(rig.outcome(Outcome::servfail_inflight_full), 2u);
  EXPECT_EQ(rig.outcome(Outcome::miss), 3u);
}

TEST(WorkerMiss, WithoutASpareFrameAClientIsTurnedAwayNotForgotten) {
  Rig rig;
  rig.stocked = false;
  miss(rig);
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_EQ(rig.event(Event::up_no_frame), 1u);
  rig.stocked = true;
}

TEST(WorkerMiss, ManyWaitersAreAnsweredOverSeveralTurns) {
  Rig rig(1, 2, 8, 600);
  uint16_t port = 4000;
  for (int burst = 0; burst < 10; ++burst) {
    for (int i = 0; i < 32; ++i)
      rig.ask("a.test", port++);
    rig.step();
  }
  const Out asked = rig.only_asked();
  rig.answer(asked, rig.data_for(asked));
  rig.step();
  EXPECT_LT(rig.replies().size(), 320u);
  for (int i = 0; i < 10; ++i)
    rig.step();
  EXPECT_EQ(rig.replies().size(), 320u);
}

TEST(WorkerMiss, WhatIsFlushedInFlightIsNotKept) {
  Rig rig;
  miss(rig, "www.example");
  const Out asked = rig.only_asked();
  flush(rig, "example");
  rig.answer(asked, rig.data_for(asked));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0) << "who waits is answered";
  EXPECT_EQ(rig.event(Event::ins_skip_flush), 1u);
  rig.clear();
  miss(rig, "www.example");
  rig.only_asked();
}

// A question asked before the flush may bring what was flushed: who asks after it does not join it
// (A125), and is joined by whoever comes later (A57).
TEST(WorkerMiss, WhoAsksAfterAFlushWaitsForANewAnswer) {
  Rig rig;
  miss(rig, "www.example");
  const Out before = rig.only_asked();
  flush(rig, "example");
  rig.clear();
  rig.ask("www.example", 4001);
  rig.ask("www.example", 4002);
  rig.step();
  const Out after = rig.only_asked();
  rig.clear();
  rig.answer(before, rig.data_for(before, 111));
  rig.step();
  EXPECT_EQ(rig.only_reply().frame.target.port_be, __builtin_bswap16(4000));
  rig.answer(after, rig.data_for(after, 222));
  rig.clear();
  rig.step();
  ASSERT_EQ(rig.replies().size(), 2u);
  for (const Out& reply : rig.replies())
    EXPECT_EQ(reply.message.records.at(0).ttl, 222u);
  rig.clear();
  miss(rig, "www.example");
  EXPECT_EQ(rig.only_reply().message.records.at(0).ttl, 222u) << "the new answer is kept";
}

// The question from before the flush ends without a word about the one from after it.
TEST(WorkerMiss, AFailureFromBeforeAFlushIsNotRemembered) {
  Rig rig(1, 1);
  miss(rig, "www.example");
  const Out before = rig.only_asked();
  flush(rig, "example");
  rig.clear();
  rig.ask("www.example", 4001);
  rig.step();
  const Out after = rig.only_asked();
  rig.clear();
  rig.answer(before, rig.answer_to(before).rcode(2));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  rig.clear();
  rig.ask("www.example", 4002);
  rig.step();
  EXPECT_TRUE(rig.replies().empty());
  rig.answer(after, rig.data_for(after));
  rig.step();
  EXPECT_EQ(rig.replies().size(), 2u);
}

TEST(WorkerMiss, AFlushTakesOutWhatItNamesAndNothingElse) {
  Rig rig;
  for (const char* name : {"a.example", "b.example", "notexample"}) {
    rig.clear();
    miss(rig, name);
    rig.answer(rig.only_asked(), rig.data_for(rig.only_asked()));
    rig.step();
  }
  flush(rig, "example");
  EXPECT_EQ(rig.plane.core(0).mailbox.removed, 2u);
  rig.clear();
  for (const char* name : {"a.example", "b.example", "notexample"})
    rig.ask(name, 4001);
  rig.step();
  EXPECT_EQ(rig.asked().size(), 2u);
  EXPECT_EQ(rig.replies().size(), 1u);
}

TEST(WorkerMiss, AnAnswerIsAcceptedAfterItsBackendMovedInTheConfig) {
  Rig rig(1, 2);
  miss(rig);
  const Out asked = rig.only_asked();
  std::swap(rig.service().backend[0], rig.service().backend[1]);
  rig.publish();
  rig.step();
  rig.answer(asked, rig.data_for(asked));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

TEST(WorkerMiss, WhenItsPoolIsGoneAQuestionEndsWithItsTries) {
  Rig rig(1, 2);
  miss(rig);
  std::snprintf(rig.service().pool[0].name, abi::kNameMax, "renamed");
  rig.publish();
  rig.wait_ms(2040);
  rig.only_asked();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
}

}  // namespace
}  // namespace millrace::test
