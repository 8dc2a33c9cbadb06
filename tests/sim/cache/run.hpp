// SPDX-License-Identifier: Apache-2.0
#pragma once
// One trace through one cache.
#include "tests/sim/cache/trace.hpp"

#include <cstdint>

namespace millrace::cachesim {

// Of the queries that count. A query whose entry has expired is a miss for every policy.
struct Score {
  uint64_t queries = 0;
  uint64_t hits = 0;
  uint64_t ordinary_queries = 0;  // for names that are asked for again
  uint64_t ordinary_hits = 0;

  double hit_ratio() const { return static_cast<double>(hits) / static_cast<double>(queries); }
  double ordinary_hit_ratio() const {
    return static_cast<double>(ordinary_hits) / static_cast<double>(ordinary_queries);
  }
};

template <class Cache>
Score run(const Trace& trace, Cache& cache) {
  Score score;
  for (uint32_t query = 0; query < trace.asks.size(); ++query) {
    const uint32_t object = trace.asks[query];
    const uint64_t now_ms = trace.time_ms(query);
    const bool hit = cache.lookup(object, now_ms);
    if (!hit) cache.insert(object, now_ms);
    if (query < trace.counted_from) continue;
    const bool ordinary = object < trace.names;
    ++score.queries;
    score.hits += hit;
    score.ordinary_queries += ordinary;
    score.ordinary_hits += hit && ordinary;
  }
  return score;
}

}  // namespace millrace::cachesim
