// SPDX-License-Identifier: Apache-2.0
// One owner and two readers on real threads; made for ThreadSanitizer, useful without.
//
// Every answer proves itself: its body follows from the key's number and a version in its first
// bytes. So a torn entry, an entry of another key, or one whose memory was used again too early is
// seen.
#include "tests/unit/cache/cache_fixture.hpp"

#include <atomic>
#include <random>
#include <thread>

namespace millrace::cache {
namespace {

constexpr uint32_t kReaders = 2;

// The smallest quiescent-state grace period: a counter per reader, a token that readers copy.
class Qsbr {
 public:
  GracePeriod get() { return GracePeriod{this, &start, &passed}; }

  void quiescent(uint32_t reader) {
    // Acquire: pairs with the release in start(); the unlink is seen before the token is.
    const uint64_t token = token_.load(std::memory_order_acquire);
    // Release: pairs with the acquire in passed(); all reads of the past come before it.
    seen_[reader].value.store(token, std::memory_order_release);
  }
  void offline(uint32_t reader) {
    seen_[reader].value.store(UINT64_MAX, std::memory_order_release);
  }

 private:
  struct alignas(kWriterSpacingBytes) Seen {
    std::atomic<uint64_t> value{0};
  };

  static uint64_t start(void* context) noexcept {
    return static_cast<Qsbr*>(context)->token_.fetch_add(1, std::memory_order_acq_rel) + 1;
  }
  static bool passed(void* context, uint64_t token) noexcept {
    for (const Seen& seen : static_cast<Qsbr*>(context)->seen_) {
      if (seen.value.load(std::memory_order_acquire) < token) return false;
    }
    return true;
  }

  std::atomic<uint64_t> token_{0};
  Seen seen_[kReaders];
};

constexpr uint64_t kKeys = 4000;

Answer proving_answer(uint64_t number, uint64_t version, uint32_t lifetime_s) {
  const auto body_bytes = static_cast<uint16_t>(16 + (number + version) % 7 * 60);
  Answer answer = make_answer(number, version, body_bytes, lifetime_s,
                              version % 9 == 0 ? Kind::negative : Kind::positive, 3);
  std::memcpy(answer.body.data(), &version, sizeof version);
  return answer;
}

bool proves_itself(const Entry& entry, uint64_t number, uint32_t lifetime_s) {
  const AnswerView view = view_of(entry);
  if (view.body_bytes < 16) return false;
  uint64_t version;
  std::memcpy(&version, view.body, sizeof version);
  return static_cast<bool>(same_answer(view, proving_answer(number, version, lifetime_s).view));
}

template <class Policy>
struct Shared {
  BasicShard<Policy> shard;
  Qsbr qsbr;
  std::vector<Key> keys;
  std::atomic<uint64_t> now_ms{1000};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> hits[kReaders] = {};
  std::atomic<uint64_t> wrong{0};
};

constexpr uint32_t kLifetime = 30;

template <class Policy>
void read(Shared<Policy>& shared, uint32_t reader) {
  std::mt19937_64 random(reader + 1);
  const ShardView* shards[kBurstMax];
  const Key* keys[kBurstMax];
  uint64_t numbers[kBurstMax];
  Found found[kBurstMax];
  uint64_t hits = 0;
  // Relaxed: a flag and a clock; nothing else is read by their order.
  while (!shared.stop.load(std::memory_order_relaxed)) {
    for (uint32_t i = 0; i < kBurstMax; ++i) {
      numbers[i] = random() % kKeys;
      shards[i] = &shared.shard;
      keys[i] = &shared.keys[numbers[i]];
    }
    lookup_burst(shards, keys, kBurstMax, shared.now_ms.load(std::memory_order_relaxed), found);
    for (uint32_t i = 0; i < kBurstMax; ++i) {
      if (found[i].entry == nullptr) continue;
      ++hits;
      touch(*found[i].entry);
      if (found[i].age_s >= kLifetime || !proves_itself(*found[i].entry, numbers[i], kLifetime)) {
        shared.wrong.fetch_add(1);
      }
    }
    shared.qsbr.quiescent(reader);
  }
  shared.hits[reader].store(hits);
  shared.qsbr.offline(reader);
}

template <class Policy>
void write(Shared<Policy>& shared, uint64_t steps) {
  std::mt19937_64 random(99);
  for (uint64_t i = 0; i < steps; ++i) {
    const uint64_t number = random() % kKeys;
    const uint64_t now_ms = shared.now_ms.load(std::memory_order_relaxed);
    if (random() % 8 == 0) {
      shared.shard.remove(shared.keys[number]);
    } else {
      shared.shard.insert(shared.keys[number], proving_answer(number, i, kLifetime).view, now_ms);
    }
    if (i % 16 == 0) shared.shard.reclaim();
    if (i % 64 == 0) {
      shared.shard.expire(now_ms, 64);
      shared.now_ms.store(now_ms + 50, std::memory_order_relaxed);
    }
  }
}

template <class Policy>
class ShardStress : public ::testing::Test {};
TYPED_TEST_SUITE(ShardStress, Policies, PolicyNames);

TYPED_TEST(ShardStress, ReadersNeverSeeWhatIsNotWhole) {
  RegionMemory memory(kRegionBytesMin);
  auto shared = std::make_unique<Shared<TypeParam>>();
  ASSERT_EQ(BasicShard<TypeParam>::format(memory.data(), memory.bytes(), 0), "");
  ASSERT_EQ(shared->shard.attach(memory.data(), memory.bytes(), shared->qsbr.get()), "");
  for (uint64_t i = 0; i < kKeys; ++i)
    shared->keys.push_back(make_key(i));
  std::vector<std::thread> readers;
  for (uint32_t i = 0; i < kReaders; ++i)
    readers.emplace_back([&, i] { read(*shared, i); });
  const char* const text = std::getenv("MILLRACE_STRESS_STEPS");
  write(*shared, text != nullptr ? std::strtoull(text, nullptr, 10) : 100'000);
  shared->stop.store(true);
  for (std::thread& reader : readers)
    reader.join();
  EXPECT_EQ(shared->wrong.load(), 0u);
  for (const auto& hits : shared->hits)
    EXPECT_GT(hits.load(), 1000u);
  ShardProbe(shared->shard).check();
  EXPECT_GT(shared->shard.gauges().evicted + shared->shard.gauges().expired, 100u);
  uint32_t removed = 0;
  shared->shard.walk_remove(
      0, UINT32_MAX, [](const Entry&) { return true; }, removed);
  for (int i = 0; i < 1000; ++i)
    shared->shard.reclaim();
  EXPECT_EQ(shared->shard.gauges().memory_used, 0u);
}

}  // namespace
}  // namespace millrace::cache
