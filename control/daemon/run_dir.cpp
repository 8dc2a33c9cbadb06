// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/run_dir.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace millrace::ctl {
namespace {

constexpr int kTriesMax = 10;  // each lost to another millraced that ended at that moment

std::string lock_path(const std::string& run_dir) {
  return run_dir + "/millraced.lock";
}

Status failure(const std::string& path) {
  return {Code::error, path + ": " + std::strerror(errno)};
}

Status held_by_another(int lock, const std::string& run_dir) {
  char holder[32] = {};
  const ssize_t got = ::pread(lock, holder, sizeof holder - 1, 0);
  const std::string pid(holder, got > 0 ? ::strcspn(holder, "\n") : 0);
  return {Code::error, "another millraced (pid " + (pid.empty() ? "unknown" : pid) + ") serves " +
                           run_dir + "; stop it first"};
}

// Whoever held the lock before us has removed its file, if he came to his end.
bool still_there(int fd, const std::string& path) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

Result<RunDir> RunDir::take(const std::string& path) {
  Status status;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    std::error_code error;
    const bool made = std::filesystem::create_directories(path, error);
    if (error) {
      return Status(Code::error, "run directory " + path + ": " + error.message() +
                                     (::geteuid() == 0 ? "" : "; start millraced as root"));
    }
    RunDir dir(path, made);
    if (::access(path.c_str(), W_OK | X_OK) != 0) {
      return Status(Code::error, "run directory " + path + ": " + std::strerror(errno) +
                                     (::geteuid() == 0 ? "; choose another with --run-dir"
                                                       : "; start millraced as root"));
    }
    status = dir.lock();
    if (status.ok()) return dir;
    if (status.code() != Code::unreachable) return status;
  }
  return Status(Code::error, status.message());
}

// Fails with Code::unreachable when the file went away under us: try again.
Status RunDir::lock() {
  const std::string path = lock_path(path_);
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock.valid())
    return {errno == ENOENT ? Code::unreachable : Code::error, failure(path).message()};
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return held_by_another(lock.get(), path_);
  if (!still_there(lock.get(), path)) return {Code::unreachable, path + ": goes away"};
  const std::string line = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.get(), 0) != 0 ||
      ::pwrite(lock.get(), line.data(), line.size(), 0) != static_cast<ssize_t>(line.size())) {
    return failure(path);
  }
  lock_ = std::move(lock);
  return {};
}

RunDir::~RunDir() {
  if (!lock_.valid()) return;
  // Removed before it is released: who has it open by then sees that it is gone.
  ::unlink(lock_path(path_).c_str());
  // Not if another has made his lock in it meanwhile: then it is not empty.
  if (made_) ::rmdir(path_.c_str());
}

}  // namespace millrace::ctl
