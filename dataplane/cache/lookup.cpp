// SPDX-License-Identifier: Apache-2.0
#include "dataplane/cache/lookup.hpp"

#include "dataplane/cache/key_compare.hpp"
#include "dataplane/cache/slot.hpp"

namespace millrace::cache {

namespace {

struct Probe {
  const Bucket* bucket;
  const Entry* entry;  // the candidate that stage 4 compares; null: none
  Place place;
  uint32_t mask;  // slots of `bucket` that carry the tag and have not been tried
  bool second;    // `bucket` is the second one
};

void prefetch_entry(const Entry* entry, uint32_t lines) noexcept {
  const auto* line = reinterpret_cast<const std::byte*>(entry);
  for (uint32_t i = 0; i < lines; ++i)
    __builtin_prefetch(line + i * kCacheLineBytes);
}

const Entry* next_candidate(const ShardView& shard, Probe& probe) noexcept {
  while (probe.mask != 0) {
    const auto slot = static_cast<uint32_t>(std::countr_zero(probe.mask));
    probe.mask &= probe.mask - 1;
    // Acquire: pairs with the release store of BasicShard::publish; the entry's bytes come with it.
    const SlotWord word = probe.bucket->slots[slot].load(std::memory_order_acquire);
    if (slot_is_empty(word) || slot_tag(word) != probe.place.tag) continue;
    const Entry* const entry = shard.entry(slot_entry_no(word));
    prefetch_entry(entry, slot_lines(word));
    return entry;
  }
  return nullptr;
}

bool has_spills(const Bucket& bucket) noexcept {
  // Relaxed: a count. The owner raises it before it publishes the entry that spilled; a reader that
  // sees neither misses a key that is being inserted at this moment.
  return slot_spills(bucket.slots[0].load(std::memory_order_relaxed)) != 0;
}

void open_second(const ShardView& shard, Probe& probe) noexcept {
  const uint32_t bucket_idx =
      other_bucket(probe.place.bucket_idx, probe.place.tag, shard.bucket_cnt());
  probe.bucket = &shard.bucket(bucket_idx);
  probe.second = true;
  __builtin_prefetch(probe.bucket);
}

void match(const ShardView& shard, Probe& probe) noexcept {
  probe.mask = match_tag(*probe.bucket, probe.place.tag);
  probe.entry = next_candidate(shard, probe);
}

// Compares candidates until one is the key's; a second one is rarer than one in a million.
const Entry* resolve(const ShardView& shard, Probe& probe, const Key& key) noexcept {
  for (;;) {
    for (; probe.entry != nullptr; probe.entry = next_candidate(shard, probe)) {
      if (entry_has_key(*probe.entry, key)) return probe.entry;
    }
    if (probe.second || !has_spills(*probe.bucket)) return nullptr;
    open_second(shard, probe);
    match(shard, probe);
  }
}

}  // namespace

void lookup_burst(const ShardView* const shards[], const Key* const keys[], uint32_t n,
                  uint64_t now_ms, Found found[]) noexcept {
  Probe probes[kBurstMax];
  for (uint32_t i = 0; i < n; ++i) {
    Probe& probe = probes[i];
    probe.place = place_of(keys[i]->hash, shards[i]->bucket_cnt());
    probe.bucket = &shards[i]->bucket(probe.place.bucket_idx);
    probe.second = false;
    __builtin_prefetch(probe.bucket);
  }
  bool spilled = false;
  for (uint32_t i = 0; i < n; ++i) {
    match(*shards[i], probes[i]);
    if (probes[i].entry == nullptr && has_spills(*probes[i].bucket)) {
      open_second(*shards[i], probes[i]);
      spilled = true;
    }
  }
  for (uint32_t i = 0; spilled && i < n; ++i) {
    if (probes[i].second) match(*shards[i], probes[i]);
  }
  for (uint32_t i = 0; i < n; ++i) {
    const Entry* const entry = resolve(*shards[i], probes[i], *keys[i]);
    if (entry != nullptr && is_fresh(*entry, now_ms)) [[likely]] {
      found[i].entry = entry;
      found[i].age_s = age_s_of(*entry, now_ms);
    } else {
      found[i] = Found{nullptr, 0, entry};
    }
  }
}

}  // namespace millrace::cache
