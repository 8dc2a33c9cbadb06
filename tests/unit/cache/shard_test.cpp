// SPDX-License-Identifier: Apache-2.0
// Shard: every documented behaviour and failure, one at a time.
#include "dataplane/cache/shard.hpp"

#include "tests/unit/cache/cache_fixture.hpp"

namespace millrace::cache {
namespace {

TYPED_TEST_SUITE(ShardTest, Policies, PolicyNames);

static_assert(kStateFits<Sieve> && kStateFits<S3Fifo>);
static_assert(sizeof(Record) == 20 && sizeof(PageHeader) == 64 && sizeof(RegionHeader) == 64);

// What is refused is left as it was, to the byte.
class Unchanged {
 public:
  explicit Unchanged(const RegionMemory& memory)
      : memory_(memory), before_(bytes(), bytes() + memory.bytes()) {}
  bool holds() const { return std::equal(before_.begin(), before_.end(), bytes()); }

 private:
  const uint8_t* bytes() const { return static_cast<const uint8_t*>(memory_.data()); }

  const RegionMemory& memory_;
  std::vector<uint8_t> before_;
};

// --- format and attach

TYPED_TEST(ShardTest, FormatSaysWhatIsWrongWithARegion) {
  RegionMemory memory(kRegionBytesMin * 2);
  const Unchanged memory_is(memory);
  auto* const odd = static_cast<char*>(memory.data()) + 8;
  EXPECT_EQ(BasicShard<TypeParam>::format(nullptr, kRegionBytesMin, 0), "the region is null");
  EXPECT_EQ(BasicShard<TypeParam>::format(odd, kRegionBytesMin, 0),
            "the region is not aligned to 64 bytes");
  EXPECT_EQ(BasicShard<TypeParam>::format(memory.data(), kRegionBytesMin - 1, 0),
            "the region is smaller than 512 KiB; give the shard more memory");
  EXPECT_EQ(BasicShard<TypeParam>::format(memory.data(), kRegionBytesMax + 1, 0),
            "the region is larger than 256 GiB; use more shards");
  EXPECT_TRUE(memory_is.holds()) << "a refusal writes nothing";
  EXPECT_EQ(BasicShard<TypeParam>::format(memory.data(), kRegionBytesMin, 0), "");
}

TYPED_TEST(ShardTest, FormatStaysWithinTheRegion) {
  RegionMemory memory(kRegionBytesMin * 2);
  ASSERT_EQ(BasicShard<TypeParam>::format(memory.data(), kRegionBytesMin, 0), "");
  const auto* const bytes = static_cast<const uint8_t*>(memory.data());
  for (std::size_t i = kRegionBytesMin; i < memory.bytes(); ++i)
    ASSERT_EQ(bytes[i], 0xa5) << i;
}

TYPED_TEST(ShardTest, LargestRegionStaysWithinItsNumbers) {
  RegionLayout layout;
  ASSERT_EQ(layout_of(kRegionBytesMax, layout), "");
  EXPECT_EQ(uint64_t{layout.page_cnt} * kPageBytes, kRegionBytesMax);
  EXPECT_LE(layout.page_cnt, 1u << 24) << "a page number must fit a Ref";
  EXPECT_LT(layout.bucket_cnt, kBucketOfRetired);
}

TYPED_TEST(ShardTest, RefusesWhatItDidNotFormat) {
  RegionMemory memory(kRegionBytesMin * 2);
  ManualGrace grace;
  BasicShard<TypeParam> shard;
  const auto refused = [&](void* region, std::size_t bytes, const GracePeriod& given) {
    const Unchanged memory_is(memory);
    const std::string wrong(shard.attach(region, bytes, given));
    EXPECT_TRUE(memory_is.holds()) << "a refusal writes nothing: " << wrong;
    return wrong;
  };
  const auto refused_as_it_is = [&] {
    return refused(memory.data(), kRegionBytesMin, grace.get());
  };
  auto* const odd = static_cast<char*>(memory.data()) + 8;
  EXPECT_EQ(refused_as_it_is(), "the region holds no cache shard (wrong magic)");
  ASSERT_EQ(BasicShard<TypeParam>::format(memory.data(), kRegionBytesMin, 9), "");
  // What attach() would free, so that it has something to write.
  ASSERT_EQ(shard.attach(memory.data(), kRegionBytesMin, grace.get()), "");
  shard.insert(make_key(1), make_answer(1, 1, 80, 100).view, 0);
  shard.remove(make_key(1));
  EXPECT_EQ(refused(nullptr, kRegionBytesMin, grace.get()), "the region is null");
  EXPECT_EQ(refused(odd, kRegionBytesMin, grace.get()), "the region is not aligned to 64 bytes");
  EXPECT_EQ(refused(memory.data(), kRegionBytesMin * 2, grace.get()),
            "the region was formatted with another size");
  EXPECT_EQ(refused(memory.data(), kRegionBytesMin - 1, grace.get()),
            "the region is smaller than 512 KiB; give the shard more memory");
  EXPECT_EQ(refused(memory.data(), kRegionBytesMin, GracePeriod{}),
            "the grace period has no functions");
  auto& header = *static_cast<RegionHeader*>(memory.data());
  EXPECT_EQ(header.shard_idx, 9u);
  const RegionHeader good = header;
  header.version = kRegionVersion + 1;
  EXPECT_EQ(refused_as_it_is(), "the region was written by another version");
  header = good;
  header.bucket_cnt += 1;
  EXPECT_EQ(refused_as_it_is(), "the region's header contradicts its size");
  header = good;
  EXPECT_EQ(shard.attach(memory.data(), kRegionBytesMin, grace.get()), "");
}

TEST(ShardAttach, RefusesTheRegionOfAnotherPolicy) {
  RegionMemory memory(kRegionBytesMin);
  ManualGrace grace;
  ASSERT_EQ(BasicShard<Sieve>::format(memory.data(), memory.bytes(), 0), "");
  BasicShard<S3Fifo> shard;
  EXPECT_EQ(shard.attach(memory.data(), memory.bytes(), grace.get()),
            "the region was kept under another eviction policy");
  ASSERT_EQ(BasicShard<S3Fifo>::format(memory.data(), memory.bytes(), 0), "");
  EXPECT_EQ(shard.attach(memory.data(), memory.bytes(), grace.get()), "");
}

TYPED_TEST(ShardTest, ANewHandleFindsWhatTheOldOneLeft) {
  this->make();
  const Answer answer = make_answer(1, 1, 80, 100);
  ASSERT_EQ(this->insert(1, answer, 1000), InsertResult::stored);
  ASSERT_EQ(this->insert(2, answer, 1000), InsertResult::stored);
  ASSERT_TRUE(this->shard_.remove(make_key(2)));
  ASSERT_GT(this->shard_.gauges().memory_retired, 0u);
  BasicShard<TypeParam> other;
  ASSERT_EQ(other.attach(this->memory_->data(), this->memory_->bytes(), this->grace_.get()), "");
  EXPECT_EQ(other.gauges().memory_retired, 0u) << "nobody reads: retired memory is free at once";
  ShardProbe(other).check();
  const Found found = lookup(other, make_key(1), 2000);
  ASSERT_NE(found.entry, nullptr);
  EXPECT_TRUE(same_answer(view_of(*found.entry), answer.view));
}

TYPED_TEST(ShardTest, AMovedRegionIsTheSameShard) {
  this->make();
  for (uint64_t i = 0; i < 1000; ++i)
    this->insert(i, make_answer(i, 1, 80, 100), 1000);
  RegionMemory copy(this->memory_->bytes());
  std::memcpy(copy.data(), this->memory_->data(), this->memory_->bytes());
  BasicShard<TypeParam> other;
  ASSERT_EQ(other.attach(copy.data(), copy.bytes(), this->grace_.get()), "");
  ShardProbe(other).check();
  for (uint64_t i = 0; i < 1000; ++i) {
    const Found found = lookup(other, make_key(i), 2000);
    ASSERT_NE(found.entry, nullptr);
    ASSERT_TRUE(same_answer(view_of(*found.entry), make_answer(i, 1, 80, 100).view));
  }
}

// --- one entry's life

TYPED_TEST(ShardTest, StoresFindsReplacesRemoves) {
  this->make();
  const Answer first = make_answer(1, 1, 80, 100);
  const Answer second = make_answer(1, 2, 700, 50, Kind::negative, 1);
  EXPECT_FALSE(this->has(1, 5000));
  EXPECT_EQ(this->insert(1, first, 5000), InsertResult::stored);
  EXPECT_EQ(this->insert(1, second, 6000), InsertResult::replaced);
  const Found found = lookup(this->shard_, make_key(1), 8500);
  ASSERT_NE(found.entry, nullptr);
  EXPECT_EQ(found.age_s, 2u);
  EXPECT_TRUE(same_answer(view_of(*found.entry), second.view));
  EXPECT_EQ(this->shard_.gauges().entries, 1u);
  EXPECT_TRUE(this->shard_.remove(make_key(1)));
  EXPECT_FALSE(this->shard_.remove(make_key(1)));
  EXPECT_FALSE(this->has(1, 8500));
  this->expect_empty();
}

TYPED_TEST(ShardTest, NothingIsFoundPastItsLifetime) {
  this->make();
  this->insert(1, make_answer(1, 1, 80, 3), 10'500);
  EXPECT_EQ(lookup(this->shard_, make_key(1), 13'499).age_s, 2u);
  EXPECT_TRUE(this->has(1, 13'499));
  EXPECT_FALSE(this->has(1, 13'500)) << "the read checks, whether the wheel has turned or not";
  EXPECT_EQ(this->shard_.gauges().entries, 1u);
  EXPECT_EQ(this->shard_.expire(13'600, 10), 0u) << "its second is not over";
  EXPECT_EQ(this->shard_.expire(14'000, 10), 1u);
  EXPECT_EQ(this->shard_.gauges().expired, 1u);
  this->expect_empty();
}

TYPED_TEST(ShardTest, ALookupTellsWhichHitsAreNearTheirEnd) {
  this->make();
  this->insert(1, make_answer(1, 1, 80, 100), 5000);
  this->insert(2, make_answer(2, 1, 80, 1000), 5000);
  const Key keys[] = {make_key(1), make_key(2), make_key(3)};
  const auto ageing = [&](uint64_t now_ms, uint32_t ms_per_s) {
    Lookup lookups[3];
    for (uint32_t i = 0; i < 3; ++i)
      begin_lookup(lookups[i], this->shard_, keys[i], keys[i].hash);
    const uint32_t bits = finish_lookups(lookups, 3, now_ms, ms_per_s);
    EXPECT_EQ(lookups[0].entry != nullptr, now_ms < 105'000);
    EXPECT_NE(lookups[1].entry, nullptr);
    EXPECT_EQ(lookups[2].entry, nullptr);
    return bits;
  };
  EXPECT_EQ(ageing(94'999, 900), 0u);
  EXPECT_EQ(ageing(95'000, 900), 0b01u);
  EXPECT_EQ(ageing(104'999, 900), 0b01u);
  EXPECT_EQ(ageing(105'000, 900), 0u) << "its time is over";
  EXPECT_EQ(ageing(905'000, 900), 0b10u);
  EXPECT_EQ(ageing(1'004'999, 1000), 0u) << "not asked for";
}

TYPED_TEST(ShardTest, TheOwnerKnowsWhetherAnEntryIsStillThere) {
  this->make();
  this->insert(1, make_answer(1, 1, 80, 100), 5000);
  const Entry& first = *lookup(this->shard_, make_key(1), 5000).entry;
  EXPECT_TRUE(this->shard_.holds(make_key(1).hash, first));
  EXPECT_FALSE(this->shard_.holds(make_key(2).hash, first));
  this->insert(1, make_answer(1, 2, 80, 100), 6000);
  EXPECT_FALSE(this->shard_.holds(make_key(1).hash, first));
  const Entry& second = *lookup(this->shard_, make_key(1), 6000).entry;
  EXPECT_TRUE(this->shard_.holds(make_key(1).hash, second));
  this->shard_.remove(make_key(1));
  EXPECT_FALSE(this->shard_.holds(make_key(1).hash, second));
}

TYPED_TEST(ShardTest, ALifetimeOfZeroIsNeverFound) {
  this->make();
  EXPECT_EQ(this->insert(1, make_answer(1, 1, 80, 0), 10'000), InsertResult::stored);
  EXPECT_FALSE(this->has(1, 10'000));
  this->shard_.expire(11'000, 10);
  this->expect_empty();
}

TYPED_TEST(ShardTest, AReplacedEntryStaysReadableUntilItsGracePeriodHasPassed) {
  this->make();
  const Answer first = make_answer(1, 1, 80, 100);
  this->insert(1, first, 1000);
  const Entry* const held = lookup(this->shard_, make_key(1), 1000).entry;
  this->insert(1, make_answer(1, 2, 80, 100), 1000);
  for (uint64_t i = 0; i < 20000; ++i) {
    this->shard_.reclaim();
    this->insert(100 + i, make_answer(i, 3, 80, 100), 1000);
  }
  EXPECT_TRUE(same_answer(view_of(*held), first.view));
  this->grace_.pass();
  uint32_t removed = 0;
  this->shard_.walk_remove(
      0, UINT32_MAX, [](const Entry&) { return true; }, removed);
  this->expect_empty();
  for (uint64_t i = 0; i < 20000; ++i) {
    this->insert(50'000 + i, make_answer(i, 4, 80, 100), 1000);
  }
  EXPECT_FALSE(same_answer(view_of(*held), first.view)) << "the memory was never used again";
}

TYPED_TEST(ShardTest, RefusesWhatIsTooLarge) {
  this->make();
  Key key = make_key(1, kKeyBytesMax);
  // Narrow: 16 + body + 2 ttls + 259 of key.
  const uint16_t most = static_cast<uint16_t>((kEntryBytesMax - 16 - 4 - kKeyBytesMax) & ~1u);
  EXPECT_EQ(this->shard_.insert(key, make_answer(1, 1, most, 9).view, 0), InsertResult::stored);
  EXPECT_NE(lookup(this->shard_, key, 0).entry, nullptr);
  const Unchanged memory_is(*this->memory_);
  EXPECT_EQ(this->shard_.insert(key, make_answer(1, 1, static_cast<uint16_t>(most + 2), 9).view, 0),
            InsertResult::too_large);
  EXPECT_NE(lookup(this->shard_, key, 0).entry, nullptr) << "the older entry stays";
  key.len = kKeyBytesMax + 1;
  EXPECT_EQ(this->shard_.insert(key, make_answer(1, 1, 16, 9).view, 0), InsertResult::too_large);
  key.len = kKeyHeadBytes - 1;
  EXPECT_EQ(this->shard_.insert(key, make_answer(1, 1, 16, 9).view, 0), InsertResult::too_large);
  EXPECT_TRUE(memory_is.holds()) << "a refusal writes nothing";
}

TYPED_TEST(ShardTest, AFailureNeverTakesThePlaceOfAFreshAnswer) {
  this->make();
  const Answer failure = make_answer(1, 9, 0, 30, Kind::failure, 0);
  for (const Kind kind : {Kind::positive, Kind::negative}) {
    const Answer answer = make_answer(1, 1, 80, 10, kind);
    this->insert(1, answer, 1000);
    EXPECT_EQ(this->insert(1, failure, 5000), InsertResult::kept);
    EXPECT_TRUE(same_answer(view_of(*lookup(this->shard_, make_key(1), 5000).entry), answer.view));
    EXPECT_EQ(this->insert(1, failure, 11'000), InsertResult::replaced) << "its time was over";
    EXPECT_EQ(this->insert(1, failure, 12'000), InsertResult::replaced)
        << "a failure renews a failure";
    EXPECT_EQ(this->insert(1, answer, 12'000), InsertResult::replaced);
  }
  EXPECT_EQ(this->shard_.gauges().entries, 1u);
}

// --- the index

// A4: whatever the hash, only the key's own answer. A constant hash leaves one pair of buckets.
TYPED_TEST(ShardTest, A4_B48_AConstantHashCostsMissesNeverAWrongAnswer) {
  this->make();
  const auto constant = [](uint64_t number) {
    Key key = make_key(number);
    key.hash = 0x123456789abcdef;
    return key;
  };
  for (uint64_t i = 0; i < 500; ++i) {
    ASSERT_EQ(this->shard_.insert(constant(i), make_answer(i, 1, 40, 100).view, i),
              InsertResult::stored);
    uint32_t hits = 0;
    for (uint64_t k = 0; k <= i; ++k) {
      const Found found = lookup(this->shard_, constant(k), i);
      if (found.entry == nullptr) continue;
      ++hits;
      ASSERT_TRUE(same_answer(view_of(*found.entry), make_answer(k, 1, 40, 100).view));
    }
    ASSERT_EQ(hits, std::min<uint64_t>(i + 1, 2 * kSlotsPerBucket));
    ASSERT_NE(lookup(this->shard_, constant(i), i).entry, nullptr) << "the newest is always there";
    this->shard_.reclaim();
    this->grace_.pass();
  }
  ShardProbe(this->shard_).check();
  for (uint64_t i = 0; i < 500; ++i)
    this->shard_.remove(constant(i));
  this->expect_empty();
}

TYPED_TEST(ShardTest, FullBucketsYieldToNoLesserKind) {
  this->make();
  const auto constant = [](uint64_t number) {
    Key key = make_key(number);
    key.hash = 77;
    return key;
  };
  for (uint64_t i = 0; i < 16; ++i) {
    ASSERT_EQ(this->shard_.insert(constant(i), make_answer(i, 1, 40, 100).view, 0),
              InsertResult::stored);
  }
  const Answer negative = make_answer(99, 1, 40, 100, Kind::negative);
  EXPECT_EQ(this->shard_.insert(constant(99), negative.view, 0), InsertResult::outranked);
  for (uint64_t i = 0; i < 16; ++i)
    ASSERT_NE(lookup(this->shard_, constant(i), 0).entry, nullptr);
  ShardProbe(this->shard_).check();
  EXPECT_EQ(this->shard_.insert(constant(99), negative.view, 100'000), InsertResult::stored)
      << "the dead yield to everyone";
  EXPECT_EQ(this->shard_.gauges().expired, 1u);
}

TYPED_TEST(ShardTest, FullBucketsKeepWhatIsUsed) {
  this->make();
  const auto constant = [](uint64_t number) {
    Key key = make_key(number);
    key.hash = 77;
    return key;
  };
  for (uint64_t i = 0; i < 16; ++i) {
    this->shard_.insert(constant(i), make_answer(i, 1, 40, 100).view, i);
    if (i != 5) touch(*lookup(this->shard_, constant(i), i).entry);
  }
  this->shard_.insert(constant(99), make_answer(99, 1, 40, 100).view, 50);
  for (uint64_t i = 0; i < 16; ++i) {
    EXPECT_EQ(lookup(this->shard_, constant(i), 50).entry != nullptr, i != 5) << i;
  }
}

TYPED_TEST(ShardTest, SpilledEntriesAreFoundAndCounted) {
  this->make();
  // Two keys in three share a first bucket with many others, but not the tag.
  std::vector<Key> keys;
  const uint32_t home = place_of(make_key(0).hash, this->shard_.bucket_cnt()).bucket_idx;
  for (uint64_t i = 0; keys.size() < 12; ++i) {
    const Key key = make_key(i);
    if (place_of(key.hash, this->shard_.bucket_cnt()).bucket_idx == home) keys.push_back(key);
  }
  const Answer answer = make_answer(1, 1, 40, 100);
  for (const Key& key : keys)
    ASSERT_EQ(this->shard_.insert(key, answer.view, 0), InsertResult::stored);
  ShardProbe probe(this->shard_);
  EXPECT_EQ(probe.spills(home), 4u);
  for (const Key& key : keys)
    EXPECT_NE(lookup(this->shard_, key, 0).entry, nullptr);
  for (const Key& key : keys) {
    EXPECT_TRUE(this->shard_.remove(key));
    probe.check();
  }
  EXPECT_EQ(probe.spills(home), 0u);
}

TYPED_TEST(ShardTest, ABurstFindsEachOfItsKeys) {
  this->make();
  RegionMemory other_memory(kRegionBytesMin);
  BasicShard<TypeParam> other;
  ASSERT_EQ(BasicShard<TypeParam>::format(other_memory.data(), kRegionBytesMin, 4), "");
  ASSERT_EQ(other.attach(other_memory.data(), kRegionBytesMin, this->grace_.get()), "");
  for (uint64_t i = 0; i < 300; ++i) {
    (i % 2 == 0 ? this->shard_ : other).insert(make_key(i), make_answer(i, 1, 60, 100).view, 0);
  }
  std::vector<Key> keys;
  for (uint32_t i = 0; i < kBurstMax; ++i)
    keys.push_back(make_key(i * 37 % 400 / 3));
  for (uint32_t n = 0; n <= kBurstMax; ++n) {
    std::vector<const ShardView*> shards(kBurstMax);
    std::vector<const Key*> pointers(kBurstMax);
    std::vector<Found> found(kBurstMax + 1, Found{nullptr, 4711, nullptr});
    for (uint32_t i = 0; i < n; ++i) {
      pointers[i] = &keys[i];
      shards[i] = i % 2 == 0 ? &this->shard_ : &other;
    }
    lookup_burst(shards.data(), pointers.data(), n, 5000, found.data());
    for (uint32_t i = 0; i < n; ++i) {
      const Found single = lookup(*shards[i], keys[i], 5000);
      ASSERT_EQ(found[i].entry, single.entry);
      ASSERT_EQ(found[i].age_s, single.entry != nullptr ? 5u : 0u);
    }
    ASSERT_EQ(found[n].age_s, 4711u) << "nothing is written past n";
  }
}

// --- walks

TYPED_TEST(ShardTest, AWalkVisitsEachEntryOnceWhateverItsSteps) {
  this->make();
  for (uint64_t i = 0; i < 1500; ++i)
    this->insert(i, make_answer(i, 1, 40, 100), 0);
  for (const uint32_t step : {1u, 7u, 100u, UINT32_MAX}) {
    std::set<const Entry*> seen;
    uint64_t cursor = 0;
    uint64_t calls = 0;
    while (cursor != kWalkEnd) {
      cursor = this->shard_.walk(
          cursor, step, [&](const Entry& entry) { ASSERT_TRUE(seen.insert(&entry).second); });
      ASSERT_LE(++calls, this->shard_.bucket_cnt() / step + 1);
    }
    EXPECT_EQ(seen.size(), this->shard_.gauges().entries);
  }
  EXPECT_EQ(this->shard_.walk(kWalkEnd, 5, [](const Entry&) { FAIL(); }), kWalkEnd);
}

TYPED_TEST(ShardTest, WalkRemoveTakesWhatMatches) {
  this->make();
  for (uint64_t i = 0; i < 900; ++i) {
    this->insert(i, make_answer(i, 1, 40, 100, i % 3 == 0 ? Kind::negative : Kind::positive), 0);
  }
  uint32_t removed = 0;
  uint64_t cursor = 0;
  while (cursor != kWalkEnd) {
    cursor = this->shard_.walk_remove(
        cursor, 10, [](const Entry& entry) { return kind_of(entry) == Kind::negative; }, removed);
  }
  EXPECT_EQ(removed, 300u);
  ShardProbe(this->shard_).check();
  for (uint64_t i = 0; i < 900; ++i)
    ASSERT_EQ(this->has(i, 0), i % 3 != 0);
  cursor = 0;
  while (cursor != kWalkEnd) {
    cursor = this->shard_.walk_remove(
        cursor, 10, [](const Entry&) { return true; }, removed);
  }
  EXPECT_EQ(removed, 900u);
  this->expect_empty();
}

// --- bounded work

TYPED_TEST(ShardTest, ExpireKeepsToItsBudget) {
  this->make();
  for (uint64_t i = 0; i < 2000; ++i)
    this->insert(i, make_answer(i, 1, 40, 100), 0);
  const uint64_t stored = this->shard_.gauges().entries;
  uint64_t total = 0;
  while (total < stored) {
    const uint32_t fired = this->shard_.expire(200'000, 50);
    ASSERT_LE(fired, 50u);
    ASSERT_GT(fired, 0u);
    total += fired;
  }
  EXPECT_EQ(this->shard_.expire(200'000, 50), 0u);
  EXPECT_EQ(this->shard_.gauges().expired, stored);
  this->expect_empty();
}

TYPED_TEST(ShardTest, ABootClockPastTheWheelsTopLevelStillExpires) {
  this->make();
  const uint64_t late_ms = (uint64_t{1} << 39) + 123;
  this->insert(1, make_answer(1, 1, 40, 86'400), late_ms);
  EXPECT_TRUE(this->has(1, late_ms + 86'399'999));
  EXPECT_EQ(this->shard_.expire(late_ms + 86'399'000, 1000), 0u);
  EXPECT_EQ(this->shard_.expire(late_ms + 86'401'000, 1000), 1u);
  this->expect_empty();
}

}  // namespace
}  // namespace millrace::cache
