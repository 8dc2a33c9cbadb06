// SPDX-License-Identifier: Apache-2.0
// One worker and its clients: hits, policies, odd frames.
#include "tests/unit/worker/rig.hpp"

#include <set>
#include <span>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

// Asks, lets the upstream answer, and forgets the packets.
void prime(Rig& rig, const std::string& name, uint32_t ttl_s = 300) {
  rig.ask(name, 4000);
  rig.step();
  rig.answer(rig.only_asked(), rig.data_for(rig.only_asked(), ttl_s));
  rig.step();
  ASSERT_EQ(rig.replies().size(), 1u);
  rig.clear();
}

TEST(WorkerQuery, AMissIsAskedAndAnsweredAndIsAHitFromThenOn) {
  Rig rig;
  rig.ask(rig.query("WwW.exAmple"), 4001);
  rig.step();
  EXPECT_TRUE(rig.replies().empty());
  const Out asked = rig.only_asked();
  EXPECT_EQ(asked.name(), std::string("\3www\7example\0", 13)) << "lower case upstream";
  EXPECT_TRUE(asked.message.has(kFlagRd) && asked.message.has(kFlagAd));
  EXPECT_NE(asked.message.opt(), nullptr);
  rig.clear();

  rig.answer(asked, rig.data_for(asked, 300));
  rig.step();
  const Out reply = rig.only_reply();
  EXPECT_EQ(reply.message.id, 0x77);
  EXPECT_EQ(reply.name(), std::string("\3WwW\7exAmple\0", 13));
  EXPECT_EQ(reply.frame.target.port_be, __builtin_bswap16(4001));
  EXPECT_EQ(reply.message.records.at(0).ttl, 300u);
  EXPECT_EQ(reply.message.opt(), nullptr) << "none was sent";
  rig.clear();

  rig.jump_ms(7'400);
  rig.ask(rig.query("wWw.EXAMPLE").opt(), 4002);
  rig.step();
  const Out hit = rig.only_reply();
  EXPECT_EQ(hit.name(), std::string("\3wWw\7EXAMPLE\0", 13));
  EXPECT_EQ(hit.message.records.at(0).ttl, 293u);
  EXPECT_NE(hit.message.opt(), nullptr);
  EXPECT_TRUE(rig.asked().empty());
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
  EXPECT_EQ(rig.outcome(Outcome::miss), 1u);
}

TEST(WorkerQuery, NothingIsServedPastItsTime) {
  Rig rig;
  prime(rig, "www.example", 2);
  rig.jump_ms(1'999);
  rig.ask("www.example", 4001);
  rig.step();
  EXPECT_EQ(rig.only_reply().message.records.at(0).ttl, 1u);
  rig.clear();
  rig.jump_ms(1);
  rig.ask("www.example", 4002);
  rig.step();
  EXPECT_TRUE(rig.replies().empty());
  rig.only_asked();
}

// Three messages whose question seems to reach to their end, and one of them is right.
TEST(WorkerQuery, AGuessAtTheEndOfTheNameThatWasWrongCostsNobodyAnything) {
  Rig rig;
  prime(rig, "www.example");
  const Bytes usual = rig.query("www.example").build();
  Bytes longer = usual;
  longer.insert(longer.end(), {3, 'c', 'o', 'm', 0, 0, 1, 0, 1});
  Bytes broken = usual;
  broken[16] = 0x47;  // the second label's length
  uint16_t port = 4001;
  for (const Bytes& message : {longer, usual, broken, longer}) {
    rig.arrive(
        FrameBuilder().from("198.18.0.9", port++).to(kServiceV4, 53).payload(message).build());
  }
  rig.step();
  ASSERT_EQ(rig.replies().size(), 4u);
  for (const Out& reply : rig.replies()) {
    const bool is_broken = reply.frame.target.port_be == __builtin_bswap16(4003);
    EXPECT_EQ(reply.message.rcode(), is_broken ? 1 : 0);
    EXPECT_EQ(reply.message.records.size(), is_broken ? 0u : 1u);
  }
  EXPECT_EQ(rig.outcome(Outcome::hit), 3u);
  EXPECT_EQ(rig.outcome(Outcome::fmt_label_type), 1u);
  EXPECT_EQ(rig.event(Event::rx_trailing), 2u);
}

// The checksum of such a reply is made from the query's.
TEST(WorkerQuery, A93_without_a_checksum_a_hit_is_answered_all_the_same) {
  Rig rig;
  prime(rig, "www.example");
  rig.arrive(FrameBuilder()
                 .from("198.18.0.9", 4001)
                 .to(kServiceV4, 53)
                 .udp_checksum(0)
                 .payload(rig.query("www.example").build())
                 .build());
  rig.step();
  EXPECT_EQ(rig.only_reply().message.records.size(), 1u);
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
}

TEST(WorkerQuery, WithoutRdItIsRefused) {
  Rig rig;
  prime(rig, "known.example");
  rig.ask(DnsBuilder().question("known.example", kTypeA).opt(), 4001);
  rig.ask(DnsBuilder().question("other.example", kTypeA).opt(), 4002);
  rig.step();
  ASSERT_EQ(rig.replies().size(), 2u);
  for (const Out& reply : rig.replies()) {
    EXPECT_EQ(reply.message.rcode(), 5);
    EXPECT_FALSE(reply.message.has(kFlagRd));
    EXPECT_EQ(reply.message.extended_errors(), std::vector<uint16_t>{20});
  }
  EXPECT_TRUE(rig.asked().empty());
  EXPECT_EQ(rig.outcome(Outcome::refused_rd0), 2u);
}

TEST(WorkerQuery, WithoutRdTheCacheAnswersIfAllowed) {
  Rig rig;
  rig.service().answer_rd0 = 1;
  rig.publish();
  prime(rig, "known.example");
  rig.ask(DnsBuilder().question("known.example", kTypeA), 4001);
  rig.ask(DnsBuilder().question("other.example", kTypeA), 4002);
  rig.step();
  ASSERT_EQ(rig.replies().size(), 2u);
  EXPECT_EQ(rig.replies()[0].message.rcode(), 0);
  EXPECT_EQ(rig.replies()[1].message.rcode(), 5);
  EXPECT_TRUE(rig.asked().empty()) << "never a query upstream";
}

TEST(WorkerQuery, IpOptionsGoAndTheTagStays) {
  Rig rig;
  rig.service().vlan[0x64 / 32] |= 1u << 0x64 % 32;
  rig.service().vlan[0] |= 1u << 7;
  rig.publish();
  const Bytes query = rig.query("www.example").build();
  rig.arrive(FrameBuilder()
                 .vlan(0x2064)
                 .from("198.18.0.9", 4001)
                 .to(kServiceV4, 53)
                 .ipv4_options({1, 1, 1, 0})
                 .payload(query)
                 .build());
  rig.step();
  rig.answer(rig.only_asked(), rig.data_for(rig.only_asked()));
  rig.step();
  const Out late = rig.only_reply();  // read_frame accepts no options
  EXPECT_EQ(late.frame.tags, std::vector<uint16_t>{0x2064});
  rig.clear();
  rig.arrive(FrameBuilder()
                 .vlan(0x0007)
                 .from("198.18.0.9", 4002)
                 .to(kServiceV4, 53)
                 .ipv4_options({1, 1, 1, 1, 1, 1, 1, 0})
                 .payload(query)
                 .build());
  rig.step();
  EXPECT_EQ(rig.only_reply().frame.tags, std::vector<uint16_t>{0x0007});
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
}

TEST(WorkerQuery, Ipv6IsAnsweredLikeIpv4) {
  Rig rig;
  rig.arrive(FrameBuilder()
                 .from("fd00:18::9", 4001)
                 .to(kServiceV6, 53)
                 .payload(rig.query("www.example").build())
                 .build());
  rig.step();
  rig.answer(rig.only_asked(), rig.data_for(rig.only_asked()));
  rig.step();
  EXPECT_EQ(rig.only_reply().frame.source.family, 6);
}

TEST(WorkerQuery, WhatIsNotOursIsPassed) {
  Rig rig;
  rig.arrive(FrameBuilder().to("198.18.0.99", 53).payload(rig.query("a.test").build()).build());
  rig.arrive(FrameBuilder().to(kServiceV4, 54).payload(rig.query("a.test").build()).build());
  rig.step();
  EXPECT_TRUE(rig.out.empty());
  EXPECT_EQ(rig.outcome(Outcome::pass_addr), 2u);
}

TEST(WorkerQuery, AnAnswerThatDoesNotFitIsTruncatedForTheSmallClientOnly) {
  Rig rig;
  rig.ask(rig.query("big.example").opt({.udp_bytes = 1232}), 4000);
  rig.ask(rig.query("big.example"), 4001);
  rig.step();
  const Out asked = rig.only_asked();
  DnsBuilder large = rig.answer_to(asked);
  for (int i = 0; i < 40; ++i) {
    large.answer(Name::pointer(12), kTypeA, 60, rdata_a("198.18.7." + std::to_string(i)));
  }
  rig.clear();
  rig.answer(asked, large);
  rig.step();
  ASSERT_EQ(rig.replies().size(), 2u);
  EXPECT_EQ(rig.replies()[0].message.count(Section::answer), 40u);
  EXPECT_TRUE(rig.replies()[1].message.has(kFlagTc));
  EXPECT_EQ(rig.replies()[1].message.count(Section::answer), 0u);
  EXPECT_EQ(rig.event(Event::reply_truncated), 1u);
}

TEST(WorkerQuery, WithoutAConfigNothingIsOurs) {
  sim::Random random(3);
  sim::Plan plan;
  sim::Plane plane(plan, random);
  sim::FramePool frames(4);
  dp::StepIo& io = plane.core(0).io;
  io.rx[io.rx_cnt++] = frames.take(
      {}, FrameBuilder().payload(DnsBuilder().rd().question("a", 1).build()).build(), 0);
  plane.step(0, 5);
  EXPECT_EQ(io.tx_cnt, 0u);
  ASSERT_EQ(io.done_cnt, 1u);
  EXPECT_EQ(plane.outcome(Outcome::pass_addr), 1u);
  frames.give_back(io.done[0]);
}

TEST(WorkerQuery, A126_WithoutARouteAQueryIsToldThatWeAreNotReady) {
  Rig rig;
  rig.publish_routes(0);
  rig.ask(rig.query("a.test").opt(), 4000);
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_EQ(rig.only_reply().message.extended_errors(), std::vector<uint16_t>{14});
  EXPECT_EQ(rig.outcome(Outcome::servfail_no_route), 1u);
}

// Between a worker's two loads both snapshots may be replaced: it then sees routes for a config
// that it does not run yet. They must not be lost.
TEST(WorkerQuery, RoutesThatAreAheadOfTheConfigAreUsedLater) {
  Rig rig;
  rig.step();
  add_backend(rig.service(), 5);
  rig.service().pool[0].backends = 0b100;
  abi::ConfigImage ahead = *rig.config;
  ahead.header.generation = 2;
  const auto routes = make_routes(ahead, 2);
  rig.plane.routes().publish(routes.get());
  rig.step();
  EXPECT_EQ(rig.plane.core(0).worker->routes_generation(), 1u) << "not in use yet";
  rig.publish_config();
  rig.step();
  EXPECT_EQ(rig.plane.core(0).worker->routes_generation(), 2u);
  rig.ask("a.test", 4000);
  rig.step();
  EXPECT_EQ(rig.only_asked().backend(), 5u);
  rig.publish_routes();
}

TEST(WorkerQuery, ALookupNamesEachOfItsRows) {
  Rig rig;
  for (const char* name : {"a.example", "B.Example", "notexample"})
    prime(rig, name);
  dp::Mailbox& mailbox = rig.plane.core(0).mailbox;
  mailbox.query.match = abi::NameMatch::suffix;
  mailbox.query.packet_cache = 0xff;
  const Bytes suffix = Name("example").bytes();
  std::copy(suffix.begin(), suffix.end(), mailbox.query.name);
  mailbox.query.name_bytes = static_cast<uint8_t>(suffix.size());
  mailbox.asked.store(1);
  for (int i = 0; i < 100 && mailbox.answered.load() != 1; ++i)
    rig.step();
  ASSERT_EQ(mailbox.rows, 2u);
  std::set<Bytes> names;
  for (const auto& row : std::span(mailbox.row, mailbox.rows))
    names.insert(Bytes(row.name, row.name + row.name_bytes));
  EXPECT_EQ(names, (std::set{Name("a.example").bytes(), Name("b.example").bytes()}));
}

// RFC 7871 section 7.2.2: no CLIENT-SUBNET goes up or comes back, whatever client and upstream say;
// one answer serves all, a source of /0 included.
TEST(WorkerQuery, A88_client_subnet_ends_here) {
  Rig rig;
  const Option wide{8, {0, 1, 0, 0}};
  const Option narrow{8, {0, 1, 24, 0, 198, 18, 0}};
  const Option v6{8, {0, 2, 56, 0, 0xfd, 0, 0, 0x18, 0, 0, 0}};
  rig.ask(rig.query("www.example").opt({.options = {narrow}}), 4000);
  rig.step();
  const Out asked = rig.only_asked();
  ASSERT_NE(asked.message.opt(), nullptr);
  EXPECT_TRUE(asked.message.opt()->rdata.empty());
  // An upstream that says it was tailored is believed no less.
  rig.answer(asked, rig.data_for(asked).opt({.options = {{8, {0, 1, 24, 24, 198, 18, 0}}}}));
  rig.clear();
  rig.step();
  EXPECT_TRUE(rig.only_reply().message.opt()->rdata.empty());
  rig.clear();
  for (const Option& option : {wide, narrow, v6})
    rig.ask(rig.query("www.example").opt({.options = {option}}), 4000);
  rig.step();
  EXPECT_EQ(rig.outcome(Outcome::hit), 3u);
  ASSERT_EQ(rig.replies().size(), 3u);
  for (const Out& reply : rig.replies()) {
    EXPECT_EQ(reply.message.count(Section::answer), 1u);
    EXPECT_TRUE(reply.message.opt()->rdata.empty());
  }
}

}  // namespace
}  // namespace millrace::test
