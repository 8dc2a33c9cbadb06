// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/harness.hpp"

#include "tests/bench/machine.hpp"

namespace millrace::bench {

namespace {

// A noisy machine gets this many tries for each pair that is asked for.
constexpr uint32_t kTriesPerPair = 3;
constexpr uint64_t kProbeTicks = 200'000;

Quad measure_quad(const Sides& sides, uint64_t slice, const std::vector<uint32_t>& cpus) {
  Quad quad{};
  const uint64_t start = ticks();
  const uint64_t stolen = stolen_hundredths(cpus);
  quad.a1 = sides.above(slice);
  quad.b1 = sides.below(slice);
  quad.b2 = sides.below(slice);
  quad.a2 = sides.above(slice);
  const double hundredths = static_cast<double>(ticks() - start) / ticks_per_ms() / 10;
  const auto lost = static_cast<double>(stolen_hundredths(cpus) - stolen);
  quad.moved = cpus.size() > 1 && flag_round_trip(cpus[1], kProbeTicks) < kSiblingsRoundTrip;
  quad.steal_share = lost / (hundredths * static_cast<double>(cpus.size()));
  return quad;
}

}  // namespace

Result measure(const Row& row, const Options& options) {
  Result result;
  if (row.figure) {
    result.value = row.figure(options);
    result.interval = {result.value, result.value};
    result.counted = 1;
    return result;
  }
  const Sides sides = row.sides(options);
  const auto slice = static_cast<uint64_t>(options.slice_ms * ticks_per_ms());
  std::vector<uint32_t> cpus{options.cpu};
  if (row.two_cores) cpus.push_back(options.other_cpu);
  sides.above(slice / 4);  // warm up
  sides.below(slice / 4);
  std::vector<double> ratios, above, below;
  const uint64_t start = ticks();
  const auto row_ticks = static_cast<uint64_t>(options.row_ms * ticks_per_ms());
  for (uint32_t i = 0; i < kTriesPerPair * options.pairs && ratios.size() < options.pairs; ++i) {
    if (row_ticks != 0 && ticks() - start > row_ticks) break;
    const Quad quad = measure_quad(sides, slice, cpus);
    const Verdict verdict = options.smoke ? Verdict::counts : judge(quad);
    result.moved += verdict == Verdict::moved;
    result.stolen += verdict == Verdict::steal;
    result.spread += verdict == Verdict::spread;
    if (verdict != Verdict::counts) continue;
    ratios.push_back(quad.ratio());
    above.push_back((quad.a1 + quad.a2) / 2);
    below.push_back((quad.b1 + quad.b2) / 2);
  }
  result.counted = static_cast<uint32_t>(ratios.size());
  result.value = median(ratios);
  result.interval = bootstrap_median(ratios);
  result.above_ticks = median(above);
  result.below_ticks = median(below);
  return result;
}

bool meets(const Row& row, const Result& result, double target) {
  if (result.counted == 0) return false;
  return row.bound == Bound::at_least ? result.interval.low >= target
                                      : result.interval.high <= target;
}

}  // namespace millrace::bench
