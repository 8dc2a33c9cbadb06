// SPDX-License-Identifier: Apache-2.0
#pragma once
// A bounded queue from one core to one other core.
//
// A slot is a whole cache line, and the line is the message: the last byte of an item is a mark
// that tells the laps of the ring apart, and writing it is what shows the item to the consumer. So
// an item costs the transfer of one line and nothing else; no index is published. What comes back
// is how far the consumer has read, in steps of an eighth of the ring, and the producer looks at it
// only when its own copy says "full".
//
//     0     +----------------------------+
//           | pushed_, cached_head_      |  producer only
//     128   +----------------------------+
//           | popped_, released_         |  consumer only
//     256   +----------------------------+
//           | head_                      |  consumer writes (pop), producer reads when full
//     384   +----------------------------+
//           | slot 0 | slot 1 | ...      |  kSlots lines, item i in slot i mod kSlots
//           +----------------------------+
//
//     slot   0                                        56            63
//            | bytes of the item                      | 7 bytes     | mark |
//
//     head_ = released_ <= popped_ <= pushed_ <= head_ + kSlots                  (modulo 2^32)
//
// Words that only one side touches do not share a line with a word that the other side polls, and
// lines of different writers are two lines apart (base/cache_line.hpp).
//
// Threads: push, free_slots by the producer; pop, empty by the consumer; one of each.
// Memory: the caller's; the object neither owns nor points to anything, so it may be constructed in
// a hugepage. 384 + 64 * kSlots bytes, aligned to 128. It must not move while in use.
// Cost: push: one line written. pop: one line read per item, and one index line written for every
// kReleaseEvery items, or when the ring is found empty.
// Failure: push on a full ring returns false and the item stays the caller's. Nothing that push
// accepted is lost. Up to kReleaseEvery - 1 slots that were popped may still count as full, until a
// pop gets fewer items than it asked for.
//
// Sources: the slot that tells by itself whether it is full is that of FastForward (J. Giacomoni,
// T. Moseley, M. Vachharajani, PPoPP 2008), the phase bit as in the completion queues of NVMe; the
// cached index and its release in batches are those of MCRingBuffer (P. Lee, T. Bu,
// G. Chandranmenon, ANCS 2009). What each part is worth: docs/performance.md, R24.

#include "dataplane/base/atomics.hpp"
#include "dataplane/base/cache_line.hpp"
#include "dataplane/base/prefetch.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::ring {

// An item is one line; its last byte is the ring's: whatever push() is given there, pop() returns
// 0.
template <class T, uint32_t kSlots = 512, class Atomics = StdAtomics,
          uint32_t kReleaseEvery = (kSlots + 7) / 8>
class alignas(kWriterSpacingBytes) SpscRing {
  static_assert(sizeof(T) == kCacheLineBytes && std::is_trivially_copyable_v<T>);
  static_assert(kSlots >= 2 && (kSlots & (kSlots - 1)) == 0 && kSlots <= (1u << 31));
  static_assert(kReleaseEvery >= 1 && kReleaseEvery <= kSlots);
  static_assert(std::endian::native == std::endian::little, "the last byte is the top of a word");

 public:
  static constexpr uint32_t kCapacity = kSlots;

  // The indices run freely through 2^32; `first` is where they begin.
  explicit SpscRing(uint32_t first = 0) noexcept
      : pushed_(first), cached_head_(first), popped_(first), released_(first), head_(first) {
    for (uint32_t i = 0; i < kSlots; ++i) {
      // Relaxed: nobody else has the ring yet. The mark of the lap before: empty.
      slots_[(first + i) & kMask].last.store(mark_of(first + i) ^ kMark, std::memory_order_relaxed);
    }
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  // --- producer

  // Shows the item to the consumer. False: full.
  bool push(const T& item) noexcept {
    const uint32_t index = pushed_;
    if (index - cached_head_ == kSlots && free_slots() == 0) return false;
    const auto& image = reinterpret_cast<const Image&>(item);
    Slot& slot = slots_[index & kMask];
    slot.body = image.body;
    // Release pairs with the acquire in pop(): the item is whole before its mark is seen.
    slot.last.store((image.last & ~kMarkMask) | mark_of(index), std::memory_order_release);
    pushed_ = index + 1;
    prefetch_for_write(&slots_[(index + kPrefetchAhead) & kMask]);
    return true;
  }

  // At least this many pushes in a row will succeed.
  uint32_t free_slots() noexcept {
    // Acquire pairs with the release of head_ in pop().
    cached_head_ = head_.load(std::memory_order_acquire);
    return kSlots - (pushed_ - cached_head_);
  }

  // --- consumer

  // Takes up to `max` items in the order in which they were pushed; returns how many.
  uint32_t pop(T* out, uint32_t max) noexcept {
    const uint32_t first = popped_;
    uint32_t cnt = 0;
    for (; cnt < max; ++cnt) {
      const Slot& slot = slots_[(first + cnt) & kMask];
      // Acquire pairs with the release in push().
      const uint64_t last = slot.last.load(std::memory_order_acquire);
      if ((last & kMarkMask) != mark_of(first + cnt)) break;
      auto& image = reinterpret_cast<Image&>(out[cnt]);
      image.body = slot.body;
      image.last = last & ~kMarkMask;
    }
    popped_ = first + cnt;
    const uint32_t held = first + cnt - released_;
    if (held >= kReleaseEvery || (held != 0 && cnt < max)) {
      // Release pairs with the acquire of head_ in free_slots(): our reads of the slots are over
      // before the producer writes them again.
      head_.store(first + cnt, std::memory_order_release);
      released_ = first + cnt;
    }
    return cnt;
  }

  // True when pop() would find nothing right now.
  bool empty() const noexcept {
    // Relaxed: a hint; whoever acts on it calls pop(), which acquires.
    const uint64_t last = slots_[popped_ & kMask].last.load(std::memory_order_relaxed);
    return (last & kMarkMask) != mark_of(popped_);
  }

 private:
  struct Body {
    uint64_t words[7];
  };
  // An item as the ring moves it. The project is built with -fno-strict-aliasing.
  struct Image {
    Body body;
    uint64_t last;
  };
  static_assert(sizeof(Image) == sizeof(T));
  struct Slot {
    typename Atomics::template Plain<Body> body;
    typename Atomics::template Atomic<uint64_t> last;
  };

  static constexpr uint32_t kMask = kSlots - 1;
  static constexpr uint64_t kMarkMask = uint64_t{0xff} << 56;
  static constexpr uint64_t kMark = uint64_t{1} << 56;
  // Far enough for a line to come from the other core while the items before it are written.
  static constexpr uint32_t kPrefetchAhead = 8;

  // Alternates from lap to lap, also across 2^32.
  static constexpr uint64_t mark_of(uint32_t index) noexcept {
    return (index & kSlots) != 0 ? 0 : kMark;
  }

  alignas(kWriterSpacingBytes) uint32_t pushed_;
  uint32_t cached_head_;
  alignas(kWriterSpacingBytes) uint32_t popped_;
  uint32_t released_;
  alignas(kWriterSpacingBytes) typename Atomics::template Atomic<uint32_t> head_;
  alignas(kWriterSpacingBytes) Slot slots_[kSlots];
};

}  // namespace millrace::ring
