// SPDX-License-Identifier: Apache-2.0
#pragma once
// A network namespace for one test.

#include <fcntl.h>
#include <sched.h>

#include <cstdlib>

#include "control/daemon/unique_fd.hpp"

namespace millrace::ctl {

// For the thread that makes it, and those that it starts.
class NewNetworkNamespace {
 public:
  NewNetworkNamespace()
      : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)),
        made_(before_.valid() && ::unshare(CLONE_NEWNET) == 0) {}
  ~NewNetworkNamespace() {
    if (made_ && ::setns(before_.get(), CLONE_NEWNET) != 0) std::abort();
  }
  bool made() const { return made_; }

 private:
  UniqueFd before_;
  bool made_;
};

}  // namespace millrace::ctl
