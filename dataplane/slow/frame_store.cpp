// SPDX-License-Identifier: Apache-2.0
#include "dataplane/slow/frame_store.hpp"

#include "dataplane/base/check.hpp"
#include "dataplane/worker/slow_frame.hpp"

#include <new>

#include <sys/mman.h>

namespace millrace::slow {
namespace {

constexpr std::size_t kFrameBytes = sizeof(dp::SlowHead) + FrameStore::kRoomBytes;
constexpr std::size_t kPageBytes = 4096;
// An odd number of pages: the beginnings of frames then spread over the sets of the caches.
constexpr std::size_t kStrideBytes = (kFrameBytes + kPageBytes - 1) / kPageBytes * kPageBytes;

}  // namespace

FrameStore::FrameStore(uint32_t frames) : frames_(frames) {
  void* const at = mmap(nullptr, frames * kStrideBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(at);
  free_.reserve(frames);
  for (uint32_t i = frames; i-- > 0;)
    free_.push_back(i);
}

FrameStore::~FrameStore() {
  munmap(memory_, frames_ * kStrideBytes);
}

bool FrameStore::take(Frame& frame) noexcept {
  if (free_.empty()) return false;
  std::byte* const at = memory_ + free_.back() * kStrideBytes;
  free_.pop_back();
  frame = {};
  frame.data = reinterpret_cast<uint8_t*>(at) + sizeof(dp::SlowHead);
  frame.handle = at;
  frame.room = kRoomBytes;
  frame.port = kSlowPort;
  return true;
}

void FrameStore::give(const Frame& frame) noexcept {
  const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(frame.handle) - memory_);
  MR_CHECK(offset % kStrideBytes == 0 && offset / kStrideBytes < frames_);
  MR_CHECK(free_.size() < frames_);
  free_.push_back(static_cast<uint32_t>(offset / kStrideBytes));
}

}  // namespace millrace::slow
