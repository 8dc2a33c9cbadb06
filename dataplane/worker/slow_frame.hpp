// SPDX-License-Identifier: Apache-2.0
#pragma once
// What workers and the slow path hand to each other over their rings, and how much of it.
//
//   slow path ── miss ─────────▶ worker    a client's question that came over TCP
//             ◀─ reply ───────             the same frame, with the reply in it, or empty
//             ── refresh ──────▶           an access record, without a frame
//
//   worker ───── ask_stream ───▶ slow path  a question whose answer came truncated over UDP
//          ◀──── give_back ─────            that frame, as soon as it was read
//          ◀──── stream_answer ─            the message that came over TCP, or nothing
//          ───── give_back ────▶            that frame
//
// A frame of the slow path (`port` is kSlowPort) is a DNS message at `data`, with no headers in
// front of it but a SlowHead at `data - sizeof(SlowHead)`. The frame of `ask_stream` is one of the
// worker's: the upstream's address, then the message at kAskMessageAt.
//
// Neither ring can be full: what may be under way is bounded by these numbers, and a frame that
// goes back makes room before the next one can come. Access records take only what is left beside
// all of that.

#include "dataplane/abi/abi_base.hpp"
#include "dataplane/base/frame.hpp"
#include "dataplane/ring/spsc_ring.hpp"
#include "dataplane/ring/work_item.hpp"

#include <cstdint>

namespace millrace::dp {

using WorkRing = ring::SpscRing<ring::WorkItem>;

inline constexpr uint32_t kSlowQueriesMax = 320;  // frames of clients, at all workers together
inline constexpr uint32_t kStreamsPerWorkerMax =
    64;  // questions that one worker has asked over TCP
inline constexpr uint32_t kSlowItemsMax = kSlowQueriesMax + 2 * kStreamsPerWorkerMax;
static_assert(kSlowItemsMax + 64 <= WorkRing::kCapacity, "room for some access records");

// What the slow path knows of the message behind it. The worker only reads.
struct SlowHead {
  abi::Address client;
  abi::Address service;  // where the client connected to
  uint64_t owner;        // the slow path's own
};
static_assert(sizeof(SlowHead) == 48);

inline SlowHead& slow_head(const Frame& frame) noexcept {
  return *reinterpret_cast<SlowHead*>(frame.data - sizeof(SlowHead));
}
inline bool is_slow(const Frame& frame) noexcept {
  return frame.port == kSlowPort;
}

inline constexpr uint16_t kAskMessageAt = sizeof(abi::Address);

}  // namespace millrace::dp
