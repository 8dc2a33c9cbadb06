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

// Item i has Ref kHeads + i.
struct Memory {
  std::vector<Record> records = std::vector<Record>(kHeads + kItems);
  std::vector<uint8_t> marks = std::vector<uint8_t>(kHeads + kItems);
  uint32_t marks_asked = 0;
};

struct Items {
  Memory* memory;

  Record& record(Ref ref) const noexcept { return memory->records[ref]; }
  bool take_mark(Ref ref) const noexcept {
    ++memory->marks_asked;
    return std::exchange(memory->marks[ref], uint8_t{0}) != 0;
  }
  void mark(Ref ref) const noexcept { memory->marks[ref] = 1; }
};

struct SieveModel {
  std::list<Ref> items;  // oldest first
  std::list<Ref>::iterator hand = items.end();

  void add(Ref ref, bool known, Memory& memory) {
    items.push_back(ref);
    memory.marks[ref] = known;
  }
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

  void add(Ref ref, bool known, Memory&) { (known ? main : small).push_back(ref); }
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
        return ref;
      }
      memory.marks[ref] = 0;
      queue.pop_front();
      main.push_back(ref);
    }
    return kNoRef;
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
  explicit Rig(uint64_t seed) : random_(seed) {
    for (Ref head = 0; head < kHeads; ++head)
      memory_.records[head] = list_head(head);
    for (uint32_t i = 0; i < kItems; ++i)
      free_.push_back(kHeads + i);
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
    const bool known = random_() % 3 == 0;
    policy_.add(queue, ref, known);
    const uint8_t marked = std::exchange(memory_.marks[ref], uint8_t{0});
    models_[queue].add(ref, known, memory_);
    ASSERT_EQ(marked, memory_.marks[ref]);
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
    const auto [ref, looks] = policy_.pick(queue);
    ASSERT_LE(memory_.marks_asked, kPolicySteps);
    // After so many marks the next entry goes unasked.
    const bool unasked = memory_.marks_asked == kPolicySteps && looks > kPolicySteps;
    ASSERT_EQ(looks, memory_.marks_asked + unasked);
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
  typename Policy::QueueState states_[kQueueCnt] = {};
  typename Policy::template On<Items> policy_{Items{&memory_}, states_};
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
TEST(S3Fifo, AgreesWithTwoQueues) {
  run_against_model<S3Fifo>();
}

}  // namespace
}  // namespace millrace::cache
