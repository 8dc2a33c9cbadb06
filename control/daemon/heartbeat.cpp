// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/heartbeat.hpp"

namespace millrace::ctl {

void Heartbeat::check(const abi::StatsArea& area, Clock::time_point now) {
  const bool counts = last_ && now - *last_ <= 2 * period_;
  last_ = now;
  silent_ = 0;
  for (uint32_t core = 0; core < area.workers; ++core) {
    // Relaxed: only whether it moves matters.
    const uint64_t sequence = area.cores[core].sequence.load(std::memory_order_relaxed);
    const bool moved = sequence != seen_[core];
    seen_[core] = sequence;
    silent_of_[core] = counts && !moved ? silent_of_[core] + 1 : 0;
    if (silent_of_[core] <= silent_) continue;
    silent_ = silent_of_[core];
    core_ = core;
  }
}

void Heartbeat::forget() {
  *this = Heartbeat(period_);
}

}  // namespace millrace::ctl
