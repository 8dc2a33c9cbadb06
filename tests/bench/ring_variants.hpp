// SPDX-License-Identifier: Apache-2.0
#pragma once
// The ring with its parts taken out or put in, one by one, for the ablation (R24). Only here.
//
// Two ways to tell the consumer that an item is there:
//   index  the producer publishes an index of its own line after one or more items
//   slot   the last word of each item carries the parity of the lap; nothing else is published
//
// Threads, memory: as dataplane/ring/spsc_ring.hpp.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace millrace::bench {

// The last byte belongs to the ring.
struct alignas(64) Item {
  uint64_t words[8];
};
inline constexpr uint64_t kParityBit = uint64_t{1} << 56;

enum class Publish : uint8_t { index, slot };

struct Parts {
  Publish publish = Publish::slot;
  bool cached_index = true;   // each side keeps a copy of the other's index
  bool lazy_publish = true;   // one store of the index a burst; otherwise one an item
  bool lazy_release = false;  // slots given back in eighths of the ring, or when it is empty
  bool prefetch_write = false;
  uint32_t ahead = 7;  // of the next slot
  bool batch = false;  // room asked for and index computed once a call
  std::size_t spacing = 128;
};

inline void prefetch_write(void* line) noexcept {
  asm volatile("prefetchw %0" : : "m"(*static_cast<char*>(line)));
}

template <Parts kParts, uint32_t kSlots = 512>
class VariantRing {
 public:
  // All `n` or as many as there is room for; returns how many.
  uint32_t put(const Item* items, uint32_t n) noexcept {
    uint32_t done = 0;
    if constexpr (kParts.batch) {
      uint32_t room = kSlots - (pushed_ - cached_head_);
      if (room < n) {
        refresh_head();
        room = kSlots - (pushed_ - cached_head_);
      }
      const uint32_t cnt = n < room ? n : room;
      for (; done < cnt; ++done)
        write(items[done]);
    } else {
      for (; done < n && has_room(); ++done) {
        write(items[done]);
        if (kParts.publish == Publish::index && !kParts.lazy_publish) publish();
      }
    }
    if constexpr (kParts.publish == Publish::index && kParts.lazy_publish) publish();
    return done;
  }

  uint32_t take(Item* out, uint32_t max) noexcept {
    const uint32_t cnt =
        kParts.publish == Publish::slot ? take_by_slot(out, max) : take_by_index(out, max);
    const uint32_t kept = popped_ - released_;
    const bool release = !kParts.lazy_release || cnt < max || kept >= kSlots / 8;
    if (kept == 0 || !release) return cnt;
    // Release pairs with the acquire in refresh_head().
    head_.store(popped_, std::memory_order_release);
    released_ = popped_;
    return cnt;
  }

 private:
  struct Slot {
    uint64_t body[7];
    std::atomic<uint64_t> last;
  };
  static constexpr uint32_t kMask = kSlots - 1;

  static uint64_t parity(uint32_t index) noexcept {
    return (index & kSlots) != 0 ? 0 : kParityBit;  // the first lap sets it
  }

  bool has_room() noexcept {
    if (kParts.cached_index && pushed_ - cached_head_ < kSlots) return true;
    refresh_head();
    return pushed_ - cached_head_ < kSlots;
  }

  void refresh_head() noexcept {
    // Acquire pairs with the release of head_ in take().
    cached_head_ = head_.load(std::memory_order_acquire);
  }

  void write(const Item& item) noexcept {
    Slot& slot = slots_[pushed_ & kMask];
    std::memcpy(slot.body, item.words, sizeof slot.body);
    if constexpr (kParts.publish == Publish::slot) {
      // Release pairs with the acquire in take_by_slot().
      slot.last.store(item.words[7] | parity(pushed_), std::memory_order_release);
    } else {
      // Relaxed: tail_ publishes it.
      slot.last.store(item.words[7], std::memory_order_relaxed);
    }
    ++pushed_;
    if constexpr (kParts.prefetch_write) prefetch_write(&slots_[(pushed_ + kParts.ahead) & kMask]);
  }

  void publish() noexcept {
    // Release pairs with the acquire in take_by_index().
    tail_.store(pushed_, std::memory_order_release);
  }

  uint32_t take_by_slot(Item* out, uint32_t max) noexcept {
    uint32_t cnt = 0;
    const uint32_t first = popped_;
    for (; cnt < max; ++cnt) {
      const Slot& slot = slots_[(first + cnt) & kMask];
      // Acquire pairs with the release in write().
      const uint64_t last = slot.last.load(std::memory_order_acquire);
      if ((last & kParityBit) != parity(first + cnt)) break;
      std::memcpy(out[cnt].words, slot.body, sizeof slot.body);
      out[cnt].words[7] = last & ~kParityBit;
    }
    popped_ = first + cnt;
    return cnt;
  }

  uint32_t take_by_index(Item* out, uint32_t max) noexcept {
    if (!kParts.cached_index || cached_tail_ - popped_ < max) {
      // Acquire pairs with the release in publish().
      cached_tail_ = tail_.load(std::memory_order_acquire);
    }
    const uint32_t visible = cached_tail_ - popped_;
    const uint32_t cnt = visible < max ? visible : max;
    const uint32_t first = popped_;
    for (uint32_t i = 0; i < cnt; ++i) {
      const Slot& slot = slots_[(first + i) & kMask];
      std::memcpy(out[i].words, slot.body, sizeof slot.body);
      // Relaxed: came with tail_.
      out[i].words[7] = slot.last.load(std::memory_order_relaxed);
    }
    popped_ = first + cnt;
    return cnt;
  }

  alignas(kParts.spacing) uint32_t pushed_ = 0;
  uint32_t cached_head_ = 0;
  alignas(kParts.spacing) std::atomic<uint32_t> tail_{0};
  alignas(kParts.spacing) uint32_t popped_ = 0;
  uint32_t released_ = 0;
  uint32_t cached_tail_ = 0;
  alignas(kParts.spacing) std::atomic<uint32_t> head_{0};
  alignas(128) Slot slots_[kSlots] = {};
};

}  // namespace millrace::bench
