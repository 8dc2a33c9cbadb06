// SPDX-License-Identifier: Apache-2.0
#pragma once
// A shard and a std::map, driven in step by whoever chooses the numbers: a seeded generator in
// shard_model_test.cpp, a fuzzer's bytes in tests/fuzz/fuzz_shard.cpp.
//
// An entry may vanish only by eviction, expiry or removal; what is found is always the last answer
// inserted under that key, never past its lifetime, as stale never before its end nor longer than
// its window; readers' old entries keep their bytes until their grace period; every structure
// agrees with every other (ShardProbe); and when all is removed, all memory is free.

#include "tests/unit/cache/cache_fixture.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace millrace::cache {

struct Scenario {
  const char* name;
  std::size_t region_bytes;
  uint32_t keys;
  uint16_t body_max;
  uint32_t lifetime_s_max;
  uint64_t hash_mask;       // of the keys' hashes: few bits make buckets collide
  uint32_t stale_window_s;  // 0: nothing is kept as stale
};

inline constexpr Scenario kScenarios[] = {
    {"roomy", kRegionBytesMin * 8, 3000, 600, 300, UINT64_MAX, 0},
    {"tight", kRegionBytesMin, 6000, 4096, 4000, UINT64_MAX, 0},
    {"colliding", kRegionBytesMin, 400, 1000, 400, 0x7, 0},
    {"short_lived", kRegionBytesMin, 2000, 300, 8, UINT64_MAX, 0},
    {"kept_as_stale", kRegionBytesMin, 4000, 600, 40, UINT64_MAX, 60},
    {"kept_as_stale_colliding", kRegionBytesMin, 400, 1000, 20, 0x7, 30},
};

// Of the slab's memory, in 64ths.
inline constexpr uint8_t kStaleShareMax = 8;

template <class Shard>
class ShardDriver {
 public:
  // A number below the bound; a driver does as it is told by these and by nothing else.
  using Choose = std::function<uint64_t(uint64_t bound)>;

  ShardDriver(const Scenario& scenario, Choose choose)
      : scenario_(scenario), choose_(std::move(choose)), memory_(scenario.region_bytes) {
    EXPECT_EQ(Shard::format(memory_.data(), memory_.bytes(), 3), "");
    EXPECT_EQ(shard_.attach(memory_.data(), memory_.bytes(), grace_.get()), "");
    const bool stale = scenario_.stale_window_s > 0;
    shard_.set_budgets(Budgets{.stale_64ths = stale ? kStaleShareMax : uint8_t{0},
                               .stale_window_s = scenario_.stale_window_s});
    now_ms_ = below(uint64_t{1} << 36);
  }

  // One call of the shard; fatal failures are gtest's.
  void step() {
    const uint64_t what = below(100);
    if (what < 45) return step_insert(below(scenario_.keys));
    if (what < 75) return step_lookup();
    if (what < 82) return step_remove();
    if (what < 86) return step_walk();
    if (what < 90) return step_grace();
    if (what < 94) return shard_.reclaim();
    if (what < 95) return step_rare(below(64));
    step_expire();
  }

  void check() { ShardProbe(shard_).check(); }

  // Removes everything; then all memory must be free but for a page in each class that one was
  // drained for.
  void end() {
    ASSERT_NO_FATAL_FAILURE(check());
    uint32_t removed = 0;
    const uint64_t entries = shard_.gauges().entries;
    for (uint64_t at = 0; at != kWalkEnd;) {
      at = shard_.walk_remove(
          at, 100, [](const Entry&) { return true; }, removed);
    }
    ASSERT_EQ(removed, entries);
    ASSERT_NO_FATAL_FAILURE(step_grace());
    for (int i = 0; i < 1000 && shard_.gauges().memory_retired > 0; ++i) {
      shard_.reclaim();
      grace_.pass();
    }
    ASSERT_NO_FATAL_FAILURE(check());
    ASSERT_EQ(shard_.gauges().memory_used, 0u);
    for (uint32_t i = 0; i < kClasses; ++i)
      ASSERT_LE(ShardProbe(shard_).pages_of(i), 1u);
    ASSERT_EQ(ShardProbe(shard_).timers(), 0u);
  }

  uint64_t hits() const { return hits_; }
  uint64_t stale_hits() const { return stale_hits_; }
  // The most entries that were kept as stale at one moment.
  uint64_t stale_most() const { return stale_most_; }
  uint64_t results(InsertResult result) const { return results_[static_cast<int>(result)]; }
  const ShardGauges& gauges() const { return shard_.gauges(); }

 private:
  struct Stored {
    uint64_t version;
    uint64_t born_ms;
    uint32_t lifetime_s;
    uint16_t body_bytes;
    uint16_t ttl_cnt;
    Kind kind;
    uint64_t evicted;  // the shard's count when this was stored
  };
  struct Held {  // an entry that a reader still uses
    const Entry* entry;
    uint64_t number;
    Stored stored;
  };

  Key key_of_number(uint64_t number) const {
    Key key = make_key(number, static_cast<uint16_t>(12 + number * 7 % 248));
    key.hash &= scenario_.hash_mask;
    return key;
  }
  static Answer answer_of(uint64_t number, const Stored& stored) {
    return make_answer(number, stored.version, stored.body_bytes, stored.lifetime_s, stored.kind,
                       stored.ttl_cnt);
  }
  static uint64_t over_ms(const Stored& stored) {
    return stored.born_ms + uint64_t{stored.lifetime_s} * 1000;
  }
  bool fresh(const Stored& stored) const { return now_ms_ < over_ms(stored); }

  void step_insert(uint64_t number) {
    Stored stored{};
    stored.version = ++version_;
    stored.born_ms = now_ms_;
    stored.lifetime_s = static_cast<uint32_t>(1 + below(scenario_.lifetime_s_max));
    stored.body_bytes =
        static_cast<uint16_t>(below(8) == 0 ? below(scenario_.body_max) : below(160));
    stored.ttl_cnt = static_cast<uint16_t>(below(6));
    stored.kind = below(4) != 0 ? Kind::positive : below(2) != 0 ? Kind::negative : Kind::failure;
    const auto older = model_.find(number);
    const Found before = lookup(shard_, key_of_number(number), now_ms_);
    const InsertResult result =
        shard_.insert(key_of_number(number), answer_of(number, stored).view, now_ms_);
    ++results_[static_cast<int>(result)];
    switch (result) {
      case InsertResult::stored:
      case InsertResult::replaced:
        stored.evicted = shard_.gauges().evicted;
        model_[number] = stored;
        ASSERT_NE(lookup(shard_, key_of_number(number), now_ms_).entry, nullptr);
        break;
      case InsertResult::kept:
        ASSERT_TRUE(before.entry != nullptr ||
                    (scenario_.stale_window_s > 0 && before.stale != nullptr));
        ASSERT_EQ(stored.kind, Kind::failure);
        ASSERT_NE(older->second.kind, Kind::failure);
        break;
      case InsertResult::no_memory:
      case InsertResult::outranked:
        break;
      case InsertResult::too_large:
        FAIL() << "nothing here is too large";
    }
  }

  void check_found(uint64_t number, const Found& found) {
    const auto stored = model_.find(number);
    if (found.entry == nullptr && found.stale == nullptr) {
      if (stored == model_.end() || !fresh(stored->second)) return;
      ASSERT_GT(shard_.gauges().evicted, stored->second.evicted) << "lost, and not by eviction";
      model_.erase(stored);
      return;
    }
    ASSERT_NE(stored, model_.end()) << "found what was removed";
    if (found.entry == nullptr) return check_stale(number, *found.stale, stored->second);
    ASSERT_TRUE(fresh(stored->second)) << "found past its lifetime";
    ASSERT_EQ(found.age_s, (now_ms_ - stored->second.born_ms) / 1000);
    ASSERT_TRUE(same_answer(view_of(*found.entry), answer_of(number, stored->second).view));
    ++hits_;
    if (below(2) == 0) touch(*found.entry);
    if (held_.size() < 64) held_.push_back(Held{found.entry, number, stored->second});
  }

  void check_stale(uint64_t number, const Entry& entry, const Stored& stored) {
    ASSERT_FALSE(fresh(stored)) << "stale before its end";
    ASSERT_EQ(stale_s_of(entry, now_ms_), (now_ms_ - over_ms(stored)) / 1000);
    ASSERT_TRUE(same_answer(view_of(entry), answer_of(number, stored).view));
    const uint64_t kept_s = stored.kind == Kind::failure ? 0 : scenario_.stale_window_s;
    ASSERT_LT(expired_until_ms_, over_ms(stored) + kept_s * 1000) << "kept after its window";
    ++stale_hits_;
    if (below(2) == 0) touch(entry);
    if (held_.size() < 64) held_.push_back(Held{&entry, number, stored});
  }

  void step_lookup() {
    const auto n = static_cast<uint32_t>(1 + below(kBurstMax));
    std::vector<Key> keys;
    std::vector<uint64_t> numbers;
    for (uint32_t i = 0; i < n; ++i) {
      numbers.push_back(below(scenario_.keys));
      keys.push_back(key_of_number(numbers.back()));
    }
    const ShardView* shards[kBurstMax];
    const Key* pointers[kBurstMax];
    Found found[kBurstMax];
    for (uint32_t i = 0; i < n; ++i) {
      shards[i] = &shard_;
      pointers[i] = &keys[i];
    }
    lookup_burst(shards, pointers, n, now_ms_, found);
    for (uint32_t i = 0; i < n; ++i)
      ASSERT_NO_FATAL_FAILURE(check_found(numbers[i], found[i]));
  }

  void step_remove() {
    const uint64_t number = below(scenario_.keys);
    const bool removed = shard_.remove(key_of_number(number));
    const bool known = model_.erase(number) > 0;
    ASSERT_TRUE(!removed || known);
    const Found found = lookup(shard_, key_of_number(number), now_ms_);
    ASSERT_EQ(found.entry, nullptr);
    ASSERT_EQ(found.stale, nullptr);
  }

  // The clock moves on.
  void step_expire() {
    const uint64_t expired_before = shard_.gauges().expired;
    const bool all = below(4) == 0;
    const uint32_t budget = all ? UINT32_MAX : static_cast<uint32_t>(below(200));
    const uint32_t fired = shard_.expire(now_ms_, budget);
    ASSERT_EQ(shard_.gauges().expired, expired_before + fired);
    if (all) expired_until_ms_ = now_ms_ / 1000 * 1000;
    constexpr auto kStale = static_cast<uint32_t>(Kind::stale);
    stale_most_ = std::max(stale_most_, shard_.gauges().entries_of_kind[kStale]);
    ASSERT_LE(shard_.gauges().memory_of_kind[kStale],
              shard_.gauges().memory_total * kStaleShareMax / 64);
    now_ms_ += below(3) == 0 ? below(20'000) : below(400);
  }

  // The reader passes a quiescent state: it checks what it held one last time and lets go.
  void step_grace() {
    for (const Held& held : held_) {
      ASSERT_TRUE(same_answer(view_of(*held.entry), answer_of(held.number, held.stored).view))
          << "memory was used again before its grace period";
    }
    held_.clear();
    grace_.pass();
  }

  // A new process takes the region over; budgets change; many inserts in a row.
  void step_rare(uint64_t what) {
    if (what == 0) {
      ASSERT_NO_FATAL_FAILURE(step_grace());
      shard_ = Shard();
      ASSERT_EQ(shard_.attach(memory_.data(), memory_.bytes(), grace_.get()), "");
      ASSERT_EQ(shard_.gauges().memory_retired, 0u);
      ASSERT_NO_FATAL_FAILURE(check());
    } else if (what == 1) {
      const uint64_t stale_shares = scenario_.stale_window_s > 0 ? kStaleShareMax + 1 : 1;
      shard_.set_budgets(Budgets{.failure_64ths = static_cast<uint8_t>(1 + below(16)),
                                 .negative_64ths = static_cast<uint8_t>(1 + below(32)),
                                 .stale_64ths = static_cast<uint8_t>(below(stale_shares)),
                                 .stale_window_s = scenario_.stale_window_s});
    } else if (what < 4) {
      const uint64_t first = below(scenario_.keys);
      for (uint64_t i = 0; i < 64; ++i)
        ASSERT_NO_FATAL_FAILURE(step_insert((first + i) % scenario_.keys));
    } else {
      shard_.reclaim();
    }
  }

  // One slice of a walk that goes on beside everything else; removes one key in `modulus`.
  void step_walk() {
    const uint64_t modulus = 3 + below(50);
    uint32_t removed = 0;
    walk_cursor_ = shard_.walk_remove(
        walk_cursor_ == kWalkEnd ? 0 : walk_cursor_, static_cast<uint32_t>(1 + below(20)),
        [&](const Entry& entry) {
          const uint64_t number = number_of(key_of(entry));
          const auto stored = model_.find(number);
          if (stored == model_.end()) ADD_FAILURE() << "walked over what was removed";
          if (number % modulus != 0) return false;
          model_.erase(number);
          return true;
        },
        removed);
  }
  static uint64_t number_of(const KeyView& key) {
    uint64_t number;
    std::memcpy(&number, key.bytes + 4, sizeof number);
    return number;
  }

  uint64_t below(uint64_t bound) { return choose_(bound); }

  const Scenario scenario_;
  Choose choose_;
  RegionMemory memory_;
  ManualGrace grace_;
  Shard shard_;
  uint64_t now_ms_ = 0;
  uint64_t version_ = 0;
  uint64_t walk_cursor_ = 0;
  uint64_t hits_ = 0;
  uint64_t stale_hits_ = 0;
  uint64_t stale_most_ = 0;
  uint64_t expired_until_ms_ = 0;  // all that was over by then has been reclaimed or kept as stale
  uint64_t results_[6] = {};
  std::map<uint64_t, Stored> model_;
  std::vector<Held> held_;
};

}  // namespace millrace::cache
