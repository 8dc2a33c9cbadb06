// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/frame_pool.hpp"

#include <algorithm>
#include <cstring>

#if defined(__has_feature)  // clang's way to say it
#define MR_HAS_FEATURE(name) __has_feature(name)
#else
#define MR_HAS_FEATURE(name) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || MR_HAS_FEATURE(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(address, size) static_cast<void>(0)
#endif

namespace millrace::sim {

FramePool::FramePool(uint32_t frames)
    : memory_(new uint8_t[std::size_t{frames} * kStride]), slots_(frames) {
  std::memset(memory_.get(), kPattern, std::size_t{frames} * kStride);
  ASAN_POISON_MEMORY_REGION(memory_.get(), std::size_t{frames} * kStride);
  for (uint32_t slot = frames; slot-- > 0;)
    free_.push_back(slot);
}

FramePool::~FramePool() {
  ASAN_UNPOISON_MEMORY_REGION(memory_.get(), slots_.size() * kStride);
}

Frame FramePool::take(const Cargo& cargo, const Bytes& bytes, uint8_t port) {
  demand(!free_.empty() && bytes.size() <= kRoomBytes, "simulator", "took a frame from nowhere");
  const uint32_t slot = free_.back();
  free_.pop_back();
  slots_[slot] = {.out = true, .cargo = cargo};
  uint8_t* data = data_of(slot);
  ASAN_UNPOISON_MEMORY_REGION(data, kRoomBytes);
  demand(std::all_of(data, data + kStride - 64, [](uint8_t b) { return b == kPattern; }), "frames",
         "a frame was written to after it had been handed back");
  if (!bytes.empty()) std::memcpy(data, bytes.data(), bytes.size());
  Frame frame{};
  frame.data = data;
  frame.handle = &slots_[slot];
  frame.len = static_cast<uint16_t>(bytes.size());
  frame.room = kRoomBytes;
  frame.port = port;
  return frame;
}

Cargo FramePool::give_back(const Frame& frame, Bytes* bytes) {
  const auto* handle = static_cast<const Slot*>(frame.handle);
  demand(handle >= slots_.data() && handle < slots_.data() + slots_.size(), "frames",
         "a frame came back that the pool never gave out");
  const auto slot = static_cast<uint32_t>(handle - slots_.data());
  demand(slots_[slot].out, "frames", "a frame came back twice");
  uint8_t* data = data_of(slot);
  demand(frame.data >= data && frame.data + frame.len <= data + kRoomBytes, "frames",
         "a frame came back with another frame's bytes");
  if (bytes != nullptr) bytes->assign(frame.data, frame.data + frame.len);
  slots_[slot].out = false;
  std::memset(data, kPattern, kRoomBytes);
  ASAN_POISON_MEMORY_REGION(data, kRoomBytes);
  free_.push_back(slot);
  return slots_[slot].cargo;
}

}  // namespace millrace::sim
