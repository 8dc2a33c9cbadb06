// SPDX-License-Identifier: Apache-2.0
// What becomes of a question that upstreams have no answer to: who is asked next, what the client
// hears, and for how long it is remembered.
#include "dataplane/worker/failure_memory.hpp"
#include "tests/unit/worker/rig.hpp"

#include <set>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

constexpr uint8_t kSaysFormerr = 1, kSaysServfail = 2, kSaysNotimp = 4, kSaysRefused = 5;

void ask_anew(Rig& rig, const std::string& name = "www.example", bool flag_do = false) {
  rig.clear();
  rig.ask(rig.query(name).opt({.flag_do = flag_do}), 4000);
  rig.step();
}

// The query of ours that was sent last.
Out last_asked(const Rig& rig) {
  const auto asked = rig.asked();
  EXPECT_FALSE(asked.empty());
  return asked.empty() ? Out{} : asked.back();
}

void reply_with(Rig& rig, const Out& asked, uint8_t rcode, bool with_opt = true) {
  DnsBuilder message = rig.answer_to(asked).rcode(rcode);
  if (with_opt) message.opt();
  rig.answer(asked, message);
  rig.step();
}

// Every backend says SERVFAIL; then the seconds for which nobody is asked again.
uint64_t fail_and_measure(Rig& rig, const std::string& name = "www.example") {
  ask_anew(rig, name);
  while (rig.replies().empty())
    reply_with(rig, last_asked(rig), kSaysServfail);
  EXPECT_EQ(rig.only_reply().message.rcode(), kSaysServfail);
  for (uint64_t s = 1; s < 1000; ++s) {
    rig.jump_ms(1000);
    ask_anew(rig, name);
    if (!rig.asked().empty()) {
      while (rig.replies().empty())
        reply_with(rig, last_asked(rig), kSaysServfail);  // one more in a row
      return s;
    }
  }
  return 0;
}

// RFC 9520, section 3.2.
TEST(WorkerFailure, A50_remembered_failure_asks_nobody) {
  Rig rig(1, 1);
  ask_anew(rig);
  reply_with(rig, last_asked(rig), kSaysServfail);
  rig.clear();
  for (int burst = 0; burst < 40; ++burst) {
    for (uint16_t i = 0; i < 25; ++i)
      rig.ask(rig.query("www.example"), static_cast<uint16_t>(5000 + i));
    rig.jump_ms(24);
    rig.step();
  }
  EXPECT_EQ(rig.replies().size(), 1000u);
  EXPECT_TRUE(rig.asked().empty());
}

TEST(WorkerFailure, A51_back_off_doubles_up_to_its_limit) {
  dp::FailureMemory memory;
  uint64_t now_ms = 1'000'000;
  for (const uint32_t seconds : {5u, 10u, 20u, 40u, 80u, 160u, 300u, 300u}) {
    EXPECT_EQ(memory.on_failure(7, now_ms, 5, 300), seconds);
    now_ms += uint64_t{seconds} * 1000;
  }
  EXPECT_EQ(memory.on_failure(8, now_ms, 5, 300), 5u) << "another question";
  EXPECT_EQ(memory.on_failure(7, now_ms + 300'000, 5, 300), 300u);
  EXPECT_EQ(memory.on_failure(7, now_ms + 910'000, 5, 300), 5u) << "long ago";
  EXPECT_EQ(memory.on_failure(7, now_ms + 910'000, 5, 5), 5u) << "no longer than the limit";
  EXPECT_EQ(memory.on_failure(7, now_ms + 910'000, 60, 300), 60u) << "nor shorter than the least";
  memory.on_answer(8);
  EXPECT_EQ(memory.on_failure(7, now_ms + 910'000, 60, 300), 120u);
  memory.on_answer(7);
  EXPECT_EQ(memory.on_failure(7, now_ms + 910'000, 60, 300), 60u) << "answered between the two";
  EXPECT_EQ(memory.on_failure(7 + dp::FailureMemory::kSlots, now_ms, 5, 300), 5u);
  EXPECT_EQ(memory.on_failure(7, now_ms + 910'000, 60, 300), 60u) << "its slot was taken";
}

TEST(WorkerFailure, A51_repeated_failure_is_remembered_longer) {
  Rig rig(1, 1);
  EXPECT_EQ(fail_and_measure(rig), 5u);
  rig.jump_ms(10'000);
  EXPECT_EQ(fail_and_measure(rig), 20u) << "the third in a row";
  rig.jump_ms(40'000);
  ask_anew(rig);
  rig.answer(last_asked(rig), rig.data_for(last_asked(rig), 1));
  rig.step();
  rig.jump_ms(1000);
  EXPECT_EQ(fail_and_measure(rig), 5u) << "answered between the two";
}

TEST(WorkerFailure, A51_back_off_is_configurable) {
  Rig rig(1, 1);
  rig.service().packet_cache[0].failure_ttl_s = 2;
  rig.service().packet_cache[0].failure_ttl_s_max = 3;
  rig.publish();
  EXPECT_EQ(fail_and_measure(rig), 2u);
  rig.jump_ms(3'000);
  EXPECT_EQ(fail_and_measure(rig), 3u);
}

TEST(WorkerFailure, A52_cached_error_says_so_to_who_speaks_edns) {
  Rig rig(1, 1);
  ask_anew(rig);
  reply_with(rig, last_asked(rig), kSaysServfail);
  ask_anew(rig);
  EXPECT_EQ(rig.only_reply().message.rcode(), kSaysServfail);
  EXPECT_EQ(rig.only_reply().message.extended_errors(), std::vector<uint16_t>{13});
  rig.clear();
  rig.ask("www.example", 4001);
  rig.step();
  EXPECT_EQ(rig.only_reply().message.opt(), nullptr);
}

// An answer and a record that nobody asked for.
DnsBuilder with_stray(const Rig& rig, const Out& asked) {
  return rig.data_for(asked).answer("www.bank.test", kTypeA, 300, rdata_a("203.0.113.66"));
}

TEST(WorkerFailure, A26_refused_answers_are_failures) {
  Rig rig(1, 2);
  rig.service().packet_cache[0].unrelated = abi::UnrelatedRecords::refuse;
  rig.publish();
  ask_anew(rig);
  for (uint64_t asked = 1; asked <= 2; ++asked) {
    EXPECT_EQ(rig.asked().size(), asked) << "each backend";
    rig.answer(last_asked(rig), with_stray(rig, last_asked(rig)));
    rig.step();
    EXPECT_EQ(rig.event(Event::ins_skip_chain), asked);
    EXPECT_EQ(rig.outcome(Outcome::up_failure), asked);
  }
  while (rig.replies().empty()) {
    rig.answer(last_asked(rig), with_stray(rig, last_asked(rig)));
    rig.step();
  }
  EXPECT_EQ(rig.only_reply().message.rcode(), kSaysServfail);
  ask_anew(rig);
  EXPECT_EQ(rig.outcome(Outcome::servfail_cached), 1u);
}

TEST(WorkerFailure, A26_stripped_and_relayed_answers_are_answers) {
  for (const auto choice : {abi::UnrelatedRecords::relay, abi::UnrelatedRecords::strip}) {
    Rig rig(1, 1);
    rig.service().packet_cache[0].unrelated = choice;
    rig.publish();
    for (uint64_t times = 1; times <= 2; ++times) {
      ask_anew(rig);
      rig.answer(last_asked(rig), with_stray(rig, last_asked(rig)));
      rig.step();
      EXPECT_EQ(rig.only_reply().message.count(Section::answer),
                choice == abi::UnrelatedRecords::strip ? 1u : 2u);
      EXPECT_EQ(rig.event(Event::ins_skip_chain), times);
    }
    EXPECT_EQ(rig.event(Event::cache_insert), 0u);
  }
}

// A failure of one question says nothing of another, and of none that has data (A53).
TEST(WorkerFailure, A53_failure_leaves_what_is_known) {
  Rig rig(1, 1);
  ask_anew(rig);
  const Out asked = last_asked(rig);
  ask_anew(rig, "www.example", true);
  const Out with_do = last_asked(rig);
  reply_with(rig, with_do, kSaysServfail);
  rig.answer(asked, rig.data_for(asked));
  rig.step();
  ask_anew(rig);
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
}

TEST(WorkerFailure, A54_refusals_are_asked_elsewhere_until_one_answers) {
  for (const uint8_t rcode : {kSaysRefused, kSaysNotimp, kSaysFormerr}) {
    Rig rig(1, 3);
    ask_anew(rig);
    reply_with(rig, last_asked(rig), rcode);
    ASSERT_EQ(rig.asked().size(), 2u) << "at once, without waiting";
    reply_with(rig, last_asked(rig), rcode);
    ASSERT_EQ(rig.asked().size(), 3u);
    std::set<uint32_t> backends;
    for (const Out& out : rig.asked())
      backends.insert(out.backend());
    EXPECT_EQ(backends.size(), 3u);
    EXPECT_TRUE(rig.replies().empty());
    rig.answer(last_asked(rig), rig.data_for(last_asked(rig)));
    rig.step();
    EXPECT_EQ(rig.only_reply().message.rcode(), 0);
  }
}

TEST(WorkerFailure, A54_refused_by_all_is_servfail_to_the_client) {
  Rig rig(1, 3);
  ask_anew(rig);
  for (int i = 0; i < 3; ++i)
    reply_with(rig, last_asked(rig), kSaysRefused);
  EXPECT_EQ(rig.asked().size(), 3u);
  EXPECT_EQ(rig.only_reply().message.rcode(), kSaysServfail) << "never the upstream's own REFUSED";
  ask_anew(rig);
  EXPECT_EQ(rig.outcome(Outcome::servfail_cached), 1u);
}

TEST(WorkerFailure, A54_servfail_is_asked_elsewhere_once) {
  Rig rig(1, 4);
  rig.service().upstream_tries_max = 4;
  rig.publish();
  ask_anew(rig);
  reply_with(rig, last_asked(rig), kSaysServfail);
  ASSERT_EQ(rig.asked().size(), 2u);
  reply_with(rig, last_asked(rig), kSaysServfail);
  EXPECT_EQ(rig.asked().size(), 2u) << "it may mean that the data is bogus";
  EXPECT_EQ(rig.only_reply().message.rcode(), kSaysServfail);
}

// Whoever has not answered yet may have the data.
TEST(WorkerFailure, A54_failure_of_one_waits_for_the_other) {
  Rig rig(1, 2);
  ask_anew(rig);
  const Out first = last_asked(rig);
  rig.wait_ms(420);
  ASSERT_EQ(rig.asked().size(), 2u);
  reply_with(rig, last_asked(rig), kSaysRefused);
  EXPECT_EQ(rig.asked().size(), 2u) << "nobody is asked twice after a no";
  EXPECT_TRUE(rig.replies().empty());
  rig.answer(first, rig.data_for(first));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

// RFC 6891, section 7.
TEST(WorkerFailure, A69_without_edns_for_who_does_not_know_it) {
  for (const uint8_t rcode : {kSaysFormerr, kSaysNotimp}) {
    Rig rig(1, 1);
    ask_anew(rig);
    const Out first = last_asked(rig);
    ASSERT_NE(first.message.opt(), nullptr);
    reply_with(rig, first, rcode, false);
    ASSERT_EQ(rig.asked().size(), 2u);
    const Out second = last_asked(rig);
    EXPECT_EQ(second.message.opt(), nullptr);
    EXPECT_EQ(second.message.flags, kFlagRd | kFlagAd);
    EXPECT_NE(second.message.id, first.message.id);
    EXPECT_EQ(rig.event(Event::up_edns_fallback), 1u);
    rig.answer(second, rig.data_for(second));
    rig.step();
    EXPECT_EQ(rig.only_reply().message.rcode(), 0);
    EXPECT_NE(rig.only_reply().message.opt(), nullptr) << "the client speaks it";

    ask_anew(rig, "b.example");
    EXPECT_EQ(last_asked(rig).message.opt(), nullptr) << "remembered";
    rig.answer(last_asked(rig), rig.data_for(last_asked(rig)));
    rig.step();
    rig.jump_ms(61'000);
    ask_anew(rig, "c.example");
    EXPECT_NE(last_asked(rig).message.opt(), nullptr) << "briefly";
  }
}

TEST(WorkerFailure, A69_one_retry_and_no_memory_of_a_name_that_fails_anyhow) {
  Rig rig(1, 1);
  ask_anew(rig);
  reply_with(rig, last_asked(rig), kSaysFormerr, false);
  reply_with(rig, last_asked(rig), kSaysFormerr, false);
  EXPECT_EQ(rig.asked().size(), 2u);
  EXPECT_EQ(rig.only_reply().message.rcode(), kSaysServfail);
  ask_anew(rig, "b.example");
  EXPECT_NE(last_asked(rig).message.opt(), nullptr);
}

TEST(WorkerFailure, A69_no_fallback_when_our_option_was_bad_nor_for_other_rcodes) {
  Rig rig(1, 1);
  ask_anew(rig);
  reply_with(rig, last_asked(rig), kSaysFormerr, true);
  EXPECT_EQ(rig.asked().size(), 1u);
  ask_anew(rig, "b.example");
  reply_with(rig, last_asked(rig), kSaysServfail, false);
  EXPECT_EQ(rig.asked().size(), 1u);
  EXPECT_EQ(rig.event(Event::up_edns_fallback), 0u);
}

TEST(WorkerFailure, A69_dnssec_does_not_go_without) {
  Rig rig(1, 2);
  ask_anew(rig, "www.example", true);
  reply_with(rig, last_asked(rig), kSaysFormerr, false);
  ASSERT_EQ(rig.asked().size(), 2u);
  EXPECT_NE(rig.asked()[0].backend(), rig.asked()[1].backend()) << "the next upstream";
  ASSERT_NE(last_asked(rig).message.opt(), nullptr);
  EXPECT_EQ(last_asked(rig).message.opt()->ttl, 0x8000u);
  reply_with(rig, last_asked(rig), kSaysFormerr, false);
  EXPECT_EQ(rig.only_reply().message.rcode(), kSaysServfail);
  EXPECT_EQ(rig.event(Event::up_edns_fallback), 0u);
}

TEST(WorkerFailure, A69_silence_does_not_disable_edns) {
  Rig rig(1, 1);
  ask_anew(rig);
  rig.wait_ms(1900);
  for (const Out& out : rig.asked())
    EXPECT_NE(out.message.opt(), nullptr);
}

// EDNS is between two neighbours: what an upstream says about ours is not the client's (A70).
TEST(WorkerFailure, A70_badvers_and_badcookie_stay_here) {
  for (const uint32_t extended : {16u, 23u}) {
    Rig rig(1, 1);
    ask_anew(rig);
    rig.answer(last_asked(rig), rig.answer_to(last_asked(rig))
                              .rcode(static_cast<uint8_t>(extended & 0xf))
                              .opt({.extended_rcode = static_cast<uint8_t>(extended >> 4)}));
    rig.step();
    const ReadMessage reply = rig.only_reply().message;
    EXPECT_EQ(reply.rcode(), kSaysServfail);
    EXPECT_EQ(reply.opt()->ttl >> 24, 0u);
  }
}

}  // namespace
}  // namespace millrace::test
