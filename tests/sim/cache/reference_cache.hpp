// SPDX-License-Identifier: Apache-2.0
#pragma once
// A cache of objects under one of policies.hpp: bytes and time around the policy, nothing else.
//
// An entry takes the bytes that it takes of the real shard's slab (its part of a full page of its
// size class), so policies are compared, not encodings. No classes, no shards, no budgets, no
// memory that waits for readers, and an entry is gone in the second after its time is over, before
// anything is evicted in its place.
#include "tests/sim/cache/policies.hpp"
#include "tests/sim/cache/trace.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace millrace::cachesim {

template <class Policy>
class ReferenceCache {
 public:
  ReferenceCache(const Trace& trace, const Bounds& bounds)
      : objects_(trace.objects), bounds_(bounds), policy_(bounds), expires_ms_(objects_.size()) {}

  bool lookup(uint32_t object, uint64_t now_ms) {
    expire(now_ms / 1000);
    if (expires_ms_[object] <= now_ms) return false;
    policy_.touch(object);
    return true;
  }

  void insert(uint32_t object, uint64_t now_ms) {
    const uint32_t cost = bounds_.cost_bytes[object];
    if (objects_[object].ttl_s == 0 || cost > bounds_.capacity_bytes) return;
    if (expires_ms_[object] != 0) drop(object);
    while (used_bytes_ + cost > bounds_.capacity_bytes)
      forget(policy_.evict());
    expires_ms_[object] = now_ms + uint64_t{objects_[object].ttl_s} * 1000;
    used_bytes_ += cost;
    policy_.add(object);
    const uint64_t due_s = (expires_ms_[object] + 999) / 1000 - Trace::kStartMs / 1000;
    if (due_s >= due_.size()) due_.resize(std::max<uint64_t>(due_s + 1, due_.size() * 2));
    due_[due_s].push_back(object);
  }

 private:
  void expire(uint64_t now_s) {
    const uint64_t end_s = now_s - Trace::kStartMs / 1000 + 1;
    for (; expired_s_ < end_s; ++expired_s_) {
      if (expired_s_ >= due_.size()) continue;
      for (const uint32_t object : due_[expired_s_]) {
        // An entry that was evicted and came again is due at another time.
        if (expires_ms_[object] != 0 && expires_ms_[object] <= now_s * 1000) drop(object);
      }
      std::vector<uint32_t>().swap(due_[expired_s_]);
    }
  }
  void drop(uint32_t object) {
    policy_.remove(object);
    forget(object);
  }
  void forget(uint32_t object) {
    expires_ms_[object] = 0;
    used_bytes_ -= bounds_.cost_bytes[object];
  }

  const std::vector<Object>& objects_;
  Bounds bounds_;
  Policy policy_;
  std::vector<uint64_t> expires_ms_;        // 0: not cached
  std::vector<std::vector<uint32_t>> due_;  // by second of the trace
  uint64_t expired_s_ = 0;
  uint64_t used_bytes_ = 0;
};

}  // namespace millrace::cachesim
