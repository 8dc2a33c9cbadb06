// SPDX-License-Identifier: Apache-2.0
#pragma once
// The run directory of one millraced, which nobody else serves while this object lives.
//
// The lock is held by a descriptor, so that after a kill -9 nobody has to clean up. Its end removes
// the lock file, and the directory, too, if it was made here and nothing is left in it.
//
// Threads: one. Failure: says who holds it, or what is wrong with the directory.

#include <string>

#include "control/base/status.hpp"
#include "control/daemon/unique_fd.hpp"

namespace millrace::ctl {

class RunDir {
 public:
  static Result<RunDir> take(const std::string& path);

  RunDir(RunDir&&) = default;  // leaves an object without a lock, which removes nothing
  ~RunDir();

 private:
  RunDir(std::string path, bool made) : path_(std::move(path)), made_(made) {}
  Status lock();

  std::string path_;
  bool made_;
  UniqueFd lock_;  // invalid: not ours
};

}  // namespace millrace::ctl
