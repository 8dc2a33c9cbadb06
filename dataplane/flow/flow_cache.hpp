// SPDX-License-Identifier: Apache-2.0
#pragma once
// The flow cache: which verdict the policy came to for packets of this path, so that the rules are
// walked once for many packets.
//
//   packet -- make_flow_key --> lookup_burst -- found --> verdict
//                                            -- not  --> walk the rules, insert
//
// It uses the parts of the answer cache: the index (cache/slot.hpp), the timer wheel, an eviction
// policy. Entries have one size and one reader, so there is no slab and no grace period: an entry
// that goes is free at once, and a verdict that is made anew is written over the old one.
//
// A verdict holds for its TTL and for the generation of the config that it was made under, both
// checked on every read. So a new config makes all of them void at once, for nothing.
//
// Threads: one, the worker whose cache it is.
// Memory: handed in by the caller, bytes_for() of it, aligned to 64; offsets only; never grows. A
// flow takes 64 bytes and 13 of index. Entries are not touched before they are used.
// Cost: a hit reads the bucket and the entry, two lines, and stores a byte if it was 0; a miss
// reads the bucket. insert touches the bucket, the entry and four neighbours in lists. All is
// O(1): insert evicts one entry at most, after at most kPolicySteps looks; expire looks at no more
// than its budget. Failure: format() and attach() say what is wrong with the memory. insert()
// always finds room: when the cache or both of a key's buckets are full, something else goes.
// Limits: kFlowsMax; TTLs of 2^32 - 1 s.

#include "dataplane/base/frame.hpp"
#include "dataplane/base/key_hash.hpp"
#include "dataplane/cache/index.hpp"
#include "dataplane/cache/s3_fifo.hpp"
#include "dataplane/cache/sieve.hpp"
#include "dataplane/flow/flow_layout.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace::flow {

static_assert(kBurstMax <= 32, "a burst's hits are bits of one word");

struct FlowItems;  // flow_cache.cpp

template <cache::EvictionPolicy Policy>
class BasicFlowCache {
 public:
  // What format() needs for so many flows.
  static constexpr std::size_t bytes_for(uint32_t flows) noexcept {
    return flow_offsets<Policy>(flows).bytes;
  }

  // An empty cache for `flows` (1 to kFlowsMax) in memory of any content. Touches everything but
  // the entries. Returns an empty view, or what is wrong.
  static std::string_view format(void* memory, std::size_t bytes, uint32_t flows) noexcept;

  // Takes up the cache in formatted memory, verdicts included; they were hashed with this secret,
  // which must outlive the handle.
  std::string_view attach(void* memory, std::size_t bytes, const HashSecret& secret) noexcept;

  // Fills verdicts[i] and sets bit i of the result for each keys[i] with a verdict that holds at
  // `now_ms` under `generation`. n <= kBurstMax; keys may repeat. The other verdicts stay as they
  // were.
  uint32_t lookup_burst(const FlowKey keys[], uint32_t n, uint64_t generation, uint64_t now_ms,
                        Verdict verdicts[]) noexcept;

  // Stores the verdict, in place of an older one of the key. `generation` never goes back, and
  // neither does `now_ms`.
  void insert(const FlowKey& key, const Verdict& verdict, uint32_t ttl_s, uint64_t generation,
              uint64_t now_ms) noexcept;

  // Turns the wheel: looks at no more than `budget` flows, reclaims those whose TTL is over, and
  // returns how many. Up to a second late by the wheel's grain; reads do not depend on it.
  uint32_t expire(uint64_t now_ms, uint32_t budget) noexcept;

  const FlowGauges& gauges() const noexcept { return state_->gauges; }
  uint32_t capacity() const noexcept { return flows_; }

 private:
  template <class>
  friend class FlowProbe;  // tests: checks every structure against every other

  struct Probe;

  FlowItems items(uint64_t now_ms) const noexcept;
  auto queues(uint64_t now_ms) const noexcept;
  uint64_t hash(const FlowKey& key) const noexcept;
  bool has_second(const Probe& probe) const noexcept;
  void open_second(Probe& probe) const noexcept;
  void match(Probe& probe) const noexcept;
  FlowEntry* resolve(Probe& probe, const FlowKey& key) const noexcept;
  uint32_t evict_from_buckets(const cache::Place& place, uint64_t now_ms) noexcept;
  cache::Ref allocate(uint64_t now_ms) noexcept;
  void remove_slot(uint32_t slot_no) noexcept;
  void give_way(uint32_t slot_no, uint64_t now_ms) noexcept;
  bool holds(const FlowEntry& entry, uint64_t now_ms) const noexcept {
    return entry.generation == state_->generation && now_ms < entry.expires_ms;
  }

  FlowState<Policy>* state_ = nullptr;
  cache::Index index_;
  FlowEntry* entries_ = nullptr;
  const HashSecret* secret_ = nullptr;
  uint32_t flows_ = 0;
};

extern template class BasicFlowCache<cache::Sieve>;
extern template class BasicFlowCache<cache::S3Fifo>;

using FlowCache = BasicFlowCache<cache::Sieve>;

}  // namespace millrace::flow
