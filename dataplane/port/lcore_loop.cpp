// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/lcore_loop.hpp"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sys/prctl.h>

#include <algorithm>

namespace millrace::dp {
namespace {

// Turns without work before the first sleep. About 10 us: a client's next packet on a busy link
// comes sooner, and a core that is not busy is soon free for others.
constexpr uint32_t kSpinTurns = 64;
// Sleeps grow with the number of idle turns; the longest bounds what the first packet after a pause
// waits, and what an idle worker costs (2000 turns a second, below 5 % of a core).
constexpr uint32_t kNapTurns = kSpinTurns + 64;
constexpr uint32_t kDozeTurns = kNapTurns + 128;
constexpr long kNapNs = 20'000;
constexpr long kDozeNs = 100'000;
constexpr long kSleepNs = 500'000;
// How often the ports are asked what they lost: a system call per AF_XDP port.
constexpr uint64_t kMissedPeriodNs = 250'000'000;

void to_frame(rte_mbuf* mbuf, uint32_t port, Frame& frame) noexcept {
  // We never ask for scattered receive; should a driver do it all the same, one piece is all that
  // is looked at: the frame is then shorter than its headers say, and is dropped as such.
  frame.data = rte_pktmbuf_mtod(mbuf, uint8_t*);
  frame.handle = mbuf;
  frame.len = mbuf->data_len;
  frame.room = static_cast<uint16_t>(mbuf->buf_len - mbuf->data_off);
  frame.port = static_cast<uint8_t>(port);
}

}  // namespace

LcoreLoop::LcoreLoop(uint32_t worker, const PortSet& ports, ReaderSet& readers,
                     const BootClock& clock, Worker& logic, const std::atomic<bool>& stop)
    : worker_(worker),
      ports_(ports),
      readers_(readers),
      clock_(clock),
      logic_(logic),
      stop_(stop),
      io_(new StepIo) {}

LcoreLoop::~LcoreLoop() {
  for (uint32_t i = 0; i < io_->stock_cnt; ++i) {
    rte_pktmbuf_free(static_cast<rte_mbuf*>(io_->stock[i].handle));
  }
}

void LcoreLoop::run() noexcept {
  prctl(PR_SET_TIMERSLACK, 1000);  // ns; the default of 50 us would double the shortest sleep
  readers_.online(worker_);
  // Relaxed: nothing is read through it; the thread that sets it joins us afterwards.
  while (!stop_.load(std::memory_order_relaxed)) {
    receive();
    fill_stock();
    const uint64_t now_ns = clock_.now_ns();
    const uint32_t work = logic_.step(*io_, now_ns);
    send();
    give_back();
    if (now_ns >= missed_due_ns_) {
      missed_due_ns_ = now_ns + kMissedPeriodNs;
      count_missed();
    }
    readers_.quiescent(worker_);
    if (clock_.held() != nullptr) [[unlikely]] report_turn(now_ns, work);
    idle(work);
  }
  readers_.offline(worker_);
}

void LcoreLoop::receive() noexcept {
  rte_mbuf* mbufs[kBurstMax];
  StepIo& io = *io_;
  const uint32_t ports = ports_.port_cnt();
  for (uint32_t k = 0; k < ports && io.rx_cnt < kBurstMax; ++k) {
    const uint32_t port = (first_port_ + k) % ports;
    const PortQueue queue = ports_.queue(worker_, port);
    const uint16_t cnt = rte_eth_rx_burst(queue.port, queue.queue, mbufs,
                                          static_cast<uint16_t>(kBurstMax - io.rx_cnt));
    for (uint16_t i = 0; i < cnt; ++i) to_frame(mbufs[i], port, io.rx[io.rx_cnt++]);
  }
  first_port_ = first_port_ + 1 < ports ? first_port_ + 1 : 0;
}

void LcoreLoop::fill_stock() noexcept {
  StepIo& io = *io_;
  if (io.stock_cnt >= kStockNeed) return;
  rte_mbuf* mbufs[kStockMax];
  const uint32_t wanted = kStockMax - io.stock_cnt;
  if (rte_pktmbuf_alloc_bulk(ports_.pool(worker_), mbufs, wanted) != 0) return;
  for (uint32_t i = 0; i < wanted; ++i) to_frame(mbufs[i], 0, io.stock[io.stock_cnt++]);
}

void LcoreLoop::send() noexcept {
  StepIo& io = *io_;
  rte_mbuf* mbufs[kTxMax];
  for (uint32_t port = 0; port < ports_.port_cnt() && io.tx_cnt != 0; ++port) {
    uint16_t cnt = 0;
    for (uint32_t i = 0; i < io.tx_cnt; ++i) {
      const Frame& frame = io.tx[i];
      if (frame.port != port) continue;
      auto* mbuf = static_cast<rte_mbuf*>(frame.handle);
      mbuf->data_len = frame.len;
      mbuf->pkt_len = frame.len;
      mbufs[cnt++] = mbuf;
    }
    if (cnt == 0) continue;
    const PortQueue queue = ports_.queue(worker_, port);
    const uint16_t sent = rte_eth_tx_burst(queue.port, queue.queue, mbufs, cnt);
    if (sent < cnt) {
      logic_.count_tx_dropped(cnt - sent);
      rte_pktmbuf_free_bulk(mbufs + sent, cnt - sent);
    }
  }
  io.tx_cnt = 0;
}

void LcoreLoop::give_back() noexcept {
  StepIo& io = *io_;
  rte_mbuf* mbufs[kDoneMax];
  for (uint32_t i = 0; i < io.done_cnt; ++i) mbufs[i] = static_cast<rte_mbuf*>(io.done[i].handle);
  rte_pktmbuf_free_bulk(mbufs, io.done_cnt);
  io.done_cnt = 0;
}

// A driver counts for the whole port, so the worker with its first queue asks; an AF_XDP port has
// no other queue.
void LcoreLoop::count_missed() noexcept {
  uint64_t missed = 0;
  for (uint32_t port = 0; port < ports_.port_cnt(); ++port) {
    const PortQueue queue = ports_.queue(worker_, port);
    rte_eth_stats stats;
    if (queue.queue != 0 || rte_eth_stats_get(queue.port, &stats) != 0) continue;
    missed += stats.imissed;
  }
  if (missed > missed_) logic_.count_rx_missed(missed - missed_);
  missed_ = missed;
}

// Statistics have to come also while no time passes; whoever reads them waits in real time.
void LcoreLoop::report_turn(uint64_t now_ns, uint32_t work) noexcept {
  if (++held_turns_ % kHeldTurnsPerPublication == 0) logic_.publish_soon();
  clock_.held()->turned(worker_, now_ns, work != 0, logic_.next_due_ns());
}

void LcoreLoop::idle(uint32_t work) noexcept {
  if (work != 0) {
    idle_turns_ = 0;
    return;
  }
  if (++idle_turns_ <= kSpinTurns || logic_.idle_mode() == abi::IdleMode::poll) return;
  const timespec pause{0, idle_turns_ <= kNapTurns    ? kNapNs
                          : idle_turns_ <= kDozeTurns ? kDozeNs
                                                      : kSleepNs};
  idle_turns_ = std::min(idle_turns_, kDozeTurns + 1);
  logic_.count_sleep();
  readers_.offline(worker_);
  nanosleep(&pause, nullptr);
  readers_.online(worker_);
}

}  // namespace millrace::dp
