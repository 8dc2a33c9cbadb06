// SPDX-License-Identifier: Apache-2.0
#pragma once
// The one thread of millraced: descriptors and timers, each with a callback.
//
// Everything that millraced does waits here and nowhere else, so that no slow client, data plane or
// kernel answer holds up another. Callbacks run one at a time, may add and remove watches and
// timers (their own included), and must not block.
//
// Threads: one, save for stop_from_other_thread().
// Failure: a watch that cannot be added is a bug or a lack of memory and ends the process.

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "control/daemon/unique_fd.hpp"

namespace millrace::ctl {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Milliseconds = std::chrono::milliseconds;
  using FdCallback = std::function<void(uint32_t epoll_events)>;
  using TimerCallback = std::function<void()>;
  using TimerId = uint64_t;  // 0: none

  EventLoop();

  // Watches `fd`, which the caller keeps open until unwatch(). One watch per descriptor.
  void watch(int fd, uint32_t epoll_events, FdCallback callback);
  void rewatch(int fd, uint32_t epoll_events);
  void unwatch(int fd);

  TimerId after(Milliseconds delay, TimerCallback callback);
  void cancel(TimerId& timer);  // sets it to 0; cancelling 0 does nothing

  // Runs until stop(). run_until() is the same with a limit; false: `done` did not come true.
  void run();
  bool run_until(const std::function<bool()>& done, Milliseconds limit);
  void stop() { stopped_ = true; }

  // The only call other threads may make: ends run() at its next turn.
  void stop_from_other_thread();

 private:
  struct Watch {
    int fd;
    FdCallback callback;
  };

  void turn(Milliseconds wait_max);
  Milliseconds until_next_timer(Milliseconds limit) const;
  void run_due_timers();

  UniqueFd epoll_;
  UniqueFd wake_;
  bool stopped_ = false;
  uint64_t next_id_ = 1;
  // By token, not by descriptor: an event that was fetched for a descriptor closed meanwhile finds
  // no token, even when the number is already in use again.
  std::unordered_map<uint64_t, std::shared_ptr<Watch>> watches_;
  std::unordered_map<int, uint64_t> tokens_;
  std::multimap<Clock::time_point, std::pair<TimerId, TimerCallback>> timers_;
};

}  // namespace millrace::ctl
