// SPDX-License-Identifier: Apache-2.0
#pragma once
// The readers' way through the cache: a burst of keys, looked up stage by stage.
//
//   1 first bucket of every key prefetched                                   begin_lookup
//   2 tags compared; the entry that a tag names prefetched, or the second    finish_lookups
//     bucket if entries spilled
//   3 the same for the second buckets
//   4 full key compare, lifetime
//
// so that up to kBurstMax memory accesses are in flight at once and a key costs a share of the
// latency, not all of it. A caller that has other work for each key (a worker still reads its
// packets) begins each lookup as soon as it knows the hash; others call lookup_burst.
//
// Threads: any that takes part in the grace period of the shard; what is found may be used until
// its next quiescent state. Runs beside the owner without a lock or a retry: a key that is being
// inserted or removed at that moment is found or not, a key that is being replaced is found as it
// was or as it is to be. No store at all, save touch().
// Cost: a miss reads one line (two when entries spilled out of the first bucket); a hit reads also
// the lines of the entry.
// Failure: none; a miss is a null entry. What is over but not yet reclaimed is a miss that names
// the stale entry: whether it may be served, and until when, is the caller's to say.

#include "dataplane/base/frame.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/base/prefetch.hpp"
#include "dataplane/cache/entry.hpp"
#include "dataplane/cache/region_layout.hpp"
#include "dataplane/cache/slot.hpp"

#include <cstdint>

namespace millrace::cache {

// What readers know of a shard: the index and where entries lie. It does not change after
// BasicShard::attach, and it is the same whatever the eviction policy is.
class ShardView {
 public:
  uint32_t bucket_cnt() const noexcept { return bucket_cnt_; }
  const Bucket& bucket(uint32_t bucket_idx) const noexcept { return buckets_[bucket_idx]; }
  const Entry* entry(uint32_t entry_no) const noexcept {
    return reinterpret_cast<const Entry*>(region_.object(entry_no));
  }

 protected:
  Region region_{};
  Bucket* buckets_ = nullptr;
  uint32_t bucket_cnt_ = 0;
};

// One key on its way. After finish_lookups only `entry` and `stale` mean something.
struct Lookup {
  const ShardView* shard;
  const Key* key;
  const Bucket* bucket;
  const Entry* entry;  // what was found; null: a miss. In between: the candidate, null: none
  const Entry* stale;  // of a miss: the key's entry whose time is over, or null
  Place place;
  uint32_t mask;  // slots of `bucket` that carry the tag and have not been tried
  bool second;    // `bucket` is the second one
};

// `shard` and `key`, whose hash this is, must stay until finish_lookups.
inline void begin_lookup(Lookup& lookup, const ShardView& shard, const Key& key,
                         uint64_t hash) noexcept {
  lookup.shard = &shard;
  lookup.key = &key;
  lookup.place = place_of(hash, shard.bucket_cnt());
  lookup.bucket = &shard.bucket(lookup.place.bucket_idx);
  prefetch(lookup.bucket);
}

// n <= kBurstMax. Tags are compared with AVX2 where the CPU has it, else with SSE2. Answers which
// of the hits should be asked for again (bit i: lookups[i]): those at or past ageing_ms_of() with
// `ageing_ms_per_s`. It costs a hit nothing: one comparison asks for that and for the end.
uint32_t finish_lookups(Lookup lookups[], uint32_t n, uint64_t now_ms,
                        uint32_t ageing_ms_per_s = 1000) noexcept;

// What a lookup found. `entry` null: a miss.
struct Found {
  const Entry* entry;
  uint32_t age_s;      // whole seconds since insertion; < lifetime; of a miss: 0
  const Entry* stale;  // set on a miss only: the key's entry whose time is over, or null
};

// keys[i] is looked up in shards[i]; n <= kBurstMax. Keys and shards may repeat.
void lookup_burst(const ShardView* const shards[], const Key* const keys[], uint32_t n,
                  uint64_t now_ms, Found found[]) noexcept;

}  // namespace millrace::cache
