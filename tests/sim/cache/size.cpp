// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/cache/size.hpp"

#include "tests/sim/cache/reference_cache.hpp"
#include "tests/sim/cache/run.hpp"
#include "tests/sim/cache/shard_cache.hpp"

namespace millrace::cachesim {

namespace {

SizeRow measure(const Trace& trace, uint64_t mib) {
  ShardCache<cache::Shard> cache(trace, mib << 20);
  const double miss_ratio = 1 - run(trace, cache).hit_ratio();
  return {mib, miss_ratio, cache.entries()};
}

}  // namespace

SizeCurve size_curve(const Trace& trace) {
  SizeCurve curve{};
  const std::vector<uint32_t> costs = costs_of(trace);
  ReferenceCache<Fifo> unlimited(trace, Bounds{costs, UINT64_MAX});
  curve.unlimited_miss_ratio = 1 - run(trace, unlimited).hit_ratio();
  for (uint64_t mib = kSizeMiBMin; mib <= kSizeMiBMax && curve.knee_mib == 0; mib *= 2) {
    curve.rows.push_back(measure(trace, mib));
    if (curve.rows.back().miss_ratio <= curve.unlimited_miss_ratio + kFlat) curve.knee_mib = mib;
  }
  if (curve.knee_mib != 0) curve.rows.push_back(measure(trace, 2 * curve.knee_mib));
  return curve;
}

}  // namespace millrace::cachesim
