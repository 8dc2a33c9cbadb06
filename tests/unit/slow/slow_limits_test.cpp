// SPDX-License-Identifier: Apache-2.0
// What one domain and one client may take, for clients that come over TCP.
#include "tests/unit/slow/slow_rig.hpp"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

// The RCODEs of all that came, in order.
std::vector<int> rcodes(Peer& client) {
  std::vector<int> all;
  for (const Bytes& message : client.messages())
    all.push_back(SlowRig::read(message).rcode());
  std::sort(all.begin(), all.end());
  return all;
}

TEST(SlowLimits, B46_a_domain_has_its_share_over_tcp_too) {
  SlowRig rig;
  rig.rig.service().limits.domain_misses_max = 4;
  rig.rig.publish();
  rig.run();
  auto client = rig.client();
  for (int i = 0; i < 10; ++i)
    client->send_message(rig.query("r" + std::to_string(i) + ".victim.example"));
  client->send_message(rig.query("www.other.example"));
  rig.run();
  EXPECT_EQ(rig.rig.asked().size(), 5u);
  EXPECT_EQ(rcodes(*client), std::vector<int>(6, 2));
  EXPECT_EQ(rig.rig.event(Event::waiter_limit_zone), 6u);
  rig.answer_all();
  EXPECT_EQ(rcodes(*client), std::vector<int>(5, 0));
}

// Whichever way it comes, it is the same client.
TEST(SlowLimits, B46_a_client_is_one_over_udp_and_tcp) {
  SlowRig rig;
  rig.rig.service().limits.client_misses_max = 4;
  rig.rig.publish();
  rig.run();
  for (int i = 0; i < 2; ++i)
    rig.rig.ask("u" + std::to_string(i) + ".example", 5000);  // from 198.18.0.9
  rig.run();
  auto client = rig.client("198.18.0.9");
  auto other = rig.client("198.18.0.10");
  for (int i = 0; i < 5; ++i) {
    client->send_message(rig.query("t" + std::to_string(i) + ".example"));
    if (i < 4) other->send_message(rig.query("o" + std::to_string(i) + ".example"));
  }
  rig.run();
  EXPECT_EQ(rcodes(*client), std::vector<int>(3, 2));
  EXPECT_EQ(rcodes(*other), std::vector<int>());
  EXPECT_EQ(rig.rig.event(Event::waiter_limit_src), 3u);
  rig.answer_all();
  EXPECT_EQ(rcodes(*client), std::vector<int>(2, 0));
  EXPECT_EQ(rcodes(*other), std::vector<int>(4, 0));
}

// Sources whose questions nobody answers, each with more of them than there are places.
class Greedy {
 public:
  explicit Greedy(SlowRig& rig) : rig_(rig) {
    rig.rig.service().tcp.queries_per_connection_max = 256;
    rig.rig.publish();
    rig.run();
  }
  void come(uint32_t cnt) {
    for (uint32_t s = 0; s < cnt; ++s) {
      const std::string tag = "s" + std::to_string(sources_++) + ".example";
      const std::string from = "198.18.3." + std::to_string(sources_);
      for (uint32_t c = 0; c < 2; ++c) {
        peers_.push_back(rig_.client(from));
        Bytes all;
        for (uint32_t i = 0; i < 200; ++i) {
          const Bytes one = Peer::framed(
              rig_.query("n" + std::to_string(i) + "c" + std::to_string(c) + tag));
          all.insert(all.end(), one.begin(), one.end());
        }
        peers_.back()->send_bytes(all);
      }
      for (int i = 0; i < 6; ++i)
        rig_.run();
    }
    rig_.rig.clear();
  }

 private:
  SlowRig& rig_;
  uint32_t sources_ = 0;
  std::vector<std::unique_ptr<Peer>> peers_;
};

// Somebody new is served, and at once.
void expect_room(SlowRig& rig, const std::string& from) {
  rig.rig.clear();
  auto client = rig.client(from);
  client->send_message(rig.query("www" + from + ".example"));
  rig.run();
  const std::vector<Out> all = rig.rig.asked();
  const auto asked = std::ranges::find_if(all, [](const Out& one) {
    return (one.name().at(1) | 0x20) == 'w';
  });
  ASSERT_NE(asked, all.end()) << from;
  rig.rig.answer(*asked, rig.rig.data_for(*asked));
  rig.run();
  EXPECT_EQ(rcodes(*client), std::vector<int>{0}) << from;
}

TEST(SlowLimits, TwoSourcesLeaveRoomForOthers) {
  SlowRig rig(2);
  Greedy greedy(rig);
  greedy.come(2);
  EXPECT_GT(rig.slow().frames_out(), dp::kSlowQueriesMax / 3);
  for (int i = 1; i <= 5; ++i)
    expect_room(rig, "198.18.0." + std::to_string(i));
}

TEST(SlowLimits, TwentySourcesLeaveRoomForOthers) {
  SlowRig rig(2);
  Greedy greedy(rig);
  greedy.come(20);
  EXPECT_GT(rig.slow().frames_out(), dp::kSlowQueriesMax * 3 / 4);
  expect_room(rig, "198.18.0.1");
}

// One place each, whatever others have, until there are more of them than places are kept.
TEST(SlowLimits, ManySourcesLeaveAPlaceForEachOfManyNewOnes) {
  constexpr int kNewOnes = 40;
  SlowRig rig(2);
  Greedy greedy(rig);
  greedy.come(30);
  std::vector<std::unique_ptr<Peer>> clients;
  for (int i = 0; i < kNewOnes; ++i) {
    clients.push_back(rig.client("198.18.0." + std::to_string(1 + i)));
    for (const char* host : {"www", "wwx"})
      clients.back()->send_message(rig.query(host + std::to_string(i) + ".example"));
    rig.run();
  }
  const std::vector<Out> asked = rig.rig.asked();
  EXPECT_EQ(std::ranges::count_if(asked, [](const Out& one) {
              return (one.name().at(1) | 0x20) == 'w';
            }), kNewOnes);
}

// Its connection may have few in work: the rest is not kept waiting for longer than the first.
TEST(SlowLimits, WhatHasWaitedTooLongGetsServfail) {
  SlowRig rig;
  rig.rig.service().tcp.queries_per_connection_max = 4;
  rig.rig.publish();
  rig.run();
  auto client = rig.client();
  for (uint16_t i = 0; i < 40; ++i)
    client->send_message(rig.query("n" + std::to_string(i) + ".example", i));
  rig.run();
  rig.rig.wait_ms(1900);
  EXPECT_EQ(rcodes(*client), std::vector<int>());
  EXPECT_LE(rig.slow().next_due_ns(), rig.rig.now_ns + 150 * kMs);
  rig.rig.wait_ms(200);
  EXPECT_EQ(rcodes(*client), std::vector<int>(40, 2));
  EXPECT_EQ(rig.outcome(Outcome::servfail_inflight_full), 36u);
  EXPECT_EQ(rig.event(Event::tcp_waited), 1u);
  EXPECT_FALSE(client->closed());
}

// More sources than there are places: whoever gets none is told so.
TEST(SlowLimits, NoPlaceForAllOfTooManySources) {
  SlowRig rig(2);
  std::vector<std::unique_ptr<Peer>> clients;
  for (uint32_t i = 0; i < dp::kSlowQueriesMax + 100; ++i) {
    clients.push_back(
        rig.client("198.18." + std::to_string(16 + i / 250) + "." + std::to_string(1 + i % 250)));
    clients.back()->send_message(rig.query("n" + std::to_string(i) + ".example"));
  }
  for (int i = 0; i < 10; ++i)
    rig.run();
  EXPECT_EQ(rig.slow().frames_out(), dp::kSlowQueriesMax);
  rig.rig.wait_ms(2100);
  for (auto& client : clients)
    EXPECT_EQ(rcodes(*client), std::vector<int>{2});
}

// Late is no reason to write to somebody who does not read; and that is idleness.
TEST(SlowLimits, WhoDoesNotReadIsNotToldAndIdle) {
  SlowRig rig;
  rig.rig.service().tcp.queries_per_connection_max = 1;
  rig.rig.service().tcp.idle_ms = 5000;
  rig.rig.publish();
  rig.run();
  auto client = rig.client();
  const Bytes one = Peer::framed(rig.query("n.example", 7, kTypeAxfr));
  Bytes many;
  for (int i = 0; i < 500; ++i)
    many.insert(many.end(), one.begin(), one.end());
  for (int i = 0; i < 400 && client->try_send(many); ++i)
    rig.run(1);
  const uint64_t told = rig.outcome(Outcome::refused_transfer);
  rig.rig.wait_ms(3000);
  EXPECT_EQ(rig.outcome(Outcome::refused_transfer), told);
  rig.rig.wait_ms(3000);
  EXPECT_EQ(rig.event(Event::tcp_closed_idle), 1u);
}

// However many connections it has: what waits for upstreams that are silent leaves others room.
TEST(SlowLimits, ASourceHasItsShareOfWhatIsInWork) {
  SlowRig rig(2);
  rig.rig.service().tcp.queries_per_connection_max = 256;
  rig.rig.publish();
  rig.run();
  std::vector<std::unique_ptr<Peer>> greedy;
  for (int c = 0; c < 3; ++c) {
    greedy.push_back(rig.client("198.18.0.66"));
    for (int i = 0; i < 100; ++i)
      greedy.back()->send_message(
          rig.query("n" + std::to_string(i) + "c" + std::to_string(c) + ".example"));
  }
  for (int i = 0; i < 6; ++i)
    rig.run();
  EXPECT_EQ(rig.slow().frames_out(), dp::kSlowQueriesMax / 5);
  rig.rig.clear();
  auto other = rig.client("198.18.0.67");
  other->send_message(rig.query("www.example"));
  rig.run();
  const Out asked = rig.rig.only_asked();
  rig.rig.answer(asked, rig.rig.data_for(asked));
  rig.run();
  EXPECT_EQ(rcodes(*other), std::vector<int>{0});
  // A whole question that waits is no idleness.
  rig.rig.service().tcp.idle_ms = 500;
  rig.rig.publish();
  rig.rig.wait_ms(1000);
  EXPECT_EQ(rig.event(Event::tcp_closed_idle), 1u) << "the other";
}

TEST(SlowLimits, B44_responses_over_tcp_are_not_limited) {
  SlowRig rig;
  rig.rig.service().limits.responses_per_second = 2;
  rig.rig.publish();
  rig.run();
  auto client = rig.client();
  for (uint16_t i = 0; i < 40; ++i)
    client->send_message(rig.query("n" + std::to_string(i % 20) + ".example", i));
  rig.run();
  rig.answer_all();
  rig.run();
  EXPECT_EQ(rcodes(*client), std::vector<int>(40, 0));
  EXPECT_EQ(rig.rig.outcome(Outcome::rrl_drop) + rig.rig.outcome(Outcome::rrl_slip), 0u);
}

}  // namespace
}  // namespace millrace::test
