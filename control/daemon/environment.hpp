// SPDX-License-Identifier: Apache-2.0
#pragma once
// Can this machine run that config? Asked before anything is changed.
//
// Each finding is one line: what is missing, where, and what to do. The probes go to the kernel by
// system call (not through /sys where a namespace may hide it) and change nothing.

#include <sys/types.h>

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
  bool starts_data_plane = true;  // false: one runs, and keeps the memory that it has
  pid_t replaced = 0;  // the data plane that ends before the new one starts; 0: none
};

// In the order of the text; empty: nothing to say.
std::vector<Finding> check_environment(const EnvironmentQuestion& question);

// The parts, for tests.
std::vector<Finding> check_interfaces(const Config& config);
std::vector<Finding> check_binds(const Config& config);

struct QueueState {
  uint32_t rx_queues = 0;  // 0: cannot be found out
  enum class Kind { fixed, rx_and_tx, combined } kind = Kind::fixed;  // for `ethtool -L`
};
QueueState queue_state(const std::string& interface);
std::vector<Finding> check_queues(const Config& config, const std::string& port,
                                  const std::string& interface, const QueueState& state);

struct HugepageState {
  bool mounted = false;      // a hugetlbfs is at or above the directory
  uint64_t page_bytes = 0;
  uint64_t pages_total = 0;  // what vm.nr_hugepages says
  uint64_t pages_free = 0;   // and not promised to anybody
};
HugepageState hugepage_state(const std::string& dir);
uint64_t hugepage_bytes_of(pid_t pid);  // that it has mapped, and gives back when it ends
uint64_t hugepage_bytes_needed(const Config& config);
std::vector<Finding> check_hugepages(const Config& config, const HugepageState& state);

}  // namespace millrace::ctl
