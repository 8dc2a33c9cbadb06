// SPDX-License-Identifier: Apache-2.0
#pragma once
// A bucket of the index: one cache line of eight packed slots.
//
//   slot, one 64-bit word
//   63                    40 39     36 35 34   32 31                               0
//   +-----------------------+---------+--+-------+----------------------------------+
//   | tag                   | spills  |S | lines | entry number (units of 64 bytes) |
//   +-----------------------+---------+--+-------+----------------------------------+
//
//   entry number  0: the slot is empty (the region starts with its header, never with an entry).
//   lines         how many cache lines the entry takes, less one; 7 means eight or more. A reader
//                 prefetches by it before it has seen the entry.
//   S             the entry lives in its second bucket.
//   spills        slot 0 only: how many entries whose first bucket is this one live in their
//                 second. While it is 0 a reader that finds nothing here is done: a miss costs one
//                 line. It stops at 15 and then stays: from there on the second is always read.
//   tag           24 bits of the hash.
//
// A key has two candidate buckets and no others; entries never move between them, so a reader that
// runs beside the owner meets a key in its one place or not at all. The second is computed from the
// first and the tag, and the same sum gives the first from the second; so an entry's removal needs
// no hash. The number of buckets is any number.
//
// Threads: the owner stores whole words with release; a reader loads the word it uses with acquire.
// The vector compare reads the line with ordinary loads and is a filter only: what it names is
// loaded again, atomically, before it is believed, and what it overlooks was changing at that
// moment.
// Cost: a compare of eight slots is 4 loads and 8 vector instructions with SSE2, the x86-64
// baseline, and 2 loads and 6 with AVX2.
// Limits: 2^32 entry units (256 GiB).

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

// Vector compares of a bucket's tags. ThreadSanitizer takes the baseline, so that one function less
// has to be kept out of its sight.
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
#define MR_HAVE_AVX2 1
#else
#define MR_HAVE_AVX2 0
#endif

#include "dataplane/base/cache_line.hpp"

namespace millrace::cache {

inline constexpr uint32_t kSlotsPerBucket = 8;
inline constexpr uint32_t kTagBits = 24;
inline constexpr uint32_t kSpillsMax = 15;
inline constexpr uint32_t kSlotLinesMax = 8;

using SlotWord = uint64_t;

inline constexpr uint32_t kSlotLinesShift = 32;
inline constexpr uint32_t kSlotSecondShift = 35;
inline constexpr uint32_t kSlotSpillsShift = 36;
inline constexpr uint32_t kSlotTagShift = 40;
inline constexpr SlotWord kSlotSpillsMask = SlotWord{kSpillsMax} << kSlotSpillsShift;

struct alignas(kCacheLineBytes) Bucket {
  std::atomic<SlotWord> slots[kSlotsPerBucket];
};
static_assert(sizeof(Bucket) == kCacheLineBytes);
static_assert(std::atomic<SlotWord>::is_always_lock_free && sizeof(std::atomic<SlotWord>) == 8);
static_assert(kSlotTagShift + kTagBits == 64);

// `lines` >= 1; `spills` is the owner's to carry over (slot_spills of the word that is replaced).
constexpr SlotWord pack_slot(uint32_t entry_no, uint32_t tag, uint32_t lines, bool second,
                             uint32_t spills) noexcept {
  const uint32_t lines_code = (lines < kSlotLinesMax ? lines : kSlotLinesMax) - 1;
  return SlotWord{entry_no} | SlotWord{lines_code} << kSlotLinesShift |
         SlotWord{second} << kSlotSecondShift | SlotWord{spills} << kSlotSpillsShift |
         SlotWord{tag} << kSlotTagShift;
}

constexpr uint32_t slot_entry_no(SlotWord word) noexcept {
  return static_cast<uint32_t>(word);
}
constexpr uint32_t slot_tag(SlotWord word) noexcept {
  return static_cast<uint32_t>(word >> kSlotTagShift);
}
constexpr uint32_t slot_lines(SlotWord word) noexcept {
  return static_cast<uint32_t>(word >> kSlotLinesShift & (kSlotLinesMax - 1)) + 1;
}
constexpr bool slot_is_second(SlotWord word) noexcept {
  return word >> kSlotSecondShift & 1;
}
constexpr uint32_t slot_spills(SlotWord word) noexcept {
  return static_cast<uint32_t>(word >> kSlotSpillsShift) & kSpillsMax;
}
constexpr bool slot_is_empty(SlotWord word) noexcept {
  return slot_entry_no(word) == 0;
}

// Where a key may be: its first bucket, and the tag that leads to the second.
struct Place {
  uint32_t bucket_idx;
  uint32_t tag;
};

// The multiplication lets every bit of the hash reach the bucket number, so shards may be chosen by
// any of its top or bottom 8 bits without leaving buckets unused.
constexpr Place place_of(uint64_t hash, uint32_t bucket_cnt) noexcept {
  const uint64_t mixed = hash * 0x9e3779b97f4a7c15u;
  return Place{static_cast<uint32_t>((mixed >> 32) * bucket_cnt >> 32),
               static_cast<uint32_t>(mixed >> 8) & ((1u << kTagBits) - 1)};
}

// Its own inverse: other_bucket(other_bucket(b)) == b. The two are equal for one tag in bucket_cnt.
constexpr uint32_t other_bucket(uint32_t bucket_idx, uint32_t tag, uint32_t bucket_cnt) noexcept {
  const uint32_t sum = static_cast<uint32_t>(uint64_t{tag} * bucket_cnt >> kTagBits);
  return sum >= bucket_idx ? sum - bucket_idx : sum + (bucket_cnt - bucket_idx);
}

// Where the key belongs whose entry this slot names, being in that bucket.
constexpr Place place_of_slot(SlotWord word, uint32_t bucket_idx, uint32_t bucket_cnt) noexcept {
  const uint32_t tag = slot_tag(word);
  return Place{slot_is_second(word) ? other_bucket(bucket_idx, tag, bucket_cnt) : bucket_idx, tag};
}

// Owner only: which slot of the bucket names the entry. One of the eight does: if not one of the
// first seven, the last.
inline uint32_t slot_of_entry(const Bucket& bucket, uint32_t entry_no) noexcept {
  uint32_t i = 0;
  // Relaxed: the owner wrote it.
  while (i + 1 < kSlotsPerBucket &&
         slot_entry_no(bucket.slots[i].load(std::memory_order_relaxed)) != entry_no) {
    ++i;
  }
  return i;
}

// Bit i is set when slot i carries `tag`; an empty slot may match tag 0.
inline uint32_t match_tag_scalar(const Bucket& bucket, uint32_t tag) noexcept {
  uint32_t mask = 0;
  for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
    // Relaxed: a filter; whoever uses the slot loads it again with acquire.
    const SlotWord word = bucket.slots[i].load(std::memory_order_relaxed);
    mask |= static_cast<uint32_t>(slot_tag(word) == tag) << i;
  }
  return mask;
}

#if defined(__SSE2__)
#if defined(__clang__)
__attribute__((no_sanitize("thread")))
#elif defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize_thread))
#endif
inline uint32_t
match_tag(const Bucket& bucket, uint32_t tag) noexcept {
  const auto* line = reinterpret_cast<const __m128i*>(&bucket);
  const auto high_words = [](__m128i low_pair, __m128i high_pair) noexcept {
    return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(low_pair), _mm_castsi128_ps(high_pair),
                                           _MM_SHUFFLE(3, 1, 3, 1)));
  };
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
  const __m128i tags0 = _mm_srli_epi32(high_words(_mm_load_si128(line), _mm_load_si128(line + 1)),
                                       kSlotTagShift - 32);
  const __m128i tags4 = _mm_srli_epi32(
      high_words(_mm_load_si128(line + 2), _mm_load_si128(line + 3)), kSlotTagShift - 32);
  const int low = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(tags0, wanted)));
  const int high = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(tags4, wanted)));
  return static_cast<uint32_t>(low | high << 4);
}
#else
inline uint32_t match_tag(const Bucket& bucket, uint32_t tag) noexcept {
  return match_tag_scalar(bucket, tag);
}
#endif

#if MR_HAVE_AVX2
// The same, for a CPU that has AVX2.
[[gnu::target("avx2")]] inline uint32_t match_tag_avx2(const Bucket& bucket,
                                                       uint32_t tag) noexcept {
  const auto* line = reinterpret_cast<const __m256i*>(&bucket);
  const __m256i wanted = _mm256_set1_epi64x(tag);
  const __m256i tags0 = _mm256_srli_epi64(_mm256_load_si256(line), kSlotTagShift);
  const __m256i tags4 = _mm256_srli_epi64(_mm256_load_si256(line + 1), kSlotTagShift);
  const int low = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(tags0, wanted)));
  const int high = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(tags4, wanted)));
  return static_cast<uint32_t>(low | high << 4);
}
#endif

}  // namespace millrace::cache
