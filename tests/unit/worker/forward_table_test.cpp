// SPDX-License-Identifier: Apache-2.0
// Names that are asked of another pool: which rule a name falls under, and what that does to a
// query on its way through a worker.
#include "dataplane/worker/forward_table.hpp"
#include "tests/unit/worker/rig.hpp"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

void add_forward(abi::ServiceSection& service, const std::string& suffix, uint8_t pool,
                 uint16_t pools = 0xffff) {
  const Bytes name = Name(suffix).bytes();
  service.forward[service.forwards++] = {pools, pool, static_cast<uint8_t>(name.size())};
  std::copy(name.begin(), name.end(), service.forward_name + service.forward_bytes);
  service.forward_bytes += static_cast<uint32_t>(name.size());
}

uint32_t pool_for(const abi::ServiceSection& service, const std::string& name, uint8_t pool = 0) {
  dp::ForwardTable table;
  table.load(service);
  const Bytes bytes = Name(name).bytes();
  return table.pool_for(bytes.data(), static_cast<uint32_t>(bytes.size()), pool);
}

TEST(ForwardTable, TheLongestSuffixDecides) {
  abi::ServiceSection service{};
  add_forward(service, "example", 1);
  add_forward(service, "corp.example", 2);
  add_forward(service, "a.b.corp.example", 3);
  EXPECT_EQ(pool_for(service, "example"), 1u);
  EXPECT_EQ(pool_for(service, "www.example"), 1u);
  EXPECT_EQ(pool_for(service, "corp.example"), 2u);
  EXPECT_EQ(pool_for(service, "b.corp.example"), 2u);
  EXPECT_EQ(pool_for(service, "a.b.corp.example"), 3u);
  EXPECT_EQ(pool_for(service, "x.y.a.b.corp.example"), 3u);
  EXPECT_EQ(pool_for(service, "example.org"), 0u);
  EXPECT_EQ(pool_for(service, "."), 0u);
}

TEST(ForwardTable, ASuffixBeginsWhereALabelDoes) {
  abi::ServiceSection service{};
  add_forward(service, "corp.example", 1);
  EXPECT_EQ(pool_for(service, "xcorp.example"), 0u);
  EXPECT_EQ(pool_for(service, "corp.examplx"), 0u);
  // The octets of the suffix, but inside a label.
  const std::string inside("\6x\4corp\7example", 15);
  Bytes name(inside.begin(), inside.end());
  name.push_back(0);
  dp::ForwardTable table;
  table.load(service);
  EXPECT_EQ(table.pool_for(name.data(), static_cast<uint32_t>(name.size()), 0), 0);
}

TEST(ForwardTable, TheRootIsAllNames) {
  abi::ServiceSection service{};
  add_forward(service, ".", 1);
  add_forward(service, "corp.example", 2);
  EXPECT_EQ(pool_for(service, "."), 1u);
  EXPECT_EQ(pool_for(service, "www.example"), 1u);
  EXPECT_EQ(pool_for(service, "www.corp.example"), 2u);
}

TEST(ForwardTable, ARuleHoldsForItsPoolsOnly) {
  abi::ServiceSection service{};
  add_forward(service, "corp.example", 3, 0b001);
  add_forward(service, "corp.example", 4, 0b010);
  add_forward(service, "example", 5, 0b100);
  EXPECT_EQ(pool_for(service, "a.corp.example", 0), 3u);
  EXPECT_EQ(pool_for(service, "a.corp.example", 1), 4u);
  EXPECT_EQ(pool_for(service, "a.corp.example", 2), 5u);
  EXPECT_EQ(pool_for(service, "a.example", 1), 1u);
}

TEST(ForwardTable, AsManyAsThereMayBe) {
  abi::ServiceSection service{};
  for (uint32_t i = 0; i < abi::kForwardsMax; ++i)
    add_forward(service, "n" + std::to_string(i) + ".example", static_cast<uint8_t>(i % 16));
  for (uint32_t i = 0; i < abi::kForwardsMax; ++i) {
    EXPECT_EQ(pool_for(service, "www.n" + std::to_string(i) + ".example", 15), i % 16);
  }
  EXPECT_EQ(pool_for(service, "n128.example", 9), 9u);
}

// Two pools with caches of their own: backend 0 is asked by the bind, backend 1 by the rules.
struct Forwarded : Rig {
  explicit Forwarded(uint32_t workers = 1) : Rig(workers, 2) {
    abi::ServiceSection& to = service();
    to.packet_caches = 2;
    to.packet_cache[1] = to.packet_cache[0];
    std::snprintf(to.packet_cache[1].name, abi::kNameMax, "cache1");
    to.pools = 2;
    std::snprintf(to.pool[1].name, abi::kNameMax, "pool1");
    to.pool[0].backends = 0b01;
    to.pool[1].backends = 0b10;
    to.pool[1].packet_cache = 1;
    add_forward(to, "corp.example", 1);
    publish();
  }
};

TEST(WorkerForward, AQueryGoesToThePoolAndTheCacheOfItsName) {
  Forwarded rig;
  rig.ask("www.example", 4000);
  rig.ask("WWW.Corp.example", 4001);
  rig.step();
  ASSERT_EQ(rig.asked().size(), 2u);
  for (const Out& asked : rig.asked()) {
    const bool inside = asked.name().find("corp") != std::string::npos;
    EXPECT_EQ(asked.backend(), inside ? 1u : 0u);
    rig.answer(asked, rig.data_for(asked, inside ? 222 : 111));
  }
  rig.step();
  rig.clear();
  rig.ask("www.corp.example", 4000);
  rig.ask("www.example", 4001);
  rig.step();
  EXPECT_EQ(rig.outcome(Outcome::hit), 2u);
  ASSERT_EQ(rig.replies().size(), 2u);
  EXPECT_EQ(rig.replies()[0].message.records.at(0).ttl, 222u);

  // Without the rule the bind's cache is asked, and that knows nothing of the name.
  rig.service().forwards = rig.service().forward_bytes = 0;
  rig.publish();
  rig.clear();
  rig.ask("www.corp.example", 4000);
  rig.step();
  EXPECT_EQ(rig.only_asked().backend(), 0u);
}

// The pool is the bind's; an access rule's in place of that; a forwarding rule's in place of both.
TEST(WorkerForward, AForwardingRuleComesAfterTheAccessRules) {
  Forwarded rig;
  abi::ServiceSection& service = rig.service();
  service.pools = 3;
  service.pool[2] = service.pool[0];
  std::snprintf(service.pool[2].name, abi::kNameMax, "guests");
  add_rule(service, abi::RuleAction::refuse, {"198.18.0.66/32"});
  add_rule(service, abi::RuleAction::allow, {"198.18.0.0/24"}, 2);
  rig.publish();
  rig.ask("a.corp.example", 4000);
  rig.step();
  EXPECT_EQ(rig.only_asked().backend(), 1u);
  service.forward[0].pools = 0b001;  // not for the access rule's pool
  rig.publish();
  rig.clear();
  rig.ask("b.corp.example", 4000);
  rig.step();
  EXPECT_EQ(rig.only_asked().backend(), 0u);
  rig.clear();
  rig.arrive(FrameBuilder()
                 .from("198.18.0.66", 4000)
                 .to(kServiceV4, 53)
                 .payload(rig.query("c.corp.example").build())
                 .build());
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 5) << "who is refused is refused";
}

// In one burst, with what is refused between them, each query keeps its own question.
TEST(WorkerForward, NamesOfBothPoolsInOneBurst) {
  Forwarded rig;
  add_rule(rig.service(), abi::RuleAction::drop, {"198.18.0.66/32"});
  rig.publish();
  for (int i = 0; i < 10; ++i) {
    rig.ask("n" + std::to_string(i) + (i % 2 == 0 ? ".corp.example" : ".example"),
            static_cast<uint16_t>(4000 + i));
    rig.arrive(FrameBuilder()
                   .from("198.18.0.66", 4000)
                   .to(kServiceV4, 53)
                   .payload(rig.query("x.corp.example").build())
                   .build());
  }
  rig.step();
  ASSERT_EQ(rig.asked().size(), 10u);
  for (const Out& asked : rig.asked()) {
    EXPECT_EQ(asked.backend(), asked.name().find("corp") != std::string::npos ? 1u : 0u);
    rig.answer(asked, rig.data_for(asked));
  }
  rig.step();
  EXPECT_EQ(rig.replies().size(), 10u);
}

// A miss that crosses to its owner while the rules change is handled under the new ones.
TEST(WorkerForward, AMissUnderWayFollowsTheNewRules) {
  Forwarded rig(2);
  for (int i = 0; i < 16; ++i)
    rig.ask("n" + std::to_string(i) + ".corp.example", static_cast<uint16_t>(4000 + i), 0);
  rig.step(0);
  const std::size_t before = rig.asked().size();
  ASSERT_LT(before, 16u) << "some are worker 1's";
  rig.service().forwards = rig.service().forward_bytes = 0;
  rig.publish();
  rig.step_all(3);
  ASSERT_EQ(rig.asked().size(), 16u);
  for (std::size_t i = before; i < 16; ++i)
    EXPECT_EQ(rig.asked()[i].backend(), 0u);

  // And the other way round.
  for (int i = 0; i < 16; ++i)
    rig.ask("m" + std::to_string(i) + ".corp.example", static_cast<uint16_t>(4000 + i), 0);
  rig.clear();
  rig.step(0);
  const std::size_t again = rig.asked().size();
  ASSERT_LT(again, 16u);
  add_forward(rig.service(), "corp.example", 1);
  rig.publish();
  rig.step_all(3);
  ASSERT_EQ(rig.asked().size(), 16u);
  for (std::size_t i = again; i < 16; ++i)
    EXPECT_EQ(rig.asked()[i].backend(), 1u);
}

}  // namespace
}  // namespace millrace::test
