// SPDX-License-Identifier: Apache-2.0
#pragma once
// Traces: which name is asked when, made from a plan and a seed.
//
// The names [0, names) are those that people ask for again; their rank is their number when the
// trace begins. Numbers above are names that come once: one-hit wonders, a flood's random
// subdomains. All that happens to ordinary names is drawn from streams of their own, so the same
// plan with a flood has the same ordinary queries at the same times.
//
// Queries come evenly in time; drift, scan and flood are shares of the queries. The first
// third of a trace warms the caches up and is not counted.

#include "tests/sim/cache/workload.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::cachesim {

struct TracePlan {
  std::string name;
  std::string about;
  uint32_t queries = 3'000'000;  // without those of the flood
  uint32_t names = 1'000'000;
  uint32_t qps = 10'000;  // without the flood
  double zipf = 1.0;
  uint32_t negative_per_mille = 120;  // of the names
  uint32_t one_hit_per_mille = 0;     // of the queries: names that are never asked again
  // Of the queries: after it the name changes its rank with a random one, so a name stays popular
  // for 1000 / drift queries on average.
  uint32_t drift_per_mille = 0;
  // Of the queries between half and two thirds of the trace: all names in turn, as a survey asks.
  uint32_t scan_per_mille = 0;
  bool flood = false;  // each ordinary query is followed by one for a random subdomain
  TtlMix ttls = *ttl_mix_of("dns");
};

struct Trace {
  std::string name;
  std::string about;
  uint32_t names = 0;
  uint64_t qps = 0;            // with the flood
  uint32_t counted_from = 0;   // queries before this one warm up
  std::vector<uint32_t> asks;  // numbers of objects
  std::vector<Object> objects;

  uint64_t time_ms(uint64_t query) const { return kStartMs + query * 1000 / qps; }

  static constexpr uint64_t kStartMs = 1'000'000;
};

Trace make_trace(const TracePlan& plan, uint64_t seed);

// The traces of the comparison, "flood" last and its twin "dns" before it.
std::vector<TracePlan> standard_plans(uint32_t queries, uint32_t names);

}  // namespace millrace::cachesim
