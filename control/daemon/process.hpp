// SPDX-License-Identifier: Apache-2.0
#pragma once
// A process that we started, or found running, held by a pidfd: a number that is used again by
// another process cannot fool us.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/base/status.hpp"
#include "control/daemon/unique_fd.hpp"

namespace millrace::ctl {

struct SpawnRequest {
  std::string program;
  std::vector<std::string> arguments;  // after argv[0]
  // Open in the new process under this very number (>= 3); -1: none. All other descriptors close.
  int inherited_fd = -1;
  int inherited_as = 3;
  std::string output_path;  // stdout and stderr are appended here
};

class Process {
 public:
  // In a session of its own, so that no terminal signal of ours reaches it and it outlives us.
  static Result<Process> spawn(const SpawnRequest& request);
  static Result<Process> adopt(pid_t pid);

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }  // readable once it has ended
  bool is_child() const { return child_; }
  bool running() const;
  void signal(int number) const;

  // Once the pidfd is readable: how it ended ("exit status 3", "killed by signal 9 (Killed)",
  // "gone" when it was not our child). Reaps.
  std::string reap();

 private:
  Process(pid_t pid, UniqueFd pidfd, bool child)
      : pid_(pid), pidfd_(std::move(pidfd)), child_(child) {}

  pid_t pid_;
  UniqueFd pidfd_;
  bool child_;
};

// When process `pid` started, in clock ticks since boot, from /proc: with the pid it names a
// process for good. Nothing: no such process.
std::optional<uint64_t> process_start_ticks(pid_t pid);

// The data plane in our network namespace that was started for this run directory, by its command
// line; for when its socket and the file with its pid have been removed. Nothing: there is none.
std::optional<pid_t> find_data_plane_of(const std::string& run_dir);

// The last lines of a text file, at most `lines` of them and 4 KiB.
std::vector<std::string> tail_lines(const std::string& path, std::size_t lines);

}  // namespace millrace::ctl
