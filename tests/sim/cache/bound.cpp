// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/cache/bound.hpp"

#include <algorithm>
#include <vector>

namespace millrace::cachesim {

namespace {

constexpr uint32_t kNever = UINT32_MAX;

// The queries of each object, in order, as one array cut by `first`.
struct Asked {
  std::vector<uint32_t> first;  // of object i in `queries`; one more at the end
  std::vector<uint32_t> queries;
};

Asked by_object(const Trace& trace) {
  Asked asked;
  asked.first.assign(trace.objects.size() + 1, 0);
  for (const uint32_t object : trace.asks)
    ++asked.first[object + 1];
  for (std::size_t i = 1; i < asked.first.size(); ++i)
    asked.first[i] += asked.first[i - 1];
  std::vector<uint32_t> next(asked.first.begin(), asked.first.end() - 1);
  asked.queries.resize(trace.asks.size());
  for (uint32_t query = 0; query < trace.asks.size(); ++query)
    asked.queries[next[trace.asks[query]]++] = query;
  return asked;
}

// Adds what the hits of one object cost; as many as can be, the cheapest ones.
class ObjectHits {
 public:
  ObjectHits(const Trace& trace, std::vector<uint64_t>& costs) : trace_(trace), all_(costs) {}

  void add(const uint32_t* begin, const uint32_t* end, uint32_t ttl_s, uint32_t cost_bytes) {
    const uint64_t ttl_ms = uint64_t{ttl_s} * 1000;
    uint64_t fresh_until_ms = 0;
    uint32_t last = kNever;
    uint32_t hits_max = 0;
    gaps_.clear();
    for (const uint32_t* at = begin; at != end; ++at) {
      const uint32_t query = *at;
      const uint64_t now_ms = trace_.time_ms(query);
      if (query < trace_.counted_from) {
        fresh_until_ms = now_ms + ttl_ms;  // as if fetched at the last moment
      } else {
        if (now_ms < fresh_until_ms) {
          ++hits_max;
        } else {
          fresh_until_ms = now_ms + ttl_ms;
        }
        if (last != kNever && now_ms < trace_.time_ms(last) + ttl_ms) {
          gaps_.push_back(query - std::max(last, trace_.counted_from));
        }
      }
      last = query;
    }
    std::sort(gaps_.begin(), gaps_.end());
    for (uint32_t i = 0; i < std::min<std::size_t>(hits_max, gaps_.size()); ++i)
      all_.push_back(uint64_t{gaps_[i]} * cost_bytes);
  }

 private:
  const Trace& trace_;
  std::vector<uint64_t>& all_;
  std::vector<uint32_t> gaps_;
};

}  // namespace

uint64_t hits_bound(const Trace& trace, const Bounds& bounds) {
  const Asked asked = by_object(trace);
  std::vector<uint64_t> costs;
  ObjectHits hits(trace, costs);
  for (std::size_t object = 0; object < trace.objects.size(); ++object) {
    hits.add(asked.queries.data() + asked.first[object],
             asked.queries.data() + asked.first[object + 1], trace.objects[object].ttl_s,
             bounds.cost_bytes[object]);
  }
  std::sort(costs.begin(), costs.end());
  uint64_t left = bounds.capacity_bytes * (trace.asks.size() - trace.counted_from);
  uint64_t taken = 0;
  for (const uint64_t cost : costs) {
    if (cost > left) break;
    left -= cost;
    ++taken;
  }
  return taken;
}

}  // namespace millrace::cachesim
