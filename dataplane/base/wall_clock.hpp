// SPDX-License-Identifier: Apache-2.0
#pragma once
// Unix time for those who look at no clock but the one of the packet path: the difference of the
// two, which the main core measures now and then, so that steps of the wall clock arrive.
//
// Threads: one writer, any readers. Cost: a load and a division. Failure: none; until set() the
// difference is 0. Good to a second and the writer's period.

#include <atomic>
#include <cstdint>

namespace millrace {

class WallClock {
 public:
  // `unix_s` is the time at `now_s` of the other clock.
  void set(int64_t unix_s, int64_t now_s) noexcept {
    // Relaxed, as in unix_s(): a figure by itself.
    ahead_s_.store(unix_s - now_s, std::memory_order_relaxed);
  }

  // Modulo 2^32, as cookies have it.
  uint32_t unix_s(uint64_t now_s) const noexcept {
    return static_cast<uint32_t>(static_cast<int64_t>(now_s) +
                                 ahead_s_.load(std::memory_order_relaxed));
  }

 private:
  std::atomic<int64_t> ahead_s_{0};
};

}  // namespace millrace
