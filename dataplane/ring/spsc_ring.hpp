// SPDX-License-Identifier: Apache-2.0
#pragma once
// A bounded queue from one core to one other core.
//
// Slots are whole cache lines, so an item costs the transfer of one line and nothing else: the two
// indices are published once per burst, and each side keeps its own copy of the other's index and
// looks again only when that copy says "full" or "too few".
//
//     0     +----------------------------+
//           | pushed_, published_,       |  producer only
//           | cached_head_               |
//     128   +----------------------------+
//           | tail_                      |  producer writes (flush), consumer reads
//     256   +----------------------------+
//           | popped_, cached_tail_      |  consumer only
//     384   +----------------------------+
//           | head_                      |  consumer writes (pop), producer reads
//     512   +----------------------------+
//           | slot 0 | slot 1 | ...      |  kSlots lines, item i in slot i mod kSlots
//           +----------------------------+
//
//     head_ <= popped_ <= tail_ = published_ <= pushed_ <= head_ + kSlots        (modulo 2^32)
//              '---- visible ----' '- buffered -'
//
// Words that only one side touches do not share a line with a word that the other side polls, and
// lines of different writers are two lines apart (base/cache_line.hpp).
//
// Threads: push, flush, free_slots by the producer; pop, empty by the consumer; one of each.
// Memory: the caller's; the object neither owns nor points to anything, so it may be constructed in
// a hugepage. 512 + 64 * kSlots bytes, aligned to 128. It must not move while in use.
// Cost: push: one line written. pop: one line read per item, one index line per call.
// Failure: push on a full ring returns false and the item stays the caller's. Nothing that push
// accepted is lost: items not yet flushed stay buffered, in order, and a push that finds the ring
// full publishes them, so that the consumer can make room.
//
// Sources: the cached opposite index and lazy publication are those of MCRingBuffer (P. Lee, T. Bu,
// G. Chandranmenon, "A lock-free, cache-efficient shared ring buffer", ANCS 2009).

#include "dataplane/base/atomics.hpp"
#include "dataplane/base/cache_line.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::ring {

template <class T, uint32_t kSlots = 512, class Atomics = StdAtomics>
class alignas(kWriterSpacingBytes) SpscRing {
  static_assert(sizeof(T) == kCacheLineBytes && std::is_trivially_copyable_v<T>);
  static_assert(kSlots >= 2 && (kSlots & (kSlots - 1)) == 0 && kSlots <= (1u << 31));

 public:
  static constexpr uint32_t kCapacity = kSlots;

  // The indices run freely through 2^32; `first` is where they begin.
  explicit SpscRing(uint32_t first = 0) noexcept
      : pushed_(first),
        published_(first),
        cached_head_(first),
        tail_(first),
        popped_(first),
        cached_tail_(first),
        head_(first) {}
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  // --- producer

  // Buffers one item; the consumer sees it after the next flush(). False: full.
  bool push(const T& item) noexcept {
    if (pushed_ - cached_head_ == kSlots) {
      refresh_head();
      if (pushed_ - cached_head_ == kSlots) {
        flush();
        return false;
      }
    }
    slots_[pushed_ & kMask] = item;
    ++pushed_;
    return true;
  }

  // Shows the consumer everything that push() took. Once per burst; free when nothing is buffered.
  void flush() noexcept {
    if (published_ == pushed_) return;
    // Release pairs with the acquire of tail_ in pop(): the items are whole before they are seen.
    tail_.store(pushed_, std::memory_order_release);
    published_ = pushed_;
  }

  // At least this many pushes in a row will succeed.
  uint32_t free_slots() noexcept {
    refresh_head();
    return kSlots - (pushed_ - cached_head_);
  }

  // --- consumer

  // Takes up to `max` items in the order in which they were pushed; returns how many.
  uint32_t pop(T* out, uint32_t max) noexcept {
    if (cached_tail_ - popped_ < max) {
      // Acquire pairs with the release of tail_ in flush().
      cached_tail_ = tail_.load(std::memory_order_acquire);
    }
    const uint32_t visible = cached_tail_ - popped_;
    const uint32_t cnt = visible < max ? visible : max;
    if (cnt == 0) return 0;
    for (uint32_t i = 0; i < cnt; ++i)
      out[i] = slots_[(popped_ + i) & kMask];
    popped_ += cnt;
    // Release pairs with the acquire of head_ in refresh_head(): our reads of the slots are over
    // before the producer writes them again.
    head_.store(popped_, std::memory_order_release);
    return cnt;
  }

  // True when pop() would find nothing right now.
  bool empty() const noexcept {
    // Relaxed: a hint; whoever acts on it calls pop(), which acquires.
    return cached_tail_ == popped_ && tail_.load(std::memory_order_relaxed) == popped_;
  }

 private:
  static constexpr uint32_t kMask = kSlots - 1;

  void refresh_head() noexcept {
    // Acquire pairs with the release of head_ in pop().
    cached_head_ = head_.load(std::memory_order_acquire);
  }

  alignas(kWriterSpacingBytes) uint32_t pushed_;
  uint32_t published_;
  uint32_t cached_head_;
  alignas(kWriterSpacingBytes) typename Atomics::template Atomic<uint32_t> tail_;
  alignas(kWriterSpacingBytes) uint32_t popped_;
  uint32_t cached_tail_;
  alignas(kWriterSpacingBytes) typename Atomics::template Atomic<uint32_t> head_;
  alignas(kWriterSpacingBytes) typename Atomics::template Plain<T> slots_[kSlots];
};

}  // namespace millrace::ring
