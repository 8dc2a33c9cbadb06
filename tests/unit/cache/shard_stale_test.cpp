// SPDX-License-Identifier: Apache-2.0
// Shard: entries kept for a while after their time, and what they may never do to fresh ones.
#include "tests/unit/cache/cache_fixture.hpp"

namespace millrace::cache {
namespace {

constexpr auto kPositive = static_cast<uint32_t>(Kind::positive);
constexpr auto kNegative = static_cast<uint32_t>(Kind::negative);
constexpr auto kStale = static_cast<uint32_t>(Kind::stale);

template <class Policy>
class ShardStale : public ShardTest<Policy> {
 protected:
  void make_keeping(uint8_t stale_64ths, uint32_t window_s, std::size_t bytes = kRegionBytesMin) {
    this->make(bytes);
    this->shard_.set_budgets(Budgets{.stale_64ths = stale_64ths, .stale_window_s = window_s});
  }
  const Entry* stale(uint64_t number, uint64_t now_ms) {
    return lookup(this->shard_, make_key(number), now_ms).stale;
  }
  void turn(uint64_t now_ms) {
    this->shard_.expire(now_ms, UINT32_MAX);
    this->shard_.reclaim();
    this->grace_.pass();
  }
  const ShardGauges& gauges() { return this->shard_.gauges(); }
  void check() { ShardProbe(this->shard_).check(); }
};
TYPED_TEST_SUITE(ShardStale, Policies, PolicyNames);

TYPED_TEST(ShardStale, WithoutAShareOrAWindowNothingIsKept) {
  this->make();
  this->insert(1, make_answer(1, 1, 80, 10), 0);
  EXPECT_EQ(this->shard_.expire(10'000, 9), 1u);
  EXPECT_EQ(this->stale(1, 10'000), nullptr);
  uint64_t now_ms = 20'000;
  for (const Budgets& budgets : {Budgets{.stale_64ths = 8}, Budgets{.stale_window_s = 60}}) {
    this->shard_.set_budgets(budgets);
    this->insert(1, make_answer(1, 1, 80, 10), now_ms);
    now_ms += 10'000;
    EXPECT_EQ(this->shard_.expire(now_ms, 9), 1u);
    this->expect_empty();
  }
}

TYPED_TEST(ShardStale, StaysForTheWindowAndIsCountedOnce) {
  this->make_keeping(8, 60);
  const Answer answer = make_answer(1, 1, 80, 10);
  for (const Kind kind : {Kind::positive, Kind::negative}) {
    const uint64_t start = kind == Kind::positive ? 0 : 1'000'000;
    this->insert(1, make_answer(1, 1, 80, 10, kind), start);
    const uint64_t bytes = this->gauges().memory_used - this->gauges().memory_retired;
    EXPECT_EQ(this->stale(1, start + 9'999), nullptr) << "a hit names no stale entry";
    EXPECT_EQ(this->shard_.expire(start + 10'000, 9), 0u);
    const Found found = lookup(this->shard_, make_key(1), start + 12'500);
    EXPECT_EQ(found.entry, nullptr);
    EXPECT_EQ(found.age_s, 0u);
    ASSERT_NE(found.stale, nullptr);
    EXPECT_EQ(stale_s_of(*found.stale, start + 12'500), 2u);
    EXPECT_TRUE(same_answer(view_of(*found.stale), make_answer(1, 1, 80, 10, kind).view));
    EXPECT_EQ(this->gauges().entries, 1u);
    EXPECT_EQ(this->gauges().entries_of_kind[kStale], 1u);
    EXPECT_EQ(this->gauges().entries_of_kind[kPositive], 0u);
    EXPECT_EQ(this->gauges().entries_of_kind[kNegative], 0u);
    EXPECT_EQ(this->gauges().memory_of_kind[kStale], bytes);
    this->check();
    EXPECT_EQ(this->shard_.expire(start + 69'999, 9), 0u);
    EXPECT_NE(this->stale(1, start + 69'999), nullptr);
    EXPECT_EQ(this->shard_.expire(start + 70'000, 9), 1u);
    EXPECT_EQ(this->stale(1, start + 70'000), nullptr);
    this->expect_empty();
  }
  EXPECT_EQ(this->gauges().expired, 2u);
  EXPECT_EQ(this->gauges().evicted, 0u);
}

TYPED_TEST(ShardStale, FailuresAreNotKept) {
  this->make_keeping(8, 60);
  this->insert(1, make_answer(1, 1, 0, 10, Kind::failure, 0), 0);
  EXPECT_EQ(this->shard_.expire(10'000, 9), 1u);
  this->expect_empty();
}

TYPED_TEST(ShardStale, ATurnAfterTheWindowRemovesAtOnce) {
  this->make_keeping(8, 60);
  this->insert(1, make_answer(1, 1, 80, 10), 0);
  this->insert(2, make_answer(2, 1, 80, 11), 0);
  EXPECT_EQ(this->shard_.expire(70'000, 9), 1u);
  EXPECT_EQ(this->stale(1, 70'000), nullptr);
  EXPECT_NE(this->stale(2, 70'000), nullptr);
}

TYPED_TEST(ShardStale, ANewAnswerTakesItsPlaceAndAFailureDoesNot) {
  this->make_keeping(8, 60);
  const Answer answer = make_answer(1, 1, 80, 10);
  const Answer failure = make_answer(1, 2, 0, 5, Kind::failure, 0);
  this->insert(1, answer, 0);
  EXPECT_EQ(this->insert(1, failure, 10'000), InsertResult::kept) << "the wheel has not turned";
  this->turn(10'000);
  EXPECT_EQ(this->insert(1, failure, 20'000), InsertResult::kept);
  EXPECT_NE(this->stale(1, 20'000), nullptr);
  EXPECT_EQ(this->insert(1, answer, 20'000), InsertResult::replaced);
  EXPECT_TRUE(this->has(1, 20'000));
  EXPECT_EQ(this->gauges().entries_of_kind[kStale], 0u);
  EXPECT_EQ(this->gauges().entries_of_kind[kPositive], 1u);
  this->check();
  EXPECT_EQ(this->insert(1, failure, 90'000), InsertResult::replaced) << "the window is over";
  EXPECT_TRUE(this->shard_.remove(make_key(1)));
  this->expect_empty();
}

TYPED_TEST(ShardStale, ANewHandleGoesOnWithThem) {
  this->make_keeping(8, 60);
  for (uint64_t i = 0; i < 100; ++i)
    this->insert(i, make_answer(i, 1, 80, 10), 0);
  this->turn(10'000);
  BasicShard<TypeParam> other;
  ASSERT_EQ(other.attach(this->memory_->data(), this->memory_->bytes(), this->grace_.get()), "");
  ShardProbe(other).check();
  EXPECT_EQ(other.gauges().entries_of_kind[kStale], 100u);
  EXPECT_EQ(other.expire(70'000, UINT32_MAX), 100u);
}

// Entries of a second's lifetime run out by the thousand while others stay fresh.
TYPED_TEST(ShardStale, AFloodStopsAtItsShareAndPushesOutNothingFresh) {
  this->make_keeping(8, 100'000, kRegionBytesMin * 4);
  const uint64_t fresh = 2000;
  for (uint64_t i = 0; i < fresh; ++i)
    ASSERT_EQ(this->insert(i, make_answer(i, 1, 90, 1'000'000), 0), InsertResult::stored);
  uint64_t now_ms = 0;
  uint64_t most = 0;
  for (uint64_t i = 0; i < 60'000; ++i) {
    this->insert(1'000'000 + i, make_answer(i, 1, static_cast<uint16_t>(i % 5 * 100), 1), now_ms);
    if (i % 50 != 0) continue;
    now_ms += 1000;
    this->turn(now_ms);
    most = std::max(most, this->gauges().memory_of_kind[kStale]);
    ASSERT_LE(most, this->gauges().memory_total / 8);
  }
  EXPECT_GT(most, this->gauges().memory_total / 16) << "a budget is there to be used";
  EXPECT_EQ(this->gauges().evicted, 0u);
  uint64_t left = 0;
  for (uint64_t i = 0; i < fresh; ++i)
    left += this->has(i, now_ms);
  EXPECT_EQ(left, fresh);
  this->check();
}

TYPED_TEST(ShardStale, A123_GivesWayBeforeAnythingFresh) {
  this->make_keeping(32, 100'000);
  const auto store = [&](uint64_t number, uint32_t lifetime_s, uint64_t now_ms) {
    const InsertResult result =
        this->insert(number, make_answer(number, 1, 90, lifetime_s), now_ms);
    this->shard_.reclaim();
    this->grace_.pass();
    return result;
  };
  // The fresh ones are older than those that are to be stale, and nobody asks for them.
  for (uint64_t i = 0; i < 600; ++i)
    ASSERT_EQ(store(i, 1'000'000, i), InsertResult::stored);
  for (uint64_t i = 0; i < 800; ++i)
    ASSERT_EQ(store(10'000 + i, 5, 1000 + i), InsertResult::stored);
  this->turn(10'000);
  const uint64_t kept = this->gauges().entries_of_kind[kStale];
  ASSERT_GT(kept, 500u);
  uint64_t number = 20'000;
  while (this->gauges().entries_of_kind[kStale] > 0 && number < 30'000) {
    ASSERT_EQ(store(number++, 1'000'000, 11'000), InsertResult::stored);
    ASSERT_EQ(this->gauges().evicted, 0u);
  }
  EXPECT_EQ(this->gauges().entries_of_kind[kStale], 0u);
  EXPECT_GT(this->gauges().entries_of_kind[kPositive], 600 + kept);
  this->check();
}

// Of the stale ones, those that were asked for stay longer.
TYPED_TEST(ShardStale, AFullBudgetKeepsWhatIsUsed) {
  this->make_keeping(4, 100'000);
  uint64_t used = 0;
  for (uint64_t i = 0; i < 400; ++i) {
    this->insert(i, make_answer(i, 1, 90, 1), i * 2000);
    this->turn(i * 2000 + 1000);
    if (i >= 20) continue;
    const Entry* const entry = this->stale(i, i * 2000 + 1000);
    ASSERT_NE(entry, nullptr);
    touch(*entry);
  }
  for (uint64_t i = 0; i < 20; ++i)
    used += this->stale(i, 800'000) != nullptr;
  EXPECT_GT(used, 15u);
  EXPECT_EQ(this->stale(30, 800'000), nullptr);
  this->check();
}

TYPED_TEST(ShardStale, AShorterWindowAndNoShareTakeEffectWithTime) {
  this->make_keeping(8, 60);
  this->insert(1, make_answer(1, 1, 80, 10), 0);
  this->turn(10'000);
  this->shard_.set_budgets(Budgets{.stale_64ths = 8, .stale_window_s = 90});
  this->turn(71'000);
  EXPECT_NE(this->stale(1, 71'000), nullptr) << "the longer window holds";
  this->shard_.set_budgets(Budgets{});
  this->turn(101'000);
  EXPECT_EQ(this->stale(1, 101'000), nullptr);
  this->expect_empty();
}

}  // namespace
}  // namespace millrace::cache
