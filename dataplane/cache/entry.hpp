// SPDX-License-Identifier: Apache-2.0
#pragma once
// An entry: one answer and its key, in one 64-byte aligned object of the slab.
//
//   narrow form                                    wide form
//    0  born_ms << 24 | lifetime_s          8       0  as narrow, `wide` set     16
//    8  visited: Mark                       1      16  Wide                      16
//    9  rcode:4 ad:1 negative:1 failure:1   1      32  body
//       wide:1                                      .  (then as narrow)
//   10  name_len (key bytes less 4)         1
//   11  record_cnt                          1
//   12  body_bytes                          2
//   14  body_sum                            2
//   16  body                                       at a multiple of 16
//    .  ttl_offsets                                at the next even offset
//    .  key                                        up to 259 bytes, the entry ends with it
//
// Nearly all answers are narrow: one section holds all the records, the authority section if the
// answer is negative, each has one TTL, and no count passes 255; so where the sections end need not
// be stored. The sum of the body (base/checksum.hpp) is there for the reply's checksum. With one A
// record under a name of 26 octets or less the whole entry is one cache line; 100 bytes of name and
// body with up to 4 TTLs are two. There is no hash in here: the key is compared in full whatever
// the hash says, and the index finds its way back without one.
//
// Threads: written whole by the owner before the slot that names it is stored (release, in
// BasicShard::insert); read after that slot was loaded (acquire, in lookup_burst). Immutable until
// the grace period after its removal, except `visited`, a hint of one byte that carries no other
// data.
// Cost: a hit reads the lines of the entry; touch() stores only if the byte was 0, and
// mark_refreshed() once in the life of an entry.
// Limits: lifetimes of 2^24 - 1 s (194 days; longer ones are shortened), a boot clock of 2^40 ms
// (34 years), kEntryBytesMax of region_layout.hpp.

#include "dataplane/base/answer_view.hpp"
#include "dataplane/base/key.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::cache {

inline constexpr uint32_t kLifetimeBits = 24;
inline constexpr uint32_t kLifetimeSecondsMax = (1u << kLifetimeBits) - 1;
inline constexpr uint64_t kClockMsMax = (uint64_t{1} << 40) - 1;

// Which budget an entry counts against. The first three are what an answer is; stale is what a
// positive or negative entry becomes when its time is over and it is kept for a while (shard.hpp).
enum class Kind : uint8_t { positive = 0, negative = 1, failure = 2, stale = 3 };
inline constexpr uint32_t kKinds = 4;

inline constexpr uint8_t kEntryRcodeMask = 0x0f;
inline constexpr uint8_t kEntryAuthenticData = 0x10;
inline constexpr uint8_t kEntryNegative = 0x20;
inline constexpr uint8_t kEntryFailure = 0x40;
inline constexpr uint8_t kEntryWide = 0x80;

// What `visited` says. Readers raise it; the owner, looking for a victim, takes it back to `none`.
enum class Mark : uint8_t {
  none = 0,
  hit = 1,        // since it was stored, or since the owner looked
  refreshed = 2,  // hit, and asked for again ahead of its end
};

struct Entry {
  uint64_t time;
  mutable std::atomic<uint8_t> visited;
  uint8_t flags;
  uint8_t name_len;
  uint8_t record_cnt;  // of a wide entry: 0
  uint16_t body_bytes;
  uint16_t body_sum;  // folded
};
static_assert(sizeof(Entry) == 16 && alignof(Entry) == 8);
static_assert(offsetof(Entry, visited) == 8 && offsetof(Entry, flags) == 9);
static_assert(offsetof(Entry, name_len) == 10 && offsetof(Entry, record_cnt) == 11);
static_assert(offsetof(Entry, body_bytes) == 12 && offsetof(Entry, body_sum) == 14);
static_assert(std::is_standard_layout_v<Entry> && std::is_trivially_destructible_v<Entry>);
static_assert(std::atomic<uint8_t>::is_always_lock_free && sizeof(std::atomic<uint8_t>) == 1);

struct Wide {
  uint16_t ttl_cnt, an_cnt, ns_cnt, ar_cnt, an_end, ns_end;
  uint32_t directory;  // 1: the body is no answer (AnswerView::directory); else 0
};
static_assert(sizeof(Wide) == 16 && std::has_unique_object_representations_v<Wide>);

struct KeyView {
  const uint8_t* bytes;
  uint16_t len;
};

// --- time

constexpr uint64_t pack_time(uint64_t born_ms, uint32_t lifetime_s) noexcept {
  const uint32_t kept_s = lifetime_s < kLifetimeSecondsMax ? lifetime_s : kLifetimeSecondsMax;
  return born_ms << kLifetimeBits | kept_s;
}

inline uint64_t born_ms_of(const Entry& entry) noexcept {
  return entry.time >> kLifetimeBits;
}
inline uint32_t lifetime_s_of(const Entry& entry) noexcept {
  return static_cast<uint32_t>(entry.time) & kLifetimeSecondsMax;
}

// The first moment at which the entry may no longer be served.
inline uint64_t expires_ms_of(const Entry& entry) noexcept {
  return born_ms_of(entry) + uint64_t{lifetime_s_of(entry)} * 1000;
}

// The wheel's second in which that moment has come.
inline uint64_t due_tick_of(const Entry& entry) noexcept {
  return (expires_ms_of(entry) + 999) / 1000;
}

// How long its time has been over; 0 while it is fresh.
inline uint32_t stale_s_of(const Entry& entry, uint64_t now_ms) noexcept {
  const uint64_t expires_ms = expires_ms_of(entry);
  return now_ms > expires_ms ? static_cast<uint32_t>((now_ms - expires_ms) / 1000) : 0;
}

inline bool is_fresh(const Entry& entry, uint64_t now_ms) noexcept {
  return now_ms < expires_ms_of(entry);
}

// The moment from which on it should be asked for again, when `ms_per_s` thousandths of its
// lifetime have passed: 1000 is the end itself.
inline uint64_t ageing_ms_of(const Entry& entry, uint32_t ms_per_s) noexcept {
  return born_ms_of(entry) + uint64_t{lifetime_s_of(entry)} * ms_per_s;
}

// Two cores read the clock at different moments, so `now_ms` may lie a little before the birth.
inline uint32_t age_s_of(const Entry& entry, uint64_t now_ms) noexcept {
  const uint64_t born_ms = born_ms_of(entry);
  return now_ms > born_ms ? static_cast<uint32_t>((now_ms - born_ms) / 1000) : 0;
}

// --- parts

inline Kind kind_of(const AnswerView& answer) noexcept {
  return answer.failure ? Kind::failure : answer.negative ? Kind::negative : Kind::positive;
}
// What the answer in it is, never Kind::stale: that is the owner's to know.
inline Kind kind_of(const Entry& entry) noexcept {
  return entry.flags & kEntryFailure    ? Kind::failure
         : entry.flags & kEntryNegative ? Kind::negative
                                        : Kind::positive;
}

// Offsets of the parts, from the entry's first byte.
struct EntryShape {
  uint32_t body;
  uint32_t ttl_offsets;
  uint32_t key;
  uint32_t bytes;  // of the whole entry
  bool wide;
};

constexpr EntryShape shape_of(bool wide, uint32_t body_bytes, uint32_t ttl_cnt,
                              uint32_t key_len) noexcept {
  EntryShape shape{};
  shape.wide = wide;
  shape.body = sizeof(Entry) + (wide ? sizeof(Wide) : 0);
  shape.ttl_offsets = (shape.body + body_bytes + 1) & ~1u;
  shape.key = shape.ttl_offsets + 2 * ttl_cnt;
  shape.bytes = shape.key + key_len;
  return shape;
}

inline bool fits_narrow(const AnswerView& answer) noexcept {
  if (answer.directory) return false;  // so nobody takes it for an answer on a short way
  if (answer.ar_cnt != 0 || answer.ns_end != answer.body_bytes) return false;
  if (answer.ttl_cnt > 255) return false;
  return answer.negative ? answer.ns_cnt == answer.ttl_cnt && answer.an_cnt == 0 &&
                               answer.an_end == 0
                         : answer.an_cnt == answer.ttl_cnt && answer.ns_cnt == 0 &&
                               answer.an_end == answer.body_bytes;
}

inline EntryShape shape_of(const Key& key, const AnswerView& answer) noexcept {
  return shape_of(!fits_narrow(answer), answer.body_bytes, answer.ttl_cnt, key.len);
}

inline const uint8_t* bytes_of(const Entry& entry) noexcept {
  return reinterpret_cast<const uint8_t*>(&entry);
}
inline const Wide& wide_of(const Entry& entry) noexcept {
  return *reinterpret_cast<const Wide*>(bytes_of(entry) + sizeof(Entry));
}

// Its body is the caller's own: not to be served.
inline bool is_directory(const Entry& entry) noexcept {
  return (entry.flags & kEntryWide) != 0 && wide_of(entry).directory != 0;
}

inline EntryShape shape_of(const Entry& entry) noexcept {
  const bool wide = (entry.flags & kEntryWide) != 0;
  return shape_of(wide, entry.body_bytes, wide ? wide_of(entry).ttl_cnt : entry.record_cnt,
                  kKeyHeadBytes + entry.name_len);
}

inline KeyView key_of(const Entry& entry) noexcept {
  return KeyView{bytes_of(entry) + shape_of(entry).key,
                 static_cast<uint16_t>(kKeyHeadBytes + entry.name_len)};
}

// The answer as it was inserted, pointing into the entry: valid as long as the entry is. Of a
// narrow entry (see the picture), which most are:
inline AnswerView narrow_view_of(const Entry& entry) noexcept {
  const EntryShape shape = shape_of(false, entry.body_bytes, entry.record_cnt, 0);
  const bool negative = (entry.flags & kEntryNegative) != 0;
  AnswerView view{};
  view.body = bytes_of(entry) + shape.body;
  view.ttl_offsets = reinterpret_cast<const uint16_t*>(bytes_of(entry) + shape.ttl_offsets);
  view.body_bytes = entry.body_bytes;
  view.ttl_cnt = entry.record_cnt;
  view.an_cnt = negative ? uint16_t{0} : entry.record_cnt;
  view.ns_cnt = negative ? entry.record_cnt : uint16_t{0};
  view.an_end = negative ? uint16_t{0} : entry.body_bytes;
  view.ns_end = entry.body_bytes;
  view.rcode = entry.flags & kEntryRcodeMask;
  view.authentic_data = (entry.flags & kEntryAuthenticData) != 0;
  view.negative = negative;
  view.failure = (entry.flags & kEntryFailure) != 0;
  view.lifetime_s = lifetime_s_of(entry);
  return view;
}

// Of any.
inline AnswerView view_of(const Entry& entry) noexcept {
  AnswerView view = narrow_view_of(entry);
  if ((entry.flags & kEntryWide) == 0) return view;
  const Wide& wide = wide_of(entry);
  const EntryShape shape = shape_of(entry);
  view.body = bytes_of(entry) + shape.body;
  view.ttl_offsets = reinterpret_cast<const uint16_t*>(bytes_of(entry) + shape.ttl_offsets);
  view.ttl_cnt = wide.ttl_cnt;
  view.an_cnt = wide.an_cnt;
  view.ns_cnt = wide.ns_cnt;
  view.ar_cnt = wide.ar_cnt;
  view.an_end = wide.an_end;
  view.ns_end = wide.ns_end;
  view.directory = wide.directory != 0;
  return view;
}

// Marks the entry as used, with a store only if it was not (the policy's one byte).
inline void touch(const Entry& entry) noexcept {
  // Relaxed: the byte publishes nothing; take_mark_of reads and clears it.
  if (entry.visited.load(std::memory_order_relaxed) == 0) {
    entry.visited.store(static_cast<uint8_t>(Mark::hit), std::memory_order_relaxed);
  }
}

inline Mark mark_of(const Entry& entry) noexcept {
  // Relaxed: as above. Another core may raise it at this moment; then both act on the lower mark.
  return static_cast<Mark>(entry.visited.load(std::memory_order_relaxed));
}
inline void mark_refreshed(const Entry& entry) noexcept {
  // Relaxed: as above.
  entry.visited.store(static_cast<uint8_t>(Mark::refreshed), std::memory_order_relaxed);
}

// --- owner only

// Writes the entry into `object` (16-byte aligned, shape.bytes long), which no reader can see yet.
Entry* write_entry(void* object, const EntryShape& shape, const Key& key, const AnswerView& answer,
                   uint64_t now_ms) noexcept;

}  // namespace millrace::cache
