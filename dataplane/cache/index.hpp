// SPDX-License-Identifier: Apache-2.0
#pragma once
// The owner's way through the index (slot.hpp): finds the slot of a key, and publishes, replaces or
// empties it with one store.
//
// A slot is named by one number, bucket * 8 + slot. The index knows entries by number only, and
// asks its user to compare keys.
//
// Threads: the owner's. Its stores are what readers elsewhere load (lookup.cpp); an owner who is
// also the only reader (flow/) pays nothing for the order that they have.
// Memory: a handle; the buckets are the user's.
// Cost: find reads two lines at most; publish and empty write one, and the first bucket's too when
// the entry lives in its second.
// Failure: find and find_empty answer kNoSlot.

#include "dataplane/base/check.hpp"
#include "dataplane/cache/slot.hpp"

#include <bit>
#include <cstdint>

namespace millrace::cache {

inline constexpr uint32_t kNoSlot = UINT32_MAX;

class Index {
 public:
  Index() noexcept = default;
  Index(Bucket* buckets, uint32_t bucket_cnt) noexcept
      : buckets_(buckets), bucket_cnt_(bucket_cnt) {}

  uint32_t bucket_cnt() const noexcept { return bucket_cnt_; }
  const Bucket& bucket(uint32_t bucket_idx) const noexcept { return buckets_[bucket_idx]; }

  SlotWord word(uint32_t slot_no) const noexcept {
    // Relaxed: the owner wrote it.
    return slot(slot_no).load(std::memory_order_relaxed);
  }

  // The slot of the key that belongs to `place` and for whose entry has_key(entry_no) is true.
  template <class HasKey>
  uint32_t find(const Place& place, HasKey&& has_key) const noexcept {
    uint32_t bucket_idx = place.bucket_idx;
    for (uint32_t candidate = 0; candidate < 2; ++candidate) {
      for (uint32_t mask = match_tag(buckets_[bucket_idx], place.tag); mask != 0;
           mask &= mask - 1) {
        const uint32_t slot_no =
            bucket_idx * kSlotsPerBucket + static_cast<uint32_t>(std::countr_zero(mask));
        const SlotWord found = word(slot_no);
        if (!slot_is_empty(found) && has_key(slot_entry_no(found))) return slot_no;
      }
      bucket_idx = second_of(Place{bucket_idx, place.tag});
    }
    return kNoSlot;
  }

  // In the first bucket while it has room, so that most misses read one line; then in the second.
  uint32_t find_empty(const Place& place) const noexcept {
    for (const uint32_t bucket_idx : {place.bucket_idx, second_of(place)}) {
      for (uint32_t i = 0; i < kSlotsPerBucket; ++i) {
        const uint32_t slot_no = bucket_idx * kSlotsPerBucket + i;
        if (slot_is_empty(word(slot_no))) return slot_no;
      }
    }
    return kNoSlot;
  }

  // Slot k of the 16 that an entry may live in; k < 2 * kSlotsPerBucket.
  uint32_t candidate(const Place& place, uint32_t k) const noexcept {
    return (k < kSlotsPerBucket ? place.bucket_idx : second_of(place)) * kSlotsPerBucket +
           k % kSlotsPerBucket;
  }

  // The slot that names the entry, which lives in that bucket.
  uint32_t slot_of(uint32_t bucket_idx, uint32_t entry_no) const noexcept {
    return bucket_idx * kSlotsPerBucket + slot_of_entry(buckets_[bucket_idx], entry_no);
  }

  // Where the key of the entry in this slot belongs.
  Place place(uint32_t slot_no) const noexcept {
    return place_of_slot(word(slot_no), slot_no / kSlotsPerBucket, bucket_cnt_);
  }

  // Lets the slot, one of the 16 of `place`, name the entry; answers the word it held before, which
  // is empty or that of an older entry of the key.
  SlotWord publish(uint32_t slot_no, const Place& place, uint32_t entry_no,
                   uint32_t lines) const noexcept {
    const bool second = slot_no / kSlotsPerBucket != place.bucket_idx;
    const SlotWord old = word(slot_no);
    if (second && slot_is_empty(old)) count_spill(place.bucket_idx, +1);
    const SlotWord named = pack_slot(entry_no, place.tag, lines, second, slot_spills(old));
    // Release: pairs with the acquire in lookup.cpp; without it a reader could see the slot
    // before the bytes of the entry.
    slot(slot_no).store(named, std::memory_order_release);
    return old;
  }

  // Answers the word that the slot held.
  SlotWord empty(uint32_t slot_no) const noexcept {
    const SlotWord old = word(slot_no);
    MR_DCHECK(!slot_is_empty(old));
    // Relaxed: an empty slot leads to no bytes. That readers have let go of the entry is what the
    // grace period says, and GracePeriod::start orders this store before its token.
    slot(slot_no).store(old & kSlotSpillsMask, std::memory_order_relaxed);
    if (slot_is_second(old)) {
      count_spill(second_of(Place{slot_no / kSlotsPerBucket, slot_tag(old)}), -1);
    }
    return old;
  }

 private:
  std::atomic<SlotWord>& slot(uint32_t slot_no) const noexcept {
    return buckets_[slot_no / kSlotsPerBucket].slots[slot_no % kSlotsPerBucket];
  }

  uint32_t second_of(const Place& place) const noexcept {
    return other_bucket(place.bucket_idx, place.tag, bucket_cnt_);
  }

  // Slot 0's word also carries the bucket's count of spills, hence a new word and release: a reader
  // that takes its entry from this store must see the entry's bytes as if from the first one.
  void count_spill(uint32_t bucket_idx, int change) const noexcept {
    const uint32_t slot_no = bucket_idx * kSlotsPerBucket;
    const SlotWord old = word(slot_no);
    const uint32_t spills = slot_spills(old);
    if (spills == kSpillsMax) return;
    MR_DCHECK(change > 0 || spills > 0);
    const uint32_t changed = change > 0 ? spills + 1 : spills - 1;
    // Release: pairs with the acquire in lookup.cpp.
    slot(slot_no).store((old & ~kSlotSpillsMask) | SlotWord{changed} << kSlotSpillsShift,
                        std::memory_order_release);
  }

  Bucket* buckets_ = nullptr;
  uint32_t bucket_cnt_ = 0;
};

}  // namespace millrace::cache
