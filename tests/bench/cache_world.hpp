// SPDX-License-Identifier: Apache-2.0
#pragma once
// A cache filled with numbered answers, and its peers holding the same.
//
// Key n is 32 bytes that no two numbers share; its answer is one A record whose first eight bytes
// follow from n, so that every value that a lookup delivers can be checked. Numbers from kAbsent on
// are never inserted.

#include "dataplane/base/key_hash.hpp"
#include "dataplane/base/qsbr.hpp"
#include "dataplane/cache/ttl_cache.hpp"
#include "tests/bench/machine.hpp"

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

struct rte_hash;

namespace millrace::bench {

inline constexpr uint32_t kShardCnt = 16;
inline constexpr uint16_t kKeyLen = 32;
inline constexpr uint64_t kAbsent = uint64_t{1} << 40;
inline constexpr uint64_t kNowMs = 1'000'000;
inline constexpr uint32_t kLifetimeS = 86400;

inline uint64_t mix(uint64_t number) noexcept {
  number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9u;
  number = (number ^ number >> 27) * 0x94d049bb133111ebu;
  return number ^ number >> 31;
}

inline uint64_t value_of(uint64_t number) noexcept {
  return mix(number) * 0x9e3779b97f4a7c15u | 1;
}

struct KeyBytes {
  alignas(32) uint8_t bytes[kKeyLen];
};

inline void write_key(uint8_t* bytes, uint64_t number) noexcept {
  static constexpr uint8_t kPattern[kKeyLen] = {
      0,   1,   0,   0,   3,   'w', 'w', 'w', 12,  '0', '1', '2', '3', '4', '5', '6',
      '7', '8', '9', 'a', 'b', 4,   't', 'e', 's', 't', 3,   'c', 'o', 'm', 'x', 0};
  const uint64_t mixed = mix(number);
  std::memcpy(bytes, kPattern, kKeyLen);
  std::memcpy(bytes + 9, &mixed, sizeof mixed);
}

// Numbers below `n`, the same sequence for the same seed.
class Numbers {
 public:
  explicit Numbers(uint64_t n, uint64_t seed = 88172645463325252u) : n_(n), state_(seed) {}
  uint64_t next() noexcept {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return (state_ >> 32) * n_ >> 32;
  }

 private:
  uint64_t n_;
  uint64_t state_;
};

class CacheWorld {
 public:
  // Room for `entries` of `entry_bytes` each, everything counted; one region for each shard.
  CacheWorld(uint64_t entries, uint32_t entry_bytes);

  // The same with key 0 .. entries-1 inserted. Where both buckets of a key were full one entry had
  // to go: missing() tells which. Ends the process if more than one in a thousand is missing.
  static std::shared_ptr<CacheWorld> filled(uint64_t entries);

  void insert(uint64_t number);
  cache::Shard& shard_of(uint64_t hash) { return shards_[hash % kShardCnt]; }
  cache::Shard& shard(uint32_t i) { return shards_[i]; }
  const HashSecret& secret() const { return secret_; }
  Qsbr<2>& readers() { return readers_; }
  const LargeMemory& memory() const { return memory_; }
  uint64_t entries() const { return entries_; }
  bool missing(uint64_t number) const { return number < missing_.size() && missing_[number]; }
  uint64_t live() const;
  std::size_t region_bytes() const { return region_bytes_; }

  void complete_key(Key& key) const noexcept {
    key.len = kKeyLen;
    key.hash = hash_key(secret_, key);
  }

  // Lines that a hit reads, in the mean: buckets and the entry.
  double lines_per_hit();

 private:
  uint64_t entries_;
  std::size_t region_bytes_;
  LargeMemory memory_;
  HashSecret secret_;
  Qsbr<2> readers_;
  cache::Shard shards_[kShardCnt];
  std::vector<bool> missing_;
};

// True when what was found is the answer of `number`.
inline bool is_answer_of(const cache::Entry* entry, uint64_t number) noexcept {
  if (entry == nullptr) return false;
  uint64_t value;
  std::memcpy(&value, cache::view_of(*entry).body, sizeof value);
  return value == value_of(number);
}

// An answer as a table of pointers would hold it: one line.
struct alignas(64) PlainAnswer {
  uint64_t expires_ms;
  uint64_t value;
  uint8_t rest[48];
};

// rte_hash in its lock-free mode, its memory and the answers on large pages.
class RteWorld {
 public:
  explicit RteWorld(uint64_t entries, uint32_t cpu);
  ~RteWorld();
  RteWorld(const RteWorld&) = delete;
  RteWorld& operator=(const RteWorld&) = delete;

  const rte_hash* table() const { return table_; }
  uint64_t entries() const { return entries_; }

 private:
  uint64_t entries_;
  LargeMemory answers_;
  rte_hash* table_;
};

// Starts DPDK's environment once, without devices, on `cpu`.
void start_eal_once(uint32_t cpu);
// A heap of DPDK on large pages of ours; its socket id.
int large_page_heap(uint32_t cpu);

}  // namespace millrace::bench
