// SPDX-License-Identifier: Apache-2.0
#pragma once
// What goes into one turn of a worker and what comes out of it.
//
// The worker never calls a driver: the loop around it fills `rx` and `stock`, calls step(), sends
// `tx` and gives `done` back. So the same worker runs over DPDK ports, and in one thread of the
// simulator.
//
// Ownership: frames in `rx` and `stock` belong to the worker once step() is called. What it still
// has to say about them it says in `tx` (send it, then it is yours) or `done` (it is yours again).
// Frames that are in neither are kept by the worker (a client that waits) or were handed to another
// worker. What stays in `stock` after step() stays the worker's for the next turn.
//
// Limits: kTxMax bounds what one turn may send; a worker that has more to say keeps it for the next
// turn. kDoneMax bounds what one turn gives back. A turn never needs more than kStockNeed spare
// frames: one per received frame, per ring item and per deadline it looks at, and one for a probe.

#include <cstdint>

#include "dataplane/base/frame.hpp"

namespace millrace::dp {

inline constexpr uint32_t kTxMax = 192;
inline constexpr uint32_t kDoneMax = 256;
inline constexpr uint32_t kStockNeed = 129;
inline constexpr uint32_t kStockMax = 192;  // frames for queries of our own

struct StepIo {
  uint32_t rx_cnt = 0;
  uint32_t tx_cnt = 0;
  uint32_t done_cnt = 0;
  uint32_t stock_cnt = 0;
  Frame rx[kBurstMax];
  Frame tx[kTxMax];
  Frame done[kDoneMax];
  Frame stock[kStockMax];

  uint32_t tx_room() const noexcept { return kTxMax - tx_cnt; }
};

}  // namespace millrace::dp
