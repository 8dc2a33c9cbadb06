// SPDX-License-Identifier: Apache-2.0
// The ring under every schedule and every load that the memory model allows, and the same scenarios
// with one kind of ordering taken away, which must fail: the orders in the ring are needed.
#include "dataplane/ring/spsc_ring.hpp"
#include "tests/support/interleave.hpp"
#include "tests/unit/ring/ring_items.hpp"

#include <cstdint>
#include <cstdio>
#include <string>

#include <gtest/gtest.h>

namespace millrace::ring {
namespace {

using test::Explored;
using test::Keep;
using test::Limits;
using test::ModelAtomicsWith;
using test::proving_item;
using test::ProvingItem;
using test::Trial;

struct Script {
  uint32_t items;       // numbered from 0
  uint32_t push_tries;  // calls of push in all
  uint32_t pop_tries;   // calls of pop in all
  uint32_t pop_max;
  uint32_t first = 0;  // index at which the ring begins
};

// One thread pushes, the other pops; whatever is left is popped at the end. Nothing may be lost,
// doubled, reordered or torn.
template <uint32_t kSlots, Keep kKept, uint32_t kReleaseEvery = 1>
Explored explore_ring(const Script& script, const Limits& limits) {
  return explore(limits, [&](Trial& trial) {
    SpscRing<ProvingItem, kSlots, ModelAtomicsWith<kKept>, kReleaseEvery> ring(script.first);
    uint64_t pushed = 0;
    uint64_t popped = 0;
    const auto take = [&](uint32_t max) {
      ProvingItem out[4];
      const uint32_t cnt = ring.pop(out, max);
      for (uint32_t i = 0; i < cnt; ++i)
        trial.check(out[i].holds(popped++), "items in order");
    };
    trial.threads({[&] {
                     for (uint32_t i = 0; i < script.push_tries && pushed < script.items; ++i) {
                       if (ring.push(proving_item(pushed))) ++pushed;
                     }
                   },
                   [&] {
                     for (uint32_t i = 0; i < script.pop_tries; ++i) {
                       take(script.pop_max);
                       trial.check(popped <= script.items, "nothing out of nowhere");
                     }
                   }});
    for (uint32_t i = 0; i < kSlots; ++i)
      take(1);
    take(1);  // finds it empty
    trial.check(popped == pushed, "every item that was taken comes out");
    trial.check(ring.empty(), "empty at the end");
    trial.check(ring.free_slots() == kSlots, "all slots free at the end");
  });
}

constexpr Script kShort{.items = 4, .push_tries = 5, .pop_tries = 4, .pop_max = 1};
constexpr Script kBatched{.items = 4, .push_tries = 6, .pop_tries = 3, .pop_max = 2};
constexpr Script kWrapping{
    .items = 5, .push_tries = 6, .pop_tries = 3, .pop_max = 2, .first = 0u - 2u};

TEST(SpscRingModel, TwoSlotsUnderEverySchedule) {
  const Explored result = explore_ring<2, Keep::all>(kShort, {});
  EXPECT_TRUE(result.passed()) << result.failure;
  std::printf("%llu schedules\n", static_cast<unsigned long long>(result.runs));
}

TEST(SpscRingModel, TwoSlotsInBatches) {
  const Explored result = explore_ring<2, Keep::all>(kBatched, {});
  EXPECT_TRUE(result.passed()) << result.failure;
  std::printf("%llu schedules\n", static_cast<unsigned long long>(result.runs));
}

TEST(SpscRingModel, FourSlotsAcrossTheWrapOfTheIndices) {
  const Explored result = explore_ring<4, Keep::all, 2>(kWrapping, {});
  EXPECT_TRUE(result.passed()) << result.failure;
  std::printf("%llu schedules\n", static_cast<unsigned long long>(result.runs));
}

TEST(SpscRingModel, WithoutReleaseItRaces) {
  const Explored result = explore_ring<2, Keep::no_release>(kShort, {});
  EXPECT_NE(result.failure.find("data race"), std::string::npos) << result.failure;
}

TEST(SpscRingModel, WithoutAcquireItRaces) {
  const Explored result = explore_ring<2, Keep::no_acquire>(kShort, {});
  EXPECT_NE(result.failure.find("data race"), std::string::npos) << result.failure;
}

}  // namespace
}  // namespace millrace::ring
