// SPDX-License-Identifier: Apache-2.0
// Questions whose answer came truncated, asked again over TCP.
#include "tests/unit/slow/slow_rig.hpp"

namespace millrace::test {
namespace {

class StreamTest : public testing::Test {
 protected:
  explicit StreamTest(uint32_t backends = 1) : rig(1, backends) {}

  // A question of a client over UDP that the upstream answers with TC.
  Out ask_and_truncate(const std::string& name = "big.example", uint16_t port = 5000) {
    rig.rig.ask(name, port, 0, kTypeTxt);
    rig.run(1);
    const Out asked = rig.rig.asked().back();
    rig.rig.answer(asked, rig.rig.answer_to(asked).add_flags(kFlagTc));
    rig.rig.clear();
    rig.run(3);
    return asked;
  }
  // The question that came to an upstream over TCP.
  Bytes asked_over_tcp(std::size_t upstream = 0) {
    EXPECT_LT(upstream, rig.upstreams.size());
    if (upstream >= rig.upstreams.size()) return {};
    const auto come = rig.upstreams[upstream]->messages();
    EXPECT_EQ(come.size(), 1u);
    return come.empty() ? Bytes{} : come[0];
  }
  static DnsBuilder answer_to(const Bytes& query) {
    const ReadMessage message = SlowRig::read(query);
    return DnsBuilder()
        .id(message.id)
        .response()
        .rd()
        .question(Name::wire(message.questions.at(0).name), kTypeTxt);
  }
  static DnsBuilder texts_for(const Bytes& query, int records, std::size_t bytes = 200) {
    DnsBuilder answer = answer_to(query);
    for (int i = 0; i < records; ++i) {
      std::string text(bytes, 'x');
      text.replace(0, 5, std::to_string(10'000 + i));
      answer.answer(Name::pointer(12), kTypeTxt, 300, rdata_txt(text));
    }
    return answer;
  }

  SlowRig rig;
};

TEST_F(StreamTest, A71_truncated_answer_is_asked_again_over_tcp) {
  ask_and_truncate();
  EXPECT_TRUE(rig.rig.replies().empty());
  const Bytes query = asked_over_tcp();
  const ReadMessage read = rig.read(query);
  EXPECT_TRUE(read.has(kFlagRd));
  EXPECT_NE(read.opt(), nullptr);
  rig.upstreams[0]->send_message(texts_for(query, 3).opt().build());
  rig.run();
  EXPECT_EQ(rig.rig.only_reply().message.count(Section::answer), 0u);  // 600 octets and no EDNS
  EXPECT_TRUE(rig.rig.only_reply().message.has(kFlagTc));
  // It is in the cache, whole, for whoever comes over TCP.
  auto client = rig.client();
  client->send_message(rig.query("big.example", 1, kTypeTxt));
  rig.run(1);
  EXPECT_EQ(rig.read(client->messages().at(0)).count(Section::answer), 3u);
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
  EXPECT_EQ(rig.rig.event(Event::up_stream_answered), 1u);
  EXPECT_EQ(rig.rig.event(Event::cache_insert), 1u);
}

struct StreamByTwo : StreamTest {
  StreamByTwo() : StreamTest(2) {}
};

// The other is asked over TCP already, for an answer that somebody forged, and has none.
TEST_F(StreamByTwo, A71_truncated_answer_beside_a_forged_one) {
  rig.rig.service().upstream_randomize_case = 1;
  rig.rig.service().upstream_hedge_ms = 20;
  rig.rig.publish();
  rig.run(1);
  rig.rig.ask("big.abcdefghijklmnop.example", 5000, 0, kTypeTxt);
  rig.run(1);
  rig.rig.wait_ms(25);
  const std::vector<Out> asked = rig.rig.asked();
  ASSERT_EQ(asked.size(), 2u);
  const Bytes name = folded(asked[1].message.questions[0].name);
  rig.rig.answer(asked[1], DnsBuilder().id(asked[1].message.id).response().rd().question(
                               Name::wire(name), kTypeTxt));
  rig.run(2);
  rig.rig.answer(asked[0], rig.rig.answer_to(asked[0]).add_flags(kFlagTc));
  rig.run(2);
  ASSERT_EQ(rig.upstreams.size(), 1u);
  rig.upstreams[0]->send_message(answer_to(asked_over_tcp(0)).rcode(5).build());
  rig.run();
  ASSERT_EQ(rig.upstreams.size(), 2u);
  rig.upstreams[1]->send_message(texts_for(asked_over_tcp(1), 3).build());
  rig.run();
  EXPECT_EQ(rig.rig.only_reply().message.rcode(), 0);
}

// Whoever has the truncated answer is not to be had over TCP; the other one is.
TEST_F(StreamByTwo, A71_another_is_asked_where_tcp_fails) {
  const Out first = ask_and_truncate();
  asked_over_tcp(0);
  rig.upstreams[0]->hang_up();
  rig.run(2);
  asked_over_tcp(1);  // once more
  rig.upstreams[1]->hang_up();
  rig.run(3);
  EXPECT_TRUE(rig.rig.replies().empty());
  const Out second = rig.rig.only_asked();
  EXPECT_NE(second.backend(), first.backend());
  rig.rig.answer(second, rig.rig.answer_to(second).add_flags(kFlagTc));
  rig.run(3);
  ASSERT_EQ(rig.upstreams.size(), 3u);
  rig.upstreams[2]->send_message(texts_for(asked_over_tcp(2), 1).build());
  rig.run();
  EXPECT_EQ(rig.rig.only_reply().message.count(Section::answer), 1u);
  EXPECT_LE(rig.rig.asked().size(), 1u);
}

// The other one says nothing: there still is the truncated answer, and no failure to remember.
TEST_F(StreamByTwo, A71_where_nobody_has_more_the_truncated_answer_counts) {
  ask_and_truncate();
  for (std::size_t i = 0; i < 2; ++i) {
    asked_over_tcp(i);
    rig.upstreams[i]->hang_up();
    rig.run(3);
  }
  EXPECT_EQ(rig.rig.asked().size(), 1u);
  rig.rig.wait_ms(3000);
  EXPECT_TRUE(rig.rig.only_reply().message.has(kFlagTc));
  EXPECT_EQ(rig.rig.only_reply().message.rcode(), 0);
  rig.rig.clear();
  rig.rig.ask("big.example", 5001, 0, kTypeTxt);
  rig.run(1);
  EXPECT_EQ(rig.rig.asked().size(), 1u) << "it is asked anew";
}

TEST_F(StreamTest, A23_without_tcp_the_client_gets_tc_and_nothing_is_stored) {
  rig.reachable = false;
  ask_and_truncate();
  rig.rig.wait_ms(100);
  EXPECT_TRUE(rig.rig.only_reply().message.has(kFlagTc));
  EXPECT_EQ(rig.rig.event(Event::up_stream_failed), 1u);
  EXPECT_EQ(rig.rig.event(Event::cache_insert), 0u);
  rig.rig.clear();
  rig.rig.ask("big.example", 5001, 0, kTypeTxt);
  rig.run(1);
  EXPECT_EQ(rig.rig.asked().size(), 1u);
}

// Over TCP there is no TC: a client there gets SERVFAIL.
TEST_F(StreamTest, WithoutTcpUpstreamATcpClientGetsServfail) {
  rig.reachable = false;
  auto client = rig.client();
  client->send_message(rig.query("big.example", 1, kTypeTxt));
  rig.run();
  const Out asked = rig.rig.only_asked();
  rig.rig.answer(asked, rig.rig.answer_to(asked).add_flags(kFlagTc));
  rig.rig.wait_ms(100);
  EXPECT_EQ(rig.read(client->messages().at(0)).rcode(), 2);
}

TEST_F(StreamTest, SilenceOverTcpEndsWithTheQuestion) {
  ask_and_truncate();
  asked_over_tcp();
  rig.rig.wait_ms(2200);
  EXPECT_TRUE(rig.rig.only_reply().message.has(kFlagTc));
  EXPECT_EQ(rig.slow().asking_cnt(), 0u);
}

// The question is open until its core takes it for over, however late that is: whoever comes in the
// same turn joins it, and is told the same.
TEST_F(StreamTest, A92_who_joins_a_question_whose_time_is_over_gets_tc_with_it) {
  ask_and_truncate();
  asked_over_tcp();
  rig.rig.jump_ms(20'000);
  rig.rig.ask("big.example", 5001, 0, kTypeTxt);
  rig.rig.step();
  ASSERT_EQ(rig.rig.replies().size(), 2u);
  for (const Out& reply : rig.rig.replies())
    EXPECT_TRUE(reply.message.has(kFlagTc));
  EXPECT_TRUE(rig.rig.asked().empty());
  rig.rig.clear();
  rig.rig.ask("big.example", 5002, 0, kTypeTxt);
  rig.rig.step();
  EXPECT_TRUE(rig.rig.replies().empty());
  EXPECT_EQ(rig.rig.asked().size(), 1u) << "a question of its own";
}

// An upstream that hangs, or a wall in between that swallows what comes.
TEST_F(StreamTest, ConnectionOnWhichNothingComesIsNotUsedAgain) {
  ask_and_truncate();
  ASSERT_EQ(rig.upstreams.size(), 1u);
  rig.rig.wait_ms(3000);
  rig.run();
  ask_and_truncate("other.example", 5001);
  ASSERT_EQ(rig.upstreams.size(), 2u) << "another connection";
  const Bytes query = asked_over_tcp(1);
  rig.upstreams[1]->send_message(texts_for(query, 1).build());
  rig.rig.clear();
  rig.run();
  EXPECT_EQ(rig.rig.only_reply().message.count(Section::answer), 1u);
}

// Octets that never become an answer are as good as none.
TEST_F(StreamTest, ConnectionOnWhichOctetsTrickleIsNotUsedAgain) {
  ask_and_truncate();
  asked_over_tcp();
  for (int second = 0; second < 2; ++second) {
    rig.upstreams[0]->send_bytes(Bytes{0x01});
    rig.run();
    rig.rig.wait_ms(1000);
  }
  rig.rig.wait_ms(1000);
  rig.run();
  ask_and_truncate("other.example", 5001);
  EXPECT_EQ(rig.upstreams.size(), 2u) << "another connection";
}

// Servers close connections that were idle, at times just when a question comes (RFC 7766 section
// 6.2.4).
TEST_F(StreamTest, A105_closed_connection_is_tried_once_more) {
  ask_and_truncate();
  asked_over_tcp();
  rig.upstreams[0]->hang_up();
  rig.run();
  ASSERT_EQ(rig.upstreams.size(), 2u);
  const Bytes again = asked_over_tcp(1);
  rig.upstreams[1]->send_message(texts_for(again, 1).build());
  rig.run();
  EXPECT_EQ(rig.rig.only_reply().message.count(Section::answer), 1u);
  // Not for ever.
  ask_and_truncate("other.example", 5001);
  asked_over_tcp(1);
  rig.upstreams[1]->hang_up();
  rig.run();
  rig.upstreams[2]->messages();
  rig.upstreams[2]->hang_up();
  rig.run();
  EXPECT_EQ(rig.upstreams.size(), 3u);
  EXPECT_TRUE(rig.rig.only_reply().message.has(kFlagTc));
}

// Some servers take one question from a connection. Each time one is answered, so all come to their
// turn.
TEST_F(StreamTest, A105_closed_after_each_answer) {
  constexpr std::size_t kQuestions = 5;
  for (std::size_t i = 0; i < kQuestions; ++i) {
    ask_and_truncate("n" + std::to_string(i) + ".example", static_cast<uint16_t>(5000 + i));
  }
  rig.rig.clear();
  for (std::size_t i = 0; i < kQuestions; ++i) {
    ASSERT_EQ(rig.upstreams.size(), i + 1);
    const auto come = rig.upstreams[i]->messages();
    ASSERT_EQ(come.size(), kQuestions - i);
    rig.upstreams[i]->send_message(texts_for(come[0], 1).build());
    rig.upstreams[i]->hang_up();
    rig.run(3);
  }
  ASSERT_EQ(rig.rig.replies().size(), kQuestions);
  for (const Out& reply : rig.rig.replies()) EXPECT_EQ(reply.message.count(Section::answer), 1u);
  EXPECT_EQ(rig.upstreams.size(), kQuestions) << "nothing is left to ask";
}

// A server that closes with a question unread resets the connection, and its answer to another is
// in front of that.
TEST_F(StreamTest, A105_answer_in_front_of_a_reset) {
  ask_and_truncate("one.example", 5000);
  const Bytes first = asked_over_tcp();
  ask_and_truncate("two.example", 5001);
  rig.upstreams[0]->send_message(texts_for(first, 1).build());
  rig.upstreams[0]->hang_up();
  rig.rig.clear();
  rig.run(3);
  EXPECT_EQ(rig.rig.only_reply().message.count(Section::answer), 1u);
  ASSERT_EQ(rig.upstreams.size(), 2u);
  EXPECT_EQ(rig.upstreams[1]->messages().size(), 1u) << "the other alone is asked again";
}

TEST_F(StreamTest, A105_connection_is_kept_and_shared) {
  ask_and_truncate("one.example", 5000);
  ask_and_truncate("two.example", 5001);
  ASSERT_EQ(rig.upstreams.size(), 1u);
  const auto queries = rig.upstreams[0]->messages();
  ASSERT_EQ(queries.size(), 2u);
  EXPECT_NE(rig.read(queries[0]).id, rig.read(queries[1]).id);
  // In the other order.
  rig.upstreams[0]->send_message(texts_for(queries[1], 1).build());
  rig.upstreams[0]->send_message(texts_for(queries[0], 2).build());
  rig.run();
  ASSERT_EQ(rig.rig.replies().size(), 2u);
  for (const Out& reply : rig.rig.replies()) {
    const bool one = reply.name() == std::string("\3one\7example\0", 13);
    EXPECT_EQ(reply.message.count(Section::answer), one ? 2u : 1u);
  }
}

// Another question, or an id of nobody: no answer to ours.
TEST_F(StreamTest, A55_answer_to_another_question) {
  ask_and_truncate();
  const Bytes query = asked_over_tcp();
  const ReadMessage read = rig.read(query);
  const auto other = [&read](uint16_t id) {
    return DnsBuilder()
        .id(id)
        .response()
        .question("evil.example", kTypeTxt)
        .answer(Name::pointer(12), kTypeTxt, 300, rdata_txt("x"))
        .build();
  };
  rig.upstreams[0]->send_message(other(static_cast<uint16_t>(read.id + 1)));
  rig.run();
  EXPECT_TRUE(rig.rig.replies().empty());
  rig.upstreams[0]->send_message(other(read.id));
  rig.run();
  EXPECT_TRUE(rig.rig.only_reply().message.has(kFlagTc));
  EXPECT_EQ(rig.rig.event(Event::cache_insert), 0u);
}

// 60 000 octets are too many for an entry; the client over TCP gets them all the same.
TEST_F(StreamTest, A33_large_answer_is_passed_on_and_not_kept) {
  auto client = rig.client();
  client->send_message(
      DnsBuilder().id(3).rd().question("big.example", kTypeTxt).opt({.flag_do = true}).build());
  rig.run();
  const Out asked = rig.rig.only_asked();
  rig.rig.answer(asked, rig.rig.answer_to(asked).add_flags(kFlagTc));
  rig.run();
  const Bytes query = asked_over_tcp();
  const Bytes large = texts_for(query, 280).add_flags(kFlagAd).opt({.flag_do = true}).build();
  ASSERT_GT(large.size(), 59'000u);
  rig.upstreams[0]->send_message(large);
  rig.run(6);
  const auto replies = client->messages();
  ASSERT_EQ(replies.size(), 1u);
  const ReadMessage reply = rig.read(replies[0]);
  EXPECT_EQ(reply.count(Section::answer), 280u);
  EXPECT_FALSE(reply.has(kFlagAd)) << "nobody said that this upstream is to be trusted (A8)";
  EXPECT_EQ(reply.opt()->cls, 1232);
  EXPECT_EQ(reply.records.at(279).rdata, rig.read(large).records.at(279).rdata);
  EXPECT_EQ(rig.rig.event(Event::cache_insert), 0u);
}

// What is too large for an entry is treated as what is not.
TEST_F(StreamTest, A31_A38_A41_large_answer_is_shown_like_others) {
  rig.rig.service().backend[0].trust_ad = 1;
  rig.rig.publish();
  rig.run();
  auto client = rig.client();
  client->send_message(
      DnsBuilder().id(3).rd().question("BIG.example", kTypeTxt).opt({.flag_do = true}).build());
  rig.run();
  const Out asked = rig.rig.only_asked();
  rig.rig.answer(asked, rig.rig.answer_to(asked).add_flags(kFlagTc));
  rig.run();
  const Bytes query = asked_over_tcp();
  DnsBuilder large = texts_for(query, 100).add_flags(kFlagAd);
  large.answer(Name::pointer(12), kTypeTxt, 200, rdata_txt("y"));
  large.authority("example", kTypeNs, 300, rdata_name("ns.evil.example"));
  large.additional("ns.evil.example", kTypeA, 300, rdata_a("203.0.113.66"));
  rig.upstreams[0]->send_message(large.opt({.options = {{100, {1}}}}).build());
  rig.run(6);
  const auto replies = client->messages();
  ASSERT_EQ(replies.size(), 1u);
  const ReadMessage reply = rig.read(replies[0]);
  EXPECT_EQ(reply.count(Section::answer), 101u);
  EXPECT_EQ(reply.records.size(), 102u) << "and an OPT";
  for (std::size_t i = 0; i < 101; ++i) {
    ASSERT_EQ(reply.records[i].ttl, 200u);
    ASSERT_EQ(reply.records[i].owner, Name("BIG.example").bytes());
  }
  EXPECT_TRUE(reply.has(kFlagAd));
  EXPECT_TRUE(reply.opt()->rdata.empty());
  EXPECT_EQ(rig.rig.event(Event::ins_skip_size), 1u);
}

// Like a small one: the question failed over TCP.
TEST_F(StreamTest, B2_B15_large_answer_that_is_broken) {
  auto client = rig.client();
  client->send_message(rig.query("big.example", 3, kTypeTxt));
  rig.run();
  const Out asked = rig.rig.only_asked();
  rig.rig.answer(asked, rig.rig.answer_to(asked).add_flags(kFlagTc));
  rig.run();
  DnsBuilder large = texts_for(asked_over_tcp(), 100);
  const uint16_t here = large.offset();
  large.additional(Name::pointer(here), kTypeA, 300, rdata_a("198.18.2.1"));
  rig.upstreams[0]->send_message(large.build());
  rig.run(6);
  const auto replies = client->messages();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(rig.read(replies[0]).rcode(), 2);
  EXPECT_EQ(rig.rig.event(Event::ins_skip_size), 0u);
}

TEST_F(StreamTest, A26_unrelated_records_of_a_large_answer) {
  for (const auto choice : {abi::UnrelatedRecords::relay, abi::UnrelatedRecords::strip,
                            abi::UnrelatedRecords::refuse}) {
    rig.rig.service().packet_cache[0].unrelated = choice;
    rig.rig.publish();
    rig.run();
    rig.upstreams.clear();
    auto client = rig.client();
    const std::string name = "big" + std::to_string(static_cast<uint32_t>(choice)) + ".example";
    client->send_message(rig.query(name, 3, kTypeTxt));
    rig.run();
    const Out asked = rig.rig.asked().back();
    rig.rig.answer(asked, rig.rig.answer_to(asked).add_flags(kFlagTc));
    rig.run();
    DnsBuilder large = texts_for(asked_over_tcp(), 100);
    large.answer("www.bank.test", kTypeA, 300, rdata_a("203.0.113.66"));
    rig.upstreams[0]->send_message(large.build());
    rig.run(6);
    if (choice == abi::UnrelatedRecords::refuse) {
      rig.rig.wait_ms(2500);  // the only backend is asked no more often than it may be
      EXPECT_EQ(rig.read(client->messages().at(0)).rcode(), 2);
    } else {
      EXPECT_EQ(rig.read(client->messages().at(0)).count(Section::answer),
                choice == abi::UnrelatedRecords::relay ? 101u : 100u);
    }
    EXPECT_GE(rig.rig.event(Event::ins_skip_chain), 1u + static_cast<uint32_t>(choice));
  }
}

// The 65th truncated answer at a time is passed on as it is.
TEST_F(StreamTest, QuestionsOverTcpAreBounded) {
  for (uint32_t i = 0; i < dp::kStreamsPerWorkerMax; ++i) {
    ask_and_truncate("n" + std::to_string(i) + ".example", static_cast<uint16_t>(5000 + i));
    ASSERT_TRUE(rig.rig.replies().empty()) << i;
  }
  ask_and_truncate("last.example", 6000);
  EXPECT_TRUE(rig.rig.only_reply().message.has(kFlagTc));
  EXPECT_EQ(rig.rig.event(Event::up_stream_full), 1u);
  rig.rig.clear();
  for (const auto& upstream : rig.upstreams) {
    for (const Bytes& query : upstream->messages())
      upstream->send_message(texts_for(query, 1).build());
  }
  rig.run(10);
  EXPECT_EQ(rig.rig.replies().size(), dp::kStreamsPerWorkerMax);
}

TEST_F(StreamTest, ConnectionThatNobodyUsesIsClosed) {
  ask_and_truncate();
  rig.upstreams[0]->send_message(texts_for(asked_over_tcp(), 1).build());
  rig.run();
  for (int i = 0; i < 250; ++i) {
    rig.rig.jump_ms(50);
    rig.run(1);
  }
  EXPECT_TRUE(rig.upstreams[0]->closed());
}

// What a clock that jumps (base/held_clock.hpp) relies on.
TEST_F(StreamTest, TheNextMomentIsThatOfTheNextTimer) {
  rig.run(1);
  EXPECT_EQ(rig.slow().next_due_ns(), kNothingDue);
  ask_and_truncate();
  asked_over_tcp();
  ASSERT_GT(rig.slow().next_due_ns(), rig.rig.now_ns);
  ASSERT_LT(rig.slow().next_due_ns(), rig.rig.now_ns + 10'000 * kMs);
  rig.rig.now_ns = rig.slow().next_due_ns();
  EXPECT_NE(rig.rig.plane.slow_turn(rig.rig.now_ns), 0u) << "a timer may leave work to others";
  EXPECT_EQ(rig.slow().asking_cnt(), 0u);
  rig.run();
  auto client = rig.client();
  EXPECT_FALSE(client->closed());
  while (!client->closed()) {
    ASSERT_GT(rig.slow().next_due_ns(), rig.rig.now_ns);
    ASSERT_NE(rig.slow().next_due_ns(), kNothingDue);
    rig.rig.now_ns = rig.slow().next_due_ns();
    rig.run(1);
  }
}

}  // namespace
}  // namespace millrace::test
