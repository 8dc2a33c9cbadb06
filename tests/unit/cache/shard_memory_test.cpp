// SPDX-License-Identifier: Apache-2.0
// Shard when memory is short: eviction, pages between classes, budgets, a grace period that stalls.
#include "dataplane/base/qsbr.hpp"
#include "dataplane/cache/shard.hpp"
#include "tests/unit/cache/cache_fixture.hpp"

#include <random>

namespace millrace::cache {
namespace {

template <class Policy>
class ShardMemory : public ShardTest<Policy> {
 protected:
  // While nobody reads: what gives way is free for the next one.
  InsertResult store(uint64_t number, const Answer& answer, uint64_t now_ms) {
    const InsertResult result = this->insert(number, answer, now_ms);
    this->shard_.reclaim();
    this->grace_.pass();
    return result;
  }
  // The same, a while after the one before.
  InsertResult store(uint64_t number, uint16_t body_bytes = 90) {
    return store(number, make_answer(number, 1, body_bytes, 10'000), now_ms_ += 10);
  }

  uint64_t now_ms_ = 0;
};
TYPED_TEST_SUITE(ShardMemory, Policies, PolicyNames);

TYPED_TEST(ShardMemory, WhenMemoryIsFullTheOldestUnusedGo) {
  this->make();
  uint64_t filled = 0;
  while (this->shard_.gauges().evicted == 0)
    ASSERT_EQ(this->store(filled++), InsertResult::stored);
  const uint64_t capacity = filled;
  for (uint64_t i = 0; i < capacity / 4; ++i) {
    const Found found = lookup(this->shard_, make_key(i), this->now_ms_);
    if (found.entry != nullptr) touch(*found.entry);
  }
  for (uint64_t i = 0; i < capacity / 2; ++i)
    ASSERT_EQ(this->store(filled++), InsertResult::stored);
  uint64_t used_left = 0;
  uint64_t unused_left = 0;
  for (uint64_t i = 0; i < capacity / 4; ++i)
    used_left += this->has(i, this->now_ms_);
  for (uint64_t i = capacity / 4; i < capacity / 2; ++i)
    unused_left += this->has(i, this->now_ms_);
  EXPECT_GT(used_left, capacity / 4 * 9 / 10);
  EXPECT_LT(unused_left, capacity / 4 / 10);
  ShardProbe(this->shard_).check();
}

TYPED_TEST(ShardMemory, AStalledGracePeriodGivesNoMemoryAndLosesNothing) {
  this->make();
  uint64_t number = 0;
  InsertResult result = InsertResult::stored;
  for (; result == InsertResult::stored && number < 100'000; ++number) {
    result = this->insert(number, make_answer(number, 1, 90, 10'000), 0);
    this->shard_.reclaim();
  }
  ASSERT_EQ(result, InsertResult::no_memory);
  uint64_t present = 0;
  for (uint64_t i = 0; i < number; ++i) {
    const Found found = lookup(this->shard_, make_key(i), 0);
    if (found.entry == nullptr) continue;
    ++present;
    ASSERT_TRUE(same_answer(view_of(*found.entry), make_answer(i, 1, 90, 10'000).view));
  }
  EXPECT_EQ(present, this->shard_.gauges().entries);
  const uint64_t before = present;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(this->insert(200'000, make_answer(1, 1, 90, 10'000), 0), InsertResult::no_memory);
    this->shard_.reclaim();
  }
  EXPECT_GT(this->shard_.gauges().entries, before * 9 / 10) << "waiting must not empty the cache";
  ShardProbe(this->shard_).check();
  this->settle();
  EXPECT_EQ(this->insert(200'000, make_answer(1, 1, 90, 10'000), 0), InsertResult::stored);
}

// The real grace period with a reader in it that is stuck, under everything an owner does.
TYPED_TEST(ShardMemory, AStuckReaderCostsABoundedAmountAndNothingForGood) {
  Qsbr<2> qsbr;
  RegionMemory memory(kRegionBytesMin * 2);
  ASSERT_EQ(BasicShard<TypeParam>::format(memory.data(), kRegionBytesMin, 0), "");
  ASSERT_EQ(this->shard_.attach(memory.data(), kRegionBytesMin, qsbr.grace()), "");
  this->insert(0, make_answer(0, 0, 90, 10'000), 0);
  qsbr.online(0);
  qsbr.online(1);
  const Entry* const held = lookup(this->shard_, make_key(0), 0).entry;
  uint64_t refused = 0;
  uint64_t found = 0;
  const auto& gauges = this->shard_.gauges();
  for (uint64_t i = 1; i < 60'000; ++i) {
    const uint64_t now_ms = i * 3;
    const auto body = static_cast<uint16_t>(i % 11 == 0 ? 1500 : 20 + i % 5 * 60);
    const Kind kind = i % 7 == 0 ? Kind::negative : Kind::positive;
    refused += this->insert(i % 3000,
                            make_answer(i % 3000, i, body, static_cast<uint32_t>(1 + i % 90), kind),
                            now_ms) == InsertResult::no_memory;
    if (i % 5 == 0) this->shard_.remove(make_key(i * 7 % 3000));
    this->shard_.expire(now_ms, 8);
    this->shard_.reclaim();
    found += this->has((i + 1500) % 3000, now_ms);
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
  ShardProbe(this->shard_).check();

  qsbr.quiescent(0);
  for (int i = 0; i < 1000 && gauges.memory_retired > 0; ++i) {
    this->shard_.reclaim();
    qsbr.quiescent(0);
    qsbr.quiescent(1);
  }
  EXPECT_EQ(gauges.memory_retired, 0u) << "all of it comes back";
  EXPECT_EQ(this->insert(5000, make_answer(1, 1, 90, 10'000), 200'000), InsertResult::stored);
  ShardProbe(this->shard_).check();
}

// A worker's loop as the cache sees it, when every packet that it receives is an answer to store: a
// burst of inserts, one reclaim(), one report; and another worker, whose turns take twice as long.
// From empty to full and on: nothing is refused for want of memory that waits for them.
template <class Policy, class MakeAnswer>
uint64_t refused_at_full_rate(BasicShard<Policy>& shard, MakeAnswer&& answer) {
  Qsbr<2> qsbr;
  RegionMemory memory(std::size_t{4} << 20);  // a shard of a cache of 64 MiB
  EXPECT_EQ(BasicShard<Policy>::format(memory.data(), memory.bytes(), 0), "");
  EXPECT_EQ(shard.attach(memory.data(), memory.bytes(), qsbr.grace()), "");
  qsbr.online(0);
  qsbr.online(1);
  uint64_t refused = 0;
  uint64_t number = 0;
  for (uint64_t turn = 0; turn < 4000; ++turn) {
    const uint64_t now_ms = 1000 + turn / 20;
    for (uint32_t i = 0; i < kBurstMax; ++i, ++number) {
      refused +=
          shard.insert(make_key(number), answer(number).view, now_ms) == InsertResult::no_memory;
    }
    shard.reclaim();
    qsbr.quiescent(0);
    if (turn % 2 == 0) qsbr.quiescent(1);
  }
  EXPECT_GT(shard.gauges().evicted, number / 2) << "it was full for most of the time";
  return refused;
}

TYPED_TEST(ShardMemory, NoAnswerOfOneSizeWaitsForReadersThatTurn) {
  const auto answer = [](uint64_t number) { return make_answer(number, 1, 90, 3600); };
  EXPECT_EQ(refused_at_full_rate(this->shard_, answer), 0u);
}

TYPED_TEST(ShardMemory, NoAnswerOfManySizesWaitsForReadersThatTurn) {
  // Twice the size, half as many.
  const auto answer = [](uint64_t number) {
    const uint64_t bits = number * 0x9e3779b97f4a7c15u >> 32;
    const auto doublings = static_cast<uint32_t>(std::countr_zero(bits | 32));
    const auto body = static_cast<uint16_t>((30u << doublings) + bits / 64 % (30u << doublings));
    return make_answer(number, 1, body, 3600);
  };
  EXPECT_EQ(refused_at_full_rate(this->shard_, answer), 0u);
}

TYPED_TEST(ShardMemory, NoNegativeAnswerWaitsForReadersThatTurn) {
  const auto answer = [](uint64_t number) {
    return make_answer(number, 1, 90, 3600, Kind::negative);
  };
  EXPECT_EQ(refused_at_full_rate(this->shard_, answer), 0u);
}

TYPED_TEST(ShardMemory, AnOlderEntryStaysWhenItsReplacementFindsNoMemory) {
  this->make();
  uint64_t number = 0;
  InsertResult result = InsertResult::stored;
  for (; result == InsertResult::stored && number < 100'000; ++number)
    result = this->insert(number, make_answer(number, 1, 90, 10'000), 0);
  ASSERT_EQ(result, InsertResult::no_memory);
  uint64_t present = 0;
  while (present < number && !this->has(present, 0))
    ++present;
  ASSERT_LT(present, number);
  EXPECT_EQ(this->insert(present, make_answer(1, 2, 90, 10'000), 0), InsertResult::no_memory);
  const Found found = lookup(this->shard_, make_key(present), 0);
  if (found.entry != nullptr) {
    EXPECT_TRUE(same_answer(view_of(*found.entry), make_answer(present, 1, 90, 10'000).view));
  }
  ShardProbe(this->shard_).check();
}

TYPED_TEST(ShardMemory, PagesMoveToTheClassThatNeedsThem) {
  this->make(kRegionBytesMin * 4);
  uint64_t number = 0;
  while (this->shard_.gauges().evicted == 0)
    ASSERT_EQ(this->store(number++), InsertResult::stored);
  // All the memory belongs to small entries that nobody asks for; now large ones come.
  uint64_t refused = 0;
  for (int i = 0; i < 4000; ++i) {
    refused += this->store(number++, 1500) == InsertResult::no_memory;
    if (i % 100 == 0) ShardProbe(this->shard_).check();
  }
  EXPECT_LT(refused, 100u) << "until the first page is drained";
  EXPECT_GT(this->shard_.gauges().pages_moved, 10u);
  const uint32_t large = class_of(1500 + 60);
  EXPECT_GT(ShardProbe(this->shard_).pages_of(large), ShardProbe(this->shard_).slab_pages() / 3);
}

TYPED_TEST(ShardMemory, APageThatItsClassDoesNotUseIsTakenAtOnce) {
  this->make();
  uint64_t number = 0;
  while (this->shard_.gauges().evicted == 0)
    ASSERT_EQ(this->store(number++), InsertResult::stored);
  // A large answer comes once, and the page that is drained for its kind waits in vain.
  const uint32_t large = class_of(4000);
  ASSERT_EQ(this->store(number++, 3900), InsertResult::no_memory);
  for (int i = 0; i < 1000 && ShardProbe(this->shard_).pages_of(large) == 0; ++i)
    ASSERT_EQ(this->store(number++), InsertResult::stored);
  ASSERT_EQ(ShardProbe(this->shard_).pages_of(large), 1u);
  ASSERT_EQ(this->shard_.gauges().pages_moved, 1u);
  EXPECT_EQ(this->store(number++, 1500), InsertResult::stored);
  EXPECT_EQ(ShardProbe(this->shard_).pages_of(large), 0u);
  EXPECT_EQ(this->shard_.gauges().pages_moved, 1u);
  ShardProbe(this->shard_).check();
}

// Fourteen keys for each of a few buckets, so that many live in their second, and not more than the
// ghost's line remembers.
std::vector<uint64_t> crowded_keys(uint32_t bucket_cnt) {
  std::vector<uint32_t> cnt(bucket_cnt);
  std::vector<uint64_t> numbers;
  for (uint64_t i = 0; numbers.size() < 14 * 20; ++i) {
    const uint32_t bucket_idx = place_of(make_key(i).hash, bucket_cnt).bucket_idx;
    if (bucket_idx % 8 != 0 || bucket_idx >= 8 * 20 || cnt[bucket_idx] == 14) continue;
    ++cnt[bucket_idx];
    numbers.push_back(i);
  }
  return numbers;
}

TYPED_TEST(ShardMemory, WhatComesBackIsKnownWhereverItLived) {
  this->make();
  const auto numbers = crowded_keys(this->shard_.bucket_cnt());
  const auto known = [&](uint64_t number, uint64_t now_ms) {
    const Found found = lookup(this->shard_, make_key(number), now_ms);
    EXPECT_NE(found.entry, nullptr);
    return found.entry != nullptr && ShardProbe(this->shard_).counts_as_known(found.entry);
  };
  for (const uint64_t number : numbers) {
    this->insert(number, make_answer(number, 1, 20, 10), 0);
    ASSERT_FALSE(known(number, 1));
  }
  uint32_t spills = 0;
  for (uint32_t i = 0; i < this->shard_.bucket_cnt(); ++i)
    spills += ShardProbe(this->shard_).spills(i);
  ASSERT_GT(spills, 50u);
  this->shard_.expire(20'000, 10'000);
  this->expect_empty();
  for (const uint64_t number : numbers) {
    this->insert(number, make_answer(number, 2, 20, 10), 20'000);
    EXPECT_TRUE(known(number, 20'001)) << number;
  }
  // A ghost is taken once; an answer that is made anew was asked for again; removed is forgotten.
  this->shard_.remove(make_key(numbers[0]));
  this->insert(numbers[0], make_answer(0, 3, 20, 10), 20'002);
  EXPECT_FALSE(known(numbers[0], 20'003));
  this->insert(numbers[0], make_answer(0, 4, 20, 10), 20'004);
  EXPECT_TRUE(known(numbers[0], 20'005));
  // In another region there is none.
  this->make();
  this->insert(numbers[0], make_answer(0, 1, 20, 10), 0);
  EXPECT_FALSE(known(numbers[0], 1));
}

TYPED_TEST(ShardMemory, WhatGaveWayForWantOfMemoryIsKnownToo) {
  this->make();
  uint64_t now_ms = 0;
  const auto store = [&](uint64_t number) {
    this->insert(number, make_answer(number, 1, 90, 10'000), now_ms++);
    this->shard_.reclaim();
    this->grace_.pass();
  };
  uint64_t number = 0;
  while (this->shard_.gauges().evicted < 500)
    store(number++);
  uint32_t back = 0, known = 0;
  for (uint64_t gone = 0; gone < 500; ++gone) {
    if (this->has(gone, now_ms)) continue;
    store(gone);
    ++back;
    const Found found = lookup(this->shard_, make_key(gone), now_ms);
    ASSERT_NE(found.entry, nullptr);
    known += ShardProbe(this->shard_).counts_as_known(found.entry);
  }
  ASSERT_GT(back, 400u);
  EXPECT_GT(known, back * 9 / 10);
  ShardProbe(this->shard_).check();
}

// Positive and negative entries of one size, asked for alike: neither pushes the other out.
TYPED_TEST(ShardMemory, KindsGiveWayAlike) {
  this->make(kRegionBytesMin * 2);
  this->shard_.set_budgets(Budgets{.failure_64ths = 4, .negative_64ths = 60});
  uint64_t now_ms = 0;
  std::mt19937_64 random(5);
  for (int i = 0; i < 100'000; ++i) {
    // Squared: low numbers come more often, and many come back while they are remembered.
    const uint64_t draw = random() % 120;
    const uint64_t number = draw * draw + random() % 240;
    const Found found = lookup(this->shard_, make_key(number), ++now_ms);
    if (found.entry != nullptr) {
      touch(*found.entry);
      continue;
    }
    const Kind kind = number % 4 == 0 ? Kind::negative : Kind::positive;
    this->insert(number, make_answer(number, 1, 90, 10'000, kind), now_ms);
    this->shard_.reclaim();
    this->grace_.pass();
  }
  const auto& gauges = this->shard_.gauges();
  const double share = static_cast<double>(gauges.entries_of_kind[1]) /
                       static_cast<double>(gauges.entries_of_kind[0] + gauges.entries_of_kind[1]);
  EXPECT_NEAR(share, 0.25, 0.04);
  ASSERT_GT(gauges.evicted, 10'000u);
  ShardProbe(this->shard_).check();
}

using ShardOfS3Fifo = ShardMemory<S3Fifo>;

TEST_F(ShardOfS3Fifo, AScanDoesNotPushOutWhatIsUsed) {
  make();
  const auto use = [&](uint64_t number) {
    const Found found = lookup(shard_, make_key(number), now_ms_);
    if (found.entry != nullptr) touch(*found.entry);
  };
  const uint64_t used = 1000;
  for (uint64_t i = 0; i < used; ++i) {
    store(i);
    use(i);
  }
  for (uint64_t i = 0; i < 50'000; ++i) {
    store(100'000 + i);
    use(i * 7 % used);
  }
  uint64_t left = 0;
  for (uint64_t i = 0; i < used; ++i)
    left += has(i, now_ms_);
  EXPECT_GT(left, used * 95 / 100);
  ShardProbe(shard_).check();
}

template <class Policy>
void flood(BasicShard<Policy>& shard, ManualGrace& grace, Kind kind, uint64_t from, uint64_t cnt) {
  for (uint64_t i = 0; i < cnt; ++i) {
    // Sizes vary, so that the flood wanders over the classes.
    shard.insert(make_key(from + i),
                 make_answer(i, 1, static_cast<uint16_t>(i % 5 * 100), 3600, kind, 1).view, 2000);
    shard.reclaim();
    if (i % 16 == 0) grace.pass();
  }
}

TYPED_TEST(ShardMemory, AFloodOfNegativesAndFailuresStopsAtItsShare) {
  this->make(kRegionBytesMin * 4);
  uint64_t filled = 0;
  for (; this->shard_.gauges().evicted == 0; ++filled) {
    this->store(filled, make_answer(filled, 1, static_cast<uint16_t>(filled % 5 * 100), 3600),
                1000);
  }
  const auto& gauges = this->shard_.gauges();
  const uint64_t positive_before = gauges.memory_of_kind[0];
  flood(this->shard_, this->grace_, Kind::failure, 1'000'000, 40'000);
  EXPECT_LE(gauges.memory_of_kind[2], gauges.memory_total / 16);
  EXPECT_GT(gauges.memory_of_kind[2], gauges.memory_total / 32) << "a budget is there to be used";
  flood(this->shard_, this->grace_, Kind::negative, 2'000'000, 60'000);
  EXPECT_LE(gauges.memory_of_kind[1] + gauges.memory_of_kind[2], gauges.memory_total / 4);
  EXPECT_GT(gauges.memory_of_kind[1], gauges.memory_total / 16);
  this->settle();
  EXPECT_GT(gauges.memory_of_kind[0], positive_before - gauges.memory_total * 3 / 10)
      << "more than their share was taken from the positive ones";
  ShardProbe(this->shard_).check();
}

// For each use of a name in use come five names that nobody asks for again.
TYPED_TEST(ShardMemory, B47_NamesAskedOnceDoNotPushOutWhatIsUsed) {
  this->make(kRegionBytesMin * 2);
  constexpr uint64_t kUsed = 400, kOnceForEach = 5;
  const auto use = [&](uint64_t number) {
    const Found found = lookup(this->shard_, make_key(number), this->now_ms_);
    if (found.entry == nullptr) {
      this->store(number);
      return false;
    }
    touch(*found.entry);
    return true;
  };
  for (uint64_t i = 0; i < 2 * kUsed; ++i)
    ASSERT_EQ(use(i % kUsed), i >= kUsed);
  uint64_t once = 1'000'000;
  for (const Kind kind : {Kind::positive, Kind::negative, Kind::failure}) {
    uint64_t hits = 0;
    for (uint64_t i = 0; i < 3 * kUsed; ++i) {
      for (uint64_t k = 0; k < kOnceForEach; ++k, ++once)
        this->store(once, make_answer(once, 1, 90, 10'000, kind, 1), this->now_ms_ += 10);
      hits += use(i % kUsed);
    }
    EXPECT_GT(hits, 3 * kUsed * 98 / 100) << "kind " << static_cast<int>(kind);
  }
  EXPECT_GT(this->shard_.gauges().evicted, 3000u) << "there was room for all";
  ShardProbe(this->shard_).check();
}

TYPED_TEST(ShardMemory, AKindAtItsBudgetReplacesItsOwnOldest) {
  this->make(kRegionBytesMin * 2);
  for (const Kind kind : {Kind::negative, Kind::failure}) {
    const uint64_t from = kind == Kind::negative ? 0 : 1'000'000;
    for (uint64_t i = 0; i < 20'000; ++i) {
      ASSERT_EQ(this->store(from + i, make_answer(i, 1, 40, 3600, kind, 1), i),
                InsertResult::stored);
    }
    EXPECT_TRUE(this->has(from + 19'999, 20'000));
    EXPECT_TRUE(this->has(from + 19'700, 20'000)) << "the newest stay";
    EXPECT_FALSE(this->has(from + 100, 20'000));
  }
  EXPECT_TRUE(this->has(19'700, 20'000)) << "failures took nothing from the negative ones";
  ShardProbe(this->shard_).check();
}

TYPED_TEST(ShardMemory, AFloodIntoAStalledGracePeriodStopsAtItsShareToo) {
  this->make();
  for (uint64_t i = 0; i < 50'000; ++i) {
    this->insert(i, make_answer(i, 1, 90, 3600, Kind::negative), 1000);
    this->shard_.reclaim();
  }
  EXPECT_LE(this->shard_.gauges().memory_of_kind[1], this->shard_.gauges().memory_total * 3 / 16);
  EXPECT_EQ(this->insert(99'999, make_answer(1, 1, 90, 3600), 1000), InsertResult::stored)
      << "positive answers have the rest";
}

TYPED_TEST(ShardMemory, BudgetsCanBeSet) {
  this->make();
  this->shard_.set_budgets(Budgets{.failure_64ths = 1, .negative_64ths = 2});
  for (uint64_t i = 0; i < 20'000; ++i) {
    this->store(i, make_answer(i, 1, 90, 3600, i % 2 == 0 ? Kind::negative : Kind::failure), 1000);
  }
  const auto& gauges = this->shard_.gauges();
  EXPECT_LE(gauges.memory_of_kind[2], gauges.memory_total / 64);
  EXPECT_LE(gauges.memory_of_kind[1], gauges.memory_total / 32);
  EXPECT_GT(gauges.memory_of_kind[1], gauges.memory_total / 64);
}

}  // namespace
}  // namespace millrace::cache
