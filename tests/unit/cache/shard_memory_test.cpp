// SPDX-License-Identifier: Apache-2.0
// Shard when memory is short: eviction, pages between classes, budgets, a grace period that stalls.
#include "dataplane/base/qsbr.hpp"
#include "dataplane/cache/shard.hpp"
#include "tests/unit/cache/cache_fixture.hpp"

namespace millrace::cache {
namespace {

using ShardMemory = ShardTest;

TEST_F(ShardMemory, WhenMemoryIsFullTheOldestUnusedGo) {
  make();
  const auto answer = [](uint64_t i) { return make_answer(i, 1, 90, 10'000); };
  uint64_t filled = 0;
  for (; shard_.gauges().evicted == 0; ++filled) {
    ASSERT_EQ(insert(filled, answer(filled), filled), InsertResult::stored);
    shard_.reclaim();
    grace_.pass();
  }
  const uint64_t capacity = filled;
  for (uint64_t i = 0; i < capacity / 4; ++i) {
    const Found found = lookup(shard_, make_key(i), filled);
    if (found.entry != nullptr) touch(*found.entry);
  }
  for (uint64_t i = 0; i < capacity / 2; ++i, ++filled) {
    ASSERT_EQ(insert(filled, answer(filled), filled), InsertResult::stored);
    shard_.reclaim();
    grace_.pass();
  }
  uint64_t used_left = 0;
  uint64_t unused_left = 0;
  for (uint64_t i = 0; i < capacity / 4; ++i)
    used_left += has(i, filled);
  for (uint64_t i = capacity / 4; i < capacity / 2; ++i)
    unused_left += has(i, filled);
  EXPECT_GT(used_left, capacity / 4 * 9 / 10);
  EXPECT_LT(unused_left, capacity / 4 / 10);
  ShardProbe(shard_).check();
}

TEST_F(ShardMemory, AStalledGracePeriodGivesNoMemoryAndLosesNothing) {
  make();
  uint64_t number = 0;
  InsertResult result = InsertResult::stored;
  for (; result == InsertResult::stored && number < 100'000; ++number) {
    result = insert(number, make_answer(number, 1, 90, 10'000), 0);
    shard_.reclaim();
  }
  ASSERT_EQ(result, InsertResult::no_memory);
  uint64_t present = 0;
  for (uint64_t i = 0; i < number; ++i) {
    const Found found = lookup(shard_, make_key(i), 0);
    if (found.entry == nullptr) continue;
    ++present;
    ASSERT_TRUE(same_answer(view_of(*found.entry), make_answer(i, 1, 90, 10'000).view));
  }
  EXPECT_EQ(present, shard_.gauges().entries);
  const uint64_t before = present;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(insert(200'000, make_answer(1, 1, 90, 10'000), 0), InsertResult::no_memory);
    shard_.reclaim();
  }
  EXPECT_GT(shard_.gauges().entries, before * 9 / 10) << "waiting must not empty the cache";
  ShardProbe(shard_).check();
  settle();
  EXPECT_EQ(insert(200'000, make_answer(1, 1, 90, 10'000), 0), InsertResult::stored);
}

// The real grace period with a reader in it that is stuck, under everything an owner does.
TEST_F(ShardMemory, AStuckReaderCostsABoundedAmountAndNothingForGood) {
  Qsbr<2> qsbr;
  RegionMemory memory(kRegionBytesMin * 2);
  ASSERT_EQ(Shard::format(memory.data(), kRegionBytesMin, 0), "");
  ASSERT_EQ(shard_.attach(memory.data(), kRegionBytesMin, qsbr.grace()), "");
  insert(0, make_answer(0, 0, 90, 10'000), 0);
  qsbr.online(0);
  qsbr.online(1);
  const Entry* const held = lookup(shard_, make_key(0), 0).entry;
  uint64_t refused = 0;
  uint64_t found = 0;
  const auto& gauges = shard_.gauges();
  for (uint64_t i = 1; i < 60'000; ++i) {
    const uint64_t now_ms = i * 3;
    const auto body = static_cast<uint16_t>(i % 11 == 0 ? 1500 : 20 + i % 5 * 60);
    const Kind kind = i % 7 == 0 ? Kind::negative : Kind::positive;
    refused +=
        insert(i % 3000, make_answer(i % 3000, i, body, static_cast<uint32_t>(1 + i % 90), kind),
               now_ms) == InsertResult::no_memory;
    if (i % 5 == 0) shard_.remove(make_key(i * 7 % 3000));
    shard_.expire(now_ms, 8);
    shard_.reclaim();
    found += has((i + 1500) % 3000, now_ms);
    qsbr.quiescent(1);  // the other one turns
    ASSERT_LE(gauges.memory_used, gauges.memory_total);
    ASSERT_LE(gauges.memory_retired, gauges.memory_used);
  }
  EXPECT_GT(refused, 50'000u) << "what cannot be stored is said so";
  EXPECT_GT(found, 100u) << "lookups go on";
  EXPECT_GT(gauges.memory_retired, gauges.memory_total / 2) << "it is seen who has the memory";
  EXPECT_TRUE(same_answer(view_of(*held), make_answer(0, 0, 90, 10'000).view))
      << "what the stuck reader holds is untouched";
  const auto* const bytes = static_cast<const uint8_t*>(memory.data());
  for (std::size_t i = kRegionBytesMin; i < memory.bytes(); ++i)
    ASSERT_EQ(bytes[i], 0xa5) << "nothing grows";
  ShardProbe(shard_).check();

  qsbr.quiescent(0);
  for (int i = 0; i < 1000 && gauges.memory_retired > 0; ++i) {
    shard_.reclaim();
    qsbr.quiescent(0);
    qsbr.quiescent(1);
  }
  EXPECT_EQ(gauges.memory_retired, 0u) << "all of it comes back";
  EXPECT_EQ(insert(5000, make_answer(1, 1, 90, 10'000), 200'000), InsertResult::stored);
  ShardProbe(shard_).check();
}

TEST_F(ShardMemory, AnOlderEntryStaysWhenItsReplacementFindsNoMemory) {
  make();
  const Answer old = make_answer(1, 1, 90, 10'000);
  uint64_t number = 0;
  while (insert(number, make_answer(number, 1, 90, 10'000), 0) == InsertResult::stored)
    ++number;
  uint64_t present = 0;
  while (!has(present, 0))
    ++present;
  EXPECT_EQ(insert(present, make_answer(1, 2, 90, 10'000), 0), InsertResult::no_memory);
  const Found found = lookup(shard_, make_key(present), 0);
  if (found.entry != nullptr) {
    EXPECT_TRUE(same_answer(view_of(*found.entry), make_answer(present, 1, 90, 10'000).view));
  }
  ShardProbe(shard_).check();
}

TEST_F(ShardMemory, PagesMoveToTheClassThatNeedsThem) {
  make(kRegionBytesMin * 4);
  uint64_t now_ms = 0;
  const auto store = [&](uint64_t number, uint16_t body) {
    const InsertResult result = insert(number, make_answer(number, 1, body, 1'000'000), now_ms);
    shard_.reclaim();
    grace_.pass();
    now_ms += 10;
    return result;
  };
  uint64_t number = 0;
  while (shard_.gauges().evicted == 0)
    ASSERT_EQ(store(number++, 90), InsertResult::stored);
  // All the memory belongs to small entries that nobody asks for; now large ones come.
  uint64_t refused = 0;
  for (int i = 0; i < 4000; ++i) {
    refused += store(number++, 1500) == InsertResult::no_memory;
    if (i % 100 == 0) ShardProbe(shard_).check();
  }
  EXPECT_LT(refused, 100u) << "until the first page is drained";
  EXPECT_GT(shard_.gauges().pages_moved, 10u);
  const uint32_t large = class_of(1500 + 60);
  EXPECT_GT(ShardProbe(shard_).pages_of(large), ShardProbe(shard_).slab_pages() / 3);
}

void flood(Shard& shard, ManualGrace& grace, Kind kind, uint64_t from, uint64_t cnt) {
  for (uint64_t i = 0; i < cnt; ++i) {
    // Sizes vary, so that the flood wanders over the classes.
    shard.insert(make_key(from + i),
                 make_answer(i, 1, static_cast<uint16_t>(i % 5 * 100), 3600, kind, 1).view, 2000);
    shard.reclaim();
    if (i % 16 == 0) grace.pass();
  }
}

TEST_F(ShardMemory, AFloodOfNegativesAndFailuresStopsAtItsShare) {
  make(kRegionBytesMin * 4);
  uint64_t filled = 0;
  for (; shard_.gauges().evicted == 0; ++filled) {
    insert(filled, make_answer(filled, 1, static_cast<uint16_t>(filled % 5 * 100), 3600), 1000);
    shard_.reclaim();
    grace_.pass();
  }
  const auto& gauges = shard_.gauges();
  const uint64_t positive_before = gauges.memory_of_kind[0];
  flood(shard_, grace_, Kind::failure, 1'000'000, 40'000);
  EXPECT_LE(gauges.memory_of_kind[2], gauges.memory_total / 16);
  EXPECT_GT(gauges.memory_of_kind[2], gauges.memory_total / 32) << "a budget is there to be used";
  flood(shard_, grace_, Kind::negative, 2'000'000, 60'000);
  EXPECT_LE(gauges.memory_of_kind[1] + gauges.memory_of_kind[2], gauges.memory_total / 4);
  EXPECT_GT(gauges.memory_of_kind[1], gauges.memory_total / 16);
  settle();
  EXPECT_GT(gauges.memory_of_kind[0], positive_before - gauges.memory_total * 3 / 10)
      << "more than their share was taken from the positive ones";
  ShardProbe(shard_).check();
}

TEST_F(ShardMemory, AKindAtItsBudgetReplacesItsOwnOldest) {
  make(kRegionBytesMin * 2);
  for (const Kind kind : {Kind::negative, Kind::failure}) {
    const uint64_t from = kind == Kind::negative ? 0 : 1'000'000;
    for (uint64_t i = 0; i < 20'000; ++i) {
      ASSERT_EQ(insert(from + i, make_answer(i, 1, 40, 3600, kind, 1), i), InsertResult::stored);
      shard_.reclaim();
      grace_.pass();
    }
    EXPECT_TRUE(has(from + 19'999, 20'000));
    EXPECT_TRUE(has(from + 19'700, 20'000)) << "the newest stay";
    EXPECT_FALSE(has(from + 100, 20'000));
  }
  EXPECT_TRUE(has(19'700, 20'000)) << "failures took nothing from the negative ones";
  ShardProbe(shard_).check();
}

TEST_F(ShardMemory, AFloodIntoAStalledGracePeriodStopsAtItsShareToo) {
  make();
  for (uint64_t i = 0; i < 50'000; ++i) {
    insert(i, make_answer(i, 1, 90, 3600, Kind::negative), 1000);
    shard_.reclaim();
  }
  EXPECT_LE(shard_.gauges().memory_of_kind[1], shard_.gauges().memory_total * 3 / 16);
  EXPECT_EQ(insert(99'999, make_answer(1, 1, 90, 3600), 1000), InsertResult::stored)
      << "positive answers have the rest";
}

TEST_F(ShardMemory, BudgetsCanBeSet) {
  make();
  shard_.set_budgets(Budgets{.failure_64ths = 1, .negative_64ths = 2});
  for (uint64_t i = 0; i < 20'000; ++i) {
    insert(i, make_answer(i, 1, 90, 3600, i % 2 == 0 ? Kind::negative : Kind::failure), 1000);
    shard_.reclaim();
    grace_.pass();
  }
  const auto& gauges = shard_.gauges();
  EXPECT_LE(gauges.memory_of_kind[2], gauges.memory_total / 64);
  EXPECT_LE(gauges.memory_of_kind[1], gauges.memory_total / 32);
  EXPECT_GT(gauges.memory_of_kind[1], gauges.memory_total / 64);
}

}  // namespace
}  // namespace millrace::cache
