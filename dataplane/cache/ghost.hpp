// SPDX-License-Identifier: Apache-2.0
#pragma once
// The ghost: which keys left a cache lately because memory was short or their time was over.
//
// A key that comes back while it is remembered is one that is asked for again and again, only more
// rarely than its entry lives: the eviction policy keeps it from the start as if it had been used
// (eviction_policy.hpp). Most names of DNS expire between two uses of the kind that a policy can
// see, so what has expired is remembered too.
//
// A table of lines, one for 8 buckets of the index:
//
//    0      2                                                         64
//    +------+---------------------------------------------------------+
//    | next | 31 fingerprints: the low 16 bits of the key's tag       |
//    +------+---------------------------------------------------------+
//
// each a FIFO of its own: `next` is overwritten next. A key's line follows from its first bucket.
// So 3.9 keys are remembered for each bucket of the index, about as many as a shard holds entries
// (4.8 of 100 bytes, 4 of the simulator's traces). In the simulator half of that is as good for a
// flat popularity and worse for a steep one, and twice is the other way round. A tag of 0 in its
// low bits is remembered as 1; a stranger is taken for a known key once in 2000 times.
//
// Threads: the owner's. Memory: the caller's: ghost_bytes(), 64-byte aligned, all zeroes at first;
// 8 bytes for each bucket of the index, 1 % of a region. Cost: take reads one line, put writes one.

#include "dataplane/base/cache_line.hpp"
#include "dataplane/cache/slot.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace millrace::cache {

inline constexpr uint32_t kGhostsPerLine = 31;
inline constexpr uint32_t kBucketsPerGhostLine = 8;

struct alignas(kCacheLineBytes) GhostLine {
  uint16_t next;
  uint16_t fingerprints[kGhostsPerLine];  // 0: none
};
static_assert(sizeof(GhostLine) == kCacheLineBytes);
static_assert(std::has_unique_object_representations_v<GhostLine>);

constexpr std::size_t ghost_bytes(uint32_t bucket_cnt) noexcept {
  return (std::size_t{bucket_cnt} + kBucketsPerGhostLine - 1) / kBucketsPerGhostLine *
         sizeof(GhostLine);
}

// The place of the fingerprint in the line; kGhostsPerLine: it is not there.
inline uint32_t find_ghost(const GhostLine& line, uint16_t fingerprint) noexcept {
#if defined(__SSE2__)
  const auto* lanes = reinterpret_cast<const __m128i*>(&line);
  const __m128i wanted = _mm_set1_epi16(static_cast<short>(fingerprint));
  const auto match16 = [&](uint32_t at) noexcept {
    return static_cast<uint32_t>(_mm_movemask_epi8(
        _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(lanes + at), wanted),
                        _mm_cmpeq_epi16(_mm_load_si128(lanes + at + 1), wanted))));
  };
  // Bit 0 would be `next`. Without a match 31 zeroes remain above it.
  const uint32_t matches = (match16(0) | match16(2) << 16) >> 1;
  return static_cast<uint32_t>(std::countr_zero(matches | 1u << kGhostsPerLine));
#else
  uint32_t i = 0;
  while (i < kGhostsPerLine && line.fingerprints[i] != fingerprint)
    ++i;
  return i;
#endif
}

class Ghost {
 public:
  explicit Ghost(std::byte* table) noexcept : lines_(reinterpret_cast<GhostLine*>(table)) {}

  // The key there leaves.
  void put(const Place& place) noexcept {
    GhostLine& line = line_of(place);
    line.fingerprints[line.next] = fingerprint_of(place);
    line.next = static_cast<uint16_t>(line.next + 1u < kGhostsPerLine ? line.next + 1 : 0);
  }

  // True when the key was remembered; it no longer is.
  bool take(const Place& place) noexcept {
    GhostLine& line = line_of(place);
    const uint32_t i = find_ghost(line, fingerprint_of(place));
    if (i == kGhostsPerLine) return false;
    line.fingerprints[i] = 0;
    return true;
  }

 private:
  static uint16_t fingerprint_of(const Place& place) noexcept {
    return std::max(static_cast<uint16_t>(place.tag), uint16_t{1});
  }
  GhostLine& line_of(const Place& place) const noexcept {
    return lines_[place.bucket_idx / kBucketsPerGhostLine];
  }

  GhostLine* const lines_;
};

}  // namespace millrace::cache
