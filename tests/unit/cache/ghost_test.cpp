// SPDX-License-Identifier: Apache-2.0
// The ghost against a queue for each of its lines, step by step.
#include "dataplane/cache/ghost.hpp"

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::cache {
namespace {

constexpr uint32_t kBucketCnt = 61;

uint16_t fingerprint_of(const Place& place) {
  const auto low = static_cast<uint16_t>(place.tag);
  return low == 0 ? uint16_t{1} : low;
}

TEST(Ghost, TakesWholeLinesForAnyNumberOfBuckets) {
  EXPECT_EQ(ghost_bytes(1), 64u);
  EXPECT_EQ(ghost_bytes(8), 64u);
  EXPECT_EQ(ghost_bytes(9), 128u);
}

TEST(Ghost, RemembersTheLast31OfALine) {
  std::vector<GhostLine> table(ghost_bytes(kBucketCnt) / sizeof(GhostLine));
  Ghost ghost(reinterpret_cast<std::byte*>(table.data()));
  // The last 31 of each line, 0 where one was taken.
  std::vector<std::deque<uint16_t>> model(table.size());
  std::mt19937_64 random(1);
  uint32_t taken = 0;
  for (int i = 0; i < 200'000; ++i) {
    // Few keys, so that many come back; one has a tag that is zero in its low bits.
    const uint64_t number = random() % 1000;
    const uint64_t key = number * 0x9e3779b97f4a7c15u;
    const Place place{
        static_cast<uint32_t>(key >> 40) % kBucketCnt,
        number == 7 ? 0x120000 : static_cast<uint32_t>(key >> 8) & ((1u << kTagBits) - 1)};
    auto& line = model[place.bucket_idx / 8];
    if (random() % 2 == 0) {
      ghost.put(place);
      line.push_back(fingerprint_of(place));
      if (line.size() > 31) line.pop_front();
      continue;
    }
    // Two entries with one fingerprint: the one at the lower place is taken, whichever is older.
    const bool known = std::find(line.begin(), line.end(), fingerprint_of(place)) != line.end();
    ASSERT_EQ(ghost.take(place), known) << "step " << i;
    taken += known;
    const auto& at = table[place.bucket_idx / 8];
    for (std::size_t k = 0; k < line.size(); ++k) {
      // Oldest first: the newest stands just before `next`.
      line[k] = at.fingerprints[(at.next + 31 - line.size() + k) % 31];
    }
  }
  EXPECT_GT(taken, 10'000u);
}

}  // namespace
}  // namespace millrace::cache
