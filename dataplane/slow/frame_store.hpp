// SPDX-License-Identifier: Apache-2.0
#pragma once
// The slow path's frames: room for one DNS message of any length, with a SlowHead in front.
//
//     0                   48                                             64 KiB + 48
//     +-------------------+----------------------------------------------+
//     | dp::SlowHead      | message                                      |
//     +-------------------+----------------------------------------------+
//
// Threads: take and give by the slow path; a worker may write into a frame that was handed to it.
// Memory: address space for all of them; pages come when they are first written, and the frame used
// last is taken first, so a quiet appliance holds a few. Failure: the constructor throws
// std::bad_alloc; take() answers false when all are out.

#include "dataplane/base/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace::slow {

class FrameStore {
 public:
  static constexpr uint16_t kRoomBytes = 65'535;

  explicit FrameStore(uint32_t frames);
  ~FrameStore();
  FrameStore(const FrameStore&) = delete;
  FrameStore& operator=(const FrameStore&) = delete;

  bool take(Frame& frame) noexcept;
  void give(const Frame& frame) noexcept;
  uint32_t free_cnt() const noexcept { return static_cast<uint32_t>(free_.size()); }
  uint32_t frame_cnt() const noexcept { return frames_; }

 private:
  uint32_t frames_;
  std::byte* memory_;
  std::vector<uint32_t> free_;
};

}  // namespace millrace::slow
