// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is due when: a hierarchical timer wheel of one-second ticks.
//
//   level 3  64 slots of 2^18 s    [ . . . . # . ]
//   level 2  64 slots of 2^12 s    [ . # . . . . ]    bitmap per level: which slots hold timers
//   level 1  64 slots of 2^6 s     [ . . # . # . ]
//   level 0  64 slots of 1 s       [ # . . . . . ]    a slot: circular list through the records
//
// A timer goes to the level of the highest bit in which its tick differs from the wheel's. So all
// of level l lies before all of level l+1, the next slot with work is one rotate and one bit scan
// away, and a slot is opened (its timers moved down, or fired) when the wheel's tick reaches its
// start. (Varghese and Lauck 1987; the bitmap as in Ahern's timeout wheels.)
//
// A turn may stop in the middle of a slot. What is left of a slot above level 0 then lies under the
// wheel's own position, where no timer is ever put; so next() finds it first and finishes it.
//
// Threads: the owner's. Memory: 256 list heads and the records belong to the region; the wheel's
// own state is WheelState. `Records` maps a Ref to its Record; Refs below 256 are the heads.
// Cost: add and cancel O(1), three records touched; a timer moves down at most three times. A turn
// with nothing due is a few instructions.
// Failure: none. Timers fire late (a tick's grain, a short budget, a tick more than kReach ahead is
// approached in steps), never early.

#include "dataplane/cache/region_layout.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace millrace::cache {

inline constexpr uint32_t kWheelLevels = 4;
inline constexpr uint32_t kWheelSlotBits = 6;
inline constexpr uint32_t kWheelSlots = 1u << kWheelSlotBits;
static_assert(kWheelLevels * kWheelSlots == kHeads);

struct WheelState {
  uint64_t tick;  // everything due before it has fired or lies under it
  uint64_t occupied[kWheelLevels];
  uint64_t armed;  // timers in the wheel
};

template <class Records>
class TimerWheel {
 public:
  TimerWheel(const Records& records, WheelState& state) noexcept
      : records_(records), state_(state) {}

  // `ref` is in no slot. An empty wheel jumps to `now_tick` first.
  void add(Ref ref, uint64_t due_tick, uint64_t now_tick) noexcept {
    if (state_.armed == 0) state_.tick = std::max(state_.tick, now_tick);
    ++state_.armed;
    place(ref, due_tick);
  }

  // `ref` is in a slot.
  void cancel(Ref ref) noexcept {
    --state_.armed;
    unlink(ref);
  }

  struct NothingAhead {
    void operator()(Ref) const noexcept {}
  };

  // Looks at no more than `budget` timers. For those that are due calls fire(ref), which must
  // cancel the timer; due_of(ref) tells a timer's tick again. Returns how many fired. A slot is
  // worked off in runs; ahead(ref) is called for the timers of a run before the first is looked at,
  // so that it may prefetch what they lead to.
  template <class DueOf, class Fire, class Ahead = NothingAhead>
  uint32_t turn(uint64_t now_tick, uint32_t budget, DueOf&& due_of, Fire&& fire,
                Ahead&& ahead = {}) noexcept {
    uint32_t fired = 0;
    for (;;) {
      const Next next = this->next();
      if (next.head == kNoHead || next.start_tick > now_tick) {
        state_.tick = std::max(state_.tick, now_tick);
        return fired;
      }
      state_.tick = std::max(state_.tick, next.start_tick);
      uint32_t run = 0;
      while (state_.occupied[next.head >> kWheelSlotBits] >> (next.head % kWheelSlots) & 1) {
        if (budget == 0) return fired;
        if (run == 0) run = look_ahead(next.head, std::min(budget, kRun), ahead);
        --run;
        --budget;
        const Ref ref = records_.record(next.head).wheel_next;
        const uint64_t due_tick = due_of(ref);
        if (due_tick <= now_tick) {
          fire(ref);
          ++fired;
        } else {
          unlink(ref);
          place(ref, due_tick);
        }
      }
    }
  }

  // True when no timer is due at `now_tick`: nothing will be until the next tick.
  bool quiet(uint64_t now_tick) const noexcept {
    const Next next = this->next();
    return next.head == kNoHead || next.start_tick > now_tick;
  }

 private:
  static constexpr uint32_t kNoHead = kHeads;
  static constexpr uint32_t kRun = 16;
  // A timer that far ahead would wrap into the slot under the wheel's position.
  static constexpr uint64_t kReach =
      (uint64_t{kWheelSlots - 1} << kWheelSlotBits * (kWheelLevels - 1)) - 1;

  struct Next {
    uint32_t head;
    uint64_t start_tick;
  };

  Next slot_at(uint32_t level, uint32_t distance) const noexcept {
    const uint64_t position = (state_.tick >> kWheelSlotBits * level) + distance;
    return Next{level * kWheelSlots + static_cast<uint32_t>(position % kWheelSlots),
                position << kWheelSlotBits * level};
  }

  Next next() const noexcept {
    for (uint32_t level = kWheelLevels - 1; level > 0; --level) {
      const uint64_t position = state_.tick >> kWheelSlotBits * level;
      if (state_.occupied[level] >> position % kWheelSlots & 1) return slot_at(level, 0);
    }
    for (uint32_t level = 0; level < kWheelLevels; ++level) {
      if (state_.occupied[level] == 0) continue;
      const uint64_t position = state_.tick >> kWheelSlotBits * level;
      const uint64_t ahead =
          std::rotr(state_.occupied[level], static_cast<int>(position % kWheelSlots));
      return slot_at(level, static_cast<uint32_t>(std::countr_zero(ahead)));
    }
    return Next{kNoHead, 0};
  }

  // The slot is not empty. Returns how many timers it met.
  template <class Ahead>
  uint32_t look_ahead(Ref head, uint32_t timers_max, Ahead& ahead) const noexcept {
    uint32_t met = 0;
    Ref ref = records_.record(head).wheel_next;
    for (; ref != head && met < timers_max; ++met) {
      ahead(ref);
      ref = records_.record(ref).wheel_next;
    }
    return met;
  }

  void place(Ref ref, uint64_t due_tick) noexcept {
    const uint64_t tick = std::clamp(due_tick, state_.tick, state_.tick + kReach);
    const auto differs = static_cast<uint32_t>(std::bit_width((tick ^ state_.tick) | 1));
    const uint32_t level = std::min((differs - 1) / kWheelSlotBits, kWheelLevels - 1);
    const auto slot = static_cast<uint32_t>(tick >> kWheelSlotBits * level) % kWheelSlots;
    const Ref head = level * kWheelSlots + slot;
    state_.occupied[level] |= uint64_t{1} << slot;
    Record& head_record = records_.record(head);
    Record& record = records_.record(ref);
    record.wheel_prev = head_record.wheel_prev;
    record.wheel_next = head;
    records_.record(head_record.wheel_prev).wheel_next = ref;
    head_record.wheel_prev = ref;
  }

  void unlink(Ref ref) noexcept {
    const Ref prev = records_.record(ref).wheel_prev;
    const Ref next = records_.record(ref).wheel_next;
    records_.record(prev).wheel_next = next;
    records_.record(next).wheel_prev = prev;
    // Both neighbours are one: the head, now alone.
    if (prev == next) {
      state_.occupied[prev >> kWheelSlotBits] &= ~(uint64_t{1} << prev % kWheelSlots);
    }
  }

  const Records& records_;
  WheelState& state_;
};

}  // namespace millrace::cache
