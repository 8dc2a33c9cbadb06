// SPDX-License-Identifier: Apache-2.0
#pragma once
// The frames of a run, and who has each of them.
//
//        take()              (a worker sends or gives back)
//   pool ──────▶ worker ────────────────────────────────────▶ pool
//
// "worker" means all that the data plane holds: spare frames, clients that wait, items in rings.
// What the pool does not get back is a leak; what it gets back twice, or from nobody, is found at
// once. A frame in the pool is filled with a pattern (and, under AddressSanitizer, forbidden), so
// that a write or read after the hand-over is found too.

#include "dataplane/base/frame.hpp"
#include "tests/sim/violation.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace millrace::sim {

// What the frame brought to the data plane, remembered until it comes back.
struct Cargo {
  enum class Kind : uint8_t { none, query, answer, noise } kind = Kind::none;
  uint32_t index = 0;  // into the oracle's queries or the zone's answers
  uint16_t port = 0;   // of an answer: the one it was sent to
};

class FramePool {
 public:
  static constexpr uint32_t kRoomBytes = 1600;

  explicit FramePool(uint32_t frames);
  ~FramePool();

  uint32_t free_cnt() const { return static_cast<uint32_t>(free_.size()); }
  uint32_t frame_cnt() const { return static_cast<uint32_t>(slots_.size()); }
  bool has(uint32_t n) const { return free_.size() >= n; }

  // The frame is the data plane's from here on. Needs a free one.
  Frame take(const Cargo& cargo, const Bytes& bytes, uint8_t port);
  // The data plane hands a frame back; returns what it had brought. The bytes are copied to `bytes`
  // if wanted.
  Cargo give_back(const Frame& frame, Bytes* bytes = nullptr);

 private:
  struct Slot {
    bool out = false;
    Cargo cargo;
  };
  uint8_t* data_of(uint32_t slot) const { return memory_.get() + std::size_t{slot} * kStride; }
  static constexpr uint32_t kStride = 1664;  // a gap between frames that nobody may touch
  static constexpr uint8_t kPattern = 0xdd;

  std::unique_ptr<uint8_t[]> memory_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace millrace::sim
