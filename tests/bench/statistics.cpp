// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace millrace::bench {

namespace {

double spread(double one, double other) {
  return std::abs(one - other) / std::min(one, other);
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const std::size_t middle = values.size() / 2;
  std::sort(values.begin(), values.end());
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Interval bootstrap_median(const std::vector<double>& values, uint32_t resamples) {
  if (values.empty()) return {median({}), median({})};
  std::mt19937_64 random(20240607);
  std::vector<double> medians;
  std::vector<double> sample(values.size());
  for (uint32_t i = 0; i < resamples; ++i) {
    for (double& value : sample)
      value = values[random() % values.size()];
    medians.push_back(median(sample));
  }
  std::sort(medians.begin(), medians.end());
  const std::size_t tail = medians.size() / 40;
  return {medians[tail], medians[medians.size() - 1 - tail]};
}

Verdict judge(const Quad& quad) {
  if (quad.moved) return Verdict::moved;
  if (quad.steal_share > kStealMax) return Verdict::steal;
  if (spread(quad.a1, quad.a2) > kSpreadMax) return Verdict::spread;
  if (spread(quad.b1, quad.b2) > kSpreadMax) return Verdict::spread;
  return Verdict::counts;
}

}  // namespace millrace::bench
