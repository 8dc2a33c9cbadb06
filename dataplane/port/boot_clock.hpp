// SPDX-License-Identifier: Apache-2.0
#pragma once
// The time of the data plane: nanoseconds since boot, from the TSC; or that of a clock that stands
// still, for tests.
//
// Set once against CLOCK_BOOTTIME and then derived from the counter: no system call on the packet
// path, monotonic, the same on every core (the TSC is invariant and synchronised on every CPU that
// DPDK supports for this), untouched by steps of the wall clock. It may drift from the kernel's
// clock by some parts per million; lifetimes are whole seconds of at most a week, and nobody
// compares the two clocks.
//
// now_ns() is what lifetimes and timeouts go by. What has to do with the machine itself, like how
// long the main core waits for a worker, goes by real_ns().
//
// Threads: hold() before any other thread reads the clock; the rest any.

#include <rte_cycles.h>

#include <cstdint>
#include <ctime>

#include "dataplane/base/held_clock.hpp"

namespace millrace::dp {

class BootClock {
 public:
  BootClock() noexcept {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    tsc_ = rte_rdtsc();
    start_ns_ = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
                static_cast<uint64_t>(now.tv_nsec);
    ns_per_tick_q32_ =
        static_cast<uint64_t>((static_cast<__uint128_t>(1'000'000'000) << 32) / rte_get_tsc_hz());
  }

  // From now on the time is that of `held`, which outlives this clock.
  void hold(HeldClock* held) noexcept { held_ = held; }
  HeldClock* held() const noexcept { return held_; }

  uint64_t now_ns() const noexcept {
    if (held_ != nullptr) [[unlikely]] return held_->now_ns();
    return real_ns();
  }

  uint64_t real_ns() const noexcept {
    const auto ticks = static_cast<__uint128_t>(rte_rdtsc() - tsc_);
    return start_ns_ + static_cast<uint64_t>((ticks * ns_per_tick_q32_) >> 32);
  }

  uint64_t start_ns() const noexcept { return start_ns_; }

 private:
  uint64_t tsc_;
  uint64_t start_ns_;
  uint64_t ns_per_tick_q32_;
  HeldClock* held_ = nullptr;
};

}  // namespace millrace::dp
