// SPDX-License-Identifier: Apache-2.0
#pragma once
// A frame: what a stage sees instead of a driver's buffer.
//
// The bytes belong to whoever holds the Frame; handing the Frame on (to a ring, a tx list, the
// done list) hands the bytes on. `handle` is opaque to the stages: an rte_mbuf* in the appliance,
// a slot number in the simulator.

#include <cstdint>
#include <type_traits>

namespace millrace {

struct Frame {
  uint8_t* data;    // first byte of the Ethernet header
  void* handle;     // the driver's name for this buffer
  uint16_t len;     // bytes in use from `data`
  uint16_t room;    // bytes that may be written from `data`; len <= room
  uint8_t port;     // index of the port it came from, or is to leave by; or kSlowPort
  uint8_t reserved[3];
};

static_assert(sizeof(Frame) == 24 && std::is_trivially_copyable_v<Frame>);

// `port` of a frame that the slow path made: a message of a TCP stream, without headers
// (worker/slow_frame.hpp says what it has instead), which goes back by the ring.
inline constexpr uint8_t kSlowPort = 0xff;

// Most frames that a worker takes in one step.
inline constexpr uint32_t kBurstMax = 32;

}  // namespace millrace
