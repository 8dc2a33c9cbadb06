// SPDX-License-Identifier: Apache-2.0
// millrace-sim: the whole data plane in one thread under a made-up clock.
//
//   millrace-sim [--seed N] [--seeds COUNT] [--steps N] [--verbose]
//
// Runs COUNT worlds (default 1) from seed N on (default 1), each of N turns (default 2500) and then
// to rest, checks the laws after every turn, and runs the first seed of all twice: both runs must
// leave the same trace. --verbose prints every event. Ends with 0, or with 1 and the seed, step,
// time, law and packet of the first violation; with 2 if the arguments are wrong.
#include "tests/sim/world.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using namespace millrace::sim;

struct Arguments {
  uint64_t seed = 1;
  uint64_t seeds = 1;
  uint32_t steps = 2500;
  bool verbose = false;
};

bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--verbose") {
      arguments.verbose = true;
      continue;
    }
    if (i + 1 >= argc) return false;
    char* end = nullptr;
    const uint64_t value = std::strtoull(argv[++i], &end, 10);
    if (*end != '\0') return false;
    if (option == "--seed") {
      arguments.seed = value;
    } else if (option == "--seeds" && value > 0) {
      arguments.seeds = value;
    } else if (option == "--steps" && value > 0 && value <= 100'000'000) {
      arguments.steps = static_cast<uint32_t>(value);
    } else {
      return false;
    }
  }
  return true;
}

void report(uint64_t seed, const World& world, const Violation& violation) {
  std::printf("VIOLATION of %s: %s\n", violation.law.c_str(), violation.text.c_str());
  std::printf("  seed %llu (%s), step %llu, time %.6f s\n", static_cast<unsigned long long>(seed),
              world.describe().c_str(), static_cast<unsigned long long>(world.step()),
              static_cast<double>(world.now_ns()) / 1e9);
  if (!violation.packet.empty()) {
    std::printf("  packet ");
    for (const uint8_t octet : violation.packet)
      std::printf("%02x", octet);
    std::printf("\n");
  }
  std::printf("  counters:%s\n", world.counters().c_str());
  std::printf("  replay: millrace-sim --seed %llu --verbose\n",
              static_cast<unsigned long long>(seed));
}

bool run(uint64_t seed, const Arguments& arguments, bool verbose, Summary& summary) {
  World world(seed, arguments.steps, verbose);
  try {
    summary = world.run();
    return true;
  } catch (const Violation& violation) {
    report(seed, world, violation);
    return false;
  }
}

void add(Summary& total, const Summary& one) {
  total.hash = total.hash * 31 + one.hash;
  total.queries += one.queries;
  total.hits += one.hits;
  total.misses += one.misses;
  total.data += one.data;
  total.servfail += one.servfail;
  total.sent += one.sent;
  total.evicted += one.evicted;
  total.ring_full += one.ring_full;
  total.inflight_full += one.inflight_full;
  total.no_frame += one.no_frame;
  total.flushed += one.flushed;
  total.probes += one.probes;
  total.prefetched += one.prefetched;
  total.stale += one.stale;
  total.limited += one.limited;
  total.streams += one.streams;
  total.stream_asked += one.stream_asked;
  total.seconds += one.seconds;
}

void print(const Arguments& arguments, const Summary& total) {
  const auto n = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf("seeds %llu..%llu, %.0f simulated seconds, trace %016llx\n", n(arguments.seed),
              n(arguments.seed + arguments.seeds - 1), total.seconds, n(total.hash));
  std::printf("  queries %llu, hits %llu, misses %llu, with data %llu, failed %llu, asked %llu\n",
              n(total.queries), n(total.hits), n(total.misses), n(total.data), n(total.servfail),
              n(total.sent));
  std::printf(
      "  evicted %llu, ring full %llu, in-flight full %llu, no frame %llu, flushed %llu, "
      "probes %llu, prefetched %llu, stale %llu, limited %llu\n"
      "  over TCP: queries %llu, asked %llu\n",
      n(total.evicted), n(total.ring_full), n(total.inflight_full), n(total.no_frame),
      n(total.flushed), n(total.probes), n(total.prefetched), n(total.stale),
      n(total.limited), n(total.streams), n(total.stream_asked));
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fprintf(stderr,
                 "usage: millrace-sim [--seed N] [--seeds COUNT] [--steps N] [--verbose]\n");
    return 2;
  }
  Summary total;
  for (uint64_t i = 0; i < arguments.seeds; ++i) {
    Summary summary;
    if (!run(arguments.seed + i, arguments, arguments.verbose, summary)) return 1;
    if (i == 0) {
      Summary again;
      if (!run(arguments.seed, arguments, false, again)) return 1;
      if (again.hash != summary.hash) {
        std::printf("VIOLATION of law 9: seed %llu gave two different runs\n",
                    static_cast<unsigned long long>(arguments.seed));
        return 1;
      }
    }
    add(total, summary);
  }
  print(arguments, total);
  return 0;
}
