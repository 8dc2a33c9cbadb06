// SPDX-License-Identifier: Apache-2.0
#include "control/snapshot/publish.hpp"

#include <cerrno>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace millrace::ctl {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

Status system_failure(const std::string& call) {
  return Status(Code::error, call + ": " + std::system_category().message(errno));
}

// At its place in the file, so that the offset of the descriptor stays 0.
Status write_all(int fd, const char* from, std::size_t bytes) {
  std::size_t written = 0;
  while (written < bytes) {
    const ssize_t count = pwrite(fd, from + written, bytes - written, static_cast<off_t>(written));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_failure("pwrite to a memfd");
    written += static_cast<std::size_t>(count);
  }
  return Status();
}

}  // namespace

Result<int> make_sealed_memfd(const void* image, std::size_t bytes, const char* name) {
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return system_failure("memfd_create");
  Status status = write_all(fd, static_cast<const char*>(image), bytes);
  if (status.ok() && fcntl(fd, F_ADD_SEALS, kSeals) != 0) {
    status = system_failure("fcntl(F_ADD_SEALS)");
  }
  if (status.ok()) return fd;
  close(fd);
  return status;
}

}  // namespace millrace::ctl
