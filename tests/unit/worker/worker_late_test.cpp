// SPDX-License-Identifier: Apache-2.0
// Answers to what was asked before a change: the config that comes in between moves ports and
// addresses, and loses none of them. Later, nobody is taken for a resolver that is none.
#include "tests/unit/worker/rig.hpp"

#include <gtest/gtest.h>

namespace millrace::test::late {  // the tests of a folder are compiled as one
namespace {

uint16_t host_port(const abi::Address& address) { return __builtin_bswap16(address.port_be); }

void move_ports(Rig& rig, uint16_t first) {
  rig.service().upstream_port_first = first;
  rig.service().upstream_port_end = static_cast<uint16_t>(first + 700);
}

// The answer, by each worker's queue in turn.
void answer_by(Rig& rig, const Out& asked, uint32_t worker) {
  rig.answer_from(rig.data_for(asked), "198.18.1." + std::to_string(10 + asked.backend()), 53,
                  host_port(asked.frame.source), worker, asked.port);
  rig.step_all(3);
}

Out ask_one(Rig& rig, int number) {
  rig.ask("n" + std::to_string(number) + ".example", 4000);
  rig.step_all(3);
  return rig.only_asked();
}

TEST(WorkerLate, PortsMayMoveWhileAnAnswerIsOnItsWay) {
  for (const uint32_t workers : {1u, 2u}) {
    Rig rig(workers, 2);
    for (int i = 0; i < 12; ++i) {
      SCOPED_TRACE(std::to_string(workers) + " workers, question " + std::to_string(i));
      const Out asked = ask_one(rig, i);
      move_ports(rig, static_cast<uint16_t>(i % 2 == 0 ? 40'001 : 30'000));
      rig.publish();
      rig.clear();
      answer_by(rig, asked, static_cast<uint32_t>(i) % workers);
      EXPECT_EQ(rig.only_reply().message.rcode(), 0);
      rig.clear();
    }
    EXPECT_EQ(rig.outcome(Outcome::up_accepted), 12u);
  }
}

TEST(WorkerLate, SeveralChangesInARow) {
  Rig rig(2, 2);
  const Out asked = ask_one(rig, 0);
  for (const uint16_t first : std::initializer_list<uint16_t>{30'000, 50'000, 40'001}) {
    move_ports(rig, first);
    rig.publish();
    rig.wait_ms(100);
  }
  rig.clear();
  answer_by(rig, asked, 0);
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

// All backends have other addresses, and no routes to them are known yet: then we have no address
// towards any, and no port leads there.
TEST(WorkerLate, BackendsMayAllMoveWhileAnAnswerIsOnItsWay) {
  for (const bool with_routes : {false, true}) {
    std::unique_ptr<abi::RoutesImage> routes;
    Rig rig(2, 2);
    const Out asked = ask_one(rig, 0);
    rig.service().backend[0].address = backend_address(7);
    rig.service().backend[1].address = backend_address(8);
    rig.publish_config();
    if (with_routes) {
      routes = make_routes(*rig.config, 100);
      routes->hop[0].source = routes->hop[1].source = address_of("198.18.1.3");
      rig.plane.routes().publish(routes.get());
    }
    rig.step_all(2);
    rig.clear();
    answer_by(rig, asked, 1);
    EXPECT_EQ(rig.only_reply().message.rcode(), 0);
    EXPECT_EQ(rig.outcome(Outcome::pass_addr) + rig.outcome(Outcome::up_drop_addr), 0u);
  }
}

TEST(WorkerLate, NoLongerThanAQuestionMayTake) {
  Rig rig(1, 2);
  const Out asked = ask_one(rig, 0);
  move_ports(rig, 40'000);
  rig.service().upstream_give_up_ms = 1000;  // the longer one counts: 2000
  rig.publish();
  rig.step();
  rig.wait_ms(1900);
  answer_by(rig, asked, 0);
  EXPECT_EQ(rig.outcome(Outcome::up_drop_port), 1u) << "the question has ended, the time has not";
  rig.wait_ms(200);
  answer_by(rig, asked, 0);
  EXPECT_EQ(rig.outcome(Outcome::pass_addr), 1u);
}

// Who was no resolver before the change is none after it.
TEST(WorkerLate, OthersAreDroppedAsEver) {
  Rig rig(1, 2);
  const Out asked = ask_one(rig, 0);
  move_ports(rig, 40'000);
  rig.publish();
  rig.step();
  rig.clear();
  const uint16_t port = host_port(asked.frame.source);
  rig.answer_from(rig.data_for(asked), "198.18.1.99", 53, port, 0);
  rig.answer_from(rig.data_for(asked), "198.18.1." + std::to_string(10 + asked.backend()), 54, port,
                  0);
  rig.step();
  EXPECT_EQ(rig.outcome(Outcome::up_drop_addr), 2u);
  EXPECT_TRUE(rig.replies().empty());
}

}  // namespace
}  // namespace millrace::test::late
