// SPDX-License-Identifier: Apache-2.0
// FlowCache: every documented behaviour and failure, one at a time.
#include "tests/unit/flow/flow_fixture.hpp"

#include <cstring>
#include <map>
#include <utility>

namespace millrace::flow {
namespace {

TYPED_TEST_SUITE(FlowTest, Policies, PolicyNames);

// --- format and attach

TYPED_TEST(FlowTest, SaysWhatIsWrongWithItsMemory) {
  this->make(100);
  uint8_t* const memory = this->memory_.get();
  EXPECT_EQ(BasicFlowCache<TypeParam>::format(nullptr, this->bytes_, 100),
            "the flow cache's memory is null");
  EXPECT_EQ(BasicFlowCache<TypeParam>::format(memory + 8, this->bytes_, 50),
            "the flow cache's memory is not aligned to 64 bytes");
  EXPECT_EQ(BasicFlowCache<TypeParam>::format(memory, this->bytes_ - 1, 100),
            "the flow cache's memory is too small for so many flows");
  EXPECT_EQ(BasicFlowCache<TypeParam>::format(memory, this->bytes_, 0),
            "a flow cache holds 1 to 1048576 flows");
  EXPECT_EQ(BasicFlowCache<TypeParam>::format(memory, SIZE_MAX, kFlowsMax + 1),
            "a flow cache holds 1 to 1048576 flows");
}

TYPED_TEST(FlowTest, RefusesWhatItDidNotFormat) {
  this->make(100);
  uint8_t* const memory = this->memory_.get();
  BasicFlowCache<TypeParam> other;
  const auto attach = [&](std::size_t bytes) { return other.attach(memory, bytes, test_secret()); };
  EXPECT_EQ(other.attach(nullptr, this->bytes_, test_secret()), "the flow cache's memory is null");
  EXPECT_EQ(other.attach(memory + 8, this->bytes_, test_secret()),
            "the flow cache's memory is not aligned to 64 bytes");
  EXPECT_EQ(attach(63), "the flow cache's memory is too small for its header");
  EXPECT_EQ(attach(this->bytes_ - 1),
            "the flow cache's memory is smaller than when it was formatted");
  auto& header = *reinterpret_cast<FlowHeader*>(memory);
  const FlowHeader good = header;
  header.magic ^= 1;
  EXPECT_EQ(attach(this->bytes_), "the memory holds no flow cache (wrong magic)");
  header = good;
  header.version = kFlowVersion + 1;
  EXPECT_EQ(attach(this->bytes_), "the flow cache was written by another version");
  header = good;
  header.policy_id += 1;
  EXPECT_EQ(attach(this->bytes_), "the flow cache was kept under another policy");
  for (const uint32_t flows : {0u, 101u, kFlowsMax + 1}) {
    header = good;
    header.flows = flows;
    EXPECT_EQ(attach(this->bytes_), "the flow cache's header is damaged");
  }
  header = good;
  EXPECT_EQ(attach(this->bytes_), "");
}

TYPED_TEST(FlowTest, ANewHandleGoesOnWhereTheOldOneStopped) {
  this->make(100);
  this->insert(1, 11, 100, 0);
  BasicFlowCache<TypeParam> other;
  ASSERT_EQ(other.attach(this->memory_.get(), this->bytes_, test_secret()), "");
  const FlowKey key = key_of(1);
  Verdict verdict{};
  EXPECT_EQ(other.lookup_burst(&key, 1, 1, 500, &verdict), 1u);
  EXPECT_EQ(verdict.index, 11);
  EXPECT_EQ(other.capacity(), 100u);
  EXPECT_EQ(other.expire(100'000, 10), 1u);
}

TYPED_TEST(FlowTest, AMillionFlowsTakeWhatTheHeaderSays) {
  const std::size_t bytes = BasicFlowCache<TypeParam>::bytes_for(kFlowsMax);
  EXPECT_LT(bytes, std::size_t{kFlowsMax} * 79);
}

// --- one flow's life

TYPED_TEST(FlowTest, StoresFindsReplacesEnds) {
  this->make(100);
  EXPECT_EQ(this->find(1, 5000), -1);
  this->insert(1, 11, 10, 5000);
  EXPECT_EQ(this->find(1, 14'999), 11);
  EXPECT_EQ(this->find(2, 14'999), -1);
  EXPECT_EQ(this->find(1, 15'000), -1) << "the read checks, whether the wheel has turned or not";
  this->insert(1, 12, 10, 15'000);
  EXPECT_EQ(this->find(1, 24'999), 12);
  EXPECT_EQ(this->cache_.gauges().flows, 1u);
  EXPECT_EQ(this->cache_.gauges().replaced, 1u);
  this->check();
  EXPECT_EQ(this->cache_.expire(24'999, 10), 0u);
  EXPECT_EQ(this->cache_.expire(25'000, 10), 1u);
  EXPECT_EQ(this->cache_.gauges().flows, 0u);
  this->check();
}

TYPED_TEST(FlowTest, AllThatIsInAVerdictComesBack) {
  this->make(100);
  const FlowKey key = key_of(9);
  for (const Action action : {Action::allow, Action::refuse, Action::drop, Action::pool}) {
    this->cache_.insert(key, Verdict{action, 0, 65535}, 10, 1, 0);
    Verdict verdict{};
    ASSERT_EQ(this->cache_.lookup_burst(&key, 1, 1, 0, &verdict), 1u);
    EXPECT_EQ(verdict.action, action);
    EXPECT_EQ(verdict.index, 65535);
  }
}

TYPED_TEST(FlowTest, AnotherGenerationMakesAllVerdictsVoid) {
  this->make(100);
  for (uint32_t i = 0; i < 50; ++i)
    this->insert(i, 1, 1000, 0);
  for (const uint64_t generation : {uint64_t{2}, uint64_t{0}, uint64_t{1} << 40}) {
    this->generation_ = generation;
    for (uint32_t i = 0; i < 50; ++i)
      ASSERT_EQ(this->find(i, 0), -1);
  }
  this->generation_ = 2;
  this->insert(7, 2, 1000, 0);
  EXPECT_EQ(this->find(7, 0), 2);
  EXPECT_EQ(this->cache_.gauges().flows, 50u) << "written over, not stored beside";
  this->generation_ = 1;
  EXPECT_EQ(this->find(7, 0), -1);
  this->check();
}

TYPED_TEST(FlowTest, ABurstFindsEachOfItsKeys) {
  this->make(1000);
  for (uint32_t i = 0; i < 300; ++i)
    this->insert(i, static_cast<uint16_t>(i), 100, 0);
  FlowKey keys[kBurstMax];
  for (uint32_t n = 0; n <= kBurstMax; ++n) {
    Verdict verdicts[kBurstMax + 1];
    for (auto& verdict : verdicts)
      verdict = Verdict{Action::drop, 0, 9999};
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < n; ++i) {
      keys[i] = key_of(i * 37 % 400 / 2);
      wanted |= static_cast<uint32_t>(i * 37 % 400 / 2 < 300) << i;
    }
    ASSERT_EQ(this->cache_.lookup_burst(keys, n, 1, 0, verdicts), wanted);
    for (uint32_t i = 0; i < n; ++i)
      ASSERT_EQ(verdicts[i].index, i * 37 % 400 / 2);
    ASSERT_EQ(verdicts[n].index, 9999) << "nothing is written past n";
  }
}

// Two flows of one bucket and one tag: the first is met on the way to the second, which spilled.
TYPED_TEST(FlowTest, ATagThatTwoFlowsShareHidesNeither) {
  const uint32_t flows = 100;
  this->make(flows);
  const auto place = [](uint32_t number) {
    const FlowKey key = key_of(number);
    uint8_t block[32] = {};
    std::memcpy(block, &key, sizeof key);
    return cache::place_of(hash_blocks(test_secret(), block, sizeof key),
                           flows / kFlowsPerBucket + 1);
  };
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> seen;
  uint32_t number = 0;
  for (bool fresh = true; fresh; ++number) {
    const cache::Place at = place(number);
    fresh = seen.try_emplace({at.bucket_idx, at.tag}, number).second;
    ASSERT_LT(number, 1'000'000u);
  }
  const uint32_t later = number - 1;
  const cache::Place shared = place(later);
  const uint32_t earlier = seen[{shared.bucket_idx, shared.tag}];
  this->insert(earlier, 1, 100, 0);
  for (uint32_t others = 0, i = 0; others < cache::kSlotsPerBucket - 1; ++i) {
    if (i == earlier || i == later || place(i).bucket_idx != shared.bucket_idx) continue;
    this->insert(i, 2, 100, 0);
    ++others;
  }
  this->insert(later, 3, 100, 0);
  EXPECT_EQ(this->find(earlier, 0), 1);
  EXPECT_EQ(this->find(later, 0), 3);
  this->check();
}

// --- a full table

// Far more flows than there is room for: it never holds more, never writes outside its memory (the
// guard behind it), and the newest is always there.
TYPED_TEST(FlowTest, AFullTableEvictsAndDoesNotGrow) {
  for (const uint32_t flows : {1u, 8u, 100u, 3000u}) {
    this->make(flows);
    for (uint32_t i = 0; i < flows * 20; ++i) {
      this->insert(i, static_cast<uint16_t>(i), 1000, i);
      ASSERT_EQ(this->find(i, i), static_cast<uint16_t>(i));
      ASSERT_LE(this->cache_.gauges().flows, flows);
    }
    EXPECT_EQ(this->cache_.gauges().flows + this->cache_.gauges().evicted, flows * 20u);
    EXPECT_GE(this->cache_.gauges().flows, flows * 9 / 10) << "room that is never used";
    this->check();
  }
}

TYPED_TEST(FlowTest, AFullTableKeepsWhatIsUsed) {
  this->make(3000);
  const uint32_t used = 1000;
  for (uint32_t i = 0; i < used; ++i) {
    this->insert(i, 1, 1000, 0);
    this->find(i, 0);
  }
  for (uint32_t i = 0; i < 60'000; ++i) {
    this->insert(100'000 + i, 2, 1000, 0);
    this->find(i % used, 0);
  }
  uint32_t left = 0;
  for (uint32_t i = 0; i < used; ++i)
    left += this->find(i, 0) == 1;
  EXPECT_GT(left, used * 9 / 10);
  this->check();
}

TYPED_TEST(FlowTest, WhatIsVoidGivesWayFirst) {
  this->make(2000);
  for (uint32_t i = 0; i < 1800; ++i) {
    this->insert(i, 1, 1000, 0);
    this->find(i, 0);
  }
  const uint64_t evicted_before = this->cache_.gauges().evicted;
  this->generation_ = 2;
  for (uint32_t i = 0; i < 1500; ++i)
    this->insert(10'000 + i, 2, 1000, 0);
  EXPECT_EQ(this->cache_.gauges().evicted, evicted_before);
  EXPECT_GT(this->cache_.gauges().expired, 1000u);
  for (uint32_t i = 0; i < 1500; ++i)
    ASSERT_EQ(this->find(10'000 + i, 0), 2);
}

// --- bounded work

TYPED_TEST(FlowTest, ExpireKeepsToItsBudget) {
  this->make(2000);
  for (uint32_t i = 0; i < 1500; ++i)
    this->insert(i, 1, 100, 0);
  const uint64_t stored = this->cache_.gauges().flows;
  uint64_t total = 0;
  while (total < stored) {
    const uint32_t ended = this->cache_.expire(200'000, 50);
    ASSERT_LE(ended, 50u);
    ASSERT_GT(ended, 0u);
    total += ended;
  }
  EXPECT_EQ(this->cache_.expire(200'000, 50), 0u);
  EXPECT_EQ(this->cache_.gauges().flows, 0u);
  this->check();
}

TYPED_TEST(FlowTest, TheLongestTtlEnds) {
  this->make(10);
  const uint64_t start = uint64_t{1} << 39;
  this->insert(1, 1, UINT32_MAX, start);
  EXPECT_EQ(this->find(1, start + uint64_t{UINT32_MAX} * 1000 - 1), 1);
  EXPECT_EQ(this->find(1, start + uint64_t{UINT32_MAX} * 1000), -1);
  this->insert(2, 1, 0, start);
  EXPECT_EQ(this->find(2, start), -1) << "a TTL of 0 is over at once";
}

}  // namespace
}  // namespace millrace::flow
