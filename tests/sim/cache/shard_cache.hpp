// SPDX-License-Identifier: Apache-2.0
#pragma once
// The real cache under a trace: shards of millrace::cache as a worker drives them.
//
// As many shards as the product makes of this memory (sixteen, fewer below 32 MiB), keys and
// answers of the trace's sizes in the real entry format, the boot clock of the trace. Lookup, touch
// and insert as worker/ does them; after every kQueriesPerTurn queries a turn of upkeep for one
// shard (expire, reclaim) ends, and readers pass: what was retired before it may be used again
// after it.
//
// Memory: regions of ordinary memory. Cost: about the lookup and the insert of the product.
#include "dataplane/base/key_hash.hpp"
#include "dataplane/cache/ttl_cache.hpp"
#include "tests/sim/cache/trace.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace millrace::cachesim {

inline constexpr uint32_t kShardsMax = 16;                     // as in control/config/host.cpp
inline constexpr uint64_t kShardBytesMin = uint64_t{2} << 20;  // there, too
inline constexpr uint32_t kQueriesPerTurn = 8;
inline constexpr uint32_t kExpireBudget = 16;  // entries per turn, as in worker_upkeep.cpp

// What the entry takes of the slab: its part of a page that is full of its size class.
inline uint32_t cost_bytes_of(const Object& object) {
  const cache::EntryShape shape =
      cache::shape_of(false, object.body_bytes, object.ttl_cnt, kKeyHeadBytes + object.name_bytes);
  return cache::kPageBytes / cache::class_shape(cache::class_of(shape.bytes)).objects;
}

inline std::vector<uint32_t> costs_of(const Trace& trace) {
  std::vector<uint32_t> costs;
  costs.reserve(trace.objects.size());
  for (const Object& object : trace.objects)
    costs.push_back(cost_bytes_of(object));
  return costs;
}

template <class Shard>
class ShardCache {
 public:
  // `bytes` for all shards together; throws std::runtime_error if a region cannot be made.
  ShardCache(const Trace& trace, uint64_t bytes) : objects_(trace.objects) {
    while (shard_cnt_ > 1 && shard_cnt_ * kShardBytesMin > bytes)
      shard_cnt_ /= 2;
    const std::size_t region_bytes = bytes / shard_cnt_ & ~uint64_t{4095};
    shards_.resize(shard_cnt_);
    for (uint32_t i = 0; i < HashSecret::kBytes; ++i)
      secret_.bytes[i] = static_cast<uint8_t>(i * 151 + 7);
    for (uint32_t i = 0; i < shard_cnt_; ++i) {
      regions_.emplace_back(std::aligned_alloc(4096, region_bytes), &std::free);
      void* const region = regions_.back().get();
      if (region == nullptr) throw std::runtime_error("no memory for the shards");
      std::string_view wrong = Shard::format(region, region_bytes, i);
      if (wrong.empty()) wrong = shards_[i].attach(region, region_bytes, grace());
      if (!wrong.empty()) throw std::runtime_error(std::string(wrong));
    }
  }

  bool lookup(uint32_t object, uint64_t now_ms) {
    make_key(object);
    Shard& shard = shards_[shard_of(key_.hash)];
    const cache::ShardView* const shards[] = {&shard};
    const Key* const keys[] = {&key_};
    cache::Found found[1];
    lookup_burst(shards, keys, 1, now_ms, found);
    if (++queries_ % kQueriesPerTurn == 0) turn(now_ms);
    if (found[0].entry == nullptr) return false;
    cache::touch(*found[0].entry);
    return true;
  }

  // After lookup() of the same object.
  void insert(uint32_t object, uint64_t now_ms) {
    const Object& like = objects_[object];
    if (like.ttl_s == 0) return;
    AnswerView answer{};
    answer.body = body_;
    answer.ttl_offsets = ttl_offsets_;
    answer.body_bytes = like.body_bytes;
    answer.ttl_cnt = like.ttl_cnt;
    (like.negative ? answer.ns_cnt : answer.an_cnt) = like.ttl_cnt;
    answer.an_end = like.negative ? uint16_t{0} : like.body_bytes;
    answer.ns_end = like.body_bytes;
    answer.rcode = like.negative ? 3 : 0;
    answer.negative = like.negative;
    answer.lifetime_s = like.ttl_s;
    shards_[shard_of(key_.hash)].insert(key_, answer, now_ms);
  }

  // Of slab pages, all shards together: what the reference policies get.
  uint64_t capacity_bytes() const {
    uint64_t bytes = 0;
    for (const Shard& shard : shards_)
      bytes += shard.gauges().memory_total;
    return bytes;
  }
  uint64_t entries() const {
    uint64_t cnt = 0;
    for (const Shard& shard : shards_)
      cnt += shard.gauges().entries;
    return cnt;
  }

 private:
  uint32_t shard_of(uint64_t hash) const {
    return static_cast<uint32_t>(hash >> 32) & (shard_cnt_ - 1);
  }

  GracePeriod grace() {
    const auto start = [](void* self) noexcept {
      return ++static_cast<ShardCache*>(self)->tokens_;
    };
    const auto passed = [](void* self, uint64_t token) noexcept {
      return token <= static_cast<ShardCache*>(self)->passed_;
    };
    return GracePeriod{this, start, passed};
  }

  void turn(uint64_t now_ms) {
    Shard& shard = shards_[upkeep_shard_++ % shard_cnt_];
    shard.expire(now_ms, kExpireBudget);
    shard.reclaim();
    passed_ = tokens_;
  }

  // The number and zeroes, as long as the name.
  void make_key(uint32_t object) {
    key_.len = static_cast<uint16_t>(kKeyHeadBytes + objects_[object].name_bytes);
    std::memcpy(key_.bytes + kKeyHeadBytes, &object, sizeof object);
    key_.hash = hash_key(secret_, key_);
  }

  const std::vector<Object>& objects_;
  std::vector<std::unique_ptr<void, void (*)(void*)>> regions_;
  uint32_t shard_cnt_ = kShardsMax;
  std::vector<Shard> shards_;
  HashSecret secret_;
  Key key_{};
  uint8_t body_[2048] = {};
  uint16_t ttl_offsets_[128] = {};
  uint64_t queries_ = 0;
  uint32_t upkeep_shard_ = 0;
  uint64_t tokens_ = 0;
  uint64_t passed_ = 0;
};

}  // namespace millrace::cachesim
