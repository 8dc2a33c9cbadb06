// SPDX-License-Identifier: Apache-2.0
// R24: what each part of a ring is worth.

#include "tests/bench/ring_streams.hpp"

namespace millrace::bench {

namespace {

// What the ring in dataplane/ring is made of.
constexpr Parts kChosen{.lazy_release = true, .prefetch_write = true};

constexpr Parts with(void (*change)(Parts&)) {
  Parts parts = kChosen;
  change(parts);
  return parts;
}

template <Parts kVariant>
std::vector<Row> compare(const std::string& name, const std::string& what) {
  std::vector<Row> rows;
  const auto row = [&](const std::string& how, auto side) {
    rows.push_back({.id = "R24." + name + "." + how,
                    .what = what + ", " + how,
                    .above = "changed ring, " + how,
                    .below = "chosen ring, " + how,
                    .two_cores = true,
                    .sides = side});
  };
  for (const uint32_t n : {1u, 32u}) {
    row("n" + std::to_string(n), [n](const Options& options) {
      return Sides{stream_side<VariantRing<kVariant>>(options, n),
                   stream_side<VariantRing<kChosen>>(options, n)};
    });
  }
  row("trip", [](const Options& options) {
    return Sides{round_trip_side<VariantRing<kVariant>>(options),
                 round_trip_side<VariantRing<kChosen>>(options)};
  });
  return rows;
}

template <class... Lists>
std::vector<Row> joined(const Lists&... lists) {
  std::vector<Row> all;
  (all.insert(all.end(), lists.begin(), lists.end()), ...);
  return all;
}

}  // namespace

std::vector<Row> ring_ablation_rows() {
  constexpr Parts kIndex = with([](Parts& p) { p.publish = Publish::index; });
  constexpr Parts kEager = with([](Parts& p) {
    p.publish = Publish::index;
    p.lazy_publish = false;
  });
  constexpr Parts kUncached = with([](Parts& p) { p.cached_index = !p.cached_index; });
  constexpr Parts kRelease = with([](Parts& p) { p.lazy_release = !p.lazy_release; });
  constexpr Parts kPrefetch = with([](Parts& p) { p.prefetch_write = !p.prefetch_write; });
  constexpr Parts kFar = with([](Parts& p) { p.ahead = 15; });
  constexpr Parts kBatch = with([](Parts& p) { p.batch = !p.batch; });
  constexpr Parts kNear = with([](Parts& p) { p.spacing = 64; });
  return joined(
      compare<kIndex>("index", "index published once a burst instead of in the slot"),
      compare<kEager>("eager", "index published with each item"),
      compare<kUncached>("uncached", "producer reads the consumer's index each time"),
      compare<kRelease>("release", "each slot released at once instead of an eighth of the ring"),
      compare<kPrefetch>("noprefetchw", "no prefetchw"),
      compare<kFar>("prefetchw16", "prefetchw 16 slots ahead instead of 8"),
      compare<kBatch>("batch", "room looked for once a call instead of once an item"),
      compare<kNear>("near", "64 bytes between the sides instead of 128"));
}

}  // namespace millrace::bench
