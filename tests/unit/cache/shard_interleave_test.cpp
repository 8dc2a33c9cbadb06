// SPDX-License-Identifier: Apache-2.0
// The cache's own sources under the explorer: one owner and its readers, every schedule and every
// value that the memory model allows (up to the preemptions named with each scenario), the grace
// period being the real base/qsbr.hpp.
//
// In every scenario the readers compare what they find with the whole answer, and never come near
// the owner's state. That the entries' bytes are plain memory makes each missing release or acquire
// a race. The last tests take one kind of order away, which must fail: the scenarios see them.
#include "dataplane/base/qsbr.hpp"
#include "tests/support/compiled_model.hpp"
#include "tests/unit/cache/cache_fixture.hpp"

#include <cstdio>
#include <functional>

namespace millrace::cache {
namespace {

using test::explore;
using test::Explored;
using test::Keep;
using test::Limits;
using test::Trial;
using test::WatchedMemory;

constexpr uint32_t kOwner = 1;  // number of the modelled thread
constexpr uint32_t kReaders = 2;
constexpr uint64_t kNowMs = 10'000;

template <class Policy>
class ShardModelled : public ::testing::Test {};
TYPED_TEST_SUITE(ShardModelled, Policies, PolicyNames);

// Everything the threads share.
template <class Policy>
struct alignas(4096) World {
  std::byte region[kRegionBytesMin];
  BasicShard<Policy> shard;
  Qsbr<kReaders> qsbr;
};

template <class Policy>
class Scene {
 public:
  using Shard = BasicShard<Policy>;

  Scene() : world_(std::make_unique<World<Policy>>()) {
    EXPECT_EQ(Shard::format(world_->region, sizeof world_->region, 0), "");
    EXPECT_EQ(shard().attach(world_->region, sizeof world_->region, world_->qsbr.grace()), "");
  }

  Shard& shard() { return world_->shard; }
  Qsbr<kReaders>& qsbr() { return world_->qsbr; }

  Explored explore_with(const Limits& limits, Keep keep,
                        const std::function<void(Trial&)>& scenario) {
    WatchedMemory memory(world_.get(), sizeof *world_, keep);
    const RegionHeader& header = *reinterpret_cast<RegionHeader*>(world_->region);
    memory.reserve(world_->region, kPageBytes, kOwner);
    memory.reserve(world_->region + std::size_t{header.first_ghost_page} * kPageBytes,
                   std::size_t{header.first_slab_page - header.first_ghost_page} * kPageBytes,
                   kOwner);
    for (uint32_t page = header.first_slab_page; page < header.page_cnt; ++page) {
      memory.reserve(world_->region + std::size_t{page} * kPageBytes, sizeof(PageHeader), kOwner);
    }
    return explore(limits, [&](Trial& trial) {
      memory.rewind();
      scenario(trial);
    });
  }

 private:
  std::unique_ptr<World<Policy>> world_;
};

// A key with the answers that it may have, by version.
struct Item {
  Key key;
  std::vector<Answer> versions;
};

Item make_item(const Key& key, uint64_t number, uint32_t lifetime_s = 100) {
  Item item{key, {}};
  // The second is of another size class.
  for (const uint16_t body_bytes : {uint16_t{20}, uint16_t{70}})
    item.versions.push_back(make_answer(number, body_bytes, body_bytes, lifetime_s));
  return item;
}
Item make_item(uint64_t number, uint32_t lifetime_s = 100) {
  return make_item(make_key(number), number, lifetime_s);
}

// `cnt` keys of the first bucket of key 0, each with a tag and a second bucket of its own.
std::vector<Item> neighbours(const ShardView& shard, uint32_t cnt) {
  std::vector<Item> items;
  const uint32_t home = place_of(make_key(0).hash, shard.bucket_cnt()).bucket_idx;
  for (uint64_t i = 0; items.size() < cnt; ++i) {
    const Place place = place_of(make_key(i).hash, shard.bucket_cnt());
    if (place.bucket_idx == home) items.push_back(make_item(i));
  }
  return items;
}

bool same(const AnswerView& a, const AnswerView& b) {
  return a.body_bytes == b.body_bytes && a.ttl_cnt == b.ttl_cnt && a.an_cnt == b.an_cnt &&
         std::memcmp(a.body, b.body, a.body_bytes) == 0 &&
         std::memcmp(a.ttl_offsets, b.ttl_offsets, 2u * a.ttl_cnt) == 0;
}

constexpr int kMissed = -1;

// The version found, kMissed, or a failure.
int version_of(Trial& trial, const Item& item, const Found& found) {
  if (found.entry == nullptr) return kMissed;
  const AnswerView view = view_of(*found.entry);
  for (std::size_t i = 0; i < item.versions.size(); ++i) {
    if (same(view, item.versions[i].view)) return static_cast<int>(i);
  }
  trial.fail("an answer that was never inserted");
  return kMissed;
}

int look(Trial& trial, const ShardView& shard, const Item& item, uint64_t now_ms = kNowMs) {
  return version_of(trial, item, lookup(shard, item.key, now_ms));
}

template <class Policy>
void store(BasicShard<Policy>& shard, const Item& item, std::size_t version,
           uint64_t now_ms = kNowMs) {
  EXPECT_NE(shard.insert(item.key, item.versions[version].view, now_ms), InsertResult::no_memory);
}

void expect_passed(const Explored& result) {
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_GT(result.runs, 10u) << "nothing met";
  std::printf("%llu schedules\n", static_cast<unsigned long long>(result.runs));
}

// --- one slot

template <class Policy>
Explored explore_publish(Keep keep) {
  Scene<Policy> scene;
  const Item item = make_item(1);
  return scene.explore_with({}, keep, [&](Trial& trial) {
    trial.threads({[&] { store(scene.shard(), item, 0); },
                   [&] {
                     const int first = look(trial, scene.shard(), item);
                     const int second = look(trial, scene.shard(), item);
                     trial.check(first == kMissed || second == first, "found, and found again");
                   }});
    trial.check(look(trial, scene.shard(), item) == 0, "there at the end");
  });
}

TYPED_TEST(ShardModelled, WhatIsPublishedIsWhole) {
  expect_passed(explore_publish<TypeParam>(Keep::all));
}

TYPED_TEST(ShardModelled, A124_AReplacedAnswerIsTheOneOrTheOther) {
  Scene<TypeParam> scene;
  const Item item = make_item(1);
  store(scene.shard(), item, 0);
  expect_passed(scene.explore_with({}, Keep::all, [&](Trial& trial) {
    trial.threads({[&] { store(scene.shard(), item, 1); },
                   [&] {
                     const int first = look(trial, scene.shard(), item);
                     const int second = look(trial, scene.shard(), item);
                     trial.check(first != kMissed && second != kMissed, "never gone");
                     trial.check(second >= first, "never back to the older one");
                   }});
    trial.check(look(trial, scene.shard(), item) == 1, "the newer one at the end");
  }));
}

TYPED_TEST(ShardModelled, WhatIsRemovedDoesNotComeBack) {
  Scene<TypeParam> scene;
  const Item item = make_item(1);
  store(scene.shard(), item, 0);
  expect_passed(scene.explore_with({}, Keep::all, [&](Trial& trial) {
    trial.threads({[&] { scene.shard().remove(item.key); },
                   [&] {
                     const int first = look(trial, scene.shard(), item);
                     const int second = look(trial, scene.shard(), item);
                     trial.check(second == kMissed || first == second, "gone for good");
                   }});
    trial.check(look(trial, scene.shard(), item) == kMissed, "gone at the end");
  }));
}

// --- memory used again

// The owner takes `gone` out, by removal or because its time is over, and stores others as soon as
// memory comes free. Says in how many runs they got the memory of `gone`.
struct Reuse {
  Explored result;
  uint64_t reused = 0;
};

template <class Policy>
Reuse explore_reuse(const Limits& limits, Keep keep, bool by_expiry, uint32_t readers) {
  Scene<Policy> scene;
  const Item gone = make_item(1, by_expiry ? 2 : 100);
  const Item next = make_item(2);
  const Item last = make_item(3);
  store(scene.shard(), gone, 0);
  const Entry* const memory = lookup(scene.shard(), gone.key, kNowMs).entry;
  Reuse reuse;
  const auto owner = [&] {
    if (by_expiry) {
      scene.shard().expire(kNowMs + 3000, 10);
    } else {
      scene.shard().remove(gone.key);
    }
    scene.shard().reclaim();
    store(scene.shard(), next, 0);
    scene.shard().reclaim();
    store(scene.shard(), last, 0);
  };
  // The clock of this reader is behind the owner's.
  const auto reader = [&](Trial& trial, uint32_t number) {
    scene.qsbr().online(number);
    const int first = look(trial, scene.shard(), gone);
    look(trial, scene.shard(), next);
    scene.qsbr().quiescent(number);
    const int second = look(trial, scene.shard(), gone);
    look(trial, scene.shard(), last);
    scene.qsbr().offline(number);
    trial.check(second == kMissed || first == second, "gone for good");
  };
  reuse.result = scene.explore_with(limits, keep, [&](Trial& trial) {
    if (readers == 1) {
      trial.threads({owner, [&] { reader(trial, 0); }});
    } else {
      trial.threads({owner, [&] { reader(trial, 0); }, [&] { reader(trial, 1); }});
    }
    const ShardView& shard = scene.shard();
    trial.check(look(trial, shard, gone) == kMissed, "gone at the end");
    trial.check(look(trial, shard, next) == 0 && look(trial, shard, last) == 0, "both are there");
    reuse.reused += lookup(shard, next.key, kNowMs).entry == memory ||
                    lookup(shard, last.key, kNowMs).entry == memory;
  });
  return reuse;
}

constexpr Limits kThreePreemptions{.preemptions_max = 3, .stale_reads_max = 3};
constexpr Limits kTwoPreemptions{.preemptions_max = 2, .stale_reads_max = 1};

TYPED_TEST(ShardModelled, RemovedMemoryIsUsedAgainUnderNoReader) {
  const Reuse reuse = explore_reuse<TypeParam>(kThreePreemptions, Keep::all, false, 1);
  expect_passed(reuse.result);
  EXPECT_GT(reuse.reused, 10u) << "the memory was never used again: the runs prove nothing";
  EXPECT_LT(reuse.reused, reuse.result.runs) << "no reader was ever in the way";
}

TYPED_TEST(ShardModelled, ExpiredMemoryIsUsedAgainUnderNoReader) {
  const Reuse reuse = explore_reuse<TypeParam>(kThreePreemptions, Keep::all, true, 1);
  expect_passed(reuse.result);
  EXPECT_GT(reuse.reused, 10u);
  EXPECT_LT(reuse.reused, reuse.result.runs);
}

TYPED_TEST(ShardModelled, MemoryWaitsForBothReaders) {
  const Reuse reuse = explore_reuse<TypeParam>(kTwoPreemptions, Keep::all, false, 2);
  expect_passed(reuse.result);
  EXPECT_GT(reuse.reused, 10u);
  EXPECT_LT(reuse.reused, reuse.result.runs);
}

// --- entries in their second bucket

// The first bucket of all items is full with the first eight; what comes on top has spilled.
template <class Policy>
struct Spilled : Scene<Policy> {
  explicit Spilled(uint32_t on_top) : items(neighbours(this->shard(), kSlotsPerBucket + 2)) {
    for (uint32_t i = 0; i < kSlotsPerBucket + on_top; ++i)
      store(this->shard(), items[i], 0);
  }
  std::vector<Item> items;
  const Item& in_slot_0() const { return items[0]; }
  const Item& on_top(uint32_t i) const { return items[kSlotsPerBucket + i]; }
};

TYPED_TEST(ShardModelled, ASpillHidesNobody) {
  Spilled<TypeParam> scene(0);
  expect_passed(scene.explore_with({}, Keep::all, [&](Trial& trial) {
    trial.threads({[&] { store(scene.shard(), scene.on_top(0), 0); },
                   [&] {
                     const int first = look(trial, scene.shard(), scene.on_top(0));
                     const int there = look(trial, scene.shard(), scene.in_slot_0());
                     const int second = look(trial, scene.shard(), scene.on_top(0));
                     trial.check(there == 0, "slot 0 keeps its entry while the count rises");
                     trial.check(first == kMissed || second == 0, "found, and found again");
                   }});
    trial.check(look(trial, scene.shard(), scene.on_top(0)) == 0, "found at the end");
  }));
}

// A reader may meet the entry of slot 0 for the first time in the word that counts a spill.
TYPED_TEST(ShardModelled, TheWordThatCountsASpillCarriesItsEntry) {
  Spilled<TypeParam> scene(0);
  scene.shard().remove(scene.in_slot_0().key);
  expect_passed(scene.explore_with({}, Keep::all, [&](Trial& trial) {
    trial.threads({[&] {
                     store(scene.shard(), scene.in_slot_0(), 1);
                     store(scene.shard(), scene.on_top(0), 0);
                   },
                   [&] {
                     const int first = look(trial, scene.shard(), scene.in_slot_0());
                     const int second = look(trial, scene.shard(), scene.in_slot_0());
                     trial.check(first == kMissed || second == first, "found, and found again");
                   }});
    trial.check(look(trial, scene.shard(), scene.on_top(0)) == 0, "found at the end");
  }));
}

TYPED_TEST(ShardModelled, AnotherSpillThatGoesHidesNobody) {
  Spilled<TypeParam> scene(2);
  expect_passed(scene.explore_with({}, Keep::all, [&](Trial& trial) {
    trial.threads({[&] { scene.shard().remove(scene.on_top(0).key); },
                   [&] {
                     const int gone = look(trial, scene.shard(), scene.on_top(0));
                     const int stays = look(trial, scene.shard(), scene.on_top(1));
                     trial.check(stays == 0, "the other one is always found");
                     trial.check(look(trial, scene.shard(), scene.on_top(0)) <= gone, "gone");
                   }});
    trial.check(look(trial, scene.shard(), scene.on_top(1)) == 0, "found at the end");
  }));
}

// The word of slot 0 carries the count: it must outlive the entry in the slot.
TYPED_TEST(ShardModelled, TheCountOutlivesTheEntryInSlotZero) {
  Spilled<TypeParam> scene(1);
  expect_passed(scene.explore_with(kThreePreemptions, Keep::all, [&](Trial& trial) {
    trial.threads({[&] {
                     store(scene.shard(), scene.in_slot_0(), 1);
                     scene.shard().remove(scene.in_slot_0().key);
                     store(scene.shard(), scene.on_top(1), 0);
                   },
                   [&] {
                     for (int i = 0; i < 2; ++i) {
                       look(trial, scene.shard(), scene.in_slot_0());
                       const int stays = look(trial, scene.shard(), scene.on_top(0));
                       trial.check(stays == 0, "always found");
                     }
                   }});
    trial.check(look(trial, scene.shard(), scene.on_top(1)) == 0, "took the free slot");
  }));
}

// --- eviction

TYPED_TEST(ShardModelled, EvictionFromFullBucketsBesideAReaderThatMarks) {
  Scene<TypeParam> scene;
  std::vector<Item> items;
  for (uint64_t i = 0; i <= 2 * kSlotsPerBucket; ++i) {
    Key key = make_key(i);
    key.hash = 0x1234'5678'9abc'def0;
    items.push_back(make_item(key, i));
  }
  const Item& oldest = items.front();
  const Item& newest = items.back();
  for (uint64_t i = 0; i < 2 * kSlotsPerBucket; ++i)
    store(scene.shard(), items[i], 0, kNowMs + i);
  uint64_t kept = 0;
  const Explored result = scene.explore_with(kThreePreemptions, Keep::all, [&](Trial& trial) {
    trial.threads({[&] {
                     store(scene.shard(), newest, 0, kNowMs + 50);
                     scene.shard().reclaim();
                   },
                   [&] {
                     scene.qsbr().online(0);
                     const Found found = lookup(scene.shard(), oldest.key, kNowMs + 50);
                     version_of(trial, oldest, found);
                     if (found.entry != nullptr) touch(*found.entry);
                     scene.qsbr().offline(0);
                   }});
    uint32_t there = 0;
    for (const Item& item : items)
      there += look(trial, scene.shard(), item, kNowMs + 50) == 0;
    trial.check(there == 2 * kSlotsPerBucket, "one gave way to the new one");
    trial.check(look(trial, scene.shard(), newest, kNowMs + 50) == 0, "the new one is there");
    kept += look(trial, scene.shard(), oldest, kNowMs + 50) == 0;
  });
  expect_passed(result);
  EXPECT_GT(kept, 0u) << "a mark made in time saves its entry";
  EXPECT_LT(kept, result.runs) << "one made too late does not";
}

// Memory is short, and the policy chooses; the reader marks what it would take first.
TYPED_TEST(ShardModelled, EvictionByThePolicyBesideAReaderThatMarks) {
  Scene<TypeParam> scene;
  auto& shard = scene.shard();
  uint64_t number = 0;
  // So large that memory is used up before the buckets are.
  const auto large = [](uint64_t i) {
    Item item{make_key(i), {}};
    item.versions.push_back(make_answer(i, 1, 600, 100));
    return item;
  };
  while (shard.gauges().evicted == 0)
    store(shard, large(number++), 0);
  const Item next = large(number);
  number = 0;
  while (lookup(shard, make_key(number), kNowMs).entry == nullptr)
    ++number;
  const Item oldest = large(number);
  uint64_t kept = 0;
  const Explored result = scene.explore_with(kThreePreemptions, Keep::all, [&](Trial& trial) {
    trial.threads({[&] { store(shard, next, 0); },
                   [&] {
                     scene.qsbr().online(0);
                     const Found found = lookup(shard, oldest.key, kNowMs);
                     version_of(trial, oldest, found);
                     if (found.entry != nullptr) touch(*found.entry);
                     scene.qsbr().offline(0);
                   }});
    trial.check(look(trial, shard, next) == 0, "the new one is there");
    kept += look(trial, shard, oldest) == 0;
  });
  expect_passed(result);
  EXPECT_GT(kept, 0u) << "a mark made in time saves its entry";
  EXPECT_LT(kept, result.runs) << "one made too late does not";
}

// --- what the scenarios can see

template <class Policy>
void expect_races_with(Keep keep) {
  const Explored published = explore_publish<Policy>(keep);
  EXPECT_NE(published.failure.find("data race"), std::string::npos);
  const Explored reused = explore_reuse<Policy>(kThreePreemptions, keep, false, 1).result;
  EXPECT_NE(reused.failure.find("race"), std::string::npos);
}

TYPED_TEST(ShardModelled, WithoutReleaseItRaces) {
  expect_races_with<TypeParam>(Keep::no_release);
}

TYPED_TEST(ShardModelled, WithoutAcquireItRaces) {
  expect_races_with<TypeParam>(Keep::no_acquire);
}

}  // namespace
}  // namespace millrace::cache
