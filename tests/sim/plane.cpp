// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/plane.hpp"

namespace millrace::sim {

Plane::Plane(const Plan& plan, Random& random, slow::TcpUpstreams::Dial dial)
    : stats_(new abi::StatsArea{}) {
  for (uint8_t& octet : secret_.bytes)
    octet = static_cast<uint8_t>(random.below(256));
  make_shards(plan);
  const uint32_t n = plan.workers;
  from_.assign(n, std::vector<dp::WorkRing*>(n, nullptr));
  to_ = from_;
  for (uint32_t a = 0; a < n; ++a) {
    for (uint32_t b = 0; b < n; ++b) {
      if (a == b) continue;
      to_[a][b] = from_[b][a] = make_ring(random);
    }
  }
  for (uint32_t w = 0; dial && w < n; ++w) {
    slow_from_.push_back(make_ring(random));
    slow_to_.push_back(make_ring(random));
  }
  for (uint32_t w = 0; w < n; ++w) {
    cores_.push_back(std::make_unique<Core>());
    uint8_t seed[Csprng::kSeedBytes];
    for (uint8_t& octet : seed)
      octet = static_cast<uint8_t>(random.below(256));
    dp::Connections to;
    to.worker = w;
    to.workers = n;
    to.shards = shard_list_.data();
    to.shard_cnt = plan.shards;
    to.secret = &secret_;
    to.from = from_[w].data();
    to.to = to_[w].data();
    if (dial) {
      to.from_slow = slow_to_[w];
      to.to_slow = slow_from_[w];
    }
    to.config = &config_;
    to.routes = &routes_;
    to.stats = stats_.get();
    to.mailbox = &cores_[w]->mailbox;
    to.wall = &wall_;
    to.seed = seed;
    to.pendings = plan.pendings;
    to.waiters = plan.waiters;
    to.flows = plan.flows;
    cores_[w]->worker = std::make_unique<dp::Worker>(to);
    qsbr_.online(w);
  }
  if (dial) make_slow_path(plan, random, std::move(dial));
}

dp::WorkRing* Plane::make_ring(Random& random) {
  // The indices run through 2^32 in the middle of the run.
  rings_.push_back(std::make_unique<dp::WorkRing>(0u - random.below(200)));
  return rings_.back().get();
}

void Plane::make_slow_path(const Plan& plan, Random& random, slow::TcpUpstreams::Dial dial) {
  uint8_t seed[Csprng::kSeedBytes];
  for (uint8_t& octet : seed)
    octet = static_cast<uint8_t>(random.below(256));
  slow::SlowConnections to;
  to.workers = plan.workers;
  to.shards = shard_list_.data();
  to.shard_cnt = plan.shards;
  to.secret = &secret_;
  to.from = slow_from_.data();
  to.to = slow_to_.data();
  to.config = &config_;
  to.page = &stats_->cores[plan.workers];
  to.seed = seed;
  to.wall = &wall_;
  to.dial = std::move(dial);
  slow_ = std::make_unique<slow::SlowPath>(to);
}

uint32_t Plane::slow_turn(uint64_t now_ns) {
  const uint32_t reader = worker_cnt();
  qsbr_.online(reader);
  const uint32_t work = slow_->turn(now_ns);
  qsbr_.offline(reader);
  return work;
}

void Plane::make_shards(const Plan& plan) {
  regions_.resize(plan.shards);
  for (uint32_t s = 0; s < plan.shards; ++s) {
    regions_[s].reset(new RegionBlock[plan.region_bytes / sizeof(RegionBlock)]);
    shards_.push_back(std::make_unique<cache::Shard>());
    std::string_view why = cache::Shard::format(regions_[s].get(), plan.region_bytes, s);
    if (why.empty()) why = shards_[s]->attach(regions_[s].get(), plan.region_bytes, qsbr_.grace());
    if (!why.empty()) violate("simulator", std::string(why));
    shard_list_.push_back(shards_[s].get());
  }
}

void Plane::step(uint32_t w, uint64_t now_ns) {
  Core& core = *cores_[w];
  if (core.asleep) qsbr_.online(w);
  core.asleep = false;
  core.worker->step(core.io, now_ns);
  core.steps += 1;
  qsbr_.quiescent(w);
}

void Plane::sleep(uint32_t w) {
  if (cores_[w]->asleep) return;
  qsbr_.offline(w);
  cores_[w]->asleep = true;
}

uint64_t Plane::outcome(abi::Outcome which) const {
  uint64_t sum = 0;
  for (const auto& core : cores_)
    sum += core->worker->counters().of(which);
  return sum;
}

uint64_t Plane::event(abi::Event which) const {
  uint64_t sum = 0;
  for (const auto& core : cores_)
    sum += core->worker->counters().of(which);
  return sum;
}

uint64_t Plane::rx_packets() const {
  uint64_t sum = 0;
  for (const auto& core : cores_)
    sum += core->worker->counters().rx_packets;
  return sum;
}

uint64_t Plane::evicted() const {
  uint64_t sum = 0;
  for (const auto& shard : shards_)
    sum += shard->gauges().evicted;
  return sum;
}

stats::CoreSnapshot Plane::page(uint32_t w) const {
  stats::CoreSnapshot snapshot{};
  demand(stats::read_page(stats_->cores[w], snapshot), "law 3", "a statistics page cannot be read");
  return snapshot;
}

}  // namespace millrace::sim
