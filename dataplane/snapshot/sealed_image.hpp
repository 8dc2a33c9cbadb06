// SPDX-License-Identifier: Apache-2.0
#pragma once
// Bytes that nobody can change any more, passed between processes as a descriptor.
//
// The control plane makes one, sends the descriptor, and the data plane maps it. Since
// the memfd is sealed against writing, growing and shrinking, what was verified once stays
// verified, and no access to the mapping can fault, whatever the other process does or how it dies.
//
// Threads: none of its own; cold. Memory: a mapping per object, given back by the destructor; the
// descriptor is not needed after map() and stays the caller's.
// Failure: a sentence for a person; the object is then empty.

#include <cstddef>
#include <string>

namespace millrace::snapshot {

class SealedImage {
 public:
  SealedImage() = default;
  ~SealedImage() { reset(); }
  SealedImage(SealedImage&& other) noexcept;
  SealedImage& operator=(SealedImage&& other) noexcept;

  // Maps `fd` read-only. Refuses what is not sealed, and any size but `bytes`.
  std::string map(int fd, std::size_t bytes);
  void reset() noexcept;
  // Gives the mapping up without undoing it, for readers that may still be in it.
  void leak() noexcept { data_ = nullptr; }

  const void* data() const noexcept { return data_; }  // null when empty
  std::size_t size() const noexcept { return size_; }

  // The image seen as what verify_config or verify_routes has found it to be.
  template <class Image>
  const Image* as() const noexcept {
    return size_ == sizeof(Image) ? static_cast<const Image*>(data_) : nullptr;
  }

 private:
  const void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace millrace::snapshot
