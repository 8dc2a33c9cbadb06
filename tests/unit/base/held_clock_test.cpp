// SPDX-License-Identifier: Apache-2.0
// Time that is told to go on: whatever becomes due is done, in order, each thing at its time.
#include "dataplane/base/held_clock.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr uint64_t kMillisecondNs = 1'000'000;
constexpr uint64_t kClockStartNs = 1000 * kMillisecondNs;
constexpr uint32_t kClockCores = 3;

struct FiredTimer {
  uint64_t due_ns;
  uint64_t at_ns;
  uint32_t core;
};

// Cores that turn one after the other whenever somebody waits for them. A timer may hand something
// to another core, which does it in its next turn.
class Cores {
 public:
  void set(uint32_t core, uint64_t due_ns, uint32_t hops = 0) {
    timers_[core].emplace(due_ns, hops);
  }

  bool advance(uint64_t by_ns) {
    return clock_.advance(by_ns, [this](auto ready) {
      for (uint32_t turns = 0; turns < 1000; ++turns) {
        bool all = true;
        for (uint32_t core = 0; core < kClockCores; ++core) all = ready(core) && all;
        if (all) return true;
        turn(order_[turns % kClockCores]);
      }
      return false;
    });
  }

  // A core that is not turned any more.
  void stop(uint32_t core) { stopped_ = core; }
  void keep_busy() { busy_ = true; }
  void turn_in_order(std::array<uint32_t, kClockCores> order) { order_ = order; }

  uint64_t now_ns() const { return clock_.now_ns(); }
  const std::vector<FiredTimer>& fired() const { return fired_; }
  std::size_t handed_on() const { return handed_on_; }

 private:
  void turn(uint32_t core) {
    if (core == stopped_) return;
    const uint64_t now_ns = clock_.now_ns();
    bool worked = busy_;
    auto& queue = queues_[core];
    for (std::size_t i = queue.size(); i != 0; --i) {
      worked = true;
      const uint32_t hops = queue.front();
      queue.pop_front();
      handed_on_ += 1;
      if (hops != 0) queues_[(core + 1) % kClockCores].push_back(hops - 1);
    }
    auto& timers = timers_[core];
    while (!timers.empty() && timers.begin()->first <= now_ns) {
      worked = true;
      const auto [due_ns, hops] = *timers.begin();
      timers.erase(timers.begin());
      fired_.push_back({due_ns, now_ns, core});
      if (hops != 0) queues_[(core + 1) % kClockCores].push_back(hops - 1);
    }
    clock_.turned(core, now_ns, worked, timers.empty() ? kNothingDue : timers.begin()->first);
  }

  HeldClock clock_{kClockCores, kClockStartNs};
  std::multimap<uint64_t, uint32_t> timers_[kClockCores];
  std::deque<uint32_t> queues_[kClockCores];
  std::vector<FiredTimer> fired_;
  std::array<uint32_t, kClockCores> order_{0, 1, 2};
  std::size_t handed_on_ = 0;
  uint32_t stopped_ = kClockCores;
  bool busy_ = false;
};

TEST(HeldClock, StandsStillUntilItIsAdvanced) {
  Cores cores;
  cores.set(0, kClockStartNs + 1);
  EXPECT_EQ(cores.now_ns(), kClockStartNs);
  ASSERT_TRUE(cores.advance(0));
  EXPECT_EQ(cores.now_ns(), kClockStartNs);
  EXPECT_TRUE(cores.fired().empty());
  ASSERT_TRUE(cores.advance(7 * kMillisecondNs));
  EXPECT_EQ(cores.now_ns(), kClockStartNs + 7 * kMillisecondNs);
  EXPECT_EQ(cores.fired().size(), 1u);
}

TEST(HeldClock, TimersOfAllCoresFireInOrderEachAtItsTime) {
  std::mt19937 random(4711);
  Cores cores;
  for (uint32_t i = 0; i < 500; ++i)
    cores.set(i % kClockCores, kClockStartNs + (1 + random() % 100'000) * kMillisecondNs);
  ASSERT_TRUE(cores.advance(40'000 * kMillisecondNs));
  const std::size_t first = cores.fired().size();
  ASSERT_TRUE(cores.advance(60'000 * kMillisecondNs));
  EXPECT_GT(first, 100u);
  ASSERT_EQ(cores.fired().size(), 500u);
  uint64_t last_ns = 0;
  for (const FiredTimer& fired : cores.fired()) {
    EXPECT_EQ(fired.at_ns, fired.due_ns);
    EXPECT_GE(fired.at_ns, last_ns);
    last_ns = fired.at_ns;
  }
}

// Whoever comes before its predecessor in the round learns of its work a whole round later.
TEST(HeldClock, WhatCoresHandOnIsDoneBeforeTimeGoesOn) {
  std::array<uint32_t, kClockCores> order{0, 1, 2};
  do {
    Cores cores;
    cores.turn_in_order(order);
    cores.set(1, kClockStartNs + 5 * kMillisecondNs, 12);
    ASSERT_TRUE(cores.advance(5 * kMillisecondNs));
    EXPECT_EQ(cores.handed_on(), 12u);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(HeldClock, ACoreThatAlwaysHasWorkDoesNotStopTime) {
  Cores cores;
  cores.keep_busy();
  ASSERT_TRUE(cores.advance(3 * kMillisecondNs));
  EXPECT_EQ(cores.now_ns(), kClockStartNs + 3 * kMillisecondNs);
}

TEST(HeldClock, ACoreThatDoesNotTurnIsNotPassedOver) {
  Cores cores;
  cores.stop(2);
  EXPECT_FALSE(cores.advance(3 * kMillisecondNs));
  EXPECT_EQ(cores.now_ns(), kClockStartNs);
}

// A core that names a moment that is past would otherwise be asked for ever.
TEST(HeldClock, AMomentThatIsPastDoesNotStopTime) {
  HeldClock clock(1, kClockStartNs);
  uint32_t turns = 0;
  ASSERT_TRUE(clock.advance(10 * kMillisecondNs, [&](auto ready) {
    while (!ready(0)) {
      turns += 1;
      clock.turned(0, clock.now_ns(), false, 0);
    }
    return true;
  }));
  EXPECT_LT(turns, 50u);
}

TEST(HeldClock, ThreadsSeeEveryMoment) {
  HeldClock clock(2, kClockStartNs);
  std::atomic<bool> end{false};
  std::vector<uint64_t> seen[2];
  std::thread threads[2];
  for (uint32_t core = 0; core < 2; ++core) {
    threads[core] = std::thread([&, core] {
      // Relaxed: the join orders the rest.
      while (!end.load(std::memory_order_relaxed)) {
        const uint64_t now_ns = clock.now_ns();
        const bool worked = seen[core].empty() || seen[core].back() != now_ns;
        if (worked) seen[core].push_back(now_ns);
        clock.turned(core, now_ns, worked, now_ns + 10 * kMillisecondNs * (core + 1));
        std::this_thread::yield();
      }
    });
  }
  ASSERT_TRUE(clock.advance(100 * kMillisecondNs, [](auto ready) {
    while (!ready(0) || !ready(1)) std::this_thread::yield();
    return true;
  }));
  const std::size_t moments[2] = {seen[0].size(), seen[1].size()};
  end.store(true, std::memory_order_relaxed);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(moments[0], 11u);
  EXPECT_EQ(moments[1], 11u);
  EXPECT_EQ(seen[0], seen[1]);
}

}  // namespace
}  // namespace millrace
