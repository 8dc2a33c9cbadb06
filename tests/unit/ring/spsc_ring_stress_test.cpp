// SPDX-License-Identifier: Apache-2.0
// Two real threads and items that prove themselves; ThreadSanitizer looks on in its own build.
#include "dataplane/ring/spsc_ring.hpp"
#include "tests/unit/ring/ring_items.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>

#include <gtest/gtest.h>

namespace millrace::ring {
namespace {

using test::proving_item;
using test::ProvingItem;

// The consumer gives up when nothing has come for this long, so that a lost item is a failure and
// not a hang.
constexpr auto kPatience = std::chrono::seconds(20);

template <uint32_t kSlots>
void stress(uint64_t items, uint64_t seed) {
  auto ring = std::make_unique<SpscRing<ProvingItem, kSlots>>(static_cast<uint32_t>(seed));
  std::thread producer([&] {
    for (uint64_t number = 0; number < items;) {
      if (!ring->push(proving_item(number))) {
        std::this_thread::yield();
        continue;
      }
      ++number;
    }
  });
  std::minstd_rand random(static_cast<uint32_t>(seed) + 1);
  ProvingItem out[64];
  uint64_t broken = 0;
  uint64_t number = 0;
  auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (number < items) {
    const uint32_t cnt = ring->pop(out, 1 + static_cast<uint32_t>(random() % 64));
    for (uint32_t i = 0; i < cnt; ++i)
      broken += out[i].holds(number++) ? 0 : 1;
    if (cnt != 0) {
      deadline = std::chrono::steady_clock::now() + kPatience;
    } else if (std::chrono::steady_clock::now() > deadline) {
      break;
    } else {
      std::this_thread::yield();
    }
  }
  EXPECT_EQ(number, items);
  EXPECT_EQ(broken, 0u);
  producer.join();
  EXPECT_TRUE(ring->empty());
}

TEST(SpscRingStress, SmallRing) {
  stress<2>(10'000, 1);
}
TEST(SpscRingStress, MiddleRing) {
  stress<16>(100'000, 2);
}
TEST(SpscRingStress, FullSizeAcrossTheWrap) {
  stress<512>(1'000'000, 0u - 5'000u);
}

}  // namespace
}  // namespace millrace::ring
