// SPDX-License-Identifier: Apache-2.0
#pragma once
// Results as text for people, as JSON for programs, as a plot.
#include "tests/sim/cache/compare.hpp"
#include "tests/sim/cache/size.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::cachesim {

// `judged`: says whether the floors are met, which hold for the full traces.
std::string table_of(const std::vector<Comparison>& all, bool judged);
std::string json_of(const std::vector<Comparison>& all, uint64_t seed);
// Miss ratio against size for one trace, whose comparisons these are.
std::string plot_of(const std::vector<Comparison>& sweep);

std::string table_of(const SizeCurve& curve);
std::string json_of(const SizeCurve& curve, const TracePlan& plan);
std::string plot_of(const SizeCurve& curve, const TracePlan& plan);

}  // namespace millrace::cachesim
