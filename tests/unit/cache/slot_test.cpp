// SPDX-License-Identifier: Apache-2.0
// The packed slot, the pair of buckets, the vector compare.
#include "dataplane/cache/slot.hpp"

#include <random>

#include <gtest/gtest.h>

namespace millrace::cache {
namespace {

static_assert(alignof(Bucket) == 64 && sizeof(Bucket) == 64);
static_assert(pack_slot(0x12345678, 0xabcdef, 3, true, 9) == 0xabcdef9a12345678);

// Every field takes every value of its range (tag and entry number: every single bit and the ends)
// while all others hold extremes; none may leak into another.
TEST(Slot, PacksEveryFieldExhaustively) {
  std::vector<uint32_t> tags{0, 0xffffff};
  std::vector<uint32_t> numbers{0, UINT32_MAX};
  for (uint32_t bit = 0; bit < 24; ++bit)
    tags.push_back(1u << bit);
  for (uint32_t bit = 0; bit < 32; ++bit)
    numbers.push_back(1u << bit);
  for (const uint32_t tag : tags) {
    for (const uint32_t number : numbers) {
      for (uint32_t lines = 1; lines <= kSlotLinesMax; ++lines) {
        for (uint32_t spills = 0; spills <= kSpillsMax; ++spills) {
          for (const bool second : {false, true}) {
            const SlotWord word = pack_slot(number, tag, lines, second, spills);
            ASSERT_EQ(slot_entry_no(word), number);
            ASSERT_EQ(slot_tag(word), tag);
            ASSERT_EQ(slot_lines(word), lines);
            ASSERT_EQ(slot_spills(word), spills);
            ASSERT_EQ(slot_is_second(word), second);
            ASSERT_EQ(slot_is_empty(word), number == 0);
          }
        }
      }
    }
  }
}

TEST(Slot, LinesSaturate) {
  EXPECT_EQ(slot_lines(pack_slot(1, 1, 8, false, 0)), 8u);
  EXPECT_EQ(slot_lines(pack_slot(1, 1, 200, false, 0)), 8u);
  EXPECT_EQ(slot_entry_no(pack_slot(1, 1, 200, false, 0)), 1u);
}

// For small index sizes every bucket and every tag; for large ones samples.
TEST(Slot, OtherBucketIsItsOwnInverse) {
  for (const uint32_t buckets : {1u, 2u, 3u, 7u, 8u, 682u}) {
    for (uint32_t bucket = 0; bucket < buckets; ++bucket) {
      for (uint32_t tag = 0; tag < (1u << kTagBits); tag += 4099) {
        const uint32_t other = other_bucket(bucket, tag, buckets);
        ASSERT_LT(other, buckets);
        ASSERT_EQ(other_bucket(other, tag, buckets), bucket);
      }
    }
  }
  std::mt19937_64 random(7);
  const uint32_t largest = 357913941;  // of a region of 256 GiB
  for (int i = 0; i < 100000; ++i) {
    const auto bucket = static_cast<uint32_t>(random() % largest);
    const auto tag = static_cast<uint32_t>(random() >> 40);
    const uint32_t other = other_bucket(bucket, tag, largest);
    ASSERT_LT(other, largest);
    ASSERT_EQ(other_bucket(other, tag, largest), bucket);
  }
}

// Shards are chosen by hash bits; the buckets of one shard must be used evenly all the same.
TEST(Slot, PlacesSpreadWithinAShard) {
  std::mt19937_64 random(11);
  for (const int shift : {0, 56}) {
    std::vector<uint32_t> first(64);
    std::vector<uint32_t> second(64);
    for (int i = 0; i < 64000; ++i) {
      const uint64_t hash = (random() & ~(uint64_t{0xff} << shift)) | uint64_t{5} << shift;
      const Place place = place_of(hash, 64);
      ++first[place.bucket_idx];
      ++second[other_bucket(place.bucket_idx, place.tag, 64)];
    }
    for (uint32_t i = 0; i < 64; ++i) {
      EXPECT_NEAR(first[i], 1000, 200) << i;
      EXPECT_NEAR(second[i], 1000, 200) << i;
    }
  }
}

TEST(Slot, VectorCompareAgreesWithScalar) {
  std::mt19937_64 random(3);
  Bucket bucket{};
  for (int round = 0; round < 20000; ++round) {
    const auto tag = static_cast<uint32_t>(random() >> 40);
    uint32_t expected = 0;
    for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
      const bool same = random() % 3 == 0;
      // Differs in one bit at most: the compare must see every bit of the tag, and none else.
      const uint32_t other = tag ^ 1u << random() % kTagBits;
      const auto low = static_cast<SlotWord>(random() & ((uint64_t{1} << kSlotTagShift) - 1));
      bucket.slots[i].store(SlotWord{same ? tag : other} << kSlotTagShift | low);
      expected |= static_cast<uint32_t>(same) << i;
    }
    ASSERT_EQ(match_tag_scalar(bucket, tag), expected);
    ASSERT_EQ(match_tag(bucket, tag), expected);
  }
}

}  // namespace
}  // namespace millrace::cache
