// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every policy over every trace at every size, and what follows from it.
//
// The measure is R18: how much of what can be gained over LRU the real cache gains,
//
//     (hit ratio - LRU's) / (the best reference policy's - LRU's)
//
// where the best is taken for each trace and size anew, which no single policy reaches. Where LRU
// is within kGainMin of the best, the quotient says nothing and none is given. The figure for all
// traces is the quotient of the sums, in which such traces weigh next to nothing; the flood is left
// out, since its twin is in and budgets (not policies) decide it.
//
// For the flood: the hit ratio of the ordinary names under it, divided by theirs without it.
//
// Memory: a few hundred MB. Cost: two cores' time; runs are shared among all CPUs, and what they
// print does not depend on how many there are.
#include "tests/sim/cache/run.hpp"
#include "tests/sim/cache/trace.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace millrace::cachesim {

inline constexpr double kGainMin = 0.005;

struct Row {
  std::string policy;
  bool real = false;  // the product's cache; else a reference policy
  Score score;
};

struct Comparison {
  std::string trace;
  uint64_t mib;
  std::vector<Row> rows;   // the first is LRU
  double unlimited_ratio;  // hit ratio of memory without end
  double bound_ratio;      // bound.hpp

  double lru_ratio() const { return rows.front().score.hit_ratio(); }
  double gain(const Row& row) const { return row.score.hit_ratio() - lru_ratio(); }
  double best_gain() const;  // of the reference policies
};

struct Figures {  // of one real cache
  double r18 = 0;
  double flood = 1;  // the worst over the sizes
};

// All policies over one trace, at each of the sizes.
std::vector<Comparison> compare(const Trace& trace, const std::vector<uint64_t>& mib);

// Nothing: LRU is as good as any.
std::optional<double> r18_of(const Comparison& comparison, const Row& row);

Figures figures_of(const std::vector<Comparison>& all, const std::string& policy);

// Runs the jobs on all CPUs; each must keep to its own memory.
void run_all(const std::vector<std::function<void()>>& jobs);

}  // namespace millrace::cachesim
