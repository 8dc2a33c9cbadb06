// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/bench.hpp"

#include <cstdio>
#include <cstdlib>

namespace millrace::test {

using abi::Event;
using abi::Outcome;
using sim::demand;

namespace {

constexpr uint32_t kFrames = 96;
constexpr uint32_t kSettleRounds = 400;

}  // namespace

sim::Plan Bench::plan_of(uint32_t workers) {
  sim::Plan plan;
  plan.workers = plan.shards = workers;
  plan.pendings = plan.waiters = 32;
  plan.frames = kFrames;
  return plan;
}

Bench::Bench(uint32_t workers, uint32_t backends, slow::TcpUpstreams::Dial dial)
    : plan(plan_of(workers)),
      plane(plan, random, dial),
      frames_(kFrames),
      has_slow_path_(dial != nullptr) {
  config = make_config(backends);
  config->service.upstream_try_ms = kTryMs;
  config->service.upstream_give_up_ms = kGiveUpMs;
}

void Bench::publish(uint32_t usable) {
  config->header.generation = ++generation_;
  configs_.push_back(std::make_unique<abi::ConfigImage>(*config));
  plane.config().publish(configs_.back().get());
  routes_.push_back(make_routes(*config, generation_));
  for (uint32_t i = 0; i < routes_.back()->backends; ++i)
    routes_.back()->hop[i].usable = static_cast<uint8_t>(usable >> i & 1);
  plane.routes().publish(routes_.back().get());
}

bool Bench::arrive(uint32_t worker, const Bytes& frame, uint8_t port, const sim::Cargo& cargo) {
  dp::StepIo& io = plane.core(worker).io;
  if (io.rx_cnt == kBurstMax || !frames_.has(1) || frame.size() > sim::FramePool::kRoomBytes) {
    return false;
  }
  io.rx[io.rx_cnt++] = frames_.take(cargo, frame, port);
  delivered_ += 1;
  return true;
}

void Bench::step(uint32_t worker) {
  dp::StepIo& io = plane.core(worker).io;
  while (io.stock_cnt < stock && frames_.has(1))
    io.stock[io.stock_cnt++] = frames_.take({}, {}, 0);
  plane.step(worker, now_ns);
  const stats::CoreCounters& counters = plane.core(worker).worker->counters();
  demand(counters.rx_packets == counters.outcome_sum(), "law 3", "rx is not the sum of outcomes");
  for (uint32_t i = 0; i < io.done_cnt; ++i) {
    const sim::Cargo cargo = frames_.give_back(io.done[i]);
    if (on_done) on_done(worker, cargo);
  }
  for (uint32_t i = 0; i < io.tx_cnt; ++i) {
    Bytes bytes;
    const sim::Cargo cargo = frames_.give_back(io.tx[i], &bytes);
    if (on_sent) on_sent(worker, cargo, bytes, io.tx[i].port);
  }
  io.done_cnt = io.tx_cnt = 0;
}

uint32_t Bench::turn() {
  uint32_t work = 0;
  if (has_slow_path_) {
    work += plane.slow_turn(now_ns);
    const stats::CoreCounters& counters = plane.slow().counters();
    demand(counters.rx_packets == counters.outcome_sum(), "law 3", "rx is not the sum of outcomes");
  }
  for (uint32_t w = 0; w < plan.workers; ++w)
    step(w);
  demand(plane.rx_packets() <= delivered_, "law 3", "more packets counted than there were");
  return work;
}

bool Bench::is_quiet() {
  uint64_t misses = plane.outcome(Outcome::miss);
  if (has_slow_path_) {
    const slow::SlowPath& slow = plane.slow();
    misses += slow.counters().of(Outcome::miss);
    if (slow.frames_out() != 0 || slow.asking_cnt() != 0) return false;
  }
  return misses == plane.event(Event::waiter_answered) + plane.event(Event::waiter_failed);
}

void Bench::settle() {
  for (uint32_t round = 0; round < kSettleRounds; ++round) {
    turn();
    turn();
    const bool idle = turn() == 0;
    if (idle && is_quiet()) break;
    pass_ms(kTryMs / 2);
  }
  demand(is_quiet(), "A64", "somebody waits, and nothing will come");
  demand(plane.rx_packets() == delivered_, "law 3", "not every packet was counted once");
  for (uint32_t w = 0; w < plan.workers; ++w) {
    dp::StepIo& io = plane.core(w).io;
    while (io.stock_cnt > 0)
      frames_.give_back(io.stock[--io.stock_cnt]);
  }
  demand(frames_.free_cnt() == frames_.frame_cnt(), "frames", "frames were lost");
}

void run_or_abort(const std::function<void()>& test) {
  try {
    test();
  } catch (const sim::Violation& violation) {
    std::fprintf(stderr, "%s: %s\n", violation.law.c_str(), violation.text.c_str());
    for (const uint8_t octet : violation.packet)
      std::fprintf(stderr, "%02x", octet);
    std::fprintf(stderr, "\n");
    std::abort();
  }
}

}  // namespace millrace::test
