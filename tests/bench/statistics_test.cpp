// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the benchmarks, with inputs whose results are known.

#include "tests/bench/statistics.hpp"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace millrace::bench {
namespace {

TEST(BenchStatistics, Median) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(median({7}), 7);
  EXPECT_TRUE(std::isnan(median({})));
}

TEST(BenchStatistics, EqualValuesHaveAnIntervalOfNoWidth) {
  const Interval interval = bootstrap_median({2, 2, 2, 2, 2});
  EXPECT_EQ(interval.low, 2);
  EXPECT_EQ(interval.high, 2);
}

TEST(BenchStatistics, TheIntervalOfFifteenValuesIsTheKnownOne) {
  // The bootstrap of a median only ever returns values of the sample. For 15 of them the 95 %
  // interval runs from the 4th to the 12th (binomial; the resamples may move it by one).
  std::vector<double> values;
  for (int i = 1; i <= 15; ++i)
    values.push_back(i);
  const Interval interval = bootstrap_median(values);
  EXPECT_NEAR(interval.low, 4, 1);
  EXPECT_NEAR(interval.high, 12, 1);
  EXPECT_EQ(bootstrap_median(values).low, interval.low) << "seeded";
}

// Of samples drawn from a known distribution about 95 % of the intervals hold its median.
TEST(BenchStatistics, TheIntervalHoldsTheTrueMedian) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(10, 1);
  uint32_t held = 0;
  for (uint32_t trial = 0; trial < 300; ++trial) {
    std::vector<double> values(15);
    for (double& value : values)
      value = normal(random);
    const Interval interval = bootstrap_median(values, 400);
    held += interval.low <= 10 && 10 <= interval.high;
  }
  EXPECT_GT(held, 270u);
  EXPECT_LT(held, 300u);
}

TEST(BenchStatistics, ALinearDriftCancels) {
  // The machine slows by 1 each time; both sides cost 100 at the start.
  EXPECT_EQ((Quad{100, 101, 102, 103, false, 0}.ratio()), 1.0);
  EXPECT_EQ((Quad{200, 100, 100, 200, false, 0}.ratio()), 2.0);
}

TEST(BenchStatistics, WhichPairsCount) {
  EXPECT_EQ(judge({100, 50, 51, 104, false, 0.004}), Verdict::counts);
  EXPECT_EQ(judge({100, 50, 51, 106, false, 0.004}), Verdict::spread);
  EXPECT_EQ(judge({100, 50, 53, 104, false, 0.004}), Verdict::spread);
  EXPECT_EQ(judge({100, 50, 51, 104, false, 0.006}), Verdict::steal);
  EXPECT_EQ(judge({100, 50, 51, 104, true, 0.004}), Verdict::moved);
}

}  // namespace
}  // namespace millrace::bench
