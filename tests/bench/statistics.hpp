// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is computed from paired measurements: the median of the ratios, how sure it is, and which
// pairs do not count.
//
// A pair is four measurements, A B B A: a drift of the machine that is linear over the pair hits
// both sides alike. Its ratio is (A1 + A2) / (B1 + B2).
//
// Threads: none. Failure: none; an empty sample gives NaN.

#include <cstdint>
#include <vector>

namespace millrace::bench {

double median(std::vector<double> values);

struct Interval {
  double low;
  double high;
};

// The central 95 % of the medians of resamples with replacement (B. Efron, 1979). Seeded: the same
// values give the same interval.
Interval bootstrap_median(const std::vector<double>& values, uint32_t resamples = 4000);

struct Quad {
  double a1, b1, b2, a2;
  bool moved;          // the two CPUs turned out to be siblings during the pair
  double steal_share;  // of the CPU time of the pair that the hypervisor gave to others

  double ratio() const { return (a1 + a2) / (b1 + b2); }
};

enum class Verdict : uint8_t { counts, moved, steal, spread };

inline constexpr double kStealMax = 0.005;
inline constexpr double kSpreadMax = 0.05;  // of the two measurements of one side

Verdict judge(const Quad& quad);

}  // namespace millrace::bench
