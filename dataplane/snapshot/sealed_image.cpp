// SPDX-License-Identifier: Apache-2.0
#include "dataplane/snapshot/sealed_image.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace millrace::snapshot {
namespace {

constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;

std::string failed(const char* call) {
  return std::string(call) + " failed: " + std::strerror(errno);
}

bool write_all(int fd, const void* bytes, std::size_t len) {
  const auto* from = static_cast<const char*>(bytes);
  while (len > 0) {
    const ssize_t wrote = ::write(fd, from, len);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    from += wrote;
    len -= static_cast<std::size_t>(wrote);
  }
  return true;
}

}  // namespace

SealedImage::SealedImage(SealedImage&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SealedImage& SealedImage::operator=(SealedImage&& other) noexcept {
  if (this != &other) {
    reset();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void SealedImage::reset() noexcept {
  if (data_ != nullptr) ::munmap(const_cast<void*>(data_), size_);
  data_ = nullptr;
  size_ = 0;
}

std::string SealedImage::map(int fd, std::size_t bytes) {
  reset();
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return "the image is not a memfd: " + failed("F_GET_SEALS");
  if ((seals & kSeals) != kSeals) {
    return "the image is not sealed against writing, shrinking and growing";
  }
  // The size is looked at after the seals: from here on it cannot change.
  struct stat info {};
  if (::fstat(fd, &info) != 0) return failed("fstat");
  if (info.st_size < 0 || static_cast<std::size_t>(info.st_size) != bytes) {
    return "the image has " + std::to_string(info.st_size) + " bytes; this version takes " +
           std::to_string(bytes);
  }
  void* at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return failed("mmap");
  data_ = at;
  size_ = bytes;
  return {};
}

int seal(const char* name, const void* bytes, std::size_t len, std::string& reason) {
  const int fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) {
    reason = failed("memfd_create");
    return -1;
  }
  if (!write_all(fd, bytes, len)) {
    reason = failed("write");
  } else if (::fcntl(fd, F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) {
    reason = failed("F_ADD_SEALS");
  } else {
    return fd;
  }
  ::close(fd);
  return -1;
}

}  // namespace millrace::snapshot
