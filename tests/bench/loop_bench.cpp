// SPDX-License-Identifier: Apache-2.0
// How even the turns of a worker are while the cache ages and configs change.
//
//   loop-bench [--hugepages] [--entries N] [--smoke]
//
// R8: time of one turn (four queries, all hits) in a second in which nothing happens, in one in
// which all N other entries reach the end of their time (1 M), and in one with 100 configs
// published by another core. R26: packets answered in full bursts with such swaps / without.
//
// A turn is Worker::step and the report to the grace period; making its frames is outside. The
// clock is the TSC, so what does not get done in time stays visible. The host takes the CPU away
// now and then: what the quiet second shows is not ours.
//
// --smoke: all of it in some seconds, for a test; the figures mean nothing.
//
// Threads: the worker on the last CPU, the publisher on the first.

#include "dataplane/base/qsbr.hpp"
#include "tests/bench/bench_plane.hpp"
#include "tests/bench/frame_feed.hpp"
#include "tests/unit/worker/images.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include <x86intrin.h>

namespace millrace::test {
namespace {

constexpr uint32_t kKeptNames = 1000;
constexpr uint32_t kLightPackets = 4;
constexpr uint64_t kBornNs = 1'000'000'000'000;
constexpr uint32_t kLifetimeS = 600;  // of those that are to expire
constexpr auto kSwapPeriod = std::chrono::milliseconds(10);
constexpr std::size_t kTurnsMax = 8'000'000;

void pin_to(long cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<std::size_t>(cpu), &cpus);
  pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
}

double ticks_per_ns() {
  timespec from{}, to{};
  clock_gettime(CLOCK_MONOTONIC, &from);
  const uint64_t start = __rdtsc();
  do {
    clock_gettime(CLOCK_MONOTONIC, &to);
  } while ((to.tv_sec - from.tv_sec) * 1'000'000'000 + to.tv_nsec - from.tv_nsec < 200'000'000);
  const uint64_t ticks = __rdtsc() - start;
  const auto ns = (to.tv_sec - from.tv_sec) * 1'000'000'000 + to.tv_nsec - from.tv_nsec;
  return static_cast<double>(ticks) / static_cast<double>(ns);
}

// Publishes a config every kSwapPeriod from another core while it lives.
class Publisher {
 public:
  Publisher(dp::ConfigBoard& board, GracePeriod grace)
      : thread_([this, &board, grace] { run(board, grace); }) {}
  ~Publisher() {
    stop_.store(true, std::memory_order_relaxed);  // the join orders everything else
    thread_.join();
  }
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

 private:
  void run(dp::ConfigBoard& board, GracePeriod grace) {
    pin_to(0);
    const abi::ConfigImage* const before = board.load();
    uint64_t generation = before->header.generation;
    // The last image stays published when this object is gone.
    static std::vector<std::unique_ptr<abi::ConfigImage>> kept;
    while (!stop_.load(std::memory_order_relaxed)) {  // see the destructor
      kept.push_back(make_config(2, ++generation));
      board.publish(kept.back().get());
      const snapshot::Retired<abi::ConfigImage> old(nullptr, grace);
      std::this_thread::sleep_for(kSwapPeriod);
      // A worker without a CPU for so long still may read the old one.
      if (old.may_free(grace)) kept.erase(kept.begin(), kept.end() - 1);
    }
  }

  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class Bench {
 public:
  Bench(uint32_t entries, bool hugepages)
      : traffic_(plan()),
        plane_(region_bytes_for(kKeptNames + entries), hugepages, qsbr_.grace()),
        feed_(traffic_),
        per_ns_(ticks_per_ns()),
        turn_ticks_(kTurnsMax) {
    plane_.fill(0, kKeptNames, kBornNs / 1'000'000);
    plane_.fill(kKeptNames, kKeptNames + entries, kBornNs / 1'000'000, kLifetimeS);
    qsbr_.online(0);
  }

  dp::ConfigBoard& board() { return plane_.config_board(); }
  GracePeriod grace() { return qsbr_.grace(); }
  uint64_t entries() { return plane_.shard().gauges().entries; }

  // Turns for `ms`, the clock beginning at `from_ns`; prints how long they took.
  double turns(const char* title, uint64_t from_ns, uint32_t ms) {
    const uint64_t start = __rdtsc();
    const auto end = start + static_cast<uint64_t>(per_ns_ * ms * 1e6);
    const uint64_t before = entries();
    std::size_t cnt = 0;
    uint64_t all_gone_ns = 0;
    for (uint64_t now = start; now < end && cnt < kTurnsMax; now = __rdtsc()) {
      feed_.arrive(kLightPackets);
      const uint64_t elapsed_ns = static_cast<uint64_t>(static_cast<double>(now - start) / per_ns_);
      turn_ticks_[cnt++] = turn(from_ns + elapsed_ns);
      feed_.take_all();
      if (all_gone_ns == 0 && entries() == kKeptNames) all_gone_ns = elapsed_ns + 1;
    }
    return report(title, cnt, before - entries(), all_gone_ns);
  }

  // Full bursts for `ms`: packets per millisecond.
  double rate(uint64_t from_ns, uint32_t ms) {
    const uint64_t start = __rdtsc();
    const auto end = start + static_cast<uint64_t>(per_ns_ * ms * 1e6);
    uint64_t packets = 0, now = start;
    for (; now < end; now = __rdtsc()) {
      feed_.arrive(kBurstMax);
      turn(from_ns + static_cast<uint64_t>(static_cast<double>(now - start) / per_ns_));
      packets += feed_.take_all();
    }
    return static_cast<double>(packets) * per_ns_ * 1e6 / static_cast<double>(now - start);
  }

 private:
  static TrafficPlan plan() {
    TrafficPlan plan;
    plan.names = kKeptNames;
    plan.packets = 20'000;
    return plan;
  }

  uint32_t turn(uint64_t now_ns) {
    const uint64_t start = __rdtsc();
    plane_.worker().step(feed_.io(), now_ns);
    qsbr_.quiescent(0);
    return static_cast<uint32_t>(std::min<uint64_t>(__rdtsc() - start, UINT32_MAX));
  }

  double report(const char* title, std::size_t cnt, uint64_t expired, uint64_t all_gone_ns) {
    const auto first = turn_ticks_.begin();
    std::sort(first, first + static_cast<std::ptrdiff_t>(cnt));
    const auto at = [&](double share) {
      return turn_ticks_[std::min(cnt - 1, static_cast<std::size_t>(share * double(cnt)))];
    };
    const double ratio = double(at(0.9999)) / double(at(0.5));
    std::printf(
        "%-16s %8zu turns, ticks: p50 %u, p99 %u, p99.9 %u, p99.99 %u, max %u; "
        "p99.99 / p50 = %.2f",
        title, cnt, at(0.5), at(0.99), at(0.999), at(0.9999), turn_ticks_[cnt - 1], ratio);
    if (expired != 0) {
      std::printf("; %llu expired, the last after %.0f ms", (unsigned long long)expired,
                  static_cast<double>(all_gone_ns) / 1e6);
    }
    std::printf("\n");
    return ratio;
  }

  Traffic traffic_;
  Qsbr<1> qsbr_;
  BenchPlane plane_;
  FrameFeed feed_;
  double per_ns_;
  std::vector<uint32_t> turn_ticks_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int run(uint32_t entries, bool hugepages, bool smoke) {
  const uint32_t turns_ms = smoke ? 150 : 1000;
  const uint32_t rate_ms = smoke ? 10 : 500;
  const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  if (cpus < 2) {
    std::fprintf(stderr, "loop-bench: needs two CPUs\n");
    return 1;
  }
  pin_to(cpus - 1);
  Bench bench(entries, hugepages);
  const uint64_t due_ns = kBornNs + kLifetimeS * uint64_t{1'000'000'000};
  bench.turns("warming up", due_ns - 5'000'000'000, turns_ms / 5);
  bench.turns("quiet", due_ns - 4'000'000'000, turns_ms);
  bench.turns("all expire", due_ns - 100'000'000, turns_ms);
  if (bench.entries() != kKeptNames)
    std::printf("%llu entries are left\n", (unsigned long long)bench.entries());
  const uint64_t later_ns = due_ns + 10'000'000'000;
  {
    const Publisher publisher(bench.board(), bench.grace());
    bench.turns("100 swaps", later_ns, turns_ms);
  }
  std::vector<double> ratios;
  for (uint32_t pair = 0; pair < 15; ++pair) {
    const uint64_t from_ns = later_ns + (2 + pair) * uint64_t{2'000'000'000};
    const bool swaps_first = pair % 2 != 0;
    double with = 0, without = 0;
    for (const bool swaps : {swaps_first, !swaps_first}) {
      if (!swaps) {
        without = bench.rate(from_ns, rate_ms);
        continue;
      }
      const Publisher publisher(bench.board(), bench.grace());
      with = bench.rate(from_ns, rate_ms);
    }
    ratios.push_back(with / without);
  }
  const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
  std::printf(
      "R26: packets with 100 swaps a second / without: %.4f in the median of 15 pairs "
      "(%.4f to %.4f), floor 0.99\n",
      median(ratios), *low, *high);
  return 0;
}

}  // namespace
}  // namespace millrace::test

int main(int argc, char** argv) {
  uint32_t entries = 1'000'000;
  bool hugepages = false, smoke = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--hugepages") == 0) {
      hugepages = true;
    } else if (std::strcmp(argv[i], "--smoke") == 0) {
      smoke = true;
    } else if (std::strcmp(argv[i], "--entries") == 0 && i + 1 < argc) {
      entries = static_cast<uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    } else {
      std::fprintf(stderr, "usage: loop-bench [--hugepages] [--entries N] [--smoke]\n");
      return 2;
    }
  }
  return millrace::test::run(entries, hugepages, smoke);
}
