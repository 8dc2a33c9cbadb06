// SPDX-License-Identifier: Apache-2.0
#pragma once
// A clock that stands still until it is told to go on: for tests that would otherwise sleep.
//
// Every core takes its time from it and reports each turn: at which time, whether there was
// something to do, and when there will be. advance() moves the time to the next such moment, waits
// until all cores have done at it what there was to do, and so on to the end; timers fire in their
// order, each at its own time.
//
// All is done when every core has turned at the present time and, since a moment before that, none
// had anything to do: whatever one hands to another is there to be done by the other in its next
// turn.
//
// What goes out by the network takes no time on this clock, and nobody waits for it: an answer
// counts as having come at once if it comes before the next advance(), however long it took. As
// long as packets keep coming a moment does not end by itself, so it ends after kRoundsMax rounds.
//
// Threads: now_ns() any; turned() each core for itself; advance() one.
// Cost: to the cores a store of a line of their own per turn. Failure: advance() ends when its
// `wait` gives up; the time is then somewhere between.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/base/cache_line.hpp"

namespace millrace {

inline constexpr uint64_t kNothingDue = ~uint64_t{0};

class HeldClock {
 public:
  static constexpr uint32_t kRoundsMax = 32;
  // A core that does not say when its next moment is, or says one that is past, gets this one.
  static constexpr uint64_t kStepNsMin = 1'000'000;

  HeldClock(uint32_t cores, uint64_t start_ns)
      : cores_(cores), now_ns_(start_ns), turn_(new Turn[cores]) {}

  // Relaxed: a number by itself. That a core has seen a new one is read from its report.
  uint64_t now_ns() const noexcept { return now_ns_.load(std::memory_order_relaxed); }

  // By the core, after each of its turns.
  void turned(uint32_t core, uint64_t at_ns, bool worked, uint64_t next_due_ns) noexcept {
    Turn& turn = turn_[core];
    // Relaxed: carried by the release below, which pairs with the acquire in turned_since().
    if (worked) turn.worked.fetch_add(1, std::memory_order_relaxed);
    turn.at_ns.store(at_ns, std::memory_order_relaxed);
    turn.next_due_ns.store(next_due_ns, std::memory_order_relaxed);
    turn.number.fetch_add(1, std::memory_order_release);
  }

  // `wait(ready)` waits until ready(core) is true for every core; false: given up.
  template <class Wait>
  bool advance(uint64_t by_ns, Wait&& wait) {
    const uint64_t end_ns = now_ns() + by_ns;
    for (;;) {
      for (uint32_t round = 0; round < kRoundsMax; ++round) {
        const Mark mark = take_mark();
        if (!wait([&](uint32_t core) { return turned_since(mark, core); })) return false;
        if (worked_cnt() == mark.worked) break;
      }
      if (now_ns() >= end_ns) return true;
      now_ns_.store(next_moment(end_ns), std::memory_order_relaxed);
    }
  }

 private:
  struct alignas(kWriterSpacingBytes) Turn {
    std::atomic<uint64_t> number{0};
    std::atomic<uint64_t> worked{0};
    std::atomic<uint64_t> at_ns{0};
    std::atomic<uint64_t> next_due_ns{0};
  };
  struct Mark {
    uint64_t worked;
    std::vector<uint64_t> number;
  };

  Mark take_mark() const {
    Mark mark{worked_cnt(), {}};
    for (uint32_t core = 0; core < cores_; ++core)
      mark.number.push_back(turn_[core].number.load(std::memory_order_acquire));
    return mark;
  }

  // One whole turn since the mark, and at the present time: the first that ends may have begun
  // before.
  bool turned_since(const Mark& mark, uint32_t core) const noexcept {
    const Turn& turn = turn_[core];
    // Acquire pairs with the release in turned(): what it reported, and all it did, is seen.
    return turn.number.load(std::memory_order_acquire) >= mark.number[core] + 2 &&
           turn.at_ns.load(std::memory_order_relaxed) == now_ns();
  }

  uint64_t worked_cnt() const noexcept {
    uint64_t sum = 0;
    for (uint32_t core = 0; core < cores_; ++core)
      sum += turn_[core].worked.load(std::memory_order_relaxed);
    return sum;
  }

  uint64_t next_moment(uint64_t end_ns) const noexcept {
    uint64_t next_ns = end_ns;
    for (uint32_t core = 0; core < cores_; ++core)
      next_ns = std::min(next_ns, turn_[core].next_due_ns.load(std::memory_order_relaxed));
    return std::min(std::max(next_ns, now_ns() + kStepNsMin), end_ns);
  }

  uint32_t cores_;
  std::atomic<uint64_t> now_ns_;
  std::unique_ptr<Turn[]> turn_;
};

}  // namespace millrace
