// SPDX-License-Identifier: Apache-2.0
#pragma once
// Keeps one data plane running: finds it, starts it, notices its death, starts it again.
//
//                    socket answers hello with our boot checksum
//        start() ────────────────────────────────────────────────────────────▶ up
//          │ nobody answers                                  hello             │ ▲
//          ▼                                                                   │ │ hello
//      starting: spawned, or a predecessor's that has no socket yet ───────────┼─┘
//          │ ended, or 30 s                                        pidfd: ended│
//          ▼                                                                   ▼
//      waiting: 0.1 s, doubled with each failure up to 5 s ◀───────────────────┘
//
// The data plane lives in a session of its own and outlives us. Nothing here is needed for it to
// forward packets. Its process is held by a pidfd, whoever started it.
//
// One that lives but has a core that publishes nothing for kSilentChecksMax heartbeats on end is
// killed, and so started again.
//
// Files in the run directory: dataplane.sock (the data plane's), dataplane.pid ("pid start-ticks",
// so that a successor finds a data plane that is still starting), dataplane.log (its stdout and
// stderr: a file and not a pipe, because a pipe would break when we die; cut when it has grown to
// kLogBytesMax).
//
// Threads: the event loop's; events are called from it, never from within start(), stop() and
// restart().

#include "control/daemon/dataplane_link.hpp"
#include "control/daemon/heartbeat.hpp"
#include "control/daemon/process.hpp"
#include "control/daemon/stats_mapping.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace millrace::ctl {

struct SupervisorOptions {
  using Milliseconds = std::chrono::milliseconds;

  std::string run_dir;
  std::string program;  // millrace-dataplane
  Milliseconds start_timeout{30'000};
  Milliseconds hello_timeout{5'000};
  Milliseconds stop_patience{2'000};  // before each next harder means
  Milliseconds backoff_min{100};
  Milliseconds backoff_max{5'000};
  Milliseconds heartbeat_period{1'000};
  Milliseconds stable_after{10'000};  // up that long: the next death starts at backoff_min again
};

struct DataplaneInfo {
  pid_t pid = 0;
  bool adopted = false;
  uint64_t config_generation = 0;
  uint64_t routes_generation = 0;
  uint64_t boot_checksum = 0;
  std::shared_ptr<const abi::StatsArea> stats;
};

class Supervisor {
 public:
  using Milliseconds = std::chrono::milliseconds;

  enum class State { idle, starting, up, waiting, stopping };

  struct Events {
    // The sealed image that the next data plane starts with.
    std::function<Result<UniqueFd>()> image;
    std::function<void(const DataplaneInfo&)> up;
    // It ended or could not be started, and why; the next try is scheduled. A callback may call
    // stop() to make it the last, or restart(); then `why` is the callback's to tell.
    std::function<void(const std::string& why)> down;
  };

  Supervisor(EventLoop& loop, SupervisorOptions options, Events events);
  ~Supervisor();

  // `boot_checksum`: of the boot section that a running data plane must have to be adopted; one
  // with another is ended first.
  void start(uint64_t boot_checksum);

  // Ends the running data plane and starts one with events.image() at once.
  void restart(uint64_t boot_checksum);

  // Ends the data plane for good: op `stop`, then SIGTERM, then SIGKILL. `done` comes when it is
  // gone.
  void stop(std::function<void()> done);

  State state() const { return state_; }
  pid_t pid() const { return process_ ? process_->pid() : 0; }  // in whichever state; 0: none
  const std::optional<DataplaneInfo>& info() const { return info_; }
  DataplaneLink& link() { return link_; }
  uint32_t restarts() const { return restarts_; }
  bool responds() const { return heartbeat_.silent_checks() < kSilentChecksTold; }
  std::string socket_path() const { return options_.run_dir + "/dataplane.sock"; }
  std::string log_path() const { return options_.run_dir + "/dataplane.log"; }

 private:
  static constexpr off_t kLogBytesMax = 1 << 20;
  static constexpr uint32_t kSilentChecksTold = 5;
  static constexpr uint32_t kSilentChecksMax = 10;

  void begin();  // adopt, wait for a predecessor's, or spawn
  bool end_forgotten();
  void spawn();
  void watch_process(Process process);
  std::optional<pid_t> starting_predecessor() const;
  void await_socket();
  void try_connect();
  void say_hello();
  void on_hello(Result<LinkReply> result);
  void come_up(const abi::HelloReply& hello, std::shared_ptr<const abi::StatsArea> stats);
  void on_link_closed(const std::string& why);
  void on_process_end();
  void went_down(std::string why);
  void give_up_on_process();
  void end_process();
  void next_means_of_ending();
  void forget_process();
  void trim_log();
  void watch_heartbeat();
  void check_heartbeat();
  std::string with_last_words(std::string why) const;

  EventLoop& loop_;
  SupervisorOptions options_;
  Events events_;
  DataplaneLink link_;
  State state_ = State::idle;
  std::optional<Process> process_;
  std::optional<DataplaneInfo> info_;
  uint64_t boot_checksum_ = 0;
  bool begin_after_end_ = false;       // the process is being ended to make room for the next
  bool failed_start_ = false;          // it is being ended because it did not come up
  std::function<void()> stop_done_;
  int ending_step_ = 0;
  uint32_t failures_ = 0;
  uint32_t restarts_ = 0;
  EventLoop::Clock::time_point up_since_{};
  EventLoop::Clock::time_point start_deadline_{};
  EventLoop::TimerId timer_ = 0;       // connect, back-off or the next means of ending
  EventLoop::TimerId trim_timer_ = 0;
  EventLoop::TimerId heartbeat_timer_ = 0;
  Heartbeat heartbeat_;
};

}  // namespace millrace::ctl
