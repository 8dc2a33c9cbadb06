// SPDX-License-Identifier: Apache-2.0
#pragma once
// Bursts of lookups, timed one by one: the keys are made before the clock starts, as a worker's
// parser has made them, and lie in the first-level cache. Every answer is compared with what was
// inserted, inside the time.

#include "dataplane/base/frame.hpp"
#include "tests/bench/cache_world.hpp"
#include "tests/bench/harness.hpp"

namespace millrace::bench {

enum class Ask : uint8_t { hits, misses };

// One burst of our lookups. `hash`: within the time, as rte_hash_lookup_bulk has it. `touch`: mark
// what was found as used. `single`: one call a key.
struct OurWay {
  Ask ask = Ask::hits;
  bool hash = false;
  bool touch = false;
  bool single = false;
};

class OurBurst {
 public:
  OurBurst(CacheWorld& world, Ask ask, uint64_t seed)
      : world_(world), numbers_(world.entries(), seed), base_(ask == Ask::hits ? 0 : kAbsent) {
    for (uint32_t i = 0; i < kBurstMax; ++i)
      key_ptrs_[i] = &keys_[i];
  }

  void prepare() noexcept {
    for (uint32_t i = 0; i < kBurstMax; ++i) {
      do
        number_[i] = base_ + numbers_.next();
      while (world_.missing(number_[i]));
      write_key(keys_[i].bytes, number_[i]);
    }
    hash();
  }

  void hash() noexcept {
    for (uint32_t i = 0; i < kBurstMax; ++i) {
      world_.complete_key(keys_[i]);
      shards_[i] = &world_.shard_of(keys_[i].hash);
    }
  }

  // Returns how many answers are right.
  template <OurWay kWay>
  uint32_t look_up() noexcept {
    if constexpr (kWay.hash) hash();
    if constexpr (kWay.single) {
      for (uint32_t i = 0; i < kBurstMax; ++i)
        cache::lookup_burst(shards_ + i, key_ptrs_ + i, 1, kNowMs, found_ + i);
    } else {
      cache::lookup_burst(shards_, key_ptrs_, kBurstMax, kNowMs, found_);
    }
    uint32_t right = 0;
    for (uint32_t i = 0; i < kBurstMax; ++i) {
      if constexpr (kWay.ask == Ask::misses) {
        right += found_[i].entry == nullptr;
      } else {
        right += is_answer_of(found_[i], number_[i]);
        if constexpr (kWay.touch) cache::touch(*found_[i].entry);
      }
    }
    return right;
  }

 private:
  CacheWorld& world_;
  Numbers numbers_;
  uint64_t base_;
  uint64_t number_[kBurstMax];
  Key keys_[kBurstMax];
  const Key* key_ptrs_[kBurstMax];
  const cache::ShardView* shards_[kBurstMax];
  cache::Found found_[kBurstMax];
};

// Runs bursts for `length` ticks; ticks per key. `burst()` returns how many answers are right.
template <class Prepare, class Burst>
double time_bursts(uint64_t length, Prepare&& prepare, Burst&& burst) {
  uint64_t spent = 0;
  uint64_t keys = 0;
  uint64_t right = 0;
  const uint64_t start = ticks();
  for (uint64_t now = start; now - start < length;) {
    prepare();
    const uint64_t from = ticks();
    right += burst();
    now = ticks();
    spent += now - from;
    keys += kBurstMax;
  }
  if (right != keys) fail("a lookup gave a wrong answer");
  return static_cast<double>(spent) / static_cast<double>(keys);
}

template <OurWay kWay>
Side our_side(std::shared_ptr<CacheWorld> world) {
  return [world](uint64_t length) {
    static uint64_t seed = 88172645463325252u;
    OurBurst burst(*world, kWay.ask, seed++);
    return time_bursts(
        length, [&] { burst.prepare(); }, [&] { return burst.look_up<kWay>(); });
  };
}

}  // namespace millrace::bench
