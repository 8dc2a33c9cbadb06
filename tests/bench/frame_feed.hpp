// SPDX-License-Identifier: Apache-2.0
#pragma once
// The port's part around a worker, in memory: gives it frames to take, takes back what it sends.
//
// Threads: one. Memory: all frames are made at construction; nothing is allocated afterwards.

#include "dataplane/base/check.hpp"
#include "dataplane/worker/step_io.hpp"
#include "tests/bench/traffic.hpp"

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace millrace::test {

class FrameFeed {
 public:
  explicit FrameFeed(const Traffic& traffic)
      : io_(new dp::StepIo), memory_(std::size_t{kFrames} * kSpacing) {
    for (uint32_t i = 0; i < traffic.packet_cnt(); ++i)
      queries_.push_back(traffic.frame(i));
    for (uint32_t i = 0; i < kFrames; ++i)
      free_.push_back(memory_.data() + i * kSpacing);
    while (io_->stock_cnt < dp::kStockNeed)
      io_->stock[io_->stock_cnt++] = take(Bytes{});
  }

  dp::StepIo& io() { return *io_; }

  // The next queries are received.
  void arrive(uint32_t cnt) {
    for (; cnt > 0; --cnt) {
      io_->rx[io_->rx_cnt++] = take(queries_[next_]);
      next_ = next_ + 1 < queries_.size() ? next_ + 1 : 0;
    }
  }

  // What the worker sent or gave back is free again; returns how many frames it sent.
  uint32_t take_all() {
    const uint32_t sent = io_->tx_cnt;
    for (uint32_t i = 0; i < io_->tx_cnt; ++i)
      free_.push_back(io_->tx[i].data);
    for (uint32_t i = 0; i < io_->done_cnt; ++i)
      free_.push_back(io_->done[i].data);
    io_->tx_cnt = io_->done_cnt = 0;
    return sent;
  }

 private:
  static constexpr uint32_t kFrames = 512;
  static constexpr std::size_t kRoom = 2048;
  // As far apart as a driver's buffers, which have a header each: at a power of two they would
  // fall into few sets of the first-level cache.
  static constexpr std::size_t kSpacing = kRoom + 5 * 64;

  Frame take(const Bytes& bytes) {
    MR_CHECK(!free_.empty());
    Frame frame{};
    frame.data = free_.back();
    frame.room = kRoom;
    frame.len = static_cast<uint16_t>(bytes.size());
    if (!bytes.empty()) std::memcpy(frame.data, bytes.data(), bytes.size());
    free_.pop_back();
    return frame;
  }

  std::unique_ptr<dp::StepIo> io_;
  std::vector<uint8_t> memory_;
  std::vector<uint8_t*> free_;
  std::vector<Bytes> queries_;
  std::size_t next_ = 0;
};

}  // namespace millrace::test
