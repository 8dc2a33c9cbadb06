// SPDX-License-Identifier: Apache-2.0
// What one cache hit costs in a worker: Worker::step over bursts of queries in memory, no driver.
//
//   path-bench [names] [v4|v6]             TSC ticks per hit: lowest and median of the rounds
//
// The frames of a burst are written anew before each step and are outside of what is measured.
// Instructions per hit: count.cpp. With a driver: path_port.cpp.

#include "dataplane/base/qsbr.hpp"
#include "tests/bench/bench_plane.hpp"
#include "tests/bench/frame_feed.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <x86intrin.h>

namespace millrace::test {
namespace {

constexpr uint32_t kRounds = 400;
constexpr uint32_t kBursts = 64;  // in one round

int run(const TrafficPlan& plan) {
  const Traffic traffic(plan);
  Qsbr<1> qsbr;
  BenchPlane plane(region_bytes_for(plan.names), false, qsbr.grace());
  uint64_t now_ns = 1'000'000'000'000;
  plane.fill(0, plan.names, now_ns / 1'000'000);
  FrameFeed feed(traffic);
  std::vector<double> ticks_of_hit;
  for (uint32_t round = 0; round < kRounds; ++round) {
    uint64_t ticks = 0;
    for (uint32_t burst = 0; burst < kBursts; ++burst) {
      feed.arrive(kBurstMax);
      const uint64_t start = __rdtsc();
      plane.worker().step(feed.io(), now_ns);
      ticks += __rdtsc() - start;
      feed.take_all();
    }
    now_ns += 1'000'000;
    ticks_of_hit.push_back(static_cast<double>(ticks) / (kBursts * kBurstMax));
  }
  const uint64_t hits = plane.worker().counters().of(abi::Outcome::hit);
  if (hits != uint64_t{kRounds} * kBursts * kBurstMax) {
    std::fprintf(stderr, "path-bench: only %llu hits\n", static_cast<unsigned long long>(hits));
    return 1;
  }
  std::sort(ticks_of_hit.begin(), ticks_of_hit.end());
  std::printf("%u names, IPv%d, %llu hits: %.1f ticks per hit at best, %.1f in the median\n",
              plan.names, plan.v6 ? 6 : 4, static_cast<unsigned long long>(hits),
              ticks_of_hit.front(), ticks_of_hit[ticks_of_hit.size() / 2]);
  return 0;
}

}  // namespace
}  // namespace millrace::test

int main(int argc, char** argv) {
  millrace::test::TrafficPlan plan;
  plan.packets = 50'000;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "v4" || word == "v6") {
      plan.v6 = word == "v6";
    } else {
      plan.names = static_cast<uint32_t>(std::strtoul(argv[i], nullptr, 10));
    }
  }
  if (plan.names == 0) {
    std::fprintf(stderr, "usage: path-bench [names] [v4|v6]\n");
    return 2;
  }
  return millrace::test::run(plan);
}
