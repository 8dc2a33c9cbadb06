// SPDX-License-Identifier: Apache-2.0
// Shard against a std::map: random inserts, removals, lookups, expiry, walks and grace periods.
//
// An entry may vanish only by eviction, expiry or removal; what is found is always the last answer
// inserted under that key, never past its lifetime; readers' old entries keep their bytes until
// their grace period; and when all is removed, all memory is free. MILLRACE_MODEL_STEPS sets the
// number of steps for each run, MILLRACE_MODEL_SEED the first seed.
#include "tests/unit/cache/cache_fixture.hpp"

#include <map>
#include <random>

namespace millrace::cache {
namespace {

uint64_t from_env(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct Scenario {
  std::size_t region_bytes;
  uint32_t keys;
  uint16_t body_max;
  uint32_t lifetime_s_max;
  uint64_t hash_mask;  // of the keys' hashes: few bits make buckets collide
  uint32_t stale_window_s;
};

template <class Policy>
class ShardModel : public ShardTest<Policy> {
 protected:
  using ShardTest<Policy>::shard_;
  using ShardTest<Policy>::grace_;

  struct Stored {
    uint64_t version;
    uint64_t born_ms;
    uint32_t lifetime_s;
    uint16_t body_bytes;
    uint16_t ttl_cnt;
    Kind kind;
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
  uint64_t below(uint64_t n) { return random_() % n; }

  void step_insert() {
    const uint64_t number = below(scenario_.keys);
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
        model_[number] = stored;
        ASSERT_NE(lookup(shard_, key_of_number(number), now_ms_).entry, nullptr);
        break;
      case InsertResult::kept:
        ASSERT_TRUE(before.entry != nullptr || (scenario_.stale_window_s > 0 && before.stale));
        ASSERT_EQ(stored.kind, Kind::failure);
        ASSERT_NE(older->second.kind, Kind::failure);
        break;
      case InsertResult::no_memory:
        break;
      case InsertResult::too_large:
        FAIL() << "nothing here is too large";
    }
  }

  void check_found(uint64_t number, const Found& found) {
    const auto stored = model_.find(number);
    if (found.entry == nullptr && found.stale == nullptr) return;
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
    ASSERT_FALSE(fresh(stored));
    ASSERT_EQ(stale_s_of(entry, now_ms_), (now_ms_ - over_ms(stored)) / 1000);
    ASSERT_TRUE(same_answer(view_of(entry), answer_of(number, stored).view));
    const uint64_t kept_ms = stored.kind == Kind::failure ? 0 : scenario_.stale_window_s * 1000;
    ASSERT_TRUE(expired_until_ms_ < over_ms(stored) + kept_ms) << "kept after its window";
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

  // The reader passes a quiescent state: it checks what it held one last time and lets go.
  void step_grace() {
    for (const Held& held : held_) {
      ASSERT_TRUE(same_answer(view_of(*held.entry), answer_of(held.number, held.stored).view))
          << "memory was used again before its grace period";
    }
    held_.clear();
    grace_.pass();
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

  void step() {
    const uint64_t what = below(100);
    if (what < 45) return step_insert();
    if (what < 75) return step_lookup();
    if (what < 82) return step_remove();
    if (what < 86) return step_walk();
    if (what < 90) return step_grace();
    if (what < 95) return shard_.reclaim();
    const uint64_t expired_before = shard_.gauges().expired;
    const bool all = below(4) == 0;
    const uint32_t fired =
        shard_.expire(now_ms_, all ? UINT32_MAX : static_cast<uint32_t>(below(200)));
    if (all) expired_until_ms_ = now_ms_ / 1000 * 1000;
    stale_most_ = std::max(stale_most_, shard_.gauges().entries_of_kind[3]);
    ASSERT_EQ(shard_.gauges().expired, expired_before + fired);
    ASSERT_LE(shard_.gauges().memory_of_kind[3], shard_.gauges().memory_total / 8);
    now_ms_ += below(3) == 0 ? below(20'000) : below(400);
  }

  void run(const Scenario& scenario) {
    scenario_ = scenario;
    const uint64_t seed = from_env("MILLRACE_MODEL_SEED", 20240811);
    const uint64_t steps = from_env("MILLRACE_MODEL_STEPS", 40'000);
    SCOPED_TRACE(testing::Message() << "MILLRACE_MODEL_SEED=" << seed);
    this->make(scenario_.region_bytes);
    shard_.set_budgets(
        Budgets{.stale_64ths = scenario_.stale_window_s > 0 ? uint8_t{8} : uint8_t{0},
                .stale_window_s = scenario_.stale_window_s});
    random_.seed(seed);
    now_ms_ = below(uint64_t{1} << 36);
    for (uint64_t i = 0; i < steps; ++i) {
      ASSERT_NO_FATAL_FAILURE(step()) << "step " << i;
      if (i % 4096 == 0) {
        ASSERT_NO_FATAL_FAILURE(ShardProbe(shard_).check()) << "step " << i;
      }
    }
    EXPECT_GT(hits_, steps / 50) << "the run tested nothing";
    ASSERT_NO_FATAL_FAILURE(ShardProbe(shard_).check());
    EXPECT_EQ(stale_most_ > 0, scenario_.stale_window_s > 0);
    end_by_removing();
    print(steps);
  }

  void print(uint64_t steps) const {
    const ShardGauges& gauges = shard_.gauges();
    std::printf("  %llu steps: hits %llu, stale %llu, evicted %llu, expired %llu, pages moved %llu",
                static_cast<unsigned long long>(steps), static_cast<unsigned long long>(hits_),
                static_cast<unsigned long long>(stale_hits_),
                static_cast<unsigned long long>(gauges.evicted),
                static_cast<unsigned long long>(gauges.expired),
                static_cast<unsigned long long>(gauges.pages_moved));
    std::printf(
        ", stored %llu, replaced %llu, no memory %llu, kept %llu\n",
        static_cast<unsigned long long>(results_[0]), static_cast<unsigned long long>(results_[1]),
        static_cast<unsigned long long>(results_[2]), static_cast<unsigned long long>(results_[4]));
  }

  void end_by_removing() {
    uint32_t removed = 0;
    const uint64_t entries = shard_.gauges().entries;
    for (uint64_t at = 0; at != kWalkEnd;) {
      at = shard_.walk_remove(
          at, 100, [](const Entry&) { return true; }, removed);
    }
    EXPECT_EQ(removed, entries);
    ASSERT_NO_FATAL_FAILURE(step_grace());
    this->expect_empty();
  }

  Scenario scenario_{};
  std::mt19937_64 random_;
  uint64_t now_ms_ = 0;
  uint64_t version_ = 0;
  uint64_t walk_cursor_ = 0;
  uint64_t hits_ = 0;
  uint64_t stale_hits_ = 0;
  uint64_t stale_most_ = 0;        // entries kept as stale at one moment
  uint64_t expired_until_ms_ = 0;  // all that was over by then has been reclaimed or kept as stale
  uint64_t results_[5] = {};
  std::map<uint64_t, Stored> model_;
  std::vector<Held> held_;
};

TYPED_TEST_SUITE(ShardModel, Policies, PolicyNames);

TYPED_TEST(ShardModel, Roomy) {
  this->run({kRegionBytesMin * 8, 3000, 600, 300, UINT64_MAX, 0});
}
TYPED_TEST(ShardModel, Tight) {
  this->run({kRegionBytesMin, 6000, 4096, 4000, UINT64_MAX, 0});
}
TYPED_TEST(ShardModel, Colliding) {
  this->run({kRegionBytesMin, 400, 1000, 400, 0x7, 0});
}
TYPED_TEST(ShardModel, ShortLived) {
  this->run({kRegionBytesMin, 2000, 300, 8, UINT64_MAX, 0});
}
TYPED_TEST(ShardModel, KeptAsStale) {
  this->run({kRegionBytesMin, 4000, 600, 40, UINT64_MAX, 60});
}
TYPED_TEST(ShardModel, KeptAsStaleColliding) {
  this->run({kRegionBytesMin, 400, 1000, 20, 0x7, 30});
}

}  // namespace
}  // namespace millrace::cache
