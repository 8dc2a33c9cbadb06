// SPDX-License-Identifier: Apache-2.0
#include "dataplane/cache/lookup.hpp"

#include "dataplane/cache/key_compare.hpp"

namespace millrace::cache {

namespace {

// Nearly every entry has one line or two, so two are asked for without a branch.
inline void prefetch_entry(const Entry* entry, uint32_t lines) noexcept {
  const auto* line = reinterpret_cast<const std::byte*>(entry);
  prefetch(line);
  prefetch(line + (lines > 1 ? kCacheLineBytes : 0));
  for (uint32_t i = 2; i < lines; ++i) prefetch(line + i * kCacheLineBytes);
}

inline const Entry* next_candidate(Lookup& lookup) noexcept {
  while (lookup.mask != 0) {
    const auto slot = static_cast<uint32_t>(std::countr_zero(lookup.mask));
    lookup.mask &= lookup.mask - 1;
    // Acquire: pairs with the release store of Index::publish; the entry's bytes come with it.
    const SlotWord word = lookup.bucket->slots[slot].load(std::memory_order_acquire);
    if (slot_is_empty(word)) continue;  // an empty slot may match; another's key does not
    const Entry* const entry = lookup.shard->entry(slot_entry_no(word));
    prefetch_entry(entry, slot_lines(word));
    return entry;
  }
  return nullptr;
}

inline bool has_spills(const Bucket& bucket) noexcept {
  // Relaxed: a count. The owner raises it before it publishes the entry that spilled; a reader that
  // sees neither misses a key that is being inserted at this moment.
  return slot_spills(bucket.slots[0].load(std::memory_order_relaxed)) != 0;
}

inline void open_second(Lookup& lookup) noexcept {
  const ShardView& shard = *lookup.shard;
  lookup.bucket = &shard.bucket(
      other_bucket(lookup.place.bucket_idx, lookup.place.tag, shard.bucket_cnt()));
  lookup.second = true;
  prefetch(lookup.bucket);
}

// The first candidate was not it, which is rarer than one in a million: the others, and then the
// second bucket.
[[gnu::noinline]] const Entry* search_on(Lookup& lookup) noexcept {
  for (;;) {
    while ((lookup.entry = next_candidate(lookup)) != nullptr) {
      if (entry_has_key(*lookup.entry, *lookup.key)) return lookup.entry;
    }
    if (lookup.second || !has_spills(*lookup.bucket)) return nullptr;
    open_second(lookup);
    lookup.mask = match_tag(*lookup.bucket, lookup.place.tag);
  }
}

// Stages 2 to 4. `match` compares a bucket's tags.
template <class Match>
[[gnu::always_inline]] inline uint32_t finish(Lookup lookups[], uint32_t n, uint64_t now_ms,
                                              uint32_t ageing_ms_per_s, Match match) noexcept {
  bool spilled = false;
  uint32_t ageing = 0;
  for (uint32_t i = 0; i < n; ++i) {
    Lookup& lookup = lookups[i];
    lookup.second = false;
    lookup.mask = match(*lookup.bucket, lookup.place.tag);
    lookup.entry = next_candidate(lookup);
    if (lookup.entry == nullptr && has_spills(*lookup.bucket)) {
      open_second(lookup);
      spilled = true;
    }
  }
  for (uint32_t i = 0; spilled && i < n; ++i) {
    Lookup& lookup = lookups[i];
    if (!lookup.second) continue;
    lookup.mask = match(*lookup.bucket, lookup.place.tag);
    lookup.entry = next_candidate(lookup);
  }
  for (uint32_t i = 0; i < n; ++i) {
    Lookup& lookup = lookups[i];
    if (lookup.entry != nullptr && !entry_has_key(*lookup.entry, *lookup.key)) [[unlikely]] {
      lookup.entry = search_on(lookup);
    }
    if (lookup.entry != nullptr && now_ms < ageing_ms_of(*lookup.entry, ageing_ms_per_s)) continue;
    if (lookup.entry == nullptr || !is_fresh(*lookup.entry, now_ms)) {
      lookup.stale = lookup.entry;
      lookup.entry = nullptr;
    } else {
      ageing |= uint32_t{1} << i;
    }
  }
  return ageing;
}

uint32_t finish_baseline(Lookup lookups[], uint32_t n, uint64_t now_ms,
                         uint32_t ageing_ms_per_s) noexcept {
  const auto match = [](const Bucket& bucket, uint32_t tag) noexcept {
    return match_tag(bucket, tag);
  };
  return finish(lookups, n, now_ms, ageing_ms_per_s, match);
}

#if MR_HAVE_AVX2
[[gnu::target("avx2")]] uint32_t finish_avx2(Lookup lookups[], uint32_t n, uint64_t now_ms,
                                             uint32_t ageing_ms_per_s) noexcept {
  struct Match {
    [[gnu::target("avx2")]] uint32_t operator()(const Bucket& bucket, uint32_t tag) const noexcept {
      return match_tag_avx2(bucket, tag);
    }
  };
  return finish(lookups, n, now_ms, ageing_ms_per_s, Match{});
}

// Chosen before main(): a program either has AVX2 for all its life or it does not.
const auto finish_best = __builtin_cpu_supports("avx2") ? finish_avx2 : finish_baseline;
#else
constexpr auto finish_best = finish_baseline;
#endif

}  // namespace

uint32_t finish_lookups(Lookup lookups[], uint32_t n, uint64_t now_ms,
                        uint32_t ageing_ms_per_s) noexcept {
  return finish_best(lookups, n, now_ms, ageing_ms_per_s);
}

void lookup_burst(const ShardView* const shards[], const Key* const keys[], uint32_t n,
                  uint64_t now_ms, Found found[]) noexcept {
  Lookup lookups[kBurstMax];
  for (uint32_t i = 0; i < n; ++i) begin_lookup(lookups[i], *shards[i], *keys[i], keys[i]->hash);
  finish_lookups(lookups, n, now_ms);
  for (uint32_t i = 0; i < n; ++i) {
    const Entry* const entry = lookups[i].entry;
    found[i] = entry != nullptr ? Found{entry, age_s_of(*entry, now_ms), nullptr}
                                : Found{nullptr, 0, lookups[i].stale};
  }
}

}  // namespace millrace::cache
