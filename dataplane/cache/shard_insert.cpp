// SPDX-License-Identifier: Apache-2.0
// Insert: find the slot, write the entry, publish it.
#include "dataplane/cache/ghost.hpp"
#include "dataplane/cache/key_compare.hpp"
#include "dataplane/cache/shard.hpp"
#include "dataplane/cache/shard_state.hpp"

namespace millrace::cache {

namespace {

// Who gives way in a full pair of buckets: the dead, then failures, negatives and positives that
// were not used, then those that were. An entry yields only to its own kind or a better one, so a
// flood of random names cannot push answers out through the index either.
constexpr uint32_t kRankNever = UINT32_MAX;

uint32_t victim_rank(const Entry& entry, Kind newcomer, uint64_t now_ms) noexcept {
  if (!is_fresh(entry, now_ms)) return 0;
  const Kind kind = kind_of(entry);
  if (kind < newcomer) return kRankNever;
  const uint32_t of_kind = kKinds - static_cast<uint32_t>(kind);
  // Relaxed: pairs with touch().
  return entry.visited.load(std::memory_order_relaxed) == 0 ? of_kind : kKinds + of_kind;
}

}  // namespace

template <EvictionPolicy Policy>
uint32_t BasicShard<Policy>::find_slot(const Key& key) const noexcept {
  return index().find(place_of(key.hash, bucket_cnt_), [this, &key](uint32_t entry_no) noexcept {
    return entry_has_key(*entry(entry_no), key);
  });
}

template <EvictionPolicy Policy>
bool BasicShard<Policy>::holds(uint64_t hash, const Entry& entry) const noexcept {
  return index().find(place_of(hash, bucket_cnt_), [this, &entry](uint32_t entry_no) noexcept {
           return this->entry(entry_no) == &entry;
         }) != kNoSlot;
}

template <EvictionPolicy Policy>
uint32_t BasicShard<Policy>::evict_from_buckets(const Place& place, Kind kind,
                                                uint64_t now_ms) noexcept {
  const Index index = this->index();
  uint32_t victim = kNoSlot;
  uint32_t lowest = kRankNever;
  uint64_t born_ms = UINT64_MAX;
  for (uint32_t k = 0; k < 2 * kSlotsPerBucket; ++k) {
    const uint32_t slot_no = index.candidate(place, k);
    const Entry& entry = *this->entry(slot_entry_no(index.word(slot_no)));
    const uint32_t rank = victim_rank(entry, kind, now_ms);
    if (rank > lowest || rank == kRankNever) continue;
    if (rank == lowest && born_ms_of(entry) >= born_ms) continue;
    victim = slot_no;
    lowest = rank;
    born_ms = born_ms_of(entry);
  }
  if (victim == kNoSlot) return kNoSlot;
  ++(lowest == 0 ? state_->gauges.expired : state_->gauges.evicted);
  give_way(victim);
  return victim;
}

template <EvictionPolicy Policy>
void BasicShard<Policy>::publish(uint32_t slot_no, const Place& place, Ref ref,
                                 uint32_t entry_bytes) noexcept {
  const uint32_t lines = (entry_bytes + kEntryUnitBytes - 1) / kEntryUnitBytes;
  const SlotWord old = index().publish(slot_no, place, region_.entry_no(ref), lines);
  if (!slot_is_empty(old)) retire(region_.ref_of(slot_entry_no(old)));
}

template <EvictionPolicy Policy>
void BasicShard<Policy>::link(Ref ref, uint32_t slot_no, const Entry& entry, bool known,
                              uint64_t now_ms) noexcept {
  const uint32_t size_class = region_.page_header(ref_page(ref)).size_class;
  const Kind kind = kind_of(entry);
  region_.record(ref).set_bucket(slot_no / kSlotsPerBucket);
  enqueue(queue_no(size_class, kind), ref, known, now_ms);
  TimerWheel<Region>(region_, state_->wheel).add(ref, due_tick_of(entry), now_ms / 1000);
  ++state_->slab.classes[size_class].live;
  ++state_->gauges.entries;
  ++state_->gauges.entries_of_kind[static_cast<uint32_t>(kind)];
}

// A failure never takes the place of an answer that is fresh, nor of one that is there for the case
// that upstream fails.
template <EvictionPolicy Policy>
bool BasicShard<Policy>::gives_way_to_failure(const Entry& there, uint64_t now_ms) const noexcept {
  if (kind_of(there) == Kind::failure) return true;
  return !is_fresh(there, now_ms) && !may_be_stale(there, now_ms);
}

template <EvictionPolicy Policy>
InsertResult BasicShard<Policy>::insert(const Key& key, const AnswerView& answer,
                                        uint64_t now_ms) noexcept {
  if (key.len < kKeyHeadBytes || key.len > kKeyBytesMax) return InsertResult::too_large;
  const EntryShape shape = shape_of(key, answer);
  if (shape.bytes > kEntryBytesMax) return InsertResult::too_large;
  const Kind kind = kind_of(answer);
  if (kind == Kind::failure) {
    const uint32_t present = find_slot(key);
    if (present != kNoSlot) {
      const Entry& there = *entry(slot_entry_no(index().word(present)));
      if (!gives_way_to_failure(there, now_ms)) return InsertResult::kept;
    }
  }
  const uint32_t size_class = class_of(shape.bytes);
  const Ref ref = allocate(size_class, kind, now_ms);
  if (ref == kNoRef) return InsertResult::no_memory;

  // Only now: to find memory, allocate() may have evicted the older entry.
  const Place place = place_of(key.hash, bucket_cnt_);
  uint32_t slot_no = find_slot(key);
  const bool replaces = slot_no != kNoSlot;
  if (!replaces) slot_no = index().find_empty(place);
  if (slot_no == kNoSlot) slot_no = evict_from_buckets(place, kind, now_ms);
  const Entry& entry =
      *write_entry(region_.object(region_.entry_no(ref)), shape, key, answer, now_ms);
  if (slot_no == kNoSlot) {
    free_object(ref);
    return InsertResult::outranked;
  }
  publish(slot_no, place, ref, shape.bytes);
  const bool known = replaces || Ghost(ghost_table_).take(place);
  link(ref, slot_no, entry, known, now_ms);
  return replaces ? InsertResult::replaced : InsertResult::stored;
}

template class BasicShard<Sieve>;
template class BasicShard<S3Fifo>;

}  // namespace millrace::cache
