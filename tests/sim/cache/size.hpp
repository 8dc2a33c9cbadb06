// SPDX-License-Identifier: Apache-2.0
#pragma once
// How big a cache is needed: miss ratio against size, with the real shards.
//
// Sizes double from kSizeMiBMin until the curve is flat: until a size misses no more than kFlat of
// the queries above what unlimited memory would miss (answers expire, so that is not zero). That
// size is the knee; one more is run to show it.
#include "tests/sim/cache/trace.hpp"

#include <cstdint>
#include <vector>

namespace millrace::cachesim {

inline constexpr uint64_t kSizeMiBMin = 8;
inline constexpr uint64_t kSizeMiBMax = 65536;
inline constexpr double kFlat = 0.01;

struct SizeRow {
  uint64_t mib;
  double miss_ratio;
  uint64_t entries;  // at the end
};

struct SizeCurve {
  std::vector<SizeRow> rows;
  double unlimited_miss_ratio;
  uint64_t knee_mib;  // 0: not reached
};

SizeCurve size_curve(const Trace& trace);

}  // namespace millrace::cachesim
