// SPDX-License-Identifier: Apache-2.0
// R21 to R23: the ring against rte_ring, Boost's queue, and the bare machine.

#include "dataplane/ring/spsc_ring.hpp"
#include "tests/bench/ring_streams.hpp"

#include <boost/lockfree/spsc_queue.hpp>
#include <rte_ring.h>
#include <rte_ring_elem.h>

namespace millrace::bench {

namespace {

constexpr uint32_t kSlots = 512;

class OurQueue {
 public:
  uint32_t put(const Item* items, uint32_t n) noexcept {
    uint32_t done = 0;
    while (done < n && ring_.push(items[done]))
      ++done;
    return done;
  }
  uint32_t take(Item* out, uint32_t max) noexcept { return ring_.pop(out, max); }

 private:
  ring::SpscRing<Item, kSlots> ring_;
};

class RteQueue {
 public:
  RteQueue() {
    static_assert(sizeof(rte_ring) + kSlots * sizeof(Item) <= sizeof memory_);
    const unsigned flags = RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ;
    if (rte_ring_init(ring(), "bench", kSlots - 1, flags) != 0) fail("rte_ring_init failed");
  }
  uint32_t put(const Item* items, uint32_t n) noexcept {
    return rte_ring_sp_enqueue_burst_elem(ring(), items, sizeof(Item), n, nullptr);
  }
  uint32_t take(Item* out, uint32_t max) noexcept {
    return rte_ring_sc_dequeue_burst_elem(ring(), out, sizeof(Item), max, nullptr);
  }

 private:
  rte_ring* ring() noexcept { return reinterpret_cast<rte_ring*>(memory_); }

  alignas(128) std::byte memory_[sizeof(rte_ring) + 2 * kSlots * sizeof(Item)];
};

class BoostQueue {
 public:
  uint32_t put(const Item* items, uint32_t n) {
    if (n == 1) return queue_.push(*items) ? 1 : 0;
    return static_cast<uint32_t>(queue_.push(items, n));
  }
  uint32_t take(Item* out, uint32_t max) {
    if (max == 1) return queue_.pop(*out) ? 1 : 0;
    return static_cast<uint32_t>(queue_.pop(out, max));
  }

 private:
  boost::lockfree::spsc_queue<Item, boost::lockfree::capacity<kSlots>> queue_;
};

// Lines of the ring's size of memory, written round and round by one core and read round and round
// by the other, with no word between them. What counts is a line that the reader finds changed:
// that one was moved.
Side raw_stream_side(const Options& options) {
  auto memory = std::make_shared<LargeMemory>(kSlots * sizeof(Item));
  return [=, cpu = options.other_cpu](uint64_t length) {
    auto* const lines = reinterpret_cast<std::atomic<uint64_t>*>(memory->data());
    StopFlag stop;
    uint64_t moved = 0;
    uint64_t took = 0;
    const auto read = [&] {
      uint64_t last[kSlots] = {};
      const uint64_t start = ticks();
      for (; took < length; took = ticks() - start) {
        for (uint32_t i = 0; i < kSlots; ++i) {
          uint64_t words[8];
          // Relaxed, all: unsynchronised is the point.
          for (uint32_t w = 0; w < 8; ++w)
            words[w] = lines[8 * i + w].load(std::memory_order_relaxed);
          moved += words[0] != last[i];
          last[i] = words[0];
        }
      }
      stop.value.store(true, std::memory_order_relaxed);
    };
    run_both(cpu, read, [&] {
      for (uint64_t number = 1; !stop.value.load(std::memory_order_relaxed); ++number) {
        for (uint32_t i = 0; i < kSlots; ++i) {
          for (uint32_t w = 0; w < 8; ++w)
            lines[8 * i + w].store(number, std::memory_order_relaxed);
        }
      }
    });
    return static_cast<double>(took) / static_cast<double>(moved);
  };
}

// The same lines moved with nothing in the way: one core writes all of them, the other reads all of
// them, in turns. Both would work at once in a stream, so its limit is the slower of the two.
Side phased_stream_side(const Options& options) {
  struct Board {
    std::atomic<uint64_t> lines[8 * kSlots];
    alignas(128) std::atomic<uint64_t> written;  // rounds
    alignas(128) std::atomic<uint64_t> read;     // rounds; UINT64_MAX: the end
  };
  auto memory = std::make_shared<LargeMemory>(sizeof(Board));
  return [=, cpu = options.other_cpu](uint64_t length) {
    auto* const board = new (memory->data()) Board{};
    uint64_t write_ticks = 0;
    uint64_t read_ticks = 0;
    uint64_t rounds = 0;
    const auto read = [&] {
      for (const uint64_t start = ticks(); ticks() - start < length;) {
        while (board->written.load(std::memory_order_acquire) == rounds) {
        }
        const uint64_t from = ticks();
        uint64_t sum = 0;
        // Relaxed: came with `written`.
        for (const std::atomic<uint64_t>& word : board->lines)
          sum += word.load(std::memory_order_relaxed);
        _mm_lfence();
        read_ticks += ticks() - from;
        if (sum != 8 * kSlots * ++rounds) fail("raw streaming read another round's lines");
        board->read.store(rounds, std::memory_order_release);
      }
      board->read.store(UINT64_MAX, std::memory_order_release);
    };
    run_both(cpu, read, [&] {
      for (uint64_t round = 0; board->read.load(std::memory_order_acquire) != UINT64_MAX;) {
        if (board->read.load(std::memory_order_acquire) != round) continue;
        const uint64_t from = ticks();
        ++round;
        for (uint32_t i = 0; i < 8 * kSlots; ++i) {
          if (i % 8 == 0) prefetch_write(&board->lines[(i + 64) % (8 * kSlots)]);
          // Relaxed: `written` publishes them.
          board->lines[i].store(round, std::memory_order_relaxed);
        }
        _mm_mfence();
        write_ticks += ticks() - from;
        board->written.store(round, std::memory_order_release);
      }
    });
    const uint64_t slower = std::max(read_ticks, write_ticks);
    return static_cast<double>(slower) / static_cast<double>(rounds * kSlots);
  };
}

Row against_rte(uint32_t n, double floor, double aim) {
  const std::string call = "n=" + std::to_string(n);
  return {.id = "R21.n" + std::to_string(n),
          .what = "64-byte items a second, " + call + ": ours / rte_ring SP/SC",
          .above = "item through rte_ring_*_burst_elem, " + call,
          .below = "item through our ring, " + call,
          .bound = Bound::at_least,
          .floor = floor,
          .aim = aim,
          .two_cores = true,
          .sides = [n](const Options& options) {
            return Sides{stream_side<RteQueue>(options, n), stream_side<OurQueue>(options, n)};
          }};
}

Row against_boost(uint32_t n, Bound bound) {
  const std::string call = "n=" + std::to_string(n);
  return {.id = n == 1 ? "R21.boost" : "R21.boost" + std::to_string(n),
          .what = "64-byte items a second, " + call + ": ours / boost::lockfree::spsc_queue",
          .above = "item through boost::lockfree::spsc_queue, " + call,
          .below = "item through our ring, " + call,
          .bound = bound,
          .floor = 1.5,
          .aim = 2,
          .two_cores = true,
          .sides = [n](const Options& options) {
            return Sides{stream_side<BoostQueue>(options, n), stream_side<OurQueue>(options, n)};
          }};
}

}  // namespace

std::vector<Row> ring_rows() {
  return {
      {.id = "AA.rings",
       .what = "A against A: our ring, n=8, both sides",
       .above = "item through our ring",
       .below = "item through our ring",
       .two_cores = true,
       .sides =
           [](const Options& options) {
             return Sides{stream_side<OurQueue>(options, 8), stream_side<OurQueue>(options, 8)};
           }},
      against_rte(1, 3, 5),
      against_rte(8, 1.5, 1.5),
      against_rte(32, 1.1, 1.3),
      against_boost(1, Bound::at_least),
      against_boost(32, Bound::none),
      {.id = "R22",
       .what = "lines a second: ours (n=32) / limit of raw streaming of the same memory",
       .above = "line written by one core or read by the other, in turns; the slower of the two",
       .below = "item through our ring, n=32",
       .bound = Bound::at_least,
       .floor = 0.80,
       .aim = 0.90,
       .two_cores = true,
       .sides =
           [](const Options& options) {
             return Sides{phased_stream_side(options), stream_side<OurQueue>(options, 32)};
           }},
      {.id = "R22.unsynchronised",
       .what = "lines a second: ours (n=32) / both cores at the same memory, no synchronisation",
       .above = "line that the reader finds changed",
       .below = "item through our ring, n=32",
       .two_cores = true,
       .sides =
           [](const Options& options) {
             return Sides{raw_stream_side(options), stream_side<OurQueue>(options, 32)};
           }},
      {.id = "R23",
       .what = "round trip over two rings / raw ping-pong of two flags",
       .above = "item there and back over two rings",
       .below = "number there and back on two lines",
       .bound = Bound::at_most,
       .floor = 1.25,
       .aim = 1.10,
       .two_cores = true,
       .sides =
           [](const Options& options) {
             return Sides{
                 round_trip_side<OurQueue>(options),
                 [cpu = options.other_cpu](uint64_t ticks) { return flag_round_trip(cpu, ticks); }};
           }},
  };
}

}  // namespace millrace::bench
