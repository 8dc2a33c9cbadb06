// SPDX-License-Identifier: Apache-2.0
// The bytes of an entry: what was written is what view_of and key_of read, in both forms.
#include "dataplane/cache/entry.hpp"

#include "dataplane/cache/key_compare.hpp"
#include "dataplane/cache/region_layout.hpp"
#include "tests/unit/cache/cache_fixture.hpp"

#include <random>

namespace millrace::cache {
namespace {

static_assert(sizeof(Entry) == 16 && sizeof(Wide) == 16);

struct Written {
  std::vector<uint64_t> memory;
  const Entry* entry;
  EntryShape shape;
};

Written write(const Key& key, const AnswerView& answer, uint64_t now_ms) {
  Written written;
  written.shape = shape_of(key, answer);
  // Exactly as long as the entry, so that a sanitizer sees every byte beyond it.
  written.memory.assign((written.shape.bytes + 7) / 8, 0x5a5a5a5a5a5a5a5a);
  written.entry = write_entry(written.memory.data(), written.shape, key, answer, now_ms);
  return written;
}

void expect_round_trip(const Key& key, const AnswerView& answer, bool wide) {
  const Written written = write(key, answer, 123456789);
  ASSERT_EQ(written.shape.wide, wide);
  const AnswerView view = view_of(*written.entry);
  ASSERT_TRUE(same_answer(view, answer));
  ASSERT_EQ(reinterpret_cast<uintptr_t>(view.ttl_offsets) % 2, 0u);
  ASSERT_EQ((view.body - bytes_of(*written.entry)) % 16, 0);
  ASSERT_TRUE(entry_has_key(*written.entry, key));
  ASSERT_EQ(key_of(*written.entry).len, key.len);
  ASSERT_EQ(born_ms_of(*written.entry), 123456789u);
  ASSERT_EQ(written.entry->visited.load(), 0);
  ASSERT_EQ(written.shape.bytes, shape_of(*written.entry).bytes);
}

TEST(Entry, SingleAddressRecordIsOneLine) {
  // 26 octets of name, 16 of body (compressed owner, type, class, TTL, length, address).
  const Answer answer = make_answer(1, 0, 16, 300, Kind::positive, 1);
  EXPECT_EQ(shape_of(make_key(1, kKeyHeadBytes + 26), answer.view).bytes, 64u);
}

TEST(Entry, HundredBytesOfPayloadAreTwoLines) {
  const Answer answer = make_answer(1, 0, 76, 300, Kind::positive, 4);
  EXPECT_EQ(shape_of(make_key(1, kKeyHeadBytes + 24), answer.view).bytes, 128u);
}

TEST(Entry, RoundTripsEveryKind) {
  const Key key = make_key(77);
  expect_round_trip(key, make_answer(1, 1, 100, 300).view, false);
  expect_round_trip(key, make_answer(1, 2, 75, 300, Kind::negative, 1).view, false);
  expect_round_trip(key, make_answer(1, 3, 0, 5, Kind::failure, 0).view, false);
  AnswerView failure{};
  failure.failure = true;
  failure.rcode = 2;
  failure.lifetime_s = 5;
  expect_round_trip(key, failure, false);  // null pointers with nothing behind them
}

TEST(Entry, WhatOneSectionCannotSayIsWide) {
  const Key key = make_key(78);
  const auto wide = [&](auto&& change) {
    Answer answer = make_answer(1, 1, 120, 300);
    change(answer.view);
    expect_round_trip(key, answer.view, true);
  };
  wide([](AnswerView& v) {
    v.ar_cnt = 1;
    v.ns_end = 100;
  });
  wide([](AnswerView& v) {
    v.ns_cnt = 1;
    v.an_end = 60;
  });
  wide([](AnswerView& v) { v.an_cnt = 256; });
  wide([](AnswerView& v) { v.an_end = 60; });
  wide([](AnswerView& v) {
    v.an_cnt = 0;
    v.an_end = 0;
    v.ns_end = 0;
    v.ar_cnt = 2;
  });
  Answer many = make_answer(1, 1, 4000, 300, Kind::positive, 256);
  expect_round_trip(key, many.view, true);
}

TEST(Entry, RoundTripsAnyKeyLengthAndAnyCounts) {
  std::mt19937_64 random(19);
  for (int i = 0; i < 20000; ++i) {
    const auto len = static_cast<uint16_t>(kKeyHeadBytes + random() % 256);
    const auto body = static_cast<uint16_t>(random() % (i % 10 == 0 ? 4097 : 200));
    Answer answer = make_answer(
        random(), random(), body, static_cast<uint32_t>(random() % kLifetimeSecondsMax),
        static_cast<Kind>(random() % 3), static_cast<uint16_t>(random() % (i % 10 == 0 ? 512 : 8)));
    if (random() % 4 == 0) answer.view.ar_cnt = static_cast<uint16_t>(random());
    if (random() % 4 == 0) answer.view.ns_cnt = static_cast<uint16_t>(random());
    if (random() % 4 == 0) answer.view.an_end = static_cast<uint16_t>(random());
    if (random() % 4 == 0) answer.view.ns_end = static_cast<uint16_t>(random());
    answer.view.rcode = static_cast<uint8_t>(random() % 16);
    const Key key = make_key(random(), len);
    ASSERT_NO_FATAL_FAILURE(expect_round_trip(key, answer.view, !fits_narrow(answer.view)));
  }
}

TEST(Entry, TimeIsExact) {
  const Answer answer = make_answer(1, 0, 16, 7);
  const Written written = write(make_key(1), answer.view, 10'999);
  const Entry& entry = *written.entry;
  EXPECT_EQ(expires_ms_of(entry), 17'999u);
  EXPECT_EQ(due_tick_of(entry), 18u);
  EXPECT_TRUE(is_fresh(entry, 17'998));
  EXPECT_FALSE(is_fresh(entry, 17'999));
  EXPECT_EQ(age_s_of(entry, 11'998), 0u);
  EXPECT_EQ(age_s_of(entry, 11'999), 1u);
  EXPECT_EQ(age_s_of(entry, 17'998), 6u);
  EXPECT_EQ(age_s_of(entry, 10'000), 0u) << "a reader's clock may lie behind";
}

TEST(Entry, LifetimesAreShortenedToTheirLimit) {
  Answer answer = make_answer(1, 0, 16, UINT32_MAX);
  const Written written = write(make_key(1), answer.view, kClockMsMax - 5);
  EXPECT_EQ(lifetime_s_of(*written.entry), kLifetimeSecondsMax);
  EXPECT_EQ(born_ms_of(*written.entry), kClockMsMax - 5);
}

TEST(Entry, TouchStoresOnce) {
  const Written written = write(make_key(1), make_answer(1, 0, 16, 7).view, 0);
  touch(*written.entry);
  EXPECT_EQ(written.entry->visited.load(), 1);
  written.entry->visited.store(7);
  touch(*written.entry);
  EXPECT_EQ(written.entry->visited.load(), 7) << "a byte that is set is not stored again";
}

// Every length, a difference at every position.
TEST(KeyCompare, SeesEveryByte) {
  for (uint16_t len = kKeyHeadBytes; len <= kKeyBytesMax; ++len) {
    const Key key = make_key(len, len);
    std::vector<uint8_t> copy(key.bytes, key.bytes + len);
    ASSERT_TRUE(equal_bytes(copy.data(), key.bytes, len));
    for (uint16_t at = 0; at < len; ++at) {
      copy[at] ^= 0x20;
      ASSERT_FALSE(equal_bytes(copy.data(), key.bytes, len)) << len << " at " << at;
      copy[at] ^= 0x20;
    }
  }
}

TEST(KeyCompare, APrefixIsAnotherKey) {
  const Key key = make_key(5, 40);
  const Written written = write(key, make_answer(1, 0, 16, 7).view, 0);
  Key shorter = key;
  shorter.len = 39;
  Key longer = key;
  longer.len = 41;
  EXPECT_TRUE(entry_has_key(*written.entry, key));
  EXPECT_FALSE(entry_has_key(*written.entry, shorter));
  EXPECT_FALSE(entry_has_key(*written.entry, longer));
}

}  // namespace
}  // namespace millrace::cache
