// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/read_text.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "control/config/load.hpp"
#include "control/daemon/unique_fd.hpp"

namespace millrace::ctl {
namespace {

Status refusal(const std::string& path, const std::string& why) {
  return {Code::error, path + ": cannot be read: " + why};
}

const char* kind_name(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a named pipe";
  return "a device";
}

// What the caller has opened for us, as a shell does for `<(...)`, may be a pipe.
bool opened_by_caller(const std::string& path) {
  return path == "/dev/stdin" || path.starts_with("/dev/fd/");
}

}  // namespace

Result<std::string> read_text(const std::string& given) {
  const std::string path = given == "-" ? "/dev/stdin" : given;
  // Without O_NONBLOCK, opening a named pipe waits for somebody who writes into it.
  const int flags = opened_by_caller(path) ? O_RDONLY : O_RDONLY | O_NONBLOCK;
  const UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd.valid()) {
    // A socket cannot be opened at all.
    return refusal(path, errno == ENXIO ? "not a regular file" : std::strerror(errno));
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return refusal(path, std::strerror(errno));
  if (!S_ISREG(info.st_mode) && !opened_by_caller(path)) {
    return refusal(path, std::string(kind_name(info.st_mode)) + ", not a regular file");
  }
  std::string text(kConfigBytesMax + 1, '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t count = ::read(fd.get(), text.data() + filled, text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return refusal(path, std::strerror(errno));
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  text.resize(filled);
  return text;
}

}  // namespace millrace::ctl
