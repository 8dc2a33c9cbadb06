// SPDX-License-Identifier: Apache-2.0
#pragma once
// Items from one core to the other, as fast as a queue lets them through, and there and back.
//
// A queue is anything with  uint32_t put(const Item*, uint32_t n)  and
// uint32_t take(Item*, uint32_t max). The calling thread consumes; each item is checked to be the
// next one and whole.

#include "tests/bench/harness.hpp"
#include "tests/bench/machine.hpp"
#include "tests/bench/ring_variants.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>

namespace millrace::bench {

inline constexpr uint32_t kBatchMax = 32;

inline void number_item(Item& item, uint64_t number) noexcept {
  item.words[0] = number;
  item.words[6] = ~number;
}
inline bool holds(const Item& item, uint64_t number) noexcept {
  return item.words[0] == number && item.words[6] == ~number;
}

// On a line of its own: written once, at the end.
struct alignas(128) StopFlag {
  std::atomic<bool> value{false};
};

template <class Queue>
void produce(Queue& queue, uint32_t n, const StopFlag& stop) noexcept {
  Item items[kBatchMax] = {};
  uint64_t number = 0;
  // Relaxed: a request; nothing comes with it.
  while (!stop.value.load(std::memory_order_relaxed)) {
    for (uint32_t i = 0; i < n; ++i)
      number_item(items[i], number + i);
    for (uint32_t done = 0; done < n;) {
      done += queue.put(items + done, n - done);
      // Relaxed: as above.
      if (done < n && stop.value.load(std::memory_order_relaxed)) return;
    }
    number += n;
  }
}

// Ticks per item.
template <class Queue>
double consume(Queue& queue, uint32_t n, uint64_t length, StopFlag& stop) {
  Item out[kBatchMax];
  uint64_t number = 0;
  bool whole = true;
  while (queue.take(out, 1) == 0) {
  }
  whole = holds(out[0], number++);
  const uint64_t start = ticks();
  uint64_t now = start;
  for (uint32_t round = 1; now - start < length; ++round) {
    const uint32_t cnt = queue.take(out, n);
    for (uint32_t i = 0; i < cnt; ++i)
      whole &= holds(out[i], number++);
    if (round % 64 == 0) now = ticks();
  }
  // Relaxed: a request; nothing comes with it.
  stop.value.store(true, std::memory_order_relaxed);
  if (!whole) fail("a queue lost, doubled or tore an item");
  return static_cast<double>(now - start) / static_cast<double>(number - 1);
}

// A side: items streamed through a queue that `make` puts into large pages, new for each slice.
template <class Queue>
Side stream_side(const Options& options, uint32_t n) {
  auto memory = std::make_shared<LargeMemory>(sizeof(Queue));
  return [=, cpu = options.other_cpu](uint64_t length) {
    auto* const queue = new (memory->data()) Queue;
    StopFlag stop;
    double result = 0;
    run_both(
        cpu, [&] { result = consume(*queue, n, length, stop); }, [&] { produce(*queue, n, stop); });
    queue->~Queue();
    return result;
  };
}

// Ticks per round trip: one item there on one queue, back on another.
template <class Queue>
Side round_trip_side(const Options& options) {
  struct Both {
    Queue there;
    Queue back;
  };
  auto memory = std::make_shared<LargeMemory>(sizeof(Both));
  return [=, cpu = options.other_cpu](uint64_t length) {
    auto* const both = new (memory->data()) Both;
    StopFlag stop;
    double result = 0;
    const auto ask = [&] {
      Item item{};
      uint64_t number = 0;
      const uint64_t start = ticks();
      uint64_t now = start;
      for (; now - start < length; now = number % 64 == 0 ? ticks() : now) {
        number_item(item, number);
        both->there.put(&item, 1);
        while (both->back.take(&item, 1) == 0) {
        }
        if (!holds(item, number++)) fail("a round trip brought another item back");
      }
      // Relaxed: a request; nothing comes with it.
      stop.value.store(true, std::memory_order_relaxed);
      result = static_cast<double>(now - start) / static_cast<double>(number);
    };
    run_both(cpu, ask, [&] {
      Item item;
      // Relaxed: as above.
      while (!stop.value.load(std::memory_order_relaxed)) {
        if (both->there.take(&item, 1) == 1) both->back.put(&item, 1);
      }
    });
    both->~Both();
    return result;
  };
}

}  // namespace millrace::bench
