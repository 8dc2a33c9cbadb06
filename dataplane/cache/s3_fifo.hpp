// SPDX-License-Identifier: Apache-2.0
#pragma once
// S3-FIFO as an eviction policy (eviction_policy.hpp): a small and a main list, and a ghost.
//
//   new --> small (a tenth) --+-- used ------> main --+-- used --> main again, as the newest
//                             |                 ^     |
//                             +-- not used      |     +-- not used --> gone
//                                   |           |
//                                   v           |
//                                 gone, but its key stays in the ghost; comes back --> main
//
// What is asked for once leaves by the small list soon, and does not push out what is asked for
// again. (Yang et al., SOSP 2023; here with one bit of use instead of two, for a reader's store
// must not depend on what it read beyond zero or not.) The small list yields while it holds more
// than a tenth of its queue, else the main one does.
//
// The ghost is a table of lines, one for 8 buckets of the index, shared by all queues:
//
//    0      2                                                         64
//    +------+---------------------------------------------------------+
//    | next | 31 fingerprints: the low 16 bits of the key's tag       |
//    +------+---------------------------------------------------------+
//
// each a FIFO of its own: `next` is overwritten next. A key's line follows from its first bucket.
// So it remembers 3.9 keys for each bucket of the index; a shard of answers of 100 bytes holds 4.8
// entries for each, and the paper's ghost has as many keys as the main list has entries. A tag of 0
// in its low bits is remembered as 1; a stranger is taken for a known key once in 2000 insertions.
//
// Memory: 8 bytes for each queue, 8 bytes for each bucket of the index (1.7 for an entry of such a
// shard; 1 % of the region), one bit in each record.
// Cost: beyond the lists', add reads one line of the ghost and pick writes one.

#include "dataplane/cache/eviction_policy.hpp"

#include <algorithm>
#include <bit>

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

struct S3Fifo {
  static constexpr uint32_t kId = 2;
  static constexpr uint32_t kHeadsPerQueue = 2;
  static constexpr std::size_t kTableBytesPerBucket = sizeof(GhostLine) / kBucketsPerGhostLine;
  static constexpr uint32_t kSmallDivisor = 10;

  struct QueueState {
    uint32_t small_cnt;
    uint32_t main_cnt;
  };

  template <PolicyItems Items>
  class On;
};

template <PolicyItems Items>
class S3Fifo::On {
 public:
  On(const Items& items, QueueState* queues, std::byte* table) noexcept
      : items_(items), queues_(queues), ghost_(reinterpret_cast<GhostLine*>(table)) {}

  void add(uint32_t queue, Ref ref) noexcept { link(queue, ref, forget(items_.place(ref))); }

  void remove(uint32_t queue, Ref ref) noexcept {
    unlink_from_queue(items_, ref);
    --(items_.record(ref).in_main ? queues_[queue].main_cnt : queues_[queue].small_cnt);
  }

  Ref candidate(uint32_t queue) const noexcept {
    if (cnt(queue) == 0) return kNoRef;
    return items_.record(head_of(queue, !small_yields(queue))).queue_prev;
  }

  Ref pick(uint32_t queue) noexcept {
    Ref ref = candidate(queue);
    if (ref == kNoRef) return kNoRef;
    for (uint32_t step = 0; step < kPolicySteps && items_.take_mark(ref); ++step) {
      remove(queue, ref);
      link(queue, ref, true);
      ref = candidate(queue);
    }
    if (!items_.record(ref).in_main) remember(items_.place(ref));
    return ref;
  }

  uint32_t cnt(uint32_t queue) const noexcept {
    return queues_[queue].small_cnt + queues_[queue].main_cnt;
  }

  uint32_t main_cnt(uint32_t queue) const noexcept { return queues_[queue].main_cnt; }

 private:
  static Ref head_of(uint32_t queue, bool main) noexcept { return 2 * queue + (main ? 1 : 0); }

  bool small_yields(uint32_t queue) const noexcept {
    const QueueState& state = queues_[queue];
    return state.main_cnt == 0 || state.small_cnt > cnt(queue) / kSmallDivisor;
  }

  void link(uint32_t queue, Ref ref, bool main) noexcept {
    link_newest(items_, head_of(queue, main), ref);
    items_.record(ref).in_main = main;
    ++(main ? queues_[queue].main_cnt : queues_[queue].small_cnt);
  }

  static uint16_t fingerprint_of(const Place& place) noexcept {
    return std::max(static_cast<uint16_t>(place.tag), uint16_t{1});
  }
  GhostLine& line_of(const Place& place) const noexcept {
    return ghost_[place.bucket_idx / kBucketsPerGhostLine];
  }

  void remember(const Place& place) noexcept {
    GhostLine& line = line_of(place);
    line.fingerprints[line.next] = fingerprint_of(place);
    line.next = static_cast<uint16_t>(line.next + 1u < kGhostsPerLine ? line.next + 1 : 0);
  }

  // True when the key was in the ghost; it no longer is.
  bool forget(const Place& place) noexcept {
    GhostLine& line = line_of(place);
    const uint32_t i = find_ghost(line, fingerprint_of(place));
    if (i == kGhostsPerLine) return false;
    line.fingerprints[i] = 0;
    return true;
  }

  const Items items_;
  QueueState* const queues_;
  GhostLine* const ghost_;
};

static_assert(EvictionPolicy<S3Fifo>);

}  // namespace millrace::cache
