// SPDX-License-Identifier: Apache-2.0
// Two workers: keys and upstream ports have owners, and rings between them.
#include "tests/unit/worker/rig.hpp"

#include <set>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

// A name whose key belongs to this worker: found by asking worker 1 and looking who sends.
std::string name_owned_by(Rig& rig, uint32_t owner) {
  for (int i = 0; i < 100; ++i) {
    const std::string name = "n" + std::to_string(i) + ".test";
    rig.clear();
    rig.ask(name, 3999, 1);
    rig.step(1);
    rig.step(0);
    const Out asked = rig.only_asked();
    rig.answer(asked, rig.data_for(asked, 1));
    rig.step(asked.worker);
    rig.clear();
    if (asked.worker == owner) {
      rig.jump_ms(2000);
      return name;
    }
  }
  ADD_FAILURE() << "one worker owns everything";
  return "";
}

TEST(WorkerPair, OneQuestionForBothWorkersIsAskedOnce) {
  Rig rig(2);
  const std::string name = name_owned_by(rig, 0);
  rig.ask(name, 4000, 0);
  rig.ask(name, 4001, 1);
  rig.step(1);
  rig.step(0);
  rig.step(1);
  const Out asked = rig.only_asked();
  EXPECT_EQ(asked.worker, 0u);
  rig.clear();
  rig.answer(asked, rig.data_for(asked));
  rig.step(0);
  EXPECT_EQ(rig.replies().size(), 2u);
  rig.clear();
  rig.ask(name, 4002, 1);
  rig.step(1);
  EXPECT_EQ(rig.only_reply().worker, 1u) << "a hit is answered where it came in";
}

TEST(WorkerPair, AnAnswerFindsItsOwnerFromAnyWorker) {
  Rig rig(2);
  const std::string name = name_owned_by(rig, 0);
  rig.ask(name, 4000, 0);
  rig.step(0);
  const Out asked = rig.only_asked();
  rig.answer_from(rig.data_for(asked), "198.18.1." + std::to_string(10 + asked.backend()), 53,
                  __builtin_bswap16(asked.frame.source.port_be), 1);
  rig.step(1);
  EXPECT_TRUE(rig.replies().empty());
  EXPECT_EQ(rig.plane.rx_packets(), rig.plane.core(0).worker->counters().rx_packets +
                                        rig.plane.core(1).worker->counters().rx_packets);
  rig.step(0);
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

TEST(WorkerPair, AnAnswerThatCameMeanwhileIsUsed) {
  Rig rig(2);
  const std::string name = name_owned_by(rig, 0);
  rig.ask(name, 4000, 0);
  rig.step(0);
  const Out asked = rig.only_asked();
  rig.ask(name, 4001, 1);
  rig.step(1);  // a miss there; it waits in the ring
  const uint64_t joined = rig.event(Event::waiter_joined);
  rig.answer(asked, rig.data_for(asked));
  rig.clear();
  rig.step(0);  // the answer is stored before the ring is looked at
  EXPECT_EQ(rig.replies().size(), 2u);
  EXPECT_EQ(rig.event(Event::waiter_hit_late), 1u);
  EXPECT_EQ(rig.event(Event::waiter_joined), joined);
  EXPECT_TRUE(rig.asked().empty());
}

TEST(WorkerPair, WhenTheRingIsFullTheClientIsTold) {
  Rig rig(2, 2, 64, 2048);
  const std::string name = name_owned_by(rig, 0);
  uint16_t port = 5000;
  for (uint32_t i = 0; i < dp::WorkRing::kCapacity / kBurstMax; ++i) {
    for (uint32_t k = 0; k < kBurstMax; ++k)
      rig.ask(name, port++, 1);
    rig.step(1);
  }
  EXPECT_TRUE(rig.replies().empty());
  rig.ask(name, port++, 1);
  rig.step(1);
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_EQ(rig.outcome(Outcome::servfail_ring_full), 1u);
}

// Misses need the rings: what claims to be an answer but comes in where no upstream is does not get
// into them.
TEST(WorkerPair, AnswersFromTheClientsSideAreNotHandedOver) {
  Rig rig(2, 1);
  rig.publish_routes(0b1, 0b1);
  rig.step_all();
  const DnsBuilder forged = rig.query("www.example").response();
  for (uint16_t port = 20000; port < 20010; ++port)
    rig.answer_from(forged, "198.18.1.10", 53, port, 1, 0);
  rig.step(1);
  EXPECT_EQ(rig.event(Event::ring_sent), 0u);
  EXPECT_EQ(rig.outcome(Outcome::up_drop_addr), 10u);
  for (uint16_t port = 20000; port < 20010; ++port)
    rig.answer_from(forged, "198.18.1.10", 53, port, 1, 1);
  rig.step_all(2);
  EXPECT_EQ(rig.event(Event::ring_sent), 5u) << "from the upstream's side, to the ports' owner";
  EXPECT_EQ(rig.outcome(Outcome::up_drop_port), 10u);
}

// What was received under one config and handed over is finished under the owner's, whole: pool and
// backends are those of the new one.
TEST(WorkerPair, AMissInTheRingIsFinishedUnderTheNewConfig) {
  Rig rig(2, 1);
  const std::string name = name_owned_by(rig, 0);
  rig.ask(name, 4000, 1);
  rig.step(1);
  // The pool of the bind gets another number; the old number is another pool's now.
  abi::ServiceSection& service = rig.service();
  add_backend(service, 7);
  service.pools = 2;
  service.pool[1] = service.pool[0];
  std::snprintf(service.pool[0].name, abi::kNameMax, "other");
  service.pool[0].backends = 0b10;
  service.bind[0].pool = service.bind[1].pool = 1;
  rig.publish();
  rig.clear();
  rig.step(0);
  EXPECT_EQ(rig.only_asked().backend(), 0u);
}

// The number of a packet cache is part of the key. Under a config that numbers the caches
// otherwise, a miss in the ring is another key: its answer belongs to its own cache, and to the
// key's owner.
TEST(WorkerPair, AMissInTheRingKeepsItsCacheWhenCachesChangePlaces) {
  Rig rig(2, 1);
  abi::ServiceSection& service = rig.service();
  service.packet_caches = service.pools = 2;
  service.packet_cache[1] = service.packet_cache[0];
  std::snprintf(service.packet_cache[1].name, abi::kNameMax, "cache1");
  service.pool[1] = service.pool[0];
  std::snprintf(service.pool[1].name, abi::kNameMax, "pool1");
  service.pool[1].packet_cache = 1;
  service.bind[1] = {.address = address_of("198.18.0.54", 53), .pool = 1};
  rig.publish();
  const auto name_of = [](int i) { return "n" + std::to_string(i) + ".test"; };
  for (int i = 0; i < 16; ++i)
    rig.ask(name_of(i), 4000, 1);
  rig.step(1);
  std::set<std::string> own;  // of worker 1, asked under the old config; the others are in the ring
  for (const Out& out : rig.asked())
    own.insert(out.name());

  std::swap(service.packet_cache[0], service.packet_cache[1]);
  std::swap(service.pool[0].packet_cache, service.pool[1].packet_cache);
  rig.publish();
  rig.clear();
  rig.step_all(3);
  const std::vector<Out> asked = rig.asked();
  ASSERT_EQ(asked.size(), 16 - own.size());
  std::set<uint32_t> owners;
  for (const Out& out : asked) {
    owners.insert(out.worker);
    rig.answer(out, rig.data_for(out));
  }
  EXPECT_EQ(owners, (std::set<uint32_t>{0, 1}));
  rig.step_all(2);
  EXPECT_EQ(rig.replies().size(), asked.size());

  const auto ask_all = [&](const char* service_address) {
    rig.clear();
    for (const Out& out : asked) {
      const DnsBuilder query =
          DnsBuilder().rd().question(Name::wire(out.message.questions.at(0).name), kTypeA);
      rig.arrive(FrameBuilder()
                     .from("198.18.0.9", 4001)
                     .to(service_address, 53)
                     .payload(query.build())
                     .build());
    }
    rig.step_all(3);
  };
  ask_all(kServiceV4);
  EXPECT_EQ(rig.replies().size(), asked.size()) << "hits";
  EXPECT_TRUE(rig.asked().empty());
  ask_all("198.18.0.54");
  EXPECT_EQ(rig.asked().size(), asked.size()) << "nothing of the other cache's";
}

TEST(WorkerPair, AMissInTheRingForABindThatIsGoneFails) {
  Rig rig(2, 1);
  const std::string name = name_owned_by(rig, 0);
  rig.ask(name, 4000, 1);
  rig.step(1);
  rig.service().bind[0] = rig.service().bind[1];
  rig.service().bind[1] = {};
  rig.service().binds = 1;
  rig.publish();
  rig.clear();
  rig.step(0);
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_TRUE(rig.asked().empty());
}

// The rules of the owner's config hold, too; the worker that received the query knew none.
TEST(WorkerPair, AMissInTheRingIsJudgedByTheNewRules) {
  for (const abi::RuleAction action :
       {abi::RuleAction::refuse, abi::RuleAction::drop, abi::RuleAction::allow}) {
    Rig rig(2, 1);
    const std::string name = name_owned_by(rig, 0);
    rig.ask(name, 4000, 1);
    rig.step(1);
    abi::ServiceSection& service = rig.service();
    add_backend(service, 7);
    service.pools = 2;
    std::snprintf(service.pool[1].name, abi::kNameMax, "other");
    service.pool[1].backends = 0b10;
    const bool allowed = action == abi::RuleAction::allow;
    add_rule(service, action, {"198.18.0.0/24"}, allowed ? 1 : abi::kPoolOfBind);
    rig.publish();
    rig.clear();
    rig.step(0);
    ASSERT_EQ(rig.asked().size(), allowed ? 1u : 0u);
    ASSERT_EQ(rig.replies().size(), action == abi::RuleAction::refuse ? 1u : 0u);
    if (allowed) {
      EXPECT_EQ(rig.only_asked().backend(), 7u);
    } else {
      EXPECT_EQ(rig.event(Event::waiter_failed), 1u);
    }
    for (const Out& reply : rig.replies())
      EXPECT_EQ(reply.message.rcode(), 5);
  }
}

TEST(WorkerPair, RecoveryIsSharedWithinAnInterval) {
  Rig rig(2, 1);
  const std::string first = name_owned_by(rig, 0), second = name_owned_by(rig, 1);
  // Each worker finds out for itself that the backend is down.
  for (int i = 0; i < 2; ++i) {
    rig.ask(first, 4000, 0);
    rig.ask(second, 4000, 1);
    rig.wait_ms(2100);
    rig.jump_ms(5000);  // the remembered failure ends
  }
  ASSERT_EQ(rig.plane.stats().backends[0][0].up.load(), 0u);
  ASSERT_EQ(rig.plane.stats().backends[1][0].up.load(), 0u);
  rig.clear();
  rig.wait_ms(1200);
  ASSERT_FALSE(rig.probes().empty());
  for (const Out& probe : rig.probes())
    EXPECT_EQ(probe.worker, 0u) << "one home";
  const Out probe = rig.probes().back();
  rig.answer(probe, rig.answer_to(probe));
  rig.wait_ms(200);
  EXPECT_EQ(rig.plane.stats().backends[0][0].up.load(), 1u);
  EXPECT_EQ(rig.plane.stats().backends[1][0].up.load(), 1u);
}

}  // namespace
}  // namespace millrace::test
