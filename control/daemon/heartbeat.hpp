// SPDX-License-Identifier: Apache-2.0
#pragma once
// Tells a core that has stopped from one that has nothing to do: every core publishes its
// statistics many times a second, also when idle.
//
// Counts checks, not time: one that comes late says that we ourselves were stopped, or the whole
// machine was, and all counting begins anew.
//
// Threads: one. Cost: one load per core.

#include "dataplane/abi/stats_page.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

namespace millrace::ctl {

class Heartbeat {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Heartbeat(std::chrono::milliseconds period) : period_(period) {}

  // To be called once per period.
  void check(const abi::StatsArea& area, Clock::time_point now);
  void forget();  // the next data plane has other cores

  // The core that has been silent for longest, and for how many checks; 0: none.
  uint32_t silent_checks() const { return silent_; }
  uint32_t silent_core() const { return core_; }

 private:
  std::chrono::milliseconds period_;
  std::optional<Clock::time_point> last_;
  std::array<uint64_t, abi::kWorkersMax> seen_{};
  std::array<uint32_t, abi::kWorkersMax> silent_of_{};
  uint32_t silent_ = 0;
  uint32_t core_ = 0;
};

}  // namespace millrace::ctl
