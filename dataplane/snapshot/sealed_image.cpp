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
  // Private: before Linux 6.7 a shared mapping of what is sealed against writing is refused, even a
  // read-only one. Populated: no worker takes a page fault on it.
  void* at = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (at == MAP_FAILED) return failed("mmap");
  data_ = at;
  size_ = bytes;
  return {};
}

}  // namespace millrace::snapshot
