// SPDX-License-Identifier: Apache-2.0
// The wheel against a sorted set: fires all that is due, nothing early, whatever the budget.
#include "dataplane/cache/timer_wheel.hpp"

#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::cache {
namespace {

class Wheels {
 public:
  explicit Wheels(uint32_t timers) : records_{std::vector<Record>(kHeads + timers)}, due_(timers) {
    for (Ref head = 0; head < kHeads; ++head) {
      records_.all[head] = list_head(head);
    }
  }

  void add(uint32_t timer, uint64_t due, uint64_t now) {
    due_[timer] = due;
    wheel_.add(kHeads + timer, due, now);
    model_.insert({due, timer});
  }
  void cancel(uint32_t timer) {
    wheel_.cancel(kHeads + timer);
    model_.erase({due_[timer], timer});
  }
  bool armed(uint32_t timer) const { return model_.contains({due_[timer], timer}); }

  // Returns how many fired; each must have been due.
  uint32_t turn(uint64_t now, uint32_t budget) {
    uint32_t fired = 0;
    const uint32_t told = wheel_.turn(
        now, budget,
        [&](Ref ref) {
          ++looked_;
          return due_[ref - kHeads];
        },
        [&](Ref ref) {
          const uint32_t timer = ref - kHeads;
          EXPECT_LE(due_[timer], now) << "early";
          EXPECT_EQ(model_.erase({due_[timer], timer}), 1u) << "fired twice";
          wheel_.cancel(ref);
          ++fired;
        });
    EXPECT_EQ(told, fired);
    return fired;
  }

  uint64_t due_cnt(uint64_t now) const {
    uint64_t cnt = 0;
    for (const auto& [due, timer] : model_)
      cnt += due <= now;
    return cnt;
  }
  std::size_t armed_cnt() const { return model_.size(); }
  uint64_t wheel_armed() const { return state_.armed; }
  uint64_t looked() const { return looked_; }
  bool quiet(uint64_t now) const { return wheel_.quiet(now); }

 private:
  struct Records {
    std::vector<Record> all;
    Record& record(Ref ref) const { return const_cast<Record&>(all[ref]); }
  };

  Records records_;
  WheelState state_{};
  TimerWheel<Records> wheel_{records_, state_};
  std::vector<uint64_t> due_;
  std::set<std::pair<uint64_t, uint32_t>> model_;
  uint64_t looked_ = 0;
};

// Every distance around every power of two, from awkward positions: due at that tick, not before.
TEST(TimerWheel, FiresAtEveryDistanceExactly) {
  for (const uint64_t start : {uint64_t{0}, uint64_t{63}, uint64_t{4095}, (uint64_t{1} << 24) - 1,
                               (uint64_t{1} << 30) + 12345}) {
    for (uint32_t bit = 0; bit <= 24; ++bit) {
      for (const int64_t delta : {-1, 0, 1}) {
        const uint64_t due = start + static_cast<uint64_t>((int64_t{1} << bit) + delta);
        Wheels rig(1);
        rig.add(0, due, start);
        if (due > start) {
          EXPECT_EQ(rig.turn(due - 1, 100), 0u) << start << " + " << bit;
        }
        EXPECT_EQ(rig.turn(due, 100), 1u) << start << " + " << bit;
        EXPECT_EQ(rig.wheel_armed(), 0u);
      }
    }
  }
}

TEST(TimerWheel, FartherThanItsReachIsApproachedInSteps) {
  Wheels rig(1);
  const uint64_t start = 777;
  const uint64_t due = start + (uint64_t{1} << 26);
  rig.add(0, due, start);
  for (uint64_t now = start; now < due; now += 100003)
    ASSERT_EQ(rig.turn(now, 10), 0u);
  EXPECT_EQ(rig.turn(due - 1, 10), 0u);
  EXPECT_EQ(rig.turn(due, 10), 1u);
}

TEST(TimerWheel, CancelledTimersDoNotFire) {
  Wheels rig(3);
  rig.add(0, 5, 0);
  rig.add(1, 5, 0);
  rig.add(2, 5000, 0);
  rig.cancel(1);
  EXPECT_EQ(rig.turn(10, 100), 1u);
  rig.cancel(2);
  EXPECT_EQ(rig.turn(10000, 100), 0u);
  EXPECT_TRUE(rig.quiet(UINT32_MAX));
}

TEST(TimerWheel, ATurnLooksAtNoMoreThanItsBudget) {
  Wheels rig(5000);
  for (uint32_t i = 0; i < 5000; ++i)
    rig.add(i, 1000 + i % 3, 0);
  uint32_t fired = 0;
  uint32_t turns = 0;
  while (fired < 5000) {
    const uint64_t before = rig.looked();
    fired += rig.turn(1010, 64);
    ASSERT_LE(rig.looked() - before, 64u);
    ASSERT_LT(++turns, 200u);
  }
  EXPECT_GE(turns, 5000u / 64);
  EXPECT_TRUE(rig.quiet(1010));
}

void run_against_model(uint64_t seed, uint32_t steps) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const uint32_t timers = 400;
  Wheels rig(timers);
  uint64_t now = seed % 3 == 0 ? 0 : random() % (uint64_t{1} << 32);
  for (uint32_t step = 0; step < steps; ++step) {
    const auto timer = static_cast<uint32_t>(random() % timers);
    const uint32_t what = static_cast<uint32_t>(random() % 10);
    if (what < 5) {
      if (rig.armed(timer)) rig.cancel(timer);
      rig.add(timer, now + (random() >> (40 + random() % 24)), now);
    } else if (what < 6) {
      if (rig.armed(timer)) rig.cancel(timer);
    } else {
      if (random() % 2 == 0) now += random() >> (42 + random() % 22);
      const auto budget = static_cast<uint32_t>(random() % 20);
      const uint64_t before = rig.looked();
      rig.turn(now, budget);
      ASSERT_LE(rig.looked() - before, budget);
      if (random() % 4 == 0) {
        rig.turn(now, UINT32_MAX);
        ASSERT_EQ(rig.due_cnt(now), 0u) << "late with an unbounded budget, step " << step;
      }
      if (rig.quiet(now)) {
        ASSERT_EQ(rig.due_cnt(now), 0u) << "step " << step;
      }
    }
    ASSERT_EQ(rig.wheel_armed(), rig.armed_cnt());
    if (testing::Test::HasFailure()) return;
  }
}

TEST(TimerWheel, AgreesWithASortedSet) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    run_against_model(seed, 12000);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace millrace::cache
