// SPDX-License-Identifier: Apache-2.0
#pragma once
// One shard of the answer cache: one writer, any number of wait-free readers.
// (This is the contract; the layout pictures stand in the headers it includes.)
//
// Threads: exactly one thread at a time calls the owner's functions (insert, remove, expire, walk);
// any thread that takes part in the grace period calls lookup_burst and may use the entries it got
// until its next quiescent state. Publication is one atomic 8-byte store per entry.
// Memory: lives in one region handed to `format`, uses offsets only, never grows. Footprint and
// slack: see region_layout.hpp.
// Failure: format() names what is wrong with a region; insert() never fails the caller: it reports.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/base/answer_view.hpp"
#include "dataplane/base/grace.hpp"
#include "dataplane/base/key.hpp"

namespace millrace::cache {

struct Entry;  // see entry.hpp

class Shard;   // the owner's handle and the readers' view; see shard.hpp

// What a lookup found. `entry` null: a miss.
struct Found {
  const Entry* entry;
  uint32_t age_s;  // whole seconds since insertion; < lifetime
};

enum class InsertResult : uint8_t { stored, replaced, no_memory, too_large };

// In shard.hpp:
//
//   class Shard {
//    public:
//     // Region of `bytes` (>= kRegionBytesMin) at a 64-byte aligned address, all zero or not.
//     // Returns an empty view, or what is wrong.
//     static std::string_view format(void* region, std::size_t bytes, uint32_t shard_idx) noexcept;
//     // Attaches this handle to a formatted region. The grace period must outlive the handle.
//     std::string_view attach(void* region, std::size_t bytes, GracePeriod grace) noexcept;
//
//     // --- owner only
//     InsertResult insert(const Key& key, const AnswerView& answer, uint64_t now_ms) noexcept;
//     bool remove(const Key& key) noexcept;
//     // Turns the wheel: reclaims at most `budget` entries whose time is over; returns how many.
//     uint32_t expire(uint64_t now_ms, uint32_t budget) noexcept;
//     // Gives retired memory back once its grace period has passed; bounded work.
//     void reclaim() noexcept;
//     // Visits `buckets` index buckets from `cursor` on; removes entries for which match() is true.
//     // Returns the new cursor; kWalkEnd when the shard has been walked whole.
//     template <class Match> uint64_t walk_remove(uint64_t cursor, uint32_t buckets, Match&&,
//                                                 uint32_t& removed) noexcept;
//     // Visits entries without removing; for `cache lookup`.
//     template <class Visit> uint64_t walk(uint64_t cursor, uint32_t buckets, Visit&&) const noexcept;
//     struct Gauges { uint64_t entries, memory_used, memory_total, evicted, expired; };
//     const Gauges& gauges() const noexcept;
//   };
//
//   // --- readers: keys[i] is looked up in shards[i]; staged prefetch over the burst, n <= kBurstMax.
//   void lookup_burst(const Shard* const shards[], const Key* const keys[], uint32_t n,
//                     uint64_t now_ms, Found found[]) noexcept;
//   AnswerView view_of(const Entry&) noexcept;
//   // Marks the entry as used, with a store only if it was not (the policy's one byte).
//   void touch(const Entry&) noexcept;

}  // namespace millrace::cache
