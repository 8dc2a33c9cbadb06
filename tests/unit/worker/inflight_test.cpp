// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/inflight.hpp"

#include "tests/unit/worker/images.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::dp {
namespace {

using test::kMs;

// Keys of equal hash on request, so that chains have more than one link.
Key key_of(uint32_t number, uint64_t hash) {
  Key key{};
  std::memcpy(key.bytes, &number, sizeof number);
  key.len = 8;
  key.hash = hash;
  return key;
}

TEST(Inflight, FindsWhatWasOpenedUntilItIsClosed) {
  Inflight inflight(4, 4);
  const Key a = key_of(1, 77), b = key_of(2, 77), c = key_of(3, 77);
  const uint32_t pa = inflight.open(a, 5), pb = inflight.open(b, 5), pc = inflight.open(c, 5);
  EXPECT_EQ(inflight.find(a), pa);
  EXPECT_EQ(inflight.find(b), pb);
  EXPECT_EQ(inflight.find(c), pc);
  inflight.close(pb);  // from the middle of the chain
  EXPECT_EQ(inflight.find(a), pa);
  EXPECT_EQ(inflight.find(b), kNone);
  EXPECT_EQ(inflight.find(c), pc);
  EXPECT_EQ(inflight.open_cnt(), 2u);
}

TEST(Inflight, EqualHashIsNotEqualKey) {
  Inflight inflight(4, 4);
  inflight.open(key_of(1, 9), 0);
  EXPECT_EQ(inflight.find(key_of(2, 9)), kNone);
}

TEST(Inflight, FullIsSaidNotGrown) {
  Inflight inflight(3, 1);
  std::vector<uint32_t> open;
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(inflight.room());
    open.push_back(inflight.open(key_of(i, i), 0));
  }
  EXPECT_FALSE(inflight.room());
  EXPECT_EQ(inflight.open(key_of(9, 9), 0), kNone);
  inflight.close(open[1]);
  EXPECT_EQ(inflight.open(key_of(9, 9), 0), open[1]);
}

TEST(Inflight, WaitersComeOutInTheOrderTheyCame) {
  Inflight inflight(2, 3);
  const uint32_t p = inflight.open(key_of(1, 1), 0);
  for (uint16_t i = 1; i <= 3; ++i) {
    Frame frame{};
    frame.len = i;
    EXPECT_TRUE(inflight.add_waiter(p, frame, {}));
  }
  EXPECT_FALSE(inflight.room());
  EXPECT_FALSE(inflight.add_waiter(p, {}, {})) << "the table is full";
  EXPECT_EQ(inflight.waiter_cnt(), 3u);
  Waiter waiter;
  for (uint16_t i = 1; i <= 3; ++i) {
    ASSERT_TRUE(inflight.take_waiter(p, waiter));
    EXPECT_EQ(waiter.frame.len, i);
  }
  EXPECT_FALSE(inflight.take_waiter(p, waiter));
  EXPECT_EQ(inflight.waiter_cnt(), 0u);
  EXPECT_TRUE(inflight.room());
}

TEST(Inflight, OneQuestionReleasesAtMostSoManyAnswers) {
  Inflight inflight(2, kWaitersPerPending + 10);
  const uint32_t p = inflight.open(key_of(1, 1), 0);
  for (uint32_t i = 0; i < kWaitersPerPending; ++i)
    ASSERT_TRUE(inflight.add_waiter(p, {}, {}));
  EXPECT_FALSE(inflight.add_waiter(p, {}, {}));
  const uint32_t other = inflight.open(key_of(2, 2), 0);
  EXPECT_TRUE(inflight.add_waiter(other, {}, {})) << "the limit is per question";
}

TEST(Inflight, TriesAreFoundByPortAndIdUntilTheQuestionEnds) {
  Inflight inflight(8, 1);
  std::vector<uint32_t> open;
  // Few ports and ids: chains get long.
  for (uint32_t i = 0; i < 8; ++i) {
    open.push_back(inflight.open(key_of(i, i), 0));
    for (uint16_t t = 0; t < kTriesMax; ++t) {
      inflight.add_try(open[i], static_cast<uint16_t>(100 + t), static_cast<uint16_t>(i));
    }
  }
  uint32_t p, t;
  ASSERT_TRUE(inflight.find_try(102, 5, p, t));
  EXPECT_EQ(p, open[5]);
  EXPECT_EQ(t, 2u);
  EXPECT_FALSE(inflight.find_try(5, 102, p, t));
  inflight.close(open[5]);
  EXPECT_FALSE(inflight.tuple_in_use(102, 5));
  for (uint32_t i = 0; i < 8; ++i) {
    for (uint16_t n = 0; n < kTriesMax; ++n) {
      EXPECT_EQ(inflight.tuple_in_use(static_cast<uint16_t>(100 + n), static_cast<uint16_t>(i)),
                i != 5);
    }
  }
}

TEST(Inflight, DeadlinesComeWhenDueAndNotBefore) {
  Inflight inflight(4, 1);
  const uint64_t start = 1'000'000 * kMs;
  EXPECT_EQ(inflight.take_due(start), kNone);
  const uint32_t late = inflight.open(key_of(1, 1), start);
  const uint32_t soon = inflight.open(key_of(2, 2), start);
  inflight.set_due(late, start + 700 * kMs);
  inflight.set_due(soon, start + 100 * kMs);
  EXPECT_EQ(inflight.take_due(start + 99 * kMs), kNone);
  EXPECT_EQ(inflight.take_due(start + 120 * kMs), soon);
  EXPECT_EQ(inflight.take_due(start + 120 * kMs), kNone) << "it was taken out";
  EXPECT_EQ(inflight.take_due(start + 699 * kMs), kNone);
  EXPECT_EQ(inflight.take_due(start + 720 * kMs), late);
}

TEST(Inflight, ADeadlineCanBeMovedAndEndsWithItsQuestion) {
  Inflight inflight(4, 1);
  inflight.take_due(0);
  const uint32_t moved = inflight.open(key_of(1, 1), 0);
  const uint32_t closed = inflight.open(key_of(2, 2), 0);
  inflight.set_due(moved, 50 * kMs);
  inflight.set_due(closed, 50 * kMs);
  inflight.set_due(moved, 300 * kMs);
  inflight.close(closed);
  EXPECT_EQ(inflight.take_due(200 * kMs), kNone);
  EXPECT_EQ(inflight.take_due(320 * kMs), moved);
}

TEST(Inflight, DeadlinesBeyondTheHorizonAreKept) {
  Inflight inflight(4, 1);
  inflight.take_due(0);
  const uint32_t far = inflight.open(key_of(1, 1), 0);
  inflight.set_due(far, 30'000 * kMs);
  for (uint64_t now = 0; now < 30'000; now += 7)
    ASSERT_EQ(inflight.take_due(now * kMs), kNone);
  EXPECT_EQ(inflight.take_due(30'020 * kMs), far);
}

// Random deadlines, random pauses (some longer than the wheel's horizon), against a map.
TEST(Inflight, DeadlinesAgainstAModel) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    Inflight inflight(64, 1);
    uint64_t now = 40'000 * kMs;
    std::map<uint32_t, uint64_t> due;  // by pending
    uint32_t number = 0;
    for (int round = 0; round < 3000; ++round) {
      now += random() % 50 == 0 ? random() % (20'000 * kMs) : random() % (20 * kMs);
      if (inflight.room()) {
        number += 1;
        const uint32_t p = inflight.open(key_of(number, number), now);
        due[p] = now + random() % (random() % 4 == 0 ? 12'000 * kMs : 500 * kMs);
        inflight.set_due(p, due[p]);
      }
      for (uint32_t p; (p = inflight.take_due(now)) != kNone;) {
        ASSERT_TRUE(due.contains(p));
        ASSERT_LE(due[p], now) << "too early";
        due.erase(p);
        inflight.close(p);
      }
      for (const auto& [p, at] : due)
        ASSERT_GT(at + 16 * kMs, now) << "forgotten";
    }
  }
}

TEST(Inflight, ANewConfigRenumbersBackendsAndPools) {
  Inflight inflight(4, 1);
  const uint32_t p = inflight.open(key_of(1, 1), 0);
  inflight.at(p).pool = 1;
  inflight.add_try(p, 1, 1).backend = 0;
  inflight.add_try(p, 2, 2).backend = 3;
  inflight.at(p).backends_tried = 0b1001;
  std::array<uint8_t, abi::kBackendsMax> backend;
  std::array<uint8_t, abi::kPoolsMax> pool;
  backend.fill(kNoBackend);
  pool.fill(kNoPool);
  backend[3] = 2;
  pool[1] = 0;
  inflight.apply(backend, pool);
  EXPECT_EQ(inflight.at(p).pool, 0);
  EXPECT_EQ(inflight.at(p).tries[0].backend, kNoBackend);
  EXPECT_EQ(inflight.at(p).tries[1].backend, 2);
  EXPECT_EQ(inflight.at(p).backends_tried, 0b0100u);
  inflight.apply(backend, pool);  // pool 0 and backend 2 are gone now
  EXPECT_EQ(inflight.at(p).pool, kNoPool);
  EXPECT_EQ(inflight.at(p).backends_tried, 0u);
}

}  // namespace
}  // namespace millrace::dp
