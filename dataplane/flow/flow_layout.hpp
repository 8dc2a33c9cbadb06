// SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory of one flow cache: what lies where.
//
//   0      FlowHeader            64
//   64     FlowState             of the owner, in whole lines
//   .      Bucket[b]             64 b, b = n / 5 + 1, so 5 of 8 slots are used when it is full
//   .      FlowEntry[256 + n]    64 (256 + n)
//
//   FlowEntry, one line
//   0      key                   24
//   24     generation             8   of the config that the verdict was made under
//   32     expires_ms             8   first moment at which it is void
//   40     verdict                4
//   44     record                20   links of wheel and policy, bucket
//
// An entry is named by its place in the array: that number is its Ref in links and its entry number
// in slots. The first 256 are the heads of the lists; of them only the record is used. Readers and
// owner are one thread, so the record shares the line of the entry, and whatever is done to a flow
// touches that line alone. With 5 flows to a bucket, while a cache fills for the first time 1 flow
// in 500 gives way because both buckets of another are full; with 6 it is 1 in 100.

#include "dataplane/cache/eviction_policy.hpp"
#include "dataplane/cache/timer_wheel.hpp"
#include "dataplane/flow/flow_key.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::flow {

inline constexpr uint32_t kFlowsMax = 1u << 20;
inline constexpr uint32_t kFlowsPerBucket = 5;
inline constexpr uint64_t kFlowMagic = 0x776f6c666c6c696d;  // "millflow"
inline constexpr uint32_t kFlowVersion = 1;

// What is done with a packet. `pool`: asked of another pool than the service's own.
enum class Action : uint8_t { allow = 0, refuse = 1, drop = 2, pool = 3 };

struct Verdict {
  Action action;
  uint8_t reserved;  // 0
  uint16_t index;    // of the pool; of the rule that refused or dropped
};
static_assert(sizeof(Verdict) == 4 && std::has_unique_object_representations_v<Verdict>);

struct alignas(kCacheLineBytes) FlowEntry {
  FlowKey key;
  uint64_t generation;
  uint64_t expires_ms;
  Action action;
  uint8_t visited;  // the policy's mark; one thread, so an ordinary byte
  uint16_t index;
  cache::Record record;
};
static_assert(sizeof(FlowEntry) == kCacheLineBytes && std::is_trivially_copyable_v<FlowEntry>);
static_assert(offsetof(FlowEntry, generation) == 24 && offsetof(FlowEntry, expires_ms) == 32);
static_assert(offsetof(FlowEntry, action) == 40 && offsetof(FlowEntry, visited) == 41);
static_assert(offsetof(FlowEntry, index) == 42 && offsetof(FlowEntry, record) == 44);

struct alignas(kCacheLineBytes) FlowHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t policy_id;
  uint32_t flows;  // that there is room for
  uint32_t bucket_cnt;
  uint64_t bytes;        // of the memory, as far as it is used
  uint64_t reserved[4];  // 0
};
static_assert(sizeof(FlowHeader) == kCacheLineBytes);
static_assert(std::has_unique_object_representations_v<FlowHeader>);

struct FlowGauges {
  uint64_t flows;     // stored, void ones among them
  uint64_t inserted;  // new flows
  uint64_t replaced;  // verdicts made anew
  uint64_t evicted;   // gave way while they held
  uint64_t expired;   // reclaimed when they were void
};

template <class Policy>
struct alignas(kCacheLineBytes) FlowState {
  cache::WheelState wheel;
  uint64_t wheel_quiet_until_ms;
  uint64_t generation;   // the newest that a verdict came with
  cache::Ref free;       // given-back entries, linked by queue_next; kNoRef: none
  cache::Ref untouched;  // entries [untouched, kHeads + flows) were never used
  typename Policy::QueueState queue;
  FlowGauges gauges;
};

struct FlowOffsets {
  std::size_t buckets;
  std::size_t entries;
  std::size_t bytes;  // of everything
  uint32_t bucket_cnt;
};

template <cache::EvictionPolicy Policy>
constexpr FlowOffsets flow_offsets(uint32_t flows) noexcept {
  static_assert(Policy::kHeadsPerQueue <= cache::kHeads);
  FlowOffsets offsets{};
  offsets.bucket_cnt = flows / kFlowsPerBucket + 1;
  offsets.buckets = sizeof(FlowHeader) + sizeof(FlowState<Policy>);
  offsets.entries = offsets.buckets + offsets.bucket_cnt * sizeof(cache::Bucket);
  offsets.bytes = offsets.entries + (std::size_t{cache::kHeads} + flows) * sizeof(FlowEntry);
  return offsets;
}

}  // namespace millrace::flow
