// SPDX-License-Identifier: Apache-2.0
// A reader that is stuck is named once, and once more when it is over; nobody else is, ever.
#include "dataplane/base/stall_watch.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr uint64_t kMs = 1'000'000;

// Readers that report, sleep or are stuck, under a clock of our own.
class StallWatchTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kReaders = 3;
  enum class Does { turns, sleeps, is_stuck };

  // `ms` of life in steps of the period; what was told, as "2 stuck" or "2 over".
  std::vector<std::string> live(uint64_t ms, uint64_t step_ms = 250) {
    std::vector<std::string> told;
    for (uint64_t end_ns = now_ns_ + ms * kMs; now_ns_ < end_ns;) {
      now_ns_ += step_ms * kMs;
      for (uint32_t i = 0; i < kReaders; ++i) {
        if (does_[i] == Does::turns) seen_[i] = token_;
        if (does_[i] == Does::sleeps) seen_[i] = kReaderOffline;
      }
      watch_.check(
          now_ns_, ++token_, [this](uint32_t i) { return seen_[i]; },
          [&](const Stall& stall) {
            told.push_back(std::to_string(stall.reader) + (stall.over ? " over" : " stuck"));
            since_ns_ = stall.since_ns;
          });
    }
    return told;
  }

  using Told = std::vector<std::string>;
  StallWatch<16> watch_{kReaders};
  Does does_[kReaders] = {Does::turns, Does::turns, Does::turns};
  uint64_t seen_[kReaders] = {1, 1, 1};
  uint64_t token_ = 1;
  uint64_t now_ns_ = 5'000'000'000;
  uint64_t since_ns_ = 0;
};

TEST_F(StallWatchTest, WhoTurnsOrSleepsIsNeverNamed) {
  does_[1] = Does::sleeps;
  EXPECT_EQ(live(60'000), Told{});
  does_[1] = Does::turns;
  does_[0] = Does::sleeps;
  EXPECT_EQ(live(60'000), Told{});
}

TEST_F(StallWatchTest, AStallIsToldOnceAndItsEndOnce) {
  live(1000);
  does_[2] = Does::is_stuck;
  const uint64_t begin_ns = now_ns_;
  EXPECT_EQ(live(750), Told{}) << "not before the limit";
  EXPECT_EQ(live(500), Told{"2 stuck"});
  EXPECT_LE(since_ns_ - begin_ns, kStallCheckPeriodNs);
  EXPECT_EQ(live(60'000), Told{});
  does_[2] = Does::turns;
  EXPECT_EQ(live(1000), Told{"2 over"});
  EXPECT_LE(since_ns_ - begin_ns, kStallCheckPeriodNs);
  EXPECT_EQ(live(10'000), Told{});
}

TEST_F(StallWatchTest, GoingToSleepEndsIt) {
  does_[0] = Does::is_stuck;
  EXPECT_EQ(live(2000), Told{"0 stuck"});
  does_[0] = Does::sleeps;
  EXPECT_EQ(live(250), Told{"0 over"});
}

TEST_F(StallWatchTest, EachReaderIsWatchedByItself) {
  does_[0] = does_[1] = Does::is_stuck;
  EXPECT_EQ(live(2000), (Told{"0 stuck", "1 stuck"}));
  does_[1] = Does::turns;
  EXPECT_EQ(live(2000), Told{"1 over"});
}

TEST_F(StallWatchTest, ASlowReaderIsNotStuck) {
  for (int i = 0; i < 20; ++i) {
    does_[1] = Does::is_stuck;
    ASSERT_EQ(live(750), Told{});
    does_[1] = Does::turns;
    ASSERT_EQ(live(250), Told{});
  }
}

TEST_F(StallWatchTest, OurOwnPauseAccusesNobody) {
  live(1000);
  for (auto& does : does_)
    does = Does::is_stuck;  // the whole machine was
  EXPECT_EQ(live(30'000, 30'000), Told{});
  EXPECT_EQ(live(750), Told{});
  for (auto& does : does_)
    does = Does::turns;
  EXPECT_EQ(live(10'000), Told{});
  does_[1] = Does::is_stuck;
  EXPECT_EQ(live(2000), Told{"1 stuck"});
}

TEST_F(StallWatchTest, AStallOutlastsOurPause) {
  does_[1] = Does::is_stuck;
  EXPECT_EQ(live(2000), Told{"1 stuck"});
  EXPECT_EQ(live(30'000, 30'000), Told{}) << "told already";
  does_[1] = Does::turns;
  EXPECT_EQ(live(1000), Told{"1 over"});
}

}  // namespace
}  // namespace millrace
