// SPDX-License-Identifier: Apache-2.0
// SIEVE and S3-FIFO by themselves, each against the plainest form of its algorithm, step by step.
#include "dataplane/cache/s3_fifo.hpp"
#include "dataplane/cache/sieve.hpp"

#include <deque>
#include <list>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::cache {
namespace {

constexpr uint32_t kItems = 400;
constexpr uint32_t kQueueCnt = 3;
constexpr uint32_t kBucketCnt = 64;

// Item i has Ref kHeads + i.
struct Memory {
  std::vector<Record> records = std::vector<Record>(kHeads + kItems);
  std::vector<uint8_t> marks = std::vector<uint8_t>(kHeads + kItems);
  std::vector<Place> places = std::vector<Place>(kHeads + kItems);
  uint32_t marks_asked = 0;
};

struct Items {
  Memory* memory;

  Record& record(Ref ref) const noexcept { return memory->records[ref]; }
  bool take_mark(Ref ref) const noexcept {
    ++memory->marks_asked;
    return std::exchange(memory->marks[ref], uint8_t{0}) != 0;
  }
  Place place(Ref ref) const noexcept { return memory->places[ref]; }
};

struct SieveModel {
  std::list<Ref> items;  // oldest first
  std::list<Ref>::iterator hand = items.end();

  void add(Ref ref, Memory&) { items.push_back(ref); }
  void remove(Ref ref) {
    const auto at = std::find(items.begin(), items.end(), ref);
    if (hand == at) ++hand;
    items.erase(at);
  }
  Ref pick(Memory& memory) {
    if (items.empty()) return kNoRef;
    if (hand == items.end()) hand = items.begin();
    for (uint32_t i = 0; i < kPolicySteps && memory.marks[*hand] != 0; ++i) {
      memory.marks[*hand] = 0;
      if (++hand == items.end()) hand = items.begin();
    }
    return *hand;
  }
  std::size_t cnt() const { return items.size(); }
};

struct S3FifoModel {
  std::deque<Ref> small, main;  // oldest first
  // A FIFO for each line, shared by the queues: the last 31 places, 0 where one was taken again.
  std::vector<std::deque<uint16_t>>* ghost;

  static uint16_t fingerprint(const Place& place) {
    const auto low = static_cast<uint16_t>(place.tag);
    return low == 0 ? uint16_t{1} : low;
  }
  void add(Ref ref, Memory& memory) {
    auto& line = (*ghost)[memory.places[ref].bucket_idx / kBucketsPerGhostLine];
    const auto known = std::find(line.begin(), line.end(), fingerprint(memory.places[ref]));
    if (known != line.end()) *known = 0;
    (known != line.end() ? main : small).push_back(ref);
  }
  void remove(Ref ref) {
    std::erase(small, ref);
    std::erase(main, ref);
  }
  Ref pick(Memory& memory) {
    for (uint32_t i = 0; cnt() > 0; ++i) {
      const bool from_small = main.empty() || small.size() > cnt() / 10;
      auto& queue = from_small ? small : main;
      const Ref ref = queue.front();
      if (i == kPolicySteps || memory.marks[ref] == 0) {
        if (from_small) remember(memory.places[ref]);
        return ref;
      }
      memory.marks[ref] = 0;
      queue.pop_front();
      main.push_back(ref);
    }
    return kNoRef;
  }
  void remember(const Place& place) {
    auto& line = (*ghost)[place.bucket_idx / kBucketsPerGhostLine];
    line.push_back(fingerprint(place));
    if (line.size() > kGhostsPerLine) line.pop_front();
  }
  std::size_t cnt() const { return small.size() + main.size(); }
};

template <class Policy>
struct ModelOf {
  using Type = SieveModel;
};
template <>
struct ModelOf<S3Fifo> {
  using Type = S3FifoModel;
};

template <class Policy>
class Rig {
 public:
  explicit Rig(uint64_t seed) : random_(seed), table_(kBucketCnt / kBucketsPerGhostLine) {
    for (Ref head = 0; head < kHeads; ++head)
      memory_.records[head] = list_head(head);
    for (uint32_t i = 0; i < kItems; ++i)
      free_.push_back(kHeads + i);
    if constexpr (std::is_same_v<Policy, S3Fifo>) {
      for (auto& model : models_)
        model.ghost = &ghost_;
    }
  }

  void step() {
    const auto queue = static_cast<uint32_t>(random_() % kQueueCnt);
    const uint64_t what = random_() % 10;
    if (what < 4) return add(queue);
    if (what < 5) return remove(queue);
    if (what < 7) return pick(queue);
    const auto ref = static_cast<Ref>(kHeads + random_() % kItems);
    memory_.marks[ref] = 1;
  }

  void add(uint32_t queue) {
    if (free_.empty()) return;
    const std::size_t at = random_() % free_.size();
    const Ref ref = free_[at];
    free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(at));
    memory_.marks[ref] = 0;
    // Few keys, so that many come back while the ghost knows them; one has a tag that is all
    // zeroes.
    const uint64_t number = (ref - kHeads) * 3 + random_() % 3;
    const uint64_t key = number * 0x9e3779b97f4a7c15u;
    memory_.places[ref] =
        Place{static_cast<uint32_t>(key >> 40) % kBucketCnt,
              number == 7 ? 0 : static_cast<uint32_t>(key >> 8) & ((1u << kTagBits) - 1)};
    policy_.add(queue, ref);
    models_[queue].add(ref, memory_);
    held_[queue].push_back(ref);
  }

  void remove(uint32_t queue) {
    if (held_[queue].empty()) return;
    remove(queue, held_[queue][random_() % held_[queue].size()]);
  }
  void remove(uint32_t queue, Ref ref) {
    policy_.remove(queue, ref);
    models_[queue].remove(ref);
    std::erase(held_[queue], ref);
    free_.push_back(ref);
  }

  void pick(uint32_t queue) {
    const Ref candidate = policy_.candidate(queue);
    const bool marked = candidate != kNoRef && memory_.marks[candidate] != 0;
    const std::vector<uint8_t> marks = memory_.marks;
    memory_.marks_asked = 0;
    const Ref ref = policy_.pick(queue);
    ASSERT_LE(memory_.marks_asked, kPolicySteps);
    const std::vector<uint8_t> marks_after = memory_.marks;
    memory_.marks = marks;
    ASSERT_EQ(ref, models_[queue].pick(memory_));
    ASSERT_EQ(memory_.marks, marks_after);
    ASSERT_TRUE(marked || ref == candidate) << "candidate() said something else";
    if (ref == kNoRef) return;
    ++picked_;
    remove(queue, ref);
  }

  void check_counts() const {
    for (uint32_t queue = 0; queue < kQueueCnt; ++queue)
      ASSERT_EQ(policy_.cnt(queue), models_[queue].cnt());
  }
  uint64_t picked() const { return picked_; }

 private:
  std::mt19937_64 random_;
  Memory memory_;
  std::vector<GhostLine> table_;
  typename Policy::QueueState states_[kQueueCnt] = {};
  typename Policy::template On<Items> policy_{Items{&memory_}, states_,
                                              reinterpret_cast<std::byte*>(table_.data())};
  std::vector<std::deque<uint16_t>> ghost_{kBucketCnt / kBucketsPerGhostLine};
  typename ModelOf<Policy>::Type models_[kQueueCnt];
  std::vector<Ref> held_[kQueueCnt];
  std::vector<Ref> free_;
  uint64_t picked_ = 0;
};

template <class Policy>
void run_against_model() {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Rig<Policy> rig(seed);
    for (int i = 0; i < 60'000; ++i) {
      ASSERT_NO_FATAL_FAILURE(rig.step()) << "step " << i;
      if (i % 100 == 0) {
        ASSERT_NO_FATAL_FAILURE(rig.check_counts());
      }
    }
    EXPECT_GT(rig.picked(), 5000u);
  }
}

TEST(Sieve, AgreesWithAListAndAHand) {
  run_against_model<Sieve>();
}
TEST(S3Fifo, AgreesWithTwoQueuesAndAGhost) {
  run_against_model<S3Fifo>();
}

}  // namespace
}  // namespace millrace::cache
