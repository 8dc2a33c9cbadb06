// SPDX-License-Identifier: Apache-2.0
#pragma once
// A snapshot image that arrived as a descriptor, mapped read-only.
//
// Only sealed memfds are taken: once verified, nobody can change or shorten what a worker reads.
//
// Threads: main. Failure: open() returns an empty string or what is wrong; nothing is kept then.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <utility>

namespace millrace::dp {

class MappedImage {
 public:
  MappedImage() = default;
  ~MappedImage() { reset(); }
  MappedImage(MappedImage&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  MappedImage& operator=(MappedImage&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  // The descriptor stays the caller's.
  std::string open(int fd) {
    constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    const int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & kSeals) != kSeals) return "the image is not a sealed memfd";
    struct stat info {};
    if (fstat(fd, &info) != 0 || info.st_size <= 0) return "the image is empty";
    const auto bytes = static_cast<std::size_t>(info.st_size);
    void* at = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED) return "the image cannot be mapped";
    reset();
    at_ = at;
    bytes_ = bytes;
    return {};
  }

  // Gives the mapping up without undoing it.
  void leak() noexcept { at_ = nullptr; }

  const void* data() const noexcept { return at_; }
  std::size_t bytes() const noexcept { return bytes_; }

  template <class Image>
  const Image* as() const noexcept {
    return static_cast<const Image*>(at_);
  }

 private:
  void reset() noexcept {
    if (at_ != nullptr) munmap(at_, bytes_);
    at_ = nullptr;
  }

  void* at_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace millrace::dp
