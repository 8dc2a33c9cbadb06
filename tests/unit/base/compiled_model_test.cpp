// SPDX-License-Identifier: Apache-2.0
// The explorer on compiled code, against small pieces whose outcomes are known: plain memory and
// std::atomic as anybody would write them.
#include "tests/support/compiled_model.hpp"

#include <atomic>
#include <cstring>
#include <set>
#include <utility>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto acq_rel = std::memory_order_acq_rel;

struct alignas(64) World {
  uint64_t data;
  uint64_t copy;
  std::atomic<uint32_t> flag;
  std::atomic<uint32_t> other;
  alignas(64) uint64_t owners;
};
World g_world;

using Outcomes = std::set<std::pair<uint32_t, uint32_t>>;

// Hands `data` over under `flag`.
Explored hand_over(std::memory_order store_order, std::memory_order load_order,
                   Keep keep = Keep::all, bool late = false) {
  WatchedMemory memory(&g_world, sizeof g_world, keep);
  return explore({}, [&](Trial& trial) {
    memory.rewind();
    trial.threads({[&] {
                     if (!late) g_world.data = 7;
                     g_world.flag.store(1, store_order);
                     if (late) g_world.data = 7;
                   },
                   [&] {
                     if (g_world.flag.load(load_order) == 0) return;
                     trial.check(g_world.data == 7, "whole");
                   }});
  });
}

TEST(CompiledModel, PlainMemoryMayBeHandedOver) {
  const Explored result = hand_over(release, acquire);
  EXPECT_TRUE(result.passed()) << result.failure;
}

TEST(CompiledModel, EachMissingOrderIsARace) {
  for (const Explored& result : {hand_over(relaxed, acquire), hand_over(release, relaxed),
                                 hand_over(release, acquire, Keep::no_release),
                                 hand_over(release, acquire, Keep::no_acquire),
                                 hand_over(release, acquire, Keep::all, true)}) {
    EXPECT_NE(result.failure.find("data race"), std::string::npos) << result.failure;
  }
}

TEST(CompiledModel, CallsOfTheLibraryAreAccessesToo) {
  WatchedMemory memory(&g_world, sizeof g_world);
  std::size_t bytes = sizeof g_world.data;
  asm volatile("" : "+r"(bytes));  // so that it stays a call
  const Explored result = explore({}, [&](Trial& trial) {
    memory.rewind();
    trial.threads({[&] { std::memset(&g_world.data, 1, bytes); },
                   [&] { std::memcpy(&g_world.copy, &g_world.data, bytes); }});
  });
  EXPECT_NE(result.failure.find("data race"), std::string::npos) << result.failure;
}

TEST(CompiledModel, LoadsMayBeStaleAndStoresBuffered) {
  WatchedMemory memory(&g_world, sizeof g_world);
  Outcomes seen;
  const Explored result = explore({}, [&](Trial& trial) {
    memory.rewind();
    uint32_t a = 0;
    uint32_t b = 0;
    trial.threads({[&] {
                     g_world.flag.store(1, release);
                     a = g_world.other.load(acquire);
                   },
                   [&] {
                     g_world.other.store(1, release);
                     b = g_world.flag.load(acquire);
                   }});
    seen.insert({a, b});
  });
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_EQ(seen, (Outcomes{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
}

TEST(CompiledModel, EachRunBeginsWithTheSameMemory) {
  WatchedMemory memory(&g_world, sizeof g_world);
  const Explored result = explore({}, [&](Trial& trial) {
    memory.rewind();
    const auto twice = [&] {
      g_world.flag.fetch_add(1, acq_rel);
      g_world.flag.fetch_add(1, acq_rel);
    };
    trial.threads({twice, twice});
    trial.check(g_world.flag.load(relaxed) == 4, "four additions");
  });
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_GE(result.runs, 6u) << "4! / (2! 2!) schedules";
}

TEST(CompiledModel, AccessToWhatIsAnothersIsAFailure) {
  WatchedMemory memory(&g_world, sizeof g_world);
  memory.reserve(&g_world.owners, 64, 1);
  const auto touch_by = [&](bool second) {
    return explore({}, [&](Trial& trial) {
      memory.rewind();
      trial.threads({[&] { g_world.owners = 1; },
                     [&] {
                       if (second) g_world.owners = 2;
                     }});
    });
  };
  EXPECT_TRUE(touch_by(false).passed());
  EXPECT_NE(touch_by(true).failure.find("another thread"), std::string::npos);
}

}  // namespace
}  // namespace millrace::test
