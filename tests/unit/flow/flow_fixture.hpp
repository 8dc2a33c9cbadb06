// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the flow cache's tests share: a cache in memory with a guard behind it, keys from numbers,
// and FlowProbe, which checks every structure against every other.

#include "dataplane/flow/flow_cache.hpp"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::flow {

using Policies = ::testing::Types<cache::Sieve, cache::S3Fifo>;

struct PolicyNames {
  template <class Policy>
  static std::string GetName(int) {
    return std::is_same_v<Policy, cache::Sieve> ? "Sieve" : "S3Fifo";
  }
};

inline const HashSecret& test_secret() {
  static const HashSecret secret = [] {
    HashSecret bytes;
    for (std::size_t i = 0; i < HashSecret::kBytes; ++i) {
      bytes.bytes[i] = static_cast<uint8_t>(i * 151 + 7);
    }
    return bytes;
  }();
  return secret;
}

inline FlowKey key_of(uint32_t number) {
  uint8_t address[16] = {0x20, 0x01};
  std::memcpy(address + 2, &number, sizeof number);
  const bool v4 = number % 2 == 0;
  return make_flow_key(v4 ? kFamily4 : kFamily6, v4 ? address + 2 : address, v4 ? 32 : 48,
                       FlowPath{static_cast<uint16_t>(number % 3), 1, 17});
}

template <class Policy>
class FlowProbe {
 public:
  using Cache = BasicFlowCache<Policy>;

  explicit FlowProbe(Cache& cache) : cache_(cache), state_(*cache.state_) {}

  void check() {
    check_index();
    check_wheel();
    check_queue();
    check_free();
    ASSERT_EQ(state_.gauges.flows, live_.size());
    ASSERT_LE(live_.size(), cache_.flows_);
    ASSERT_EQ(state_.gauges.inserted, state_.gauges.evicted + state_.gauges.expired + live_.size());
  }

 private:
  cache::Record& record(cache::Ref ref) { return cache_.entries_[ref].record; }

  void check_index() {
    const cache::Index& index = cache_.index_;
    std::vector<uint32_t> spills(index.bucket_cnt());
    for (uint32_t slot_no = 0; slot_no < index.bucket_cnt() * cache::kSlotsPerBucket; ++slot_no) {
      const cache::SlotWord word = index.word(slot_no);
      if (cache::slot_is_empty(word)) {
        ASSERT_EQ(word & ~cache::kSlotSpillsMask, 0u);
        continue;
      }
      const cache::Ref ref = cache::slot_entry_no(word);
      const uint32_t bucket_idx = slot_no / cache::kSlotsPerBucket;
      ASSERT_TRUE(live_.insert(ref).second) << "two slots name one flow";
      ASSERT_LT(ref, state_.untouched);
      ASSERT_EQ(record(ref).bucket, bucket_idx);
      const cache::Place place =
          cache::place_of(cache_.hash(cache_.entries_[ref].key), index.bucket_cnt());
      ASSERT_EQ(place.tag, cache::slot_tag(word));
      ASSERT_EQ(place.bucket_idx,
                cache::place_of_slot(word, bucket_idx, index.bucket_cnt()).bucket_idx);
      spills[place.bucket_idx] += cache::slot_is_second(word);
    }
    for (uint32_t i = 0; i < index.bucket_cnt(); ++i) {
      const uint32_t noted = cache::slot_spills(index.word(i * cache::kSlotsPerBucket));
      if (noted < cache::kSpillsMax) {
        ASSERT_EQ(noted, spills[i]);
      }
    }
  }

  void check_wheel() {
    std::set<cache::Ref> armed;
    for (cache::Ref head = 0; head < cache::kHeads; ++head) {
      for (cache::Ref ref = record(head).wheel_next; ref != head; ref = record(ref).wheel_next)
        ASSERT_TRUE(armed.insert(ref).second);
    }
    ASSERT_EQ(armed, live_);
    ASSERT_EQ(state_.wheel.armed, live_.size());
  }

  void check_queue() {
    std::set<cache::Ref> queued;
    for (cache::Ref head = 0; head < Policy::kHeadsPerQueue; ++head) {
      for (cache::Ref ref = record(head).queue_next; ref != head; ref = record(ref).queue_next)
        ASSERT_TRUE(queued.insert(ref).second);
    }
    ASSERT_EQ(queued, live_);
  }

  void check_free() {
    uint64_t free = 0;
    for (cache::Ref ref = state_.free; ref != cache::kNoRef; ref = record(ref).queue_next) {
      ASSERT_FALSE(live_.contains(ref));
      ASSERT_EQ(record(ref).bucket, cache::kBucketOfFree);
      ASSERT_LE(++free, cache_.flows_);
    }
    ASSERT_EQ(free + live_.size(), state_.untouched - cache::kHeads);
  }

  Cache& cache_;
  FlowState<Policy>& state_;
  std::set<cache::Ref> live_;
};

template <class Policy>
class FlowTest : public ::testing::Test {
 protected:
  using Cache = BasicFlowCache<Policy>;
  static constexpr std::size_t kGuardBytes = 4096;

  ~FlowTest() override {
    for (std::size_t i = 0; memory_ != nullptr && i < kGuardBytes; ++i) {
      if (memory_.get()[bytes_ + i] == 0xa5) continue;
      ADD_FAILURE() << "written behind the memory that was handed in";
      break;
    }
  }

  // Memory full of rubbish, so that nothing relies on zeroes.
  void make(uint32_t flows) {
    bytes_ = Cache::bytes_for(flows);
    memory_.reset(static_cast<uint8_t*>(std::aligned_alloc(64, bytes_ + kGuardBytes)));
    std::memset(memory_.get(), 0xa5, bytes_ + kGuardBytes);
    ASSERT_EQ(Cache::format(memory_.get(), bytes_, flows), "");
    ASSERT_EQ(cache_.attach(memory_.get(), bytes_, test_secret()), "");
  }

  void insert(uint32_t number, uint16_t index, uint32_t ttl_s, uint64_t now_ms) {
    cache_.insert(key_of(number), Verdict{Action::pool, 0, index}, ttl_s, generation_, now_ms);
  }
  // The verdict's index, or -1.
  int find(uint32_t number, uint64_t now_ms) {
    const FlowKey key = key_of(number);
    Verdict verdict{Action::drop, 0, 4711};
    const uint32_t found = cache_.lookup_burst(&key, 1, generation_, now_ms, &verdict);
    if (found != 0) {
      EXPECT_EQ(found, 1u);
      EXPECT_EQ(verdict.action, Action::pool);
      return verdict.index;
    }
    EXPECT_EQ(verdict.index, 4711) << "a miss writes nothing";
    return -1;
  }
  void check() { FlowProbe<Policy>(cache_).check(); }

  struct Free {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };
  std::size_t bytes_ = 0;
  std::unique_ptr<uint8_t[], Free> memory_;
  Cache cache_;
  uint64_t generation_ = 1;
};

}  // namespace millrace::flow
