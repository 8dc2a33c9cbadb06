// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the cache's tests share: memory for a region, a grace period moved by hand, keys and answers
// whose bytes follow from a few numbers, and ShardProbe, which checks every structure of a shard
// against every other.

#include "dataplane/base/key_hash.hpp"
#include "dataplane/cache/shard_state.hpp"
#include "dataplane/cache/ttl_cache.hpp"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::cache {

// A region filled with rubbish, so that nothing relies on zeroes.
class RegionMemory {
 public:
  explicit RegionMemory(std::size_t bytes, int fill = 0xa5)
      : bytes_(bytes), memory_(std::aligned_alloc(4096, (bytes + 4095) & ~std::size_t{4095})) {
    std::memset(memory_, fill, bytes);
  }
  ~RegionMemory() { std::free(memory_); }
  RegionMemory(const RegionMemory&) = delete;
  RegionMemory& operator=(const RegionMemory&) = delete;

  void* data() const { return memory_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_;
  void* memory_;
};

// Tokens count up; a token has passed once pass() was called after it was made.
class ManualGrace {
 public:
  GracePeriod get() { return GracePeriod{this, &start, &passed}; }
  void pass() { passed_until_ = next_; }
  uint64_t outstanding() const { return next_ - passed_until_; }

 private:
  static uint64_t start(void* context) noexcept {
    return ++static_cast<ManualGrace*>(context)->next_;
  }
  static bool passed(void* context, uint64_t token) noexcept {
    return token <= static_cast<ManualGrace*>(context)->passed_until_;
  }
  uint64_t next_ = 0;
  uint64_t passed_until_ = 0;
};

inline HashSecret test_secret() {
  HashSecret secret;
  for (std::size_t i = 0; i < HashSecret::kBytes; ++i) {
    secret.bytes[i] = static_cast<uint8_t>(i * 151 + 7);
  }
  return secret;
}

// A key of `len` bytes made of `number`; distinct numbers give distinct keys if len >= 12.
inline Key make_key(uint64_t number, uint16_t len = 24) {
  static const HashSecret secret = test_secret();
  Key key{};
  key.len = len;
  for (uint16_t i = 0; i < len; ++i)
    key.bytes[i] = static_cast<uint8_t>(number * 31 + i);
  std::memcpy(key.bytes + (len >= 12 ? 4 : 0), &number, std::min<std::size_t>(8, len));
  key.hash = hash_key(secret, key);
  return key;
}

// An answer that owns its bytes; every byte follows from (key number, version).
struct Answer {
  std::vector<uint8_t> body;
  std::vector<uint16_t> ttl_offsets;
  AnswerView view{};
};

inline void fill_body(std::vector<uint8_t>& body, uint64_t number, uint64_t version) {
  uint64_t word = number * 0x9e3779b97f4a7c15u + version;
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (i % 8 == 0) word = word * 0xd1342543de82ef95u + 1;
    body[i] = static_cast<uint8_t>(word >> (i % 8 * 8));
  }
}

inline Answer make_answer(uint64_t number, uint64_t version, uint16_t body_bytes,
                          uint32_t lifetime_s, Kind kind = Kind::positive, uint16_t ttl_cnt = 2) {
  Answer answer;
  answer.body.resize(body_bytes);
  fill_body(answer.body, number, version);
  for (uint16_t i = 0; i < ttl_cnt; ++i) {
    answer.ttl_offsets.push_back(static_cast<uint16_t>(i * 5 + version % 5));
  }
  AnswerView& view = answer.view;
  view.body = answer.body.data();
  view.ttl_offsets = answer.ttl_offsets.data();
  view.body_bytes = body_bytes;
  view.ttl_cnt = ttl_cnt;
  view.an_cnt = kind == Kind::positive ? ttl_cnt : uint16_t{0};
  view.ns_cnt = kind == Kind::negative ? ttl_cnt : uint16_t{0};
  view.an_end = kind == Kind::negative && ttl_cnt > 0 ? uint16_t{0} : body_bytes;
  view.ns_end = body_bytes;
  view.rcode = kind == Kind::failure ? 2 : kind == Kind::negative ? 3 : 0;
  view.authentic_data = version % 2 == 1;
  view.negative = kind == Kind::negative;
  view.failure = kind == Kind::failure;
  view.lifetime_s = lifetime_s;
  return answer;
}

inline ::testing::AssertionResult same_answer(const AnswerView& a, const AnswerView& b) {
  const auto differ = [](const char* what) {
    return ::testing::AssertionFailure() << "answers differ in " << what;
  };
  if (a.body_bytes != b.body_bytes) return differ("body_bytes");
  if (a.ttl_cnt != b.ttl_cnt) return differ("ttl_cnt");
  if (a.an_cnt != b.an_cnt || a.ns_cnt != b.ns_cnt || a.ar_cnt != b.ar_cnt) return differ("counts");
  if (a.an_end != b.an_end || a.ns_end != b.ns_end) return differ("section ends");
  if (a.rcode != b.rcode || a.authentic_data != b.authentic_data) return differ("rcode or AD");
  if (a.negative != b.negative || a.failure != b.failure) return differ("kind");
  if (a.lifetime_s != b.lifetime_s) return differ("lifetime");
  if (a.body_bytes > 0 && std::memcmp(a.body, b.body, a.body_bytes) != 0) return differ("body");
  if (a.ttl_cnt > 0 && std::memcmp(a.ttl_offsets, b.ttl_offsets, 2u * a.ttl_cnt) != 0) {
    return differ("TTL offsets");
  }
  return ::testing::AssertionSuccess();
}

inline Found lookup(const ShardView& shard, const Key& key, uint64_t now_ms) {
  const ShardView* const shards[] = {&shard};
  const Key* const keys[] = {&key};
  Found found{};
  lookup_burst(shards, keys, 1, now_ms, &found);
  return found;
}

// For typed tests: everything that a shard does, it does under each policy.
using Policies = ::testing::Types<Sieve, S3Fifo>;

struct PolicyNames {
  template <class Policy>
  static std::string GetName(int) {
    return std::is_same_v<Policy, Sieve> ? "Sieve" : "S3Fifo";
  }
};

template <class Policy>
class ShardProbe {
 public:
  explicit ShardProbe(BasicShard<Policy>& shard)
      : shard_(shard), region_(shard.region_), state_(*shard.state_) {}

  // Index, records, wheel, queues, slab and gauges must tell the same story.
  void check() {
    live_.clear();
    check_index();
    check_wheel();
    check_queues();
    check_pages();
    check_limbo();
  }

  uint32_t unused_pages() const { return state_.slab.unused_pages; }
  uint32_t slab_pages() const { return state_.slab.end_page - first_slab_page(); }
  uint32_t pages_of(uint32_t size_class) const { return state_.slab.classes[size_class].pages; }
  uint64_t timers() const { return state_.wheel.armed; }
  uint32_t spills(uint32_t bucket_idx) const {
    return slot_spills(shard_.bucket(bucket_idx).slots[0].load());
  }
  // Does the policy treat the entry as one whose key was known when it came?
  bool counts_as_known(const Entry* entry) const {
    if constexpr (std::is_same_v<Policy, Sieve>) return entry->visited.load() != 0;
    const auto entry_no = static_cast<uint32_t>(
        (reinterpret_cast<const std::byte*>(entry) - region_.base) / kEntryUnitBytes);
    return region_.record(region_.ref_of(entry_no)).in_main;
  }

 private:
  uint32_t first_slab_page() const { return region_.header().first_slab_page; }

  void check_index() {
    std::vector<uint32_t> spills(shard_.bucket_cnt());
    std::vector<bool> sticky(shard_.bucket_cnt());
    uint64_t of_kind[kKinds] = {};
    for (uint32_t slot_no = 0; slot_no < shard_.bucket_cnt() * kSlotsPerBucket; ++slot_no) {
      const SlotWord word = shard_.index().word(slot_no);
      const uint32_t bucket_idx = slot_no / kSlotsPerBucket;
      if (slot_no % kSlotsPerBucket != 0) {
        ASSERT_EQ(slot_spills(word), 0u);
      }
      if (slot_is_empty(word)) {
        ASSERT_EQ(word & ~kSlotSpillsMask, 0u);
        continue;
      }
      const Ref ref = region_.ref_of(slot_entry_no(word));
      ASSERT_EQ(region_.entry_no(ref), slot_entry_no(word));
      ASSERT_EQ(region_.record(ref).bucket, bucket_idx);
      ASSERT_EQ(shard_.items(0).slot_of(ref), slot_no);
      ASSERT_TRUE(live_.insert(ref).second) << "two slots name one entry";
      const Entry& entry = shard_.entry_of(ref);
      const uint32_t lines = (shape_of(entry).bytes + 63) / 64;
      ASSERT_EQ(slot_lines(word), std::min(lines, kSlotLinesMax));
      ++of_kind[static_cast<uint32_t>(shard_.budget_kind_of(ref))];
      if (slot_is_second(word)) {
        ++spills[other_bucket(bucket_idx, slot_tag(word), shard_.bucket_cnt())];
      }
    }
    for (uint32_t i = 0; i < shard_.bucket_cnt(); ++i) {
      const uint32_t noted = this->spills(i);
      if (noted < kSpillsMax) {
        ASSERT_EQ(noted, spills[i]) << "bucket " << i;
      }
    }
    ASSERT_EQ(state_.gauges.entries, live_.size());
    for (uint32_t kind = 0; kind < kKinds; ++kind) {
      ASSERT_EQ(state_.gauges.entries_of_kind[kind], of_kind[kind]);
    }
  }

  void check_wheel() {
    std::set<Ref> seen;
    for (Ref head = 0; head < kHeads; ++head) {
      const bool marked = state_.wheel.occupied[head / kWheelSlots] >> head % kWheelSlots & 1;
      ASSERT_EQ(marked, region_.record(head).wheel_next != head) << "slot " << head;
      Ref prev = head;
      for (Ref ref = region_.record(head).wheel_next; ref != head;
           ref = region_.record(ref).wheel_next) {
        ASSERT_EQ(region_.record(ref).wheel_prev, prev);
        ASSERT_TRUE(seen.insert(ref).second);
        prev = ref;
      }
    }
    ASSERT_EQ(seen, live_);
    ASSERT_EQ(state_.wheel.armed, live_.size());
  }

  // Walks the list of `head`; each entry must belong to `queue`. Returns its length.
  uint32_t check_list(Ref head, uint32_t queue) {
    uint32_t cnt = 0;
    in_main_ = 0;
    Ref prev = head;
    for (Ref ref = region_.record(head).queue_next; ref != head;
         ref = region_.record(ref).queue_next, ++cnt) {
      EXPECT_EQ(region_.record(ref).queue_prev, prev);
      prev = ref;
      if (!queued_.insert(ref).second) {
        ADD_FAILURE() << "in two queues, or a queue that does not end";
        return cnt;
      }
      const uint32_t size_class = region_.page_header(ref_page(ref)).size_class;
      EXPECT_EQ(queue_no(size_class, shard_.budget_kind_of(ref)), queue);
      in_main_ += region_.record(ref).in_main;
      hand_seen_ |= ref == hand_;
    }
    return cnt;
  }

  void check_queue(uint32_t queue, const Sieve::QueueState& state) {
    hand_ = state.hand;
    hand_seen_ = hand_ == kNoRef;
    EXPECT_EQ(check_list(queue, queue), state.cnt);
    EXPECT_TRUE(hand_seen_) << "the hand of queue " << queue << " points outside it";
  }
  void check_queue(uint32_t queue, const S3Fifo::QueueState& state) {
    EXPECT_EQ(check_list(2 * queue, queue), state.small_cnt);
    EXPECT_EQ(in_main_, 0u);
    EXPECT_EQ(check_list(2 * queue + 1, queue), state.main_cnt);
    EXPECT_EQ(in_main_, state.main_cnt);
  }

  void check_queues() {
    queued_.clear();
    for (uint32_t queue = 0; queue < kQueues; ++queue)
      check_queue(queue, state_.queues[queue]);
    ASSERT_EQ(queued_, live_);
  }

  void check_pages() {
    uint64_t used_bytes = 0;
    uint64_t of_kind[kKinds] = {};
    uint32_t pages[kClasses] = {};
    uint32_t free[kClasses] = {};
    uint32_t live[kClasses] = {};
    uint32_t retired[kClasses] = {};
    uint32_t unused = state_.slab.end_page - state_.slab.untouched_page;
    for (uint32_t no = first_slab_page(); no < state_.slab.untouched_page; ++no) {
      const PageHeader& page = region_.page_header(no);
      if (page.state == PageState::unused) {
        ++unused;
        continue;
      }
      const uint32_t objects = kClassTable.shapes[page.size_class].objects;
      uint32_t used = 0;
      for (uint32_t i = 0; i < page.touched; ++i) {
        const Ref ref = make_ref(no, i);
        const uint32_t bucket = region_.record(ref).bucket;
        if (bucket == kBucketOfFree) continue;
        ++used;
        ++(bucket == kBucketOfRetired ? retired : live)[page.size_class];
        of_kind[static_cast<uint32_t>(shard_.budget_kind_of(ref))] +=
            class_cost_bytes(page.size_class);
      }
      ASSERT_EQ(used, page.used);
      used_bytes += uint64_t{used} * class_cost_bytes(page.size_class);
      if (page.state == PageState::draining) {
        ASSERT_EQ(no, state_.drain.page_no);
        continue;
      }
      ++pages[page.size_class];
      free[page.size_class] += objects - used;
    }
    ASSERT_EQ(unused, state_.slab.unused_pages);
    ASSERT_EQ(used_bytes, state_.gauges.memory_used);
    for (uint32_t kind = 0; kind < kKinds; ++kind) {
      ASSERT_EQ(of_kind[kind], state_.gauges.memory_of_kind[kind]) << "kind " << kind;
    }
    for (uint32_t i = 0; i < kClasses; ++i) {
      ASSERT_EQ(pages[i], state_.slab.classes[i].pages);
      ASSERT_EQ(free[i], state_.slab.classes[i].free);
      ASSERT_EQ(live[i], state_.slab.classes[i].live);
      ASSERT_EQ(retired[i], state_.slab.classes[i].retired);
    }
  }

  void check_limbo() {
    uint64_t bytes = 0;
    uint64_t of_kind[kKinds] = {};
    const auto count = [&](Ref ref) {
      for (; ref != kNoRef; ref = region_.record(ref).queue_next) {
        ASSERT_EQ(region_.record(ref).bucket, kBucketOfRetired);
        const uint32_t cost = class_cost_bytes(region_.page_header(ref_page(ref)).size_class);
        bytes += cost;
        of_kind[static_cast<uint32_t>(shard_.budget_kind_of(ref))] += cost;
      }
    };
    count(state_.limbo.open_first);
    for (uint32_t i = 0; i < state_.limbo.batches; ++i) {
      count(state_.limbo.waiting[(state_.limbo.oldest + i) % kLimboBatches].first);
    }
    ASSERT_EQ(bytes, state_.gauges.memory_retired);
    uint64_t held = 0;
    for (uint32_t kind = 0; kind < kKinds; ++kind) {
      ASSERT_EQ(of_kind[kind], state_.retired_bytes_of_kind[kind]);
      held += state_.gauges.memory_of_kind[kind];
    }
    ASSERT_EQ(held, state_.gauges.memory_used);
  }

  BasicShard<Policy>& shard_;
  const Region& region_;
  ShardState<Policy>& state_;
  std::set<Ref> live_;
  std::set<Ref> queued_;
  Ref hand_ = kNoRef;
  bool hand_seen_ = true;
  uint32_t in_main_ = 0;  // of the list walked last
};

// A shard in its own memory with a grace period moved by hand.
template <class Policy>
class ShardTest : public ::testing::Test {
 protected:
  using Shard = BasicShard<Policy>;

  void make(std::size_t bytes = kRegionBytesMin) {
    memory_ = std::make_unique<RegionMemory>(bytes);
    ASSERT_EQ(Shard::format(memory_->data(), bytes, 3), "");
    ASSERT_EQ(shard_.attach(memory_->data(), bytes, grace_.get()), "");
  }
  InsertResult insert(uint64_t number, const Answer& answer, uint64_t now_ms) {
    return shard_.insert(make_key(number), answer.view, now_ms);
  }
  bool has(uint64_t number, uint64_t now_ms) {
    return lookup(shard_, make_key(number), now_ms).entry != nullptr;
  }
  // Two rounds of reclaim around a grace period give back all that is retired.
  void settle() {
    for (int i = 0; i < 1000 && shard_.gauges().memory_retired > 0; ++i) {
      shard_.reclaim();
      grace_.pass();
    }
  }
  void expect_empty() {
    settle();
    ShardProbe probe(shard_);
    probe.check();
    EXPECT_EQ(shard_.gauges().entries, 0u);
    EXPECT_EQ(shard_.gauges().memory_used, 0u);
    EXPECT_EQ(probe.unused_pages(), probe.slab_pages());
    EXPECT_EQ(probe.timers(), 0u);
  }

  std::unique_ptr<RegionMemory> memory_;
  ManualGrace grace_;
  Shard shard_;
};

}  // namespace millrace::cache
