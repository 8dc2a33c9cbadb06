// SPDX-License-Identifier: Apache-2.0
// After the storm: what must be true again once everything is healthy and quiet.
#include "tests/sim/world.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace millrace::test;

namespace {
constexpr uint32_t kShareQueries = 64;
}  // namespace

void World::epilogue() {
  // Every backend that was out of use is back within one probe interval, at every core (A64).
  const uint64_t until_ns = now_ns_ + (2ull * plan_.probe_interval_ms + 1500) * kMs;
  while (now_ns_ < until_ns) {
    advance_clock(2 * kMs);
    run_all();
  }
  settle("recovery");
  for (uint32_t w = 0; w < plane_.worker_cnt(); ++w) {
    demand(plane_.page(w).generation == plane_.config().load()->header.generation, "law 5",
           "a core does not report the published generation");
    for (uint32_t b = 0; b < kBackends; ++b) {
      demand(plane_.stats().backends[w][b].up.load(std::memory_order_relaxed) == 1, "A64",
             "a backend is healthy again but a core does not use it");
    }
  }
  for (uint32_t view = 0; view < kViews; ++view)
    check_shares(view);
}

// With nothing outstanding anywhere, all backends of a pool are alike: none may be left out, which
// is what a count of outstanding queries that was never taken back would do.
void World::check_shares(uint32_t view) {
  asked_.fill(0);
  const uint64_t before = oracle_.answered_with_data();
  for (uint32_t i = 0; i < kShareQueries; ++i) {
    ask(clients_.good_for(clients_.fresh_name(Shape::plain), kTypeA,
                          static_cast<uint8_t>(2 * view + i % 2)));
    settle("share");
  }
  demand(oracle_.answered_with_data() >= before + kShareQueries / 2, "A64",
         "a healthy world does not answer");
  for (uint32_t b = 0; b < kBackends; ++b) {
    // Where the first gets all, the others are to stay idle.
    const bool one_for_all =
        plan_.policy == static_cast<uint32_t>(abi::PoolPolicy::first_available);
    const bool fair = kBackend[b].view != view || asked_[b] > 0 || one_for_all;
    if (!fair) violate("share", "backend " + std::to_string(b) + " is idle and never asked");
  }
}

}  // namespace millrace::sim
