// SPDX-License-Identifier: Apache-2.0
#pragma once
// Can this machine run that config? Asked before anything is changed.
//
// Each finding is one line: what is missing, where, and what to do. The probes go to the kernel by
// system call (not through /sys where a namespace may hide it) and change nothing.

#include <string>
#include <vector>

#include "control/config/model.hpp"

namespace millrace::ctl {

struct Finding {
  bool fatal = true;  // false: a warning, millrace runs
  std::string text;
};

struct EnvironmentQuestion {
  const Config& config;
  std::string run_dir;
  bool data_plane_running = false;  // it has its memory already
};

// In the order of the text; empty: nothing to say.
std::vector<Finding> check_environment(const EnvironmentQuestion& question);

// The parts, for tests.
std::vector<Finding> check_interfaces(const Config& config);
std::vector<Finding> check_binds(const Config& config);

struct HugepageState {
  bool mounted = false;     // a hugetlbfs is at or above the directory
  uint64_t page_bytes = 0;
  uint64_t pages_free = 0;
};
HugepageState hugepage_state(const std::string& dir);
uint64_t hugepage_bytes_needed(const Config& config);
std::vector<Finding> check_hugepages(const Config& config, const HugepageState& state);

}  // namespace millrace::ctl
