// SPDX-License-Identifier: Apache-2.0
// Access rules: what each verdict does to a query, which rule it comes from, and how long it is
// remembered. Queries come in by hand and what comes out is looked at.
#include "dataplane/worker/policy_stage.hpp"
#include "tests/unit/worker/rig.hpp"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

using abi::RuleAction;

constexpr int kRefused = 5;

void ask(Rig& rig, const std::string& source, const DnsBuilder& query, uint16_t port = 4000) {
  const bool v6 = source.find(':') != source.npos;
  rig.arrive(FrameBuilder()
                 .from(source, port)
                 .to(v6 ? kServiceV6 : kServiceV4, 53)
                 .payload(query.build())
                 .build());
}

void ask(Rig& rig, const std::string& source, const std::string& name, uint16_t port = 4000) {
  ask(rig, source, rig.query(name).opt(), port);
}

// Has the name cached for the client, with this address in the answer.
void prime(Rig& rig, const std::string& source, const std::string& name, const std::string& data) {
  ask(rig, source, name);
  rig.step();
  const Out asked = rig.only_asked();
  rig.answer(asked, rig.answer_to(asked).answer(Name::pointer(12), kTypeA, 300, rdata_a(data)));
  rig.step();
  ASSERT_EQ(rig.replies().size(), 1u);
  rig.clear();
}

// What becomes of a query for a cached name from there: its RCODE, -1 for silence.
int rcode_for(Rig& rig, const std::string& source) {
  rig.clear();
  ask(rig, source, "www.example");
  rig.step();
  return rig.replies().empty() ? -1 : rig.only_reply().message.rcode();
}

// A rig that has "www.example" and these rules.
struct Ruled : Rig {
  explicit Ruled(const std::vector<std::pair<RuleAction, std::vector<std::string>>>& rules) {
    prime(*this, "198.18.0.9", "www.example", "198.18.7.7");
    for (const auto& [action, sources] : rules)
      add_rule(service(), action, sources);
    publish();
  }
};

TEST(WorkerPolicy, WhoeverIsRefusedIsToldSo) {
  Ruled rig({{RuleAction::refuse, {"198.18.0.0/16"}}});
  ask(rig, "198.18.0.9", "www.example");
  ask(rig, "198.18.200.1", "other.example");
  rig.step();
  ASSERT_EQ(rig.replies().size(), 2u);
  for (const Out& reply : rig.replies()) {
    EXPECT_EQ(reply.message.rcode(), kRefused);
    EXPECT_EQ(reply.message.extended_errors(), std::vector<uint16_t>{18});
    EXPECT_EQ(reply.message.count(Section::answer), 0u);
  }
  EXPECT_TRUE(rig.asked().empty());
  EXPECT_EQ(rig.outcome(Outcome::refused_acl), 2u);
  EXPECT_EQ(rcode_for(rig, "198.19.0.1"), 0);
}

TEST(WorkerPolicy, WhoeverIsDroppedGetsNothing) {
  Ruled rig({{RuleAction::drop, {"198.18.0.0/16"}}});
  EXPECT_EQ(rcode_for(rig, "198.18.0.9"), -1);
  ask(rig, "198.18.0.9", "other.example");
  rig.step();
  EXPECT_TRUE(rig.out.empty());
  EXPECT_EQ(rig.outcome(Outcome::drop_acl), 2u);
}

// Errors are replies, too.
TEST(WorkerPolicy, WhatIsBrokenIsJudgedIfItWouldGetAReply) {
  Ruled rig({{RuleAction::drop, {"198.18.1.0/24"}}, {RuleAction::refuse, {"198.18.2.0/24"}}});
  const DnsBuilder broken = rig.query("a.test").question("b.test", kTypeA);
  const DnsBuilder unwanted = DnsBuilder().question("a.test", kTypeA);  // RD=0
  const DnsBuilder response = rig.query("a.test").response();
  for (const char* source : {"198.18.1.1", "198.18.2.1", "198.18.3.1"}) {
    for (const DnsBuilder& query : {broken, unwanted, response})
      ask(rig, source, query);
  }
  rig.step();
  ASSERT_EQ(rig.replies().size(), 4u);
  EXPECT_EQ(rig.outcome(Outcome::drop_acl), 2u);
  EXPECT_EQ(rig.outcome(Outcome::refused_acl), 2u);
  EXPECT_EQ(rig.outcome(Outcome::refused_rd0), 1u);
  EXPECT_EQ(rig.outcome(Outcome::fmt_qdcount), 1u);
  EXPECT_EQ(rig.outcome(Outcome::drop_qr), 3u);
  for (const Out& reply : rig.replies()) {
    EXPECT_NE(reply.frame.target.bytes[2], 1);
    if (reply.frame.target.bytes[2] == 2) {
      EXPECT_EQ(reply.message.rcode(), kRefused);
    }
  }
}

// Those who stay move up in the burst; each must keep its own question, answer and frame.
TEST(WorkerPolicy, ABurstIsTakenApart) {
  Rig rig;
  constexpr uint32_t kNames = 10;
  const auto name_of = [](uint32_t i) { return std::string(i + 1, 'n') + ".example"; };
  for (uint32_t i = 0; i < kNames; ++i)
    prime(rig, "198.18.0.9", name_of(i), "198.18.7." + std::to_string(i));
  add_rule(rig.service(), RuleAction::refuse, {"198.18.1.0/24"});
  add_rule(rig.service(), RuleAction::drop, {"198.18.2.0/24"});
  rig.publish();
  for (uint32_t i = 0; i < 3 * kNames; ++i) {
    DnsBuilder query = rig.query(name_of(i / 3));
    if (i % 2 == 0) query.opt();
    ask(rig, "198.18." + std::to_string(i % 3) + ".9", query, static_cast<uint16_t>(4000 + i));
  }
  rig.step();
  EXPECT_EQ(rig.outcome(Outcome::refused_acl), kNames);
  EXPECT_EQ(rig.outcome(Outcome::drop_acl), kNames);
  EXPECT_EQ(rig.outcome(Outcome::hit), kNames);
  ASSERT_EQ(rig.replies().size(), 2 * kNames);
  for (const Out& reply : rig.replies()) {
    const uint32_t i = __builtin_bswap16(reply.frame.target.port_be) - 4000u;
    EXPECT_EQ(reply.frame.target.bytes[2], i % 3);
    EXPECT_EQ(Name::wire(reply.message.questions.at(0).name).bytes(), Name(name_of(i / 3)).bytes());
    EXPECT_EQ(reply.message.rcode(), i % 3 == 0 ? 0 : kRefused);
    if (i % 3 != 0) continue;
    EXPECT_EQ(reply.message.opt() != nullptr, i % 2 == 0);
    const std::string data = "198.18.7." + std::to_string(i / 3);
    EXPECT_EQ(reply.message.records.at(0).rdata, rdata_a(data)) << i;
  }
}

// Two views of one name: each client sees the answer of its pool, from the cache of its pool.
TEST(WorkerPolicy, AnotherPoolHasAnotherCache) {
  Rig rig(1, 1);
  abi::ServiceSection& service = rig.service();
  add_backend(service, 7);
  service.pools = service.packet_caches = 2;
  std::snprintf(service.pool[1].name, abi::kNameMax, "pool1");
  service.pool[1].backends = 0b10;
  service.pool[1].packet_cache = 1;
  service.packet_cache[1] = service.packet_cache[0];
  std::snprintf(service.packet_cache[1].name, abi::kNameMax, "cache1");
  add_rule(service, RuleAction::allow, {"198.18.1.0/24", "fd00:18:1::/48"}, 1);
  rig.publish();
  prime(rig, "198.18.0.9", "www.example", "198.18.7.1");
  ask(rig, "198.18.1.9", "www.example");
  rig.step();
  const Out asked = rig.only_asked();
  EXPECT_EQ(asked.backend(), 7u);
  rig.answer(asked,
             rig.answer_to(asked).answer(Name::pointer(12), kTypeA, 300, rdata_a("198.18.7.2")));
  rig.step();
  rig.clear();
  for (const char* source : {"198.18.0.9", "198.18.1.9", "fd00:18::9", "fd00:18:1::9"})
    ask(rig, source, "www.example");
  rig.step();
  EXPECT_TRUE(rig.asked().empty());
  ASSERT_EQ(rig.replies().size(), 4u);
  for (uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(rig.replies()[i].message.records.at(0).rdata,
              rdata_a(i % 2 == 0 ? "198.18.7.1" : "198.18.7.2"));
  }
}

TEST(WorkerPolicy, TheFirstRuleThatMatchesDecides) {
  Ruled rig({{RuleAction::allow, {"198.18.1.1/32", "198.18.2.0/24"}},
             {RuleAction::drop, {"198.18.1.0/24"}},
             {RuleAction::allow, {"198.18.1.7/32"}},
             {RuleAction::refuse, {"0.0.0.0/0"}}});
  EXPECT_EQ(rcode_for(rig, "198.18.1.1"), 0);
  EXPECT_EQ(rcode_for(rig, "198.18.1.7"), -1);
  EXPECT_EQ(rcode_for(rig, "198.18.2.200"), 0);
  EXPECT_EQ(rcode_for(rig, "198.18.3.1"), kRefused);
  EXPECT_EQ(rcode_for(rig, "fd00:18::9"), 0) << "no rule is about IPv6";
}

TEST(WorkerPolicy, Ipv6IsJudgedByItsOwnPrefixes) {
  Ruled rig({{RuleAction::refuse, {"fd00:18:0:1::/64", "fd00:18:0:2::7/128"}},
             {RuleAction::drop, {"fd00:18:1::/48"}},
             {RuleAction::allow, {"fd00:18::/32"}},
             {RuleAction::drop, {"::/0"}}});
  EXPECT_EQ(rcode_for(rig, "fd00:18:0:1::1"), kRefused);
  EXPECT_EQ(rcode_for(rig, "fd00:18:0:2::7"), kRefused);
  EXPECT_EQ(rcode_for(rig, "fd00:18:0:2::8"), 0);
  EXPECT_EQ(rcode_for(rig, "fd00:18:1::1"), -1);
  EXPECT_EQ(rcode_for(rig, "fd00:19::1"), -1);
  EXPECT_EQ(rcode_for(rig, "198.18.0.9"), 0) << "::/0 is not about IPv4";
}

TEST(WorkerPolicy, ARuleHoldsAtItsBinds) {
  Rig rig;
  rig.service().bind[1].address = address_of("198.18.0.54", 53);
  add_rule(rig.service(), RuleAction::drop, {"198.18.0.0/16"}, abi::kPoolOfBind, 0b10);
  rig.publish();
  prime(rig, "198.18.0.9", "www.example", "198.18.7.7");
  rig.arrive(FrameBuilder()
                 .from("198.18.0.9", 4000)
                 .to("198.18.0.54", 53)
                 .payload(rig.query("www.example").build())
                 .build());
  rig.step();
  EXPECT_TRUE(rig.out.empty());
  EXPECT_EQ(rcode_for(rig, "198.18.0.9"), 0);
}

TEST(WorkerPolicy, AVerdictIsRememberedForItsNetworkAndItsTime) {
  Ruled rig({{RuleAction::refuse, {"198.18.0.0/16"}}});
  rcode_for(rig, "198.18.1.1");
  EXPECT_EQ(rig.event(Event::flow_miss), 1u);
  rcode_for(rig, "198.18.1.200");
  rig.jump_ms(1000ull * dp::PolicyStage::kVerdictTtlS - 1);
  rcode_for(rig, "198.18.1.1");
  EXPECT_EQ(rig.event(Event::flow_miss), 1u);
  EXPECT_EQ(rig.event(Event::flow_hit), 2u);
  rig.jump_ms(1);
  EXPECT_EQ(rcode_for(rig, "198.18.1.1"), kRefused);
  EXPECT_EQ(rig.event(Event::flow_miss), 2u);
  rcode_for(rig, "198.18.2.1");
  EXPECT_EQ(rig.event(Event::flow_miss), 3u) << "another network";
}

TEST(WorkerPolicy, NewRulesHoldWhateverIsRemembered) {
  Ruled rig({{RuleAction::refuse, {"198.18.0.0/16"}}});
  EXPECT_EQ(rcode_for(rig, "198.18.1.1"), kRefused);
  rig.service().rule[0].action = RuleAction::drop;
  rig.publish();
  EXPECT_EQ(rcode_for(rig, "198.18.1.1"), -1);
  // A longer prefix, so that what was one flow is two.
  rig.service().prefix[0] = prefix_of("198.18.1.1/32");
  rig.publish();
  EXPECT_EQ(rcode_for(rig, "198.18.1.1"), -1);
  EXPECT_EQ(rcode_for(rig, "198.18.1.7"), 0);
  rig.service().rules = rig.service().prefixes = 0;
  rig.publish();
  const uint64_t judged = rig.event(Event::flow_hit) + rig.event(Event::flow_miss);
  EXPECT_EQ(rcode_for(rig, "198.18.1.1"), 0);
  EXPECT_EQ(rig.event(Event::flow_hit) + rig.event(Event::flow_miss), judged) << "nobody is asked";
}

TEST(WorkerPolicy, MoreFlowsThanThereIsRoomForAreJudgedAllTheSame) {
  Ruled rig(
      {{RuleAction::refuse, {"10.0.0.1/32", "10.1.0.0/16"}}, {RuleAction::drop, {"10.2.0.0/16"}}});
  const uint32_t cnt = 3 * rig.plan.flows;
  for (uint32_t i = 0; i < cnt; ++i) {
    const std::string source = "10." + std::to_string(i % 3) + "." + std::to_string(i / 3 / 250) +
                               "." + std::to_string(2 + i / 3 % 250);
    ask(rig, source, "www.example");
    if (i % kBurstMax == kBurstMax - 1 || i == cnt - 1) rig.step();
  }
  EXPECT_EQ(rig.event(Event::flow_miss), cnt);
  EXPECT_EQ(rig.outcome(Outcome::hit), cnt / 3);
  EXPECT_EQ(rig.outcome(Outcome::refused_acl), cnt / 3);
  EXPECT_EQ(rig.outcome(Outcome::drop_acl), cnt / 3);
  rig.jump_ms(10);  // until the counters are published
  EXPECT_EQ(rcode_for(rig, "10.1.0.1"), kRefused);
  EXPECT_GE(rig.event(Event::flow_evict), cnt - rig.plan.flows);
}

}  // namespace
}  // namespace millrace::test
