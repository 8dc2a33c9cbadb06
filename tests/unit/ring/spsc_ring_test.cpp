// SPDX-License-Identifier: Apache-2.0
// The ring against an obvious model, step by step in one thread: every sequence of calls on small
// rings, then long seeded walks on larger ones.
#include "dataplane/ring/spsc_ring.hpp"

#include "tests/unit/ring/ring_items.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <new>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::ring {
namespace {

using test::proving_item;
using test::ProvingItem;

static_assert(alignof(SpscRing<ProvingItem>) == 128);
static_assert(sizeof(SpscRing<ProvingItem>) == 384 + 512 * 64, "32 KiB of slots");
static_assert(SpscRing<ProvingItem>::kCapacity == 512);

// What the ring promises: order, capacity, and that slots come back in steps of `release_every`, or
// when a pop gets fewer items than it asked for.
class ModelRing {
 public:
  ModelRing(uint32_t slots, uint32_t release_every)
      : slots_(slots), release_every_(release_every) {}

  bool push(uint64_t number) {
    if (free_slots() == 0) return false;
    items_.push_back(number);
    return true;
  }
  std::vector<uint64_t> pop(uint32_t max) {
    const std::size_t cnt = std::min<std::size_t>(max, items_.size());
    std::vector<uint64_t> out(items_.begin(), items_.begin() + static_cast<long>(cnt));
    items_.erase(items_.begin(), items_.begin() + static_cast<long>(cnt));
    kept_ += static_cast<uint32_t>(cnt);
    if (cnt < max || kept_ >= release_every_) kept_ = 0;
    return out;
  }
  bool empty() const { return items_.empty(); }
  uint32_t free_slots() const { return slots_ - kept_ - static_cast<uint32_t>(items_.size()); }

 private:
  uint32_t slots_;
  uint32_t release_every_;
  uint32_t kept_ = 0;  // popped, and not yet given back
  std::deque<uint64_t> items_;
};

// A ring and its model, driven in step. Each call reports whether both agree.
template <uint32_t kSlots, uint32_t kReleaseEvery = (kSlots + 7) / 8>
class Pair {
 public:
  explicit Pair(uint32_t first) : ring_(first), model_(kSlots, kReleaseEvery) {}

  bool push() {
    const bool taken = model_.push(next_);
    const bool same = ring_.push(proving_item(next_)) == taken;
    if (taken) ++next_;
    return same;
  }
  bool pop(uint32_t max) {
    ProvingItem out[kSlots + 1];
    const std::vector<uint64_t> expected = model_.pop(max);
    const uint32_t cnt = ring_.pop(out, max);
    if (cnt != expected.size()) return false;
    for (uint32_t i = 0; i < cnt; ++i) {
      if (!out[i].holds(expected[i])) return false;
    }
    return true;
  }
  bool look() { return ring_.empty() == model_.empty(); }
  bool room() { return ring_.free_slots() == model_.free_slots(); }

 private:
  SpscRing<ProvingItem, kSlots, StdAtomics, kReleaseEvery> ring_;
  ModelRing model_;
  uint64_t next_ = 0;
};

// 0 push, 1 free_slots, 2 pop 1, 3 pop all and one more; empty() is looked at after each.
template <uint32_t kSlots, uint32_t kReleaseEvery>
bool play(uint64_t script, uint32_t steps, uint32_t first) {
  Pair<kSlots, kReleaseEvery> pair(first);
  for (uint32_t i = 0; i < steps; ++i, script >>= 2) {
    bool same = true;
    switch (script & 3) {
      case 0:
        same = pair.push();
        break;
      case 1:
        same = pair.room();
        break;
      case 2:
        same = pair.pop(1);
        break;
      default:
        same = pair.pop(kSlots + 1);
        break;
    }
    if (!same || !pair.look()) return false;
  }
  return true;
}

template <uint32_t kSlots, uint32_t kReleaseEvery>
void play_all(uint32_t steps, uint32_t first) {
  for (uint64_t script = 0; script < uint64_t{1} << (2 * steps); ++script) {
    const bool same = play<kSlots, kReleaseEvery>(script, steps, first);
    ASSERT_TRUE(same) << "script " << script << ", first " << first;
  }
}

TEST(SpscRing, EverySequenceOfNineCallsOnTwoSlots) {
  play_all<2, 1>(9, 0);
  play_all<2, 2>(9, 0);
}
TEST(SpscRing, EverySequenceOfNineCallsOnFourSlots) {
  play_all<4, 1>(9, 0);
  play_all<4, 2>(9, 0);
}
TEST(SpscRing, EverySequenceOfSevenCallsAcrossTheWrap) {
  for (uint32_t before_wrap = 0; before_wrap <= 4; ++before_wrap) {
    play_all<2, 1>(7, 0u - before_wrap);
    play_all<4, 2>(7, 0u - before_wrap);
  }
}

uint64_t seed_of_this_run() {
  const char* given = std::getenv("MR_TEST_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  std::printf("MR_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

template <uint32_t kSlots>
void random_walk(uint64_t seed, uint32_t steps) {
  std::mt19937_64 random(seed);
  Pair<kSlots> pair(static_cast<uint32_t>(random()));
  for (uint32_t i = 0; i < steps; ++i) {
    bool same = true;
    // Long runs of one kind, so that the ring gets both full and empty.
    const uint64_t repeat = 1 + random() % (kSlots / 2);
    const uint64_t kind = random() % 5;
    for (uint64_t k = 0; same && k < repeat; ++k) {
      switch (kind) {
        case 0:
        case 1:
          same = pair.push();
          break;
        case 2:
          same = pair.pop(1);
          break;
        case 3:
          same = pair.pop(static_cast<uint32_t>(random() % (kSlots + 2)));
          break;
        default:
          same = pair.room() && pair.look();
          break;
      }
    }
    ASSERT_TRUE(same) << "step " << i << ", seed " << seed;
  }
}

TEST(SpscRing, RandomWalksFollowTheModel) {
  const uint64_t seed = seed_of_this_run();
  random_walk<8>(seed, 100'000);
  random_walk<64>(seed + 1, 20'000);
  random_walk<512>(seed + 2, 3'000);
}

TEST(SpscRing, AFullRingRefusesAndLosesNothing) {
  SpscRing<ProvingItem, 4> ring;
  ProvingItem out[4];
  for (uint64_t i = 0; i < 4; ++i)
    ASSERT_TRUE(ring.push(proving_item(i)));
  EXPECT_EQ(ring.free_slots(), 0u);
  EXPECT_FALSE(ring.push(proving_item(4)));
  ASSERT_EQ(ring.pop(out, 4), 4u);
  for (uint64_t i = 0; i < 4; ++i)
    EXPECT_TRUE(out[i].holds(i));
  EXPECT_EQ(ring.free_slots(), 4u);
  EXPECT_TRUE(ring.push(proving_item(4)));
}

// Whatever stands in the last byte of an item: it must not be taken for a mark.
TEST(SpscRing, TheLastByteIsTheRings) {
  SpscRing<ProvingItem, 2> ring;
  for (uint64_t i = 0; i < 12; ++i) {
    ProvingItem item = proving_item(i);
    item.words[7] |= uint64_t{i * 85 & 0xff} << 56;
    ASSERT_TRUE(ring.push(item));
    ASSERT_EQ(ring.pop(&item, 1), 1u);
    EXPECT_TRUE(item.holds(i));
    EXPECT_EQ(ring.pop(&item, 1), 0u);
  }
}

TEST(SpscRing, LivesInMemoryOfTheCaller) {
  using Ring = SpscRing<ProvingItem>;
  std::unique_ptr<void, decltype(&std::free)> memory(
      std::aligned_alloc(alignof(Ring), sizeof(Ring)), &std::free);
  auto* ring = new (memory.get()) Ring;
  ASSERT_TRUE(ring->push(proving_item(7)));
  ProvingItem out;
  ASSERT_EQ(ring->pop(&out, 1), 1u);
  EXPECT_TRUE(out.holds(7));
  ring->~Ring();
}

}  // namespace
}  // namespace millrace::ring
