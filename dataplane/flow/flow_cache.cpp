// SPDX-License-Identifier: Apache-2.0
#include "dataplane/flow/flow_cache.hpp"

#include "dataplane/base/check.hpp"
#include "dataplane/base/prefetch.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace millrace::flow {

using cache::Bucket;
using cache::kBucketOfFree;
using cache::kHeads;
using cache::kNoRef;
using cache::kNoSlot;
using cache::kSlotsPerBucket;
using cache::Place;
using cache::Record;
using cache::Ref;

namespace {

constexpr uint32_t kQueue = 0;  // there is one

uint64_t due_tick_of(const FlowEntry& entry) noexcept {
  return (entry.expires_ms + 999) / 1000;
}

std::string_view check_memory(const void* memory) noexcept {
  if (memory == nullptr) return "the flow cache's memory is null";
  if (reinterpret_cast<uintptr_t>(memory) % kCacheLineBytes != 0) {
    return "the flow cache's memory is not aligned to 64 bytes";
  }
  return {};
}

}  // namespace

// The flows as wheel and policy see them.
struct FlowItems {
  FlowEntry* entries;
  cache::Index index;
  uint64_t generation;
  uint64_t now_ms;

  Record& record(Ref ref) const noexcept { return entries[ref].record; }

  // A verdict that is void has no second chance.
  bool take_mark(Ref ref) const noexcept {
    FlowEntry& entry = entries[ref];
    if (entry.generation != generation || now_ms >= entry.expires_ms) return false;
    const bool marked = entry.visited != 0;
    entry.visited = 0;
    return marked;
  }

  void mark(Ref ref) const noexcept { entries[ref].visited = 1; }

  uint32_t slot_of(Ref ref) const noexcept {
    return index.slot_of(entries[ref].record.bucket, ref);
  }
};
static_assert(cache::PolicyItems<FlowItems>);

template <cache::EvictionPolicy Policy>
FlowItems BasicFlowCache<Policy>::items(uint64_t now_ms) const noexcept {
  return FlowItems{entries_, index_, state_->generation, now_ms};
}

template <cache::EvictionPolicy Policy>
auto BasicFlowCache<Policy>::queues(uint64_t now_ms) const noexcept {
  return typename Policy::template On<FlowItems>(items(now_ms), &state_->queue);
}

template <cache::EvictionPolicy Policy>
uint64_t BasicFlowCache<Policy>::hash(const FlowKey& key) const noexcept {
  uint8_t block[32] = {};  // the unit in which hash_blocks reads
  static_assert(sizeof key <= sizeof block);
  std::memcpy(block, &key, sizeof key);
  return hash_blocks(*secret_, block, sizeof key);
}

// --- format, attach

template <cache::EvictionPolicy Policy>
std::string_view BasicFlowCache<Policy>::format(void* memory, std::size_t bytes,
                                                uint32_t flows) noexcept {
  if (const auto wrong = check_memory(memory); !wrong.empty()) return wrong;
  if (flows == 0 || flows > kFlowsMax) return "a flow cache holds 1 to 1048576 flows";
  const FlowOffsets offsets = flow_offsets<Policy>(flows);
  if (bytes < offsets.bytes) return "the flow cache's memory is too small for so many flows";
  auto* const base = static_cast<std::byte*>(memory);
  auto* const state = new (base + sizeof(FlowHeader)) FlowState<Policy>{};
  state->untouched = kHeads;
  for (uint32_t i = 0; i < offsets.bucket_cnt; ++i)
    new (base + offsets.buckets + i * sizeof(Bucket)) Bucket{};
  auto* const entries = reinterpret_cast<FlowEntry*>(base + offsets.entries);
  for (Ref head = 0; head < kHeads; ++head)
    (new (entries + head) FlowEntry{})->record = cache::list_head(head);
  FlowHeader header{};
  header.magic = kFlowMagic;
  header.version = kFlowVersion;
  header.policy_id = Policy::kId;
  header.flows = flows;
  header.bucket_cnt = offsets.bucket_cnt;
  header.bytes = offsets.bytes;
  std::memcpy(base, &header, sizeof header);
  return {};
}

template <cache::EvictionPolicy Policy>
std::string_view BasicFlowCache<Policy>::attach(void* memory, std::size_t bytes,
                                                const HashSecret& secret) noexcept {
  if (const auto wrong = check_memory(memory); !wrong.empty()) return wrong;
  if (bytes < sizeof(FlowHeader)) return "the flow cache's memory is too small for its header";
  FlowHeader header;
  std::memcpy(&header, memory, sizeof header);
  if (header.magic != kFlowMagic) return "the memory holds no flow cache (wrong magic)";
  if (header.version != kFlowVersion) return "the flow cache was written by another version";
  if (header.policy_id != Policy::kId) return "the flow cache was kept under another policy";
  if (header.flows == 0 || header.flows > kFlowsMax) return "the flow cache's header is damaged";
  const FlowOffsets offsets = flow_offsets<Policy>(header.flows);
  if (header.bucket_cnt != offsets.bucket_cnt || header.bytes != offsets.bytes) {
    return "the flow cache's header is damaged";
  }
  if (bytes < offsets.bytes) return "the flow cache's memory is smaller than when it was formatted";
  auto* const base = static_cast<std::byte*>(memory);
  state_ = reinterpret_cast<FlowState<Policy>*>(base + sizeof(FlowHeader));
  index_ = cache::Index(reinterpret_cast<Bucket*>(base + offsets.buckets), offsets.bucket_cnt);
  entries_ = reinterpret_cast<FlowEntry*>(base + offsets.entries);
  secret_ = &secret;
  flows_ = header.flows;
  return {};
}

// --- lookup: buckets, second buckets where flows spilled, entries, compare; each for the whole
// burst

template <cache::EvictionPolicy Policy>
struct BasicFlowCache<Policy>::Probe {
  Place place;
  uint32_t bucket_idx;
  uint32_t mask;  // slots of the bucket that carry the tag and have not been tried
};

template <cache::EvictionPolicy Policy>
bool BasicFlowCache<Policy>::has_second(const Probe& probe) const noexcept {
  return probe.bucket_idx == probe.place.bucket_idx &&
         cache::slot_spills(index_.word(probe.bucket_idx * kSlotsPerBucket)) != 0;
}

template <cache::EvictionPolicy Policy>
void BasicFlowCache<Policy>::open_second(Probe& probe) const noexcept {
  probe.bucket_idx =
      cache::other_bucket(probe.place.bucket_idx, probe.place.tag, index_.bucket_cnt());
  prefetch(&index_.bucket(probe.bucket_idx));
}

template <cache::EvictionPolicy Policy>
void BasicFlowCache<Policy>::match(Probe& probe) const noexcept {
  probe.mask = cache::match_tag(index_.bucket(probe.bucket_idx), probe.place.tag);
  if (probe.mask == 0) return;
  const auto first = static_cast<uint32_t>(std::countr_zero(probe.mask));
  prefetch(
      &entries_[cache::slot_entry_no(index_.word(probe.bucket_idx * kSlotsPerBucket + first))]);
}

template <cache::EvictionPolicy Policy>
FlowEntry* BasicFlowCache<Policy>::resolve(Probe& probe, const FlowKey& key) const noexcept {
  for (uint32_t bucket = 0; bucket < 2; ++bucket) {
    for (; probe.mask != 0; probe.mask &= probe.mask - 1) {
      const auto i = static_cast<uint32_t>(std::countr_zero(probe.mask));
      const Ref ref = cache::slot_entry_no(index_.word(probe.bucket_idx * kSlotsPerBucket + i));
      if (ref != kNoRef && same_key(entries_[ref].key, key)) return &entries_[ref];
    }
    if (!has_second(probe)) return nullptr;
    open_second(probe);
    match(probe);
  }
  return nullptr;
}

template <cache::EvictionPolicy Policy>
uint32_t BasicFlowCache<Policy>::lookup_burst(const FlowKey keys[], uint32_t n, uint64_t generation,
                                              uint64_t now_ms, Verdict verdicts[]) noexcept {
  Probe probes[kBurstMax];
  for (uint32_t i = 0; i < n; ++i) {
    probes[i].place = cache::place_of(hash(keys[i]), index_.bucket_cnt());
    probes[i].bucket_idx = probes[i].place.bucket_idx;
    prefetch(&index_.bucket(probes[i].bucket_idx));
  }
  uint32_t spilled = 0;
  for (uint32_t i = 0; i < n; ++i) {
    match(probes[i]);
    if (probes[i].mask != 0 || !has_second(probes[i])) continue;
    open_second(probes[i]);
    spilled |= 1u << i;
  }
  for (; spilled != 0; spilled &= spilled - 1)
    match(probes[std::countr_zero(spilled)]);
  uint32_t found = 0;
  for (uint32_t i = 0; i < n; ++i) {
    FlowEntry* const entry = resolve(probes[i], keys[i]);
    if (entry == nullptr || entry->generation != generation || now_ms >= entry->expires_ms) {
      continue;
    }
    if (entry->visited == 0) entry->visited = 1;
    verdicts[i] = Verdict{entry->action, 0, entry->index};
    found |= 1u << i;
  }
  return found;
}

// --- insert

// What is void, else what was not used, else anything; of these, what would end first.
template <cache::EvictionPolicy Policy>
uint32_t BasicFlowCache<Policy>::evict_from_buckets(const Place& place, uint64_t now_ms) noexcept {
  uint32_t victim = kNoSlot;
  uint32_t lowest = UINT32_MAX;
  uint64_t expires_ms = UINT64_MAX;
  for (uint32_t k = 0; k < 2 * kSlotsPerBucket; ++k) {
    const uint32_t slot_no = index_.candidate(place, k);
    const FlowEntry& entry = entries_[cache::slot_entry_no(index_.word(slot_no))];
    const uint32_t rank = !holds(entry, now_ms) ? 0 : entry.visited == 0 ? 1 : 2;
    if (rank > lowest || (rank == lowest && entry.expires_ms >= expires_ms)) continue;
    victim = slot_no;
    lowest = rank;
    expires_ms = entry.expires_ms;
  }
  MR_DCHECK(victim != kNoSlot);
  give_way(victim, now_ms);
  return victim;
}

template <cache::EvictionPolicy Policy>
Ref BasicFlowCache<Policy>::allocate(uint64_t now_ms) noexcept {
  if (state_->free == kNoRef && state_->untouched == kHeads + flows_) {
    const Ref victim = queues(now_ms).pick(kQueue).ref;
    MR_DCHECK(victim != kNoRef);
    give_way(items(now_ms).slot_of(victim), now_ms);
  }
  Ref ref = state_->free;
  if (ref != kNoRef) {
    state_->free = entries_[ref].record.queue_next;
  } else {
    ref = state_->untouched++;
    new (entries_ + ref) FlowEntry{};
  }
  return ref;
}

template <cache::EvictionPolicy Policy>
void BasicFlowCache<Policy>::insert(const FlowKey& key, const Verdict& verdict, uint32_t ttl_s,
                                    uint64_t generation, uint64_t now_ms) noexcept {
  state_->generation = std::max(state_->generation, generation);
  const Place place = cache::place_of(hash(key), index_.bucket_cnt());
  const uint32_t present = index_.find(place, [this, &key](uint32_t entry_no) noexcept {
    return same_key(entries_[entry_no].key, key);
  });
  const bool replaces = present != kNoSlot;
  const FlowItems all = items(now_ms);
  cache::TimerWheel<FlowItems> wheel(all, state_->wheel);
  Ref ref;
  if (replaces) {
    ref = cache::slot_entry_no(index_.word(present));
    wheel.cancel(ref);
    ++state_->gauges.replaced;
  } else {
    // The buckets first: what gives way there need not give way in the queue.
    uint32_t slot_no = index_.find_empty(place);
    if (slot_no == kNoSlot) slot_no = evict_from_buckets(place, now_ms);
    ref = allocate(now_ms);
    index_.publish(slot_no, place, ref, 1);
    entries_[ref].record.set_bucket(slot_no / kSlotsPerBucket);
    entries_[ref].key = key;
    entries_[ref].visited = 0;
    queues(now_ms).add(kQueue, ref, false);
    ++state_->gauges.inserted;
    ++state_->gauges.flows;
  }
  FlowEntry& entry = entries_[ref];
  entry.generation = generation;
  entry.expires_ms = now_ms + uint64_t{ttl_s} * 1000;
  entry.action = verdict.action;
  entry.index = verdict.index;
  wheel.add(ref, due_tick_of(entry), now_ms / 1000);
}

// --- ways out

template <cache::EvictionPolicy Policy>
void BasicFlowCache<Policy>::remove_slot(uint32_t slot_no) noexcept {
  const Ref ref = cache::slot_entry_no(index_.empty(slot_no));
  const FlowItems all = items(0);
  cache::TimerWheel<FlowItems>(all, state_->wheel).cancel(ref);
  queues(0).remove(kQueue, ref);
  Record& record = entries_[ref].record;
  record.set_bucket(kBucketOfFree);
  record.queue_next = state_->free;
  state_->free = ref;
  --state_->gauges.flows;
}

template <cache::EvictionPolicy Policy>
void BasicFlowCache<Policy>::give_way(uint32_t slot_no, uint64_t now_ms) noexcept {
  const FlowEntry& entry = entries_[cache::slot_entry_no(index_.word(slot_no))];
  ++(holds(entry, now_ms) ? state_->gauges.evicted : state_->gauges.expired);
  remove_slot(slot_no);
}

template <cache::EvictionPolicy Policy>
uint32_t BasicFlowCache<Policy>::expire(uint64_t now_ms, uint32_t budget) noexcept {
  if (now_ms < state_->wheel_quiet_until_ms) return 0;
  const uint64_t now_tick = now_ms / 1000;
  const FlowItems all = items(now_ms);
  cache::TimerWheel<FlowItems> wheel(all, state_->wheel);
  const uint32_t fired = wheel.turn(
      now_tick, budget, [this](Ref ref) noexcept { return due_tick_of(entries_[ref]); },
      [this, &all](Ref ref) noexcept { remove_slot(all.slot_of(ref)); });
  state_->gauges.expired += fired;
  if (wheel.quiet(now_tick)) state_->wheel_quiet_until_ms = (now_tick + 1) * 1000;
  return fired;
}

template class BasicFlowCache<cache::Sieve>;
template class BasicFlowCache<cache::S3Fifo>;

}  // namespace millrace::flow
