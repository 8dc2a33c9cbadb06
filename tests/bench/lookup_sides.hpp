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

// One burst of our lookups, each begun as soon as its hash is known, as the worker does. `hash`:
// made within the time, as rte_hash_lookup_bulk has it. `touch`: mark what was found as used.
// `single`: one lookup after the other, each wholly.
struct OurWay {
  Ask ask = Ask::hits;
  bool hash = false;
  bool touch = false;
  bool single = false;
};

class OurBurst {
 public:
  OurBurst(CacheWorld& world, Ask ask, uint64_t seed)
      : world_(world), numbers_(world.entries(), seed), base_(ask == Ask::hits ? 0 : kAbsent) {}

  void prepare() noexcept {
    for (uint32_t i = 0; i < kBurstMax; ++i) {
      do
        number_[i] = base_ + numbers_.next();
      while (world_.missing(number_[i]));
      write_key(keys_[i].bytes, number_[i]);
      world_.complete_key(keys_[i]);
    }
  }

  // Returns how many answers are right.
  template <OurWay kWay>
  uint32_t look_up() noexcept {
    for (uint32_t i = 0; i < kBurstMax; ++i) {
      Key& key = keys_[i];
      if constexpr (kWay.hash) world_.complete_key(key);
      cache::begin_lookup(lookups_[i], world_.shard_of(key.hash), key, key.hash);
      if constexpr (kWay.single) cache::finish_lookups(lookups_ + i, 1, kNowMs);
    }
    if constexpr (!kWay.single) cache::finish_lookups(lookups_, kBurstMax, kNowMs);
    uint32_t right = 0;
    for (uint32_t i = 0; i < kBurstMax; ++i) {
      const cache::Entry* const entry = lookups_[i].entry;
      if constexpr (kWay.ask == Ask::misses) {
        right += entry == nullptr;
      } else {
        right += is_answer_of(entry, number_[i]);
        if constexpr (kWay.touch) cache::touch(*entry);
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
  cache::Lookup lookups_[kBurstMax];
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
