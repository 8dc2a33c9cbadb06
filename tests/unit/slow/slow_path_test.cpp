// SPDX-License-Identifier: Apache-2.0
// Queries over TCP, from the message to the reply.
#include "tests/unit/slow/slow_rig.hpp"

#include <algorithm>
#include <cstring>
#include <set>

namespace millrace::test {
namespace {

TEST(SlowPath, A100_miss_then_hit) {
  SlowRig rig;
  auto client = rig.client();
  client->send_message(rig.query("WwW.example", 0x1234));
  rig.run();
  EXPECT_TRUE(client->messages().empty());
  const Out asked = rig.rig.only_asked();
  EXPECT_EQ(rig.outcome(Outcome::miss), 1u);
  rig.answer_all();
  auto replies = client->messages();
  ASSERT_EQ(replies.size(), 1u);
  ReadMessage reply = rig.read(replies[0]);
  EXPECT_EQ(reply.id, 0x1234);
  EXPECT_TRUE(reply.has(kFlagQr | kFlagRa));
  EXPECT_EQ(reply.questions.at(0).name, Name("WwW.example").bytes());
  EXPECT_EQ(reply.count(Section::answer), 1u);

  rig.rig.jump_ms(100'000);
  client = rig.client();
  client->send_message(rig.query("www.EXAMPLE", 0x4321));
  rig.run(1);
  replies = client->messages();
  ASSERT_EQ(replies.size(), 1u);
  reply = rig.read(replies[0]);
  EXPECT_EQ(reply.id, 0x4321);
  EXPECT_EQ(reply.records.at(0).ttl, 200u);
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
  EXPECT_TRUE(rig.rig.asked().empty());
}

// One entry serves both transports (A92): what was asked over TCP is a hit over UDP, cut there.
TEST(SlowPath, A92_whole_over_tcp_and_cut_over_udp) {
  SlowRig rig;
  auto client = rig.client();
  client->send_message(rig.query("big.example", 1, kTypeTxt));
  rig.run();
  const Out asked = rig.rig.only_asked();
  auto answer = rig.rig.answer_to(asked);
  for (int i = 0; i < 8; ++i)
    answer.answer(Name::pointer(12), kTypeTxt, 300, rdata_txt(std::string(120, char('a' + i))));
  rig.rig.answer(asked, answer);
  rig.rig.clear();
  rig.run();
  const auto replies = client->messages();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(rig.read(replies[0]).count(Section::answer), 8u);
  EXPECT_FALSE(rig.read(replies[0]).has(kFlagTc));

  rig.rig.ask("big.example", 5000, 0, kTypeTxt);
  rig.run(1);
  EXPECT_TRUE(rig.rig.only_reply().message.has(kFlagTc));
  EXPECT_EQ(rig.rig.outcome(Outcome::hit), 1u);
  client->send_message(rig.query("big.example", 2, kTypeTxt));
  rig.run(1);
  EXPECT_EQ(client->messages().size(), 1u);
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
}

TEST(SlowPath, A72_opt_only_for_who_sent_one_and_of_our_size) {
  SlowRig rig;
  auto client = rig.client();
  client->send_message(rig.query("www.example"));
  rig.run();
  rig.answer_all();
  EXPECT_EQ(rig.read(client->messages().at(0)).opt(), nullptr);
  client->send_message(DnsBuilder().id(9).rd().question("www.example", kTypeA).opt().build());
  rig.run(1);
  const ReadMessage reply = rig.read(client->messages().at(0));
  ASSERT_NE(reply.opt(), nullptr);
  EXPECT_EQ(reply.opt()->cls, 1232);
}

// RFC 7766 section 7: one slow question holds up none of the others.
TEST(SlowPath, A102_pipelining_out_of_order) {
  SlowRig rig;
  auto client = rig.client();
  client->send_message(rig.query("known.example"));
  rig.run();
  rig.answer_all();
  client->messages();
  Bytes burst = Peer::framed(rig.query("slow.example", 1000));
  for (uint16_t id = 0; id < 99; ++id) {
    const Bytes one = Peer::framed(rig.query("known.example", id));
    burst.insert(burst.end(), one.begin(), one.end());
  }
  client->send_bytes(burst);
  rig.run(1);
  std::set<uint16_t> ids;
  for (const Bytes& reply : client->messages())
    ids.insert(rig.read(reply).id);
  EXPECT_EQ(ids.size(), 99u);
  EXPECT_FALSE(ids.contains(1000));
  rig.answer_all();
  const auto late = client->messages();
  ASSERT_EQ(late.size(), 1u);
  EXPECT_EQ(rig.read(late[0]).id, 1000);
}

TEST(SlowPath, A102_answers_a_client_that_has_shut_down_its_side) {
  SlowRig rig;
  auto client = rig.client();
  client->send_message(rig.query("www.example"));
  client->shut_down();
  rig.run();
  EXPECT_EQ(rig.slow().client_cnt(), 1u);
  rig.answer_all();
  EXPECT_EQ(client->messages().size(), 1u);
  EXPECT_TRUE(client->closed());
  EXPECT_EQ(rig.slow().client_cnt(), 0u);
}

// RFC 7766 section 6.2.4: nothing is sent to a connection that is gone, nor to its successor.
TEST(SlowPath, A60_answer_for_a_connection_that_is_gone) {
  SlowRig rig;
  auto client = rig.client();
  client->send_message(rig.query("www.example"));
  rig.run();
  client->hang_up();
  rig.run(1);
  EXPECT_EQ(rig.slow().client_cnt(), 0u);
  auto next = rig.client();  // in the same slot
  rig.answer_all();
  EXPECT_TRUE(next->messages().empty());
  EXPECT_EQ(rig.slow().frames_out(), 0u);
  next->send_message(rig.query("www.example"));
  rig.run(1);
  EXPECT_EQ(next->messages().size(), 1u);
}

TEST(SlowPath, ErrorsAreAnsweredAsOverUdp) {
  SlowRig rig;
  auto client = rig.client();
  const auto ask = [&](const DnsBuilder& query) {
    client->send_message(query.build());
    rig.run(1);
    const auto replies = client->messages();
    EXPECT_EQ(replies.size(), 1u);
    return replies.empty() ? ReadMessage{} : rig.read(replies[0]);
  };
  const ReadMessage notimp = ask(DnsBuilder().id(5).opcode(2).question("a.example", kTypeA));
  EXPECT_EQ(notimp.rcode(), 4);
  EXPECT_TRUE(notimp.questions.empty());
  EXPECT_EQ(ask(DnsBuilder().id(5).rd().question("a.example", kTypeA, kClassCh)).rcode(), 5);
  const ReadMessage badvers = ask(
      DnsBuilder().id(5).rd().question("a.example", kTypeA).opt({.flag_do = true, .version = 1}));
  EXPECT_EQ(badvers.opt()->ttl >> 24, 1u);
  EXPECT_EQ(ask(DnsBuilder().id(5).question("a.example", kTypeA)).rcode(), 5);
  EXPECT_EQ(rig.outcome(Outcome::notimp), 1u);
  EXPECT_EQ(rig.outcome(Outcome::badvers), 1u);
  EXPECT_EQ(rig.outcome(Outcome::refused_rd0), 1u);
  EXPECT_TRUE(rig.rig.asked().empty());
}

TEST(SlowPath, A104_what_is_no_query_ends_the_connection) {
  const Bytes response = DnsBuilder().id(5).response().question("a.example", kTypeA).build();
  for (const Bytes& bad : {Bytes{}, Bytes(11, 0), response}) {
    SlowRig rig;
    auto client = rig.client();
    client->send_message(bad);
    rig.run(1);
    EXPECT_TRUE(client->messages().empty());
    EXPECT_TRUE(client->closed());
    EXPECT_EQ(rig.event(Event::tcp_closed_error), 1u);
  }
}

// A header that is no response may be that of a query, whatever stands behind it.
TEST(SlowPath, A104_what_cannot_be_parsed_is_formerr) {
  SlowRig rig;
  auto client = rig.client();
  const Bytes junk =
      DnsBuilder().id(5).flags(0x0021).qdcount(0x4142).raw({0x91, 0x20, 0x33}).build();
  client->send_message(junk);
  client->send_message(Bytes(12, 0));
  client->send_message(rig.query("www.example", 6));
  rig.run();
  rig.answer_all();
  const auto replies = client->messages();
  ASSERT_EQ(replies.size(), 3u);
  EXPECT_EQ(replies[0].size(), 12u);
  EXPECT_EQ(rig.read(replies[0]).id, 5);
  EXPECT_EQ(rig.read(replies[0]).rcode(), 1);
  EXPECT_EQ(rig.read(replies[1]).rcode(), 1);
  EXPECT_EQ(rig.read(replies[2]).id, 6);
  EXPECT_EQ(rig.read(replies[2]).count(Section::answer), 1u);
  EXPECT_EQ(rig.outcome(Outcome::fmt_qdcount), 1u);
  EXPECT_FALSE(client->closed());
  // Rules come first, as with any other error.
  add_rule(rig.rig.service(), abi::RuleAction::refuse, {"198.18.0.9/32"});
  rig.rig.publish();
  rig.run();
  client->send_message(junk);
  rig.run();
  EXPECT_EQ(rig.read(client->messages().at(0)).rcode(), 5);
}

TEST(SlowPath, A112_access_rules_hold) {
  SlowRig rig;
  add_rule(rig.rig.service(), abi::RuleAction::refuse, {"198.18.0.9/32"});
  add_rule(rig.rig.service(), abi::RuleAction::drop, {"198.18.0.10/32"});
  rig.rig.publish();
  rig.run();
  auto refused = rig.client("198.18.0.9");
  auto dropped = rig.client("198.18.0.10");
  auto served = rig.client("198.18.0.11");
  for (Peer* peer : {refused.get(), dropped.get(), served.get()})
    peer->send_message(rig.query("www.example"));
  rig.run();
  EXPECT_EQ(rig.read(refused->messages().at(0)).rcode(), 5);
  EXPECT_TRUE(dropped->closed());
  EXPECT_EQ(rig.rig.asked().size(), 1u);
  rig.answer_all();
  EXPECT_EQ(served->messages().size(), 1u);
}

// The config changes while a question is between the slow path and its owner: the owner judges it
// under the one that it runs.
TEST(SlowPath, QueryUnderAnotherGeneration) {
  SlowRig rig;
  auto client = rig.client();
  auto other = rig.client("198.18.0.10");
  client->send_message(rig.query("www.example"));
  other->send_message(rig.query("other.example"));
  rig.rig.plane.slow_turn(rig.rig.now_ns);  // in the ring
  add_rule(rig.rig.service(), abi::RuleAction::refuse, {"198.18.0.10/32"});
  rig.rig.publish();
  rig.run();
  EXPECT_EQ(rig.read(other->messages().at(0)).rcode(), 5);
  EXPECT_EQ(rig.rig.asked().size(), 1u);
  rig.answer_all();
  EXPECT_EQ(client->messages().size(), 1u);
}

TEST(SlowPath, FailureIsServfailAndRemembered) {
  SlowRig rig;
  auto client = rig.client();
  client->send_message(rig.query("www.example"));
  rig.rig.wait_ms(2100);
  auto replies = client->messages();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(rig.read(replies[0]).rcode(), 2);
  rig.rig.clear();
  client->send_message(rig.query("www.example"));
  rig.run(1);
  EXPECT_EQ(rig.read(client->messages().at(0)).rcode(), 2);
  EXPECT_EQ(rig.outcome(Outcome::servfail_cached), 1u);
  EXPECT_TRUE(rig.rig.asked().empty());
}

// More questions at once than there are frames: all are answered in the end, by back-pressure and
// not by SERVFAIL.
TEST(SlowPath, MoreQuestionsThanFrames) {
  SlowRig rig(2);
  rig.rig.service().tcp.queries_per_connection_max = 256;
  rig.rig.publish();
  rig.run();
  std::vector<std::unique_ptr<Peer>> clients;
  constexpr uint32_t kEach = 200;
  for (uint32_t c = 0; c < 5; ++c) {
    clients.push_back(rig.client("198.18.0." + std::to_string(20 + c)));
    for (uint32_t i = 0; i < kEach; ++i) {
      clients.back()->send_message(
          rig.query("n" + std::to_string(i) + "c" + std::to_string(c) + ".example",
                    static_cast<uint16_t>(i)));
    }
  }
  std::vector<std::size_t> come(clients.size(), 0);
  for (int round = 0; round < 60; ++round) {
    rig.run(2);
    rig.rig.jump_ms(1);
    EXPECT_LE(rig.slow().frames_out(), dp::kSlowQueriesMax);
    // What was asked is answered within a burst's worth a round.
    std::vector<Out> asked = rig.rig.asked();
    rig.rig.clear();
    for (const Out& one : asked) {
      rig.rig.answer(one, rig.rig.data_for(one));
      if (rig.rig.plane.core(one.worker).io.rx_cnt == kBurstMax) rig.rig.step(one.worker);
    }
    for (std::size_t c = 0; c < clients.size(); ++c)
      come[c] += clients[c]->messages().size();
  }
  for (const std::size_t one : come)
    EXPECT_EQ(one, kEach);
  EXPECT_GT(rig.event(Event::tcp_waited), 0u);
}

// RFC 5452, section 9.3: where ids are being guessed, the question goes where they cannot be.
TEST(SlowPath, A66_a_question_under_attack_is_asked_over_tcp) {
  SlowRig rig;
  rig.rig.ask("www.example", 5000);
  rig.run(1);
  const Out asked = rig.rig.only_asked();
  for (uint16_t i = 1; i <= 11; ++i) {
    auto guess = rig.rig.data_for(asked);
    rig.rig.answer(asked, guess.id(static_cast<uint16_t>(asked.message.id + i)));
  }
  rig.run();
  EXPECT_EQ(rig.rig.event(Event::up_spoof_alarm), 1u);
  EXPECT_EQ(rig.rig.event(Event::up_stream_sent), 1u);
  ASSERT_EQ(rig.upstreams.size(), 1u);
  rig.rig.answer(asked, rig.rig.data_for(asked, 111));
  rig.run();
  EXPECT_TRUE(rig.rig.replies().empty()) << "what is right now may have been guessed";
  const auto questions = rig.upstreams[0]->messages();
  ASSERT_EQ(questions.size(), 1u);
  const ReadMessage question = rig.read(questions[0]);
  rig.upstreams[0]->send_message(
      DnsBuilder()
          .id(question.id)
          .response()
          .question("www.example", kTypeA)
          .answer(Name::pointer(12), kTypeA, 222, rdata_a("198.18.7.7"))
          .build());
  rig.run();
  EXPECT_EQ(rig.rig.only_reply().message.records.at(0).ttl, 222u);
  EXPECT_EQ(rig.rig.asked().size(), 1u);
}

TEST(SlowPath, A66_without_tcp_another_port_and_id_must_do) {
  SlowRig rig;
  rig.reachable = false;
  rig.rig.ask("www.example", 5000);
  rig.run(1);
  const Out asked = rig.rig.only_asked();
  for (uint16_t i = 1; i <= 11; ++i) {
    auto guess = rig.rig.data_for(asked);
    rig.rig.answer(asked, guess.id(static_cast<uint16_t>(asked.message.id + i)));
  }
  rig.rig.clear();
  rig.run();
  rig.rig.wait_ms(200);
  const Out again = rig.rig.only_asked();
  EXPECT_NE(again.frame.source.port_be, asked.frame.source.port_be);
  rig.rig.answer(again, rig.rig.data_for(again));
  rig.run();
  EXPECT_EQ(rig.rig.only_reply().message.rcode(), 0);
  EXPECT_FALSE(rig.rig.only_reply().message.has(kFlagTc));
}

// A forwarded name has one cache, whatever the transport.
TEST(SlowPath, NamesAreForwardedAsOverUdp) {
  SlowRig rig;
  abi::ServiceSection& service = rig.rig.service();
  service.packet_caches = service.pools = 2;
  service.packet_cache[1] = service.packet_cache[0];
  service.pool[1] = service.pool[0];
  service.pool[1].name[0] = 'x';
  service.pool[1].packet_cache = 1;
  const Bytes suffix = Name("corp.example").bytes();
  service.forwards = 1;
  service.forward[0] = {0b01, 1, static_cast<uint8_t>(suffix.size())};
  service.forward_bytes = static_cast<uint32_t>(suffix.size());
  std::copy(suffix.begin(), suffix.end(), service.forward_name);
  rig.rig.publish();
  rig.run();
  auto client = rig.client();
  client->send_message(rig.query("www.corp.example"));
  rig.run();
  rig.answer_all();
  EXPECT_EQ(client->messages().size(), 1u);
  rig.rig.ask("www.corp.example", 5000);
  rig.run(1);
  EXPECT_EQ(rig.rig.outcome(Outcome::hit), 1u);
  client->send_message(rig.query("www.corp.example"));
  rig.run(1);
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
}

TEST(SlowPath, A117_A118_special_names_are_answered_here) {
  SlowRig rig;
  add_zone(rig.rig.service(), "localhost", abi::LocalKind::loopback);
  add_zone(rig.rig.service(), "test", abi::LocalKind::nxdomain);
  rig.rig.publish();
  auto client = rig.client();
  client->send_message(rig.query("a.localhost", 1));
  client->send_message(rig.query("www.test", 2));
  rig.run(1);
  const auto replies = client->messages();
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(rig.read(replies[0]).records.at(0).rdata, (Bytes{127, 0, 0, 1}));
  EXPECT_TRUE(rig.read(replies[0]).has(kFlagAa));
  EXPECT_EQ(rig.read(replies[1]).rcode(), 3);
  EXPECT_EQ(rig.read(replies[1]).records.at(0).type, kTypeSoa);
  EXPECT_EQ(rig.outcome(Outcome::local_zone), 2u);
  EXPECT_TRUE(rig.rig.asked().empty());
}

// --- what is asked of us

// The options of a message, as they stand.
Bytes options_of(const ReadMessage& message) {
  return message.opt() == nullptr ? Bytes{} : message.opt()->rdata;
}

Bytes query_with(const std::vector<Option>& options, uint16_t type = kTypeA) {
  return DnsBuilder().id(3).rd().question("www.example", type).opt({.options = options}).build();
}

TEST(SlowPath, A34_any_is_asked_upstream) {
  SlowRig rig;
  rig.rig.service().local.any_over_udp = 1;
  rig.rig.publish();
  auto client = rig.client();
  client->send_message(rig.query("www.example", 1, kTypeAny));
  rig.run();
  EXPECT_EQ(rig.rig.only_asked().message.questions.at(0).type, kTypeAny);
  rig.answer_all();
  EXPECT_EQ(rig.read(client->messages().at(0)).count(Section::answer), 1u);
  // What is known now is for TCP alone.
  rig.rig.ask("www.example", 5000, 0, kTypeAny);
  rig.run(1);
  EXPECT_EQ(rig.rig.only_reply().message.records.at(0).type, kTypeHinfo);
}

TEST(SlowPath, A115_who_we_are) {
  SlowRig rig;
  std::strcpy(rig.rig.service().local.version, "millrace-1");
  rig.rig.publish();
  auto client = rig.client();
  client->send_message(DnsBuilder().id(1).question("version.bind", kTypeTxt, kClassCh).build());
  client->send_message(DnsBuilder().id(2).question("id.server", kTypeTxt, kClassCh).build());
  rig.run(1);
  auto replies = client->messages();
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(rig.read(replies[0]).records.at(0).rdata, rdata_txt("millrace-1"));
  EXPECT_EQ(rig.read(replies[1]).rcode(), 5);
  EXPECT_EQ(rig.outcome(Outcome::local_identity), 1u);
  // Access rules come first, here as over UDP.
  add_rule(rig.rig.service(), abi::RuleAction::drop, {"198.18.0.0/16"});
  rig.rig.publish();
  client->send_message(DnsBuilder().id(1).question("version.bind", kTypeTxt, kClassCh).build());
  rig.run(1);
  EXPECT_TRUE(client->messages().empty());
  EXPECT_EQ(rig.outcome(Outcome::drop_acl), 1u);
}

TEST(SlowPath, A81_A86_cookies_and_nsid_on_miss_and_hit) {
  SlowRig rig;
  rig.rig.service().local.cookies = 1;
  std::strcpy(rig.rig.service().local.nsid, "node-7");
  rig.rig.publish();
  auto client = rig.client();
  Bytes cookie(8, 1);
  for (int i = 0; i < 2; ++i) {
    client->send_message(query_with({{65001, Bytes(2000, 1)}, {10, cookie}, {3, {}}}));
    rig.run();
    if (i == 0) rig.answer_all();
    const auto replies = client->messages();
    ASSERT_EQ(replies.size(), 1u);
    const Bytes options = options_of(rig.read(replies[0]));
    ASSERT_EQ(options.size(), 4u + 24u + 4u + 6u);
    const Bytes made(options.begin() + 4, options.begin() + 28);
    EXPECT_EQ(Bytes(made.begin(), made.begin() + 8), Bytes(8, 1));
    if (i == 1) {
      EXPECT_EQ(made, cookie) << "that of the worker";
    }
    cookie = made;
  }
  EXPECT_EQ(rig.event(Event::cookie_good), 1u);
  // The same client has the same cookie over UDP.
  rig.rig.arrive(FrameBuilder()
                     .from("198.18.0.9", 4001)
                     .to(kServiceV4, 53)
                     .payload(query_with({{10, cookie}}))
                     .build());
  rig.run(1);
  EXPECT_EQ(rig.rig.event(Event::cookie_good), 1u);
}

TEST(SlowPath, A83_no_question_but_a_cookie) {
  SlowRig rig;
  rig.rig.service().local.cookies = 1;
  rig.rig.publish();
  auto client = rig.client();
  client->send_message(DnsBuilder().rd().opt({.options = {{10, Bytes(8, 1)}}}).build());
  client->send_message(DnsBuilder().rd().opt({.options = {{10, Bytes(24, 1)}}}).build());
  rig.run(1);
  const auto replies = client->messages();
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(rig.read(replies[0]).rcode(), 0);
  EXPECT_EQ(options_of(rig.read(replies[0])).size(), 28u);
  EXPECT_EQ(rig.read(replies[1]).rcode(), 7);
  EXPECT_EQ(rig.outcome(Outcome::cookie_only), 1u);
  EXPECT_EQ(rig.outcome(Outcome::bad_cookie), 1u);
}

TEST(SlowPath, A84_keepalive_says_how_long_we_wait) {
  SlowRig rig;
  rig.rig.service().tcp.idle_ms = 12'300;
  rig.rig.publish();
  auto client = rig.client();
  client->send_message(query_with({{11, {}}}));
  rig.run();
  rig.answer_all();
  EXPECT_EQ(options_of(rig.read(client->messages().at(0))), (Bytes{0, 11, 0, 2, 0, 123}));
  client->send_message(query_with({{11, {0, 1}}}));
  client->send_message(query_with({}));
  rig.run(1);
  const auto replies = client->messages();
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(rig.read(replies[0]).rcode(), 1);
  EXPECT_TRUE(options_of(rig.read(replies[1])).empty());
}

// A121 over TCP: the hint crosses the ring to the owner.
TEST(SlowPath, A121_a_hit_near_the_end_starts_one_refresh) {
  SlowRig rig;
  auto client = rig.client();
  const auto ask = [&rig, &client] {
    client->send_message(rig.query("www.example"));
    rig.run();
  };
  ask();
  rig.answer_all(100);
  ask();
  rig.rig.jump_ms(95'000);
  client = rig.client();
  for (int i = 0; i < 3; ++i)
    ask();
  EXPECT_EQ(client->messages().size(), 3u);
  EXPECT_EQ(rig.outcome(Outcome::hit), 4u);
  EXPECT_EQ(rig.rig.asked().size(), 1u);
  EXPECT_EQ(rig.rig.event(Event::prefetch_sent), 1u);
  rig.answer_all(100);
  ask();
  EXPECT_EQ(rig.read(client->messages().at(0)).records.at(0).ttl, 100u);
}

// A122 over TCP: the owner of the key answers with what is past its time.
TEST(SlowPath, A122_stale_when_upstreams_fail) {
  SlowRig rig;
  rig.rig.service().stale = {86'400, 500, 30, 30};
  rig.rig.service().answer_rd0 = 1;
  rig.rig.publish();
  auto client = rig.client();
  const auto ask = [&rig, &client](bool rd) {
    DnsBuilder query = DnsBuilder().id(1).question("www.example", kTypeA).opt();
    client->send_message((rd ? query.rd() : query).build());
    rig.run();
  };
  ask(true);
  rig.answer_all(100);
  rig.rig.jump_ms(101'000);
  client = rig.client();
  ask(true);
  EXPECT_TRUE(client->messages().empty());
  rig.rig.clear();
  rig.rig.wait_ms(520);
  ReadMessage reply = rig.read(client->messages().at(0));
  EXPECT_EQ(reply.count(Section::answer), 1u);
  EXPECT_EQ(reply.records.at(0).ttl, 30u);
  EXPECT_EQ(reply.extended_errors(), std::vector<uint16_t>{3});
  rig.rig.wait_ms(2000);  // given up
  rig.rig.clear();
  ask(true);
  reply = rig.read(client->messages().at(0));
  EXPECT_EQ(reply.extended_errors(), std::vector<uint16_t>{3});
  EXPECT_TRUE(rig.rig.asked().empty());
  EXPECT_EQ(rig.rig.event(Event::waiter_stale), 2u);
  ask(false);
  EXPECT_EQ(rig.read(client->messages().at(0)).rcode(), 5);
}

// A88, as over UDP.
TEST(SlowPath, A88_client_subnet_ends_here) {
  SlowRig rig;
  auto client = rig.client();
  const Option subnet{8, {0, 1, 24, 0, 198, 18, 0}};
  const auto ask = [&rig, &client, &subnet] {
    client->send_message(
        DnsBuilder().id(1).rd().question("www.example", kTypeA).opt({.options = {subnet}}).build());
    rig.run();
  };
  ask();
  const Out asked = rig.rig.only_asked();
  ASSERT_NE(asked.message.opt(), nullptr);
  EXPECT_TRUE(asked.message.opt()->rdata.empty());
  rig.rig.answer(asked, rig.rig.data_for(asked).opt({.options = {subnet}}));
  rig.rig.clear();
  rig.run();
  ask();
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
  const auto replies = client->messages();
  ASSERT_EQ(replies.size(), 2u) << "on a miss and on a hit";
  for (const Bytes& bytes : replies) {
    const ReadMessage reply = rig.read(bytes);
    EXPECT_EQ(reply.count(Section::answer), 1u);
    ASSERT_NE(reply.opt(), nullptr);
    EXPECT_TRUE(reply.opt()->rdata.empty());
  }
}

}  // namespace
}  // namespace millrace::test
