// SPDX-License-Identifier: Apache-2.0
#pragma once
// Nanoseconds since boot, from the TSC.
//
// Set once against CLOCK_BOOTTIME and then derived from the counter: no system call on the packet
// path, monotonic, the same on every core (the TSC is invariant and synchronised on every CPU that
// DPDK supports for this), untouched by steps of the wall clock. It may drift from the kernel's
// clock by some parts per million; lifetimes are whole seconds of at most a week, and nobody
// compares the two clocks.

#include <rte_cycles.h>

#include <cstdint>
#include <ctime>

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

  uint64_t now_ns() const noexcept {
    const auto ticks = static_cast<__uint128_t>(rte_rdtsc() - tsc_);
    return start_ns_ + static_cast<uint64_t>((ticks * ns_per_tick_q32_) >> 32);
  }

  uint64_t start_ns() const noexcept { return start_ns_; }

 private:
  uint64_t tsc_;
  uint64_t start_ns_;
  uint64_t ns_per_tick_q32_;
};

}  // namespace millrace::dp
