// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the running snapshot hangs.
//
// One word: a pointer to an immutable image. The writer swaps it; readers load it. What keeps an
// old image alive until nobody looks at it is the grace period, not this word:
//
//     writer:  old = board.publish(next);  Retired<Image> bin(old, grace);
//              later, until true:  bin.may_free(grace)   -> unmap old, acknowledge
//     reader:  image = board.load();       once per burst, and use only that pointer in the burst
//              ... the burst ...
//              report quiescence           the pointer is void from here on
//
// Threads: publish by one writer (the main lcore); load by any reader that is online in the grace
// period. Memory: the images are the writer's. Cost: load is one move from a line that changes only
// at a swap.
// Failure: none here; a core that does not pass its grace period keeps the old image in memory and
// is named by whoever waits, it never causes a reuse.

#include "dataplane/base/atomics.hpp"
#include "dataplane/base/cache_line.hpp"
#include "dataplane/base/grace.hpp"

#include <cstdint>

namespace millrace::snapshot {

template <class Image, class Atomics = StdAtomics>
class alignas(kWriterSpacingBytes) SnapshotBoard {
 public:
  explicit SnapshotBoard(const Image* first = nullptr) noexcept : current_(first) {}
  SnapshotBoard(const SnapshotBoard&) = delete;
  SnapshotBoard& operator=(const SnapshotBoard&) = delete;

  // Null until the first publication.
  const Image* load() const noexcept {
    // Acquire pairs with the exchange in publish(): the image is whole before it is seen.
    return current_.load(std::memory_order_acquire);
  }

  // Shows `next` to every reader from its next burst on; returns the image it replaces.
  const Image* publish(const Image* next) noexcept {
    // Release half pairs with the acquire in load(); acquire half with the previous publication,
    // so that a writer who took over may read the image that is returned.
    return current_.exchange(next, std::memory_order_acq_rel);
  }

 private:
  typename Atomics::template Atomic<const Image*> current_;
};

// An image that was replaced and waits for its last reader. Make it after publish().
template <class Image>
class Retired {
 public:
  Retired(const Image* image, const GracePeriod& grace) noexcept
      : image_(image), token_(grace.start(grace.context)) {}

  const Image* image() const noexcept { return image_; }
  uint64_t token() const noexcept { return token_; }

  // True once no reader can hold the image. Never blocks.
  bool may_free(const GracePeriod& grace) const noexcept {
    return grace.passed(grace.context, token_);
  }

 private:
  const Image* image_;
  uint64_t token_;
};

}  // namespace millrace::snapshot
