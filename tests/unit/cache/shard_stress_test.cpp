// SPDX-License-Identifier: Apache-2.0
// One owner and two readers on real threads; made for ThreadSanitizer, useful without.
//
// Every answer proves itself: its key is the reader's, and each byte of its body follows from the
// key's number and a version in its first bytes. So a torn entry, an entry of another key, or one
// whose memory was used again too early is seen. Versions of a key only grow.
#include "dataplane/base/qsbr.hpp"
#include "tests/unit/cache/cache_fixture.hpp"

#include <atomic>
#include <cstdio>
#include <random>
#include <thread>

namespace millrace::cache {
namespace {

constexpr uint32_t kReaders = 2;
#if defined(__SANITIZE_THREAD__)
constexpr uint64_t kSteps = 80'000;
#else
constexpr uint64_t kSteps = 150'000;
#endif

// Twice what the memory holds, so that what is freed is used again at once.
constexpr uint64_t kKeys = 4000;

// Some keys expire before they are evicted, the others after.
constexpr uint32_t life_s_of(uint64_t number) {
  return static_cast<uint32_t>(1 + number % 30);
}

Answer proving_answer(uint64_t number, uint64_t version) {
  const auto body_bytes = static_cast<uint16_t>(16 + (number + version) % 7 * 60);
  Answer answer = make_answer(number, version, body_bytes, life_s_of(number),
                              version % 9 == 0 ? Kind::negative : Kind::positive, 3);
  std::memcpy(answer.body.data(), &version, sizeof version);
  return answer;
}

// The version of a whole entry of that key; 0: it is none.
uint64_t proven_version(const Entry& entry, const Key& key, uint64_t number) {
  const KeyView stored = key_of(entry);
  const AnswerView view = view_of(entry);
  if (stored.len != key.len || std::memcmp(stored.bytes, key.bytes, key.len) != 0) return 0;
  if (view.body_bytes < 16) return 0;
  uint64_t version;
  std::memcpy(&version, view.body, sizeof version);
  return same_answer(view, proving_answer(number, version).view) ? version : 0;
}

template <class Policy>
struct Shared {
  BasicShard<Policy> shard;
  Qsbr<kReaders> qsbr;
  std::vector<Key> keys;
  std::atomic<uint64_t> now_ms{1000};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> hits[kReaders] = {};
  std::atomic<uint64_t> wrong{0};
};

template <class Policy>
void read(Shared<Policy>& shared, uint32_t reader) {
  std::mt19937_64 random(reader + 1);
  const ShardView* shards[kBurstMax];
  const Key* keys[kBurstMax];
  uint64_t numbers[kBurstMax];
  Found found[kBurstMax];
  uint64_t hits = 0;
  std::vector<uint64_t> newest(kKeys);
  uint64_t turns = 0;
  shared.qsbr.online(reader);
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
      const uint64_t version = proven_version(*found[i].entry, *keys[i], numbers[i]);
      if (found[i].age_s >= life_s_of(numbers[i]) || version == 0 || version < newest[numbers[i]]) {
        shared.wrong.fetch_add(1);
      }
      newest[numbers[i]] = version;
    }
    shared.qsbr.quiescent(reader);
    if (++turns % 64 != 0) continue;
    shared.qsbr.offline(reader);
    std::this_thread::yield();
    shared.qsbr.online(reader);
  }
  shared.hits[reader].store(hits);
  shared.qsbr.offline(reader);
}

struct Written {
  uint64_t replaced = 0;
  uint64_t removed = 0;
};

template <class Policy>
Written write(Shared<Policy>& shared, uint64_t steps) {
  std::mt19937_64 random(99);
  Written written;
  for (uint64_t i = 1; i <= steps; ++i) {
    const uint64_t number = random() % kKeys;
    const uint64_t now_ms = shared.now_ms.load(std::memory_order_relaxed);
    if (random() % 8 == 0) {
      written.removed += shared.shard.remove(shared.keys[number]);
    } else {
      const Answer answer = proving_answer(number, i);
      written.replaced +=
          shared.shard.insert(shared.keys[number], answer.view, now_ms) == InsertResult::replaced;
    }
    if (i % 16 == 0) shared.shard.reclaim();
    if (i % 64 == 0) {
      shared.shard.expire(now_ms, 64);
      shared.now_ms.store(now_ms + 100, std::memory_order_relaxed);
      // Or nobody passes a grace period on a busy machine.
      if (i % 256 == 0) std::this_thread::yield();
    }
  }
  return written;
}

template <class Policy>
class ShardStress : public ::testing::Test {};
TYPED_TEST_SUITE(ShardStress, Policies, PolicyNames);

TYPED_TEST(ShardStress, A124_ReadersNeverSeeWhatIsNotWhole) {
  RegionMemory memory(kRegionBytesMin);
  using Shard = BasicShard<TypeParam>;
  auto shared = std::make_unique<Shared<TypeParam>>();
  ASSERT_EQ(Shard::format(memory.data(), memory.bytes(), 0), "");
  ASSERT_EQ(shared->shard.attach(memory.data(), memory.bytes(), shared->qsbr.grace()), "");
  for (uint64_t i = 0; i < kKeys; ++i)
    shared->keys.push_back(make_key(i));
  std::vector<std::thread> readers;
  for (uint32_t i = 0; i < kReaders; ++i)
    readers.emplace_back([&, i] { read(*shared, i); });
  const char* const text = std::getenv("MILLRACE_STRESS_STEPS");
  const Written written =
      write(*shared, text != nullptr ? std::strtoull(text, nullptr, 10) : kSteps);
  shared->stop.store(true);
  for (std::thread& reader : readers)
    reader.join();
  EXPECT_EQ(shared->wrong.load(), 0u);
  for (const auto& hits : shared->hits)
    EXPECT_GT(hits.load(), 1000u);
  ShardProbe(shared->shard).check();
  const ShardGauges& gauges = shared->shard.gauges();
  std::printf("replaced %llu, removed %llu, evicted %llu, expired %llu\n",
              static_cast<unsigned long long>(written.replaced),
              static_cast<unsigned long long>(written.removed),
              static_cast<unsigned long long>(gauges.evicted),
              static_cast<unsigned long long>(gauges.expired));
  for (const uint64_t of_a_kind :
       {written.replaced, written.removed, gauges.evicted, gauges.expired}) {
    EXPECT_GT(of_a_kind, 20u);
  }
  uint32_t removed = 0;
  shared->shard.walk_remove(
      0, UINT32_MAX, [](const Entry&) { return true; }, removed);
  for (int i = 0; i < 1000; ++i)
    shared->shard.reclaim();
  EXPECT_EQ(shared->shard.gauges().memory_used, 0u);
}

}  // namespace
}  // namespace millrace::cache
