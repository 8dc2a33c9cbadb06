// SPDX-License-Identifier: Apache-2.0
#pragma once
// The poll loop of one lcore: ports on one side, a Worker on the other.
//
// Each turn receives up to a burst over all ports of this worker, lets the worker step, sends,
// gives buffers back and reports quiescence. When nothing comes it backs off: it spins for a
// moment, then sleeps for longer and longer up to kSleepMaxUs (`idle: adaptive`), or spins for ever
// (`idle: poll`). A sleeping worker is offline for the grace period.
//
// Threads: run() by the lcore it belongs to; `stop` is set by main.

#include <atomic>
#include <cstdint>

#include "dataplane/port/boot_clock.hpp"
#include "dataplane/port/port_set.hpp"
#include "dataplane/port/reader_set.hpp"
#include "dataplane/worker/worker.hpp"

namespace millrace::dp {

// Under a held clock.
inline constexpr uint32_t kHeldTurnsPerPublication = 8;

class LcoreLoop {
 public:
  LcoreLoop(uint32_t worker, const PortSet& ports, ReaderSet& readers, const BootClock& clock,
            Worker& logic, const std::atomic<bool>& stop);
  ~LcoreLoop();

  void run() noexcept;

 private:
  friend class LoopProbe;  // benchmarks: times the parts of a turn

  void receive() noexcept;
  void send() noexcept;
  void give_back() noexcept;
  void fill_stock() noexcept;
  void idle(uint32_t work) noexcept;
  void count_missed() noexcept;
  void report_turn(uint64_t now_ns, uint32_t work) noexcept;

  uint32_t worker_;
  const PortSet& ports_;
  ReaderSet& readers_;
  const BootClock& clock_;
  Worker& logic_;
  const std::atomic<bool>& stop_;
  std::unique_ptr<StepIo> io_;
  uint32_t first_port_ = 0;
  uint32_t idle_turns_ = 0;
  uint32_t held_turns_ = 0;
  uint64_t missed_due_ns_ = 0;
  uint64_t missed_ = 0;
};

}  // namespace millrace::dp
