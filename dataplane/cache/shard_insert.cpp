// SPDX-License-Identifier: Apache-2.0
// Insert: find the slot, write the entry, publish it.
#include "dataplane/base/check.hpp"
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
  const Place place = place_of(key.hash, bucket_cnt_);
  uint32_t bucket_idx = place.bucket_idx;
  for (uint32_t candidate = 0; candidate < 2; ++candidate) {
    for (uint32_t mask = match_tag(buckets_[bucket_idx], place.tag); mask != 0; mask &= mask - 1) {
      const auto i = static_cast<uint32_t>(std::countr_zero(mask));
      // Relaxed: the owner wrote it.
      const SlotWord word = buckets_[bucket_idx].slots[i].load(std::memory_order_relaxed);
      if (!slot_is_empty(word) && entry_has_key(*entry(slot_entry_no(word)), key)) {
        return bucket_idx * kSlotsPerBucket + i;
      }
    }
    bucket_idx = other_bucket(bucket_idx, place.tag, bucket_cnt_);
  }
  return kNoSlot;
}

template <EvictionPolicy Policy>
uint32_t BasicShard<Policy>::find_empty(uint32_t bucket_idx) const noexcept {
  for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
    // Relaxed: the owner wrote it.
    if (slot_is_empty(buckets_[bucket_idx].slots[i].load(std::memory_order_relaxed))) {
      return bucket_idx * kSlotsPerBucket + i;
    }
  }
  return kNoSlot;
}

// The first bucket while it has room, so that most misses read one line; then the second.
template <EvictionPolicy Policy>
uint32_t BasicShard<Policy>::choose_slot(const Place& place, Kind kind, uint64_t now_ms) noexcept {
  const uint32_t second = other_bucket(place.bucket_idx, place.tag, bucket_cnt_);
  for (const uint32_t bucket_idx : {place.bucket_idx, second}) {
    const uint32_t slot_no = find_empty(bucket_idx);
    if (slot_no != kNoSlot) return slot_no;
  }
  return evict_from_buckets(place.bucket_idx, second, kind, now_ms);
}

template <EvictionPolicy Policy>
uint32_t BasicShard<Policy>::evict_from_buckets(uint32_t first, uint32_t second, Kind kind,
                                                uint64_t now_ms) noexcept {
  uint32_t victim = kNoSlot;
  uint32_t lowest = kRankNever;
  uint64_t born_ms = UINT64_MAX;
  for (uint32_t k = 0; k < 2 * kSlotsPerBucket; ++k) {
    const uint32_t bucket_idx = k < kSlotsPerBucket ? first : second;
    const uint32_t slot_no = bucket_idx * kSlotsPerBucket + k % kSlotsPerBucket;
    // Relaxed: the owner wrote it.
    const Entry& entry = *this->entry(slot_entry_no(slot(slot_no).load(std::memory_order_relaxed)));
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

// Slot 0's word also carries the bucket's count of spills, hence a new word and release: a reader
// that takes its entry from this store must see the entry's bytes as if from the first one.
template <EvictionPolicy Policy>
void BasicShard<Policy>::count_spill(uint32_t bucket_idx, int change) noexcept {
  std::atomic<SlotWord>& slot = buckets_[bucket_idx].slots[0];
  // Relaxed: the owner wrote it.
  const SlotWord word = slot.load(std::memory_order_relaxed);
  const uint32_t spills = slot_spills(word);
  if (spills == kSpillsMax) return;
  MR_DCHECK(change > 0 || spills > 0);
  const uint32_t changed = change > 0 ? spills + 1 : spills - 1;
  // Release: pairs with the acquire in lookup_burst.
  slot.store((word & ~kSlotSpillsMask) | SlotWord{changed} << kSlotSpillsShift,
             std::memory_order_release);
}

template <EvictionPolicy Policy>
void BasicShard<Policy>::publish(uint32_t slot_no, const Place& place, Ref ref,
                                 uint32_t entry_bytes) noexcept {
  const bool second = slot_no / kSlotsPerBucket != place.bucket_idx;
  std::atomic<SlotWord>& slot = this->slot(slot_no);
  // Relaxed: the owner wrote it.
  const SlotWord old_word = slot.load(std::memory_order_relaxed);
  const bool replaces = !slot_is_empty(old_word);
  if (second && !replaces) count_spill(place.bucket_idx, +1);
  const uint32_t lines = (entry_bytes + kEntryUnitBytes - 1) / kEntryUnitBytes;
  const SlotWord word =
      pack_slot(region_.entry_no(ref), place.tag, lines, second, slot_spills(old_word));
  // Release: pairs with the acquire in lookup_burst; without it a reader could see the slot before
  // the bytes of the entry.
  slot.store(word, std::memory_order_release);
  if (replaces) retire(region_.ref_of(slot_entry_no(old_word)));
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
    // Relaxed: the owner wrote it.
    if (present != kNoSlot) {
      const Entry& there = *entry(slot_entry_no(slot(present).load(std::memory_order_relaxed)));
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
  if (!replaces) slot_no = choose_slot(place, kind, now_ms);
  const Entry& entry =
      *write_entry(region_.object(region_.entry_no(ref)), shape, key, answer, now_ms);
  if (slot_no == kNoSlot) {
    free_object(ref);
    return InsertResult::no_memory;
  }
  publish(slot_no, place, ref, shape.bytes);
  const bool known = replaces || Ghost(ghost_table_).take(place);
  link(ref, slot_no, entry, known, now_ms);
  return replaces ? InsertResult::replaced : InsertResult::stored;
}

template class BasicShard<Sieve>;
template class BasicShard<S3Fifo>;

}  // namespace millrace::cache
