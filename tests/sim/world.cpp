// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/world.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace millrace::test;
using abi::Event;
using abi::Outcome;

namespace {
constexpr uint64_t kFirstBootNs = 5'000'000'000;
}  // namespace

World::World(uint64_t seed, uint32_t steps, bool verbose)
    : seed_(seed),
      steps_(steps),
      random_(seed * 0x2545'f491'4f6c'dd1dULL + 1),
      plan_(make_plan(random_)),
      trace_(verbose),
      plane_(plan_, random_,
             plan_.tcp ? slow::TcpUpstreams::Dial(
                             [this](const abi::Address& to) { return streams_->dial(to); })
                       : nullptr),
      zone_(random_.fork()),
      oracle_(plan_, plane_, zone_, trace_),
      clients_(plan_, random_.fork()),
      upstreams_(plan_, zone_, network_, trace_, random_.fork()),
      control_(plan_, plane_, oracle_, trace_, random_.fork()),
      frames_(plan_.frames),
      now_ns_(kFirstBootNs + random_.between(0, 1000 * kMs)),
      tempo_ns_(plan_.turn_ns) {
  plane_.wall().set(unix_s_at(0), 0);
  if (!plan_.tcp) return;
  streams_ = std::make_unique<Streams>(plan_, plane_, oracle_, zone_, upstreams_, trace_,
                                       random_.fork());
}

Summary World::run() {
  const uint64_t started_ns = now_ns_;
  if (!plan_.late_start) {
    control_.publish_config();
    control_.publish_routes();
  }
  for (; step_ < steps_; ++step_) {
    if (plan_.late_start && step_ == steps_ / 10) control_.publish_config();
    if (plan_.late_start && step_ == steps_ / 5) control_.publish_routes();
    turn();
  }
  drain();
  epilogue();
  finish();
  Summary summary;
  summary.hash = trace_.hash();
  summary.queries = oracle_.query_cnt();
  summary.hits = plane_.outcome(Outcome::hit);
  summary.misses = plane_.outcome(Outcome::miss);
  summary.data = oracle_.answered_with_data();
  summary.servfail = plane_.event(Event::waiter_failed);
  summary.sent = plane_.event(Event::up_sent);
  summary.evicted = plane_.evicted();
  summary.ring_full = plane_.outcome(Outcome::servfail_ring_full);
  summary.inflight_full = plane_.outcome(Outcome::servfail_inflight_full);
  summary.no_frame = plane_.event(Event::up_no_frame);
  summary.flushed = plane_.event(Event::cache_flush);
  summary.probes = plane_.event(Event::probe_sent);
  summary.stale = oracle_.answered_stale();
  for (const Outcome which : {Outcome::miss_limit_zone, Outcome::miss_limit_src, Outcome::rrl_slip,
                              Outcome::rrl_drop}) {
    summary.limited += plane_.outcome(which);
  }
  summary.limited +=
      plane_.event(Event::waiter_limit_zone) + plane_.event(Event::waiter_limit_src);
  if (plan_.tcp) summary.streams = plane_.slow().counters().rx_packets;
  summary.stream_asked = plane_.event(Event::up_stream_sent);
  summary.prefetched = plane_.event(Event::prefetch_sent);
  summary.seconds = static_cast<double>(now_ns_ - started_ns) / 1e9;
  return summary;
}

void World::turn() {
  if (step_ % 500 == 0) {
    static constexpr uint64_t kFactors[] = {1, 1, 1, 10, 2};
    tempo_ns_ = plan_.turn_ns * random_.pick(kFactors);
  }
  advance_clock(plan_.calm ? plan_.turn_ns : tempo_ns_);
  deliver();
  clients_act();
  upstreams_.act();
  control_.act(now_ns_, clients_.popular());
  stall_somebody();
  run_core(random_.below(plane_.worker_cnt()));
  if (streams_ != nullptr) streams_->act(now_ns_, clients_.popular());
  if (step_ % 64 == 0) oracle_.check_silence(now_ns_);
}

void World::advance_clock(uint64_t mean_ns) {
  now_ns_ += random_.between(0, 2 * mean_ns);
  if (!draining_ && random_.below(100'000) < plan_.clock_jump) {
    now_ns_ += random_.between(1, 20'000) * kMs;
    oracle_.time_was_lost(now_ns_);
  }
  trace_.at(now_ns_);
}

void World::deliver() {
  Sent sent;
  while (network_.arrived(now_ns_, sent))
    upstreams_.arrived(sent, now_ns_);
  Network::ToCore arrived;
  while (network_.arrived(now_ns_, arrived)) {
    plane_.core(arrived.core).queue.push_back(std::move(arrived.arrival));
  }
}

void World::clients_act() {
  const uint32_t whole = plan_.query_per_mille / 1000;
  const uint32_t cnt = whole + (random_.chance(plan_.query_per_mille % 1000) ? 1 : 0);
  for (uint32_t i = 0; i < cnt; ++i) {
    ask(random_.chance(plan_.hostile) ? clients_.hostile() : clients_.good());
  }
  if (random_.chance(plan_.storm_per_mille) && random_.chance(300)) storm();
}

void World::ask(Query query, uint32_t busy) {
  uint32_t index = oracle_.add(query);
  while (index == kNoNumber) {
    if (query.expect != Expect::data) return;
    clients_.retarget(query);
    index = oracle_.add(query);
  }
  const Query& asked = oracle_.query(index);
  trace_.event("query", index, [&] { return std::to_string(index) + ": " + oracle_.tell(asked); });
  if (random_.chance(plan_.client_loss)) return;
  uint32_t copies = random_.chance(plan_.client_duplicate) ? 2 : 1;
  // One client's packets come to one core, save when the port is set up anew.
  const uint32_t spread = (asked.client.bytes[3] * 7u + asked.client.port_be) % plane_.worker_cnt();
  const uint32_t core = busy == kSpread ? spread : busy;
  for (; copies > 0; --copies) {
    const uint64_t delay_ns = random_.between(0, 20) * plan_.turn_ns;
    network_.to_core(now_ns_ + delay_ns, core,
                     {{Cargo::Kind::query, index}, asked.frame, asked.port});
  }
}

// Everybody asks for one name at once, or for many that nobody knows.
void World::storm() {
  const uint32_t cnt = 200 + random_.below(2000);
  const bool one_name = random_.chance(500);
  const Bytes name = clients_.fresh_name(Shape::plain);
  trace_.event("storm", cnt);
  const uint32_t busy = random_.below(plane_.worker_cnt());
  if (random_.chance(700) && plane_.worker_cnt() > 1) {
    // All of it comes to one core, and another sleeps: if that one owns the name, the ring fills
    // up.
    const uint32_t w = (busy + 1) % plane_.worker_cnt();
    plane_.core(w).stalled_until_ns = now_ns_ + 400 * tempo_ns_;
  }
  for (uint32_t i = 0; i < cnt; ++i) {
    ask(clients_.good_for(one_name ? name : clients_.fresh_name(Shape::plain), kTypeA,
                          static_cast<uint8_t>(random_.below(kBinds))),
        busy);
  }
}

void World::stall_somebody() {
  if (random_.below(100'000) < plan_.stall) {
    const uint32_t w = random_.below(plane_.worker_cnt());
    plane_.core(w).stalled_until_ns = now_ns_ + random_.between(10, 600) * tempo_ns_;
    trace_.event("stall", w);
  }
  if (random_.below(100'000) < plan_.starve) {
    const uint32_t w = random_.below(plane_.worker_cnt());
    plane_.core(w).starved_until_ns = now_ns_ + random_.between(10, 300) * tempo_ns_;
    trace_.event("starve", w);
  }
}

void World::run_core(uint32_t w) {
  Core& core = plane_.core(w);
  if (now_ns_ < core.stalled_until_ns) {
    oracle_.time_was_lost(now_ns_);
    return;
  }
  fill(core);
  plane_.step(w, now_ns_);
  if (streams_ != nullptr) oracle_.take_stream_answers(w, now_ns_);
  if (plane_.core(w).worker->counters().of(Event::up_guard_off) != 0) upstreams_.disarm_guards();
  collect(w);
  oracle_.after_step(w, now_ns_);
  if (random_.chance(100)) plane_.sleep(w);
}

void World::fill(Core& core) {
  dp::StepIo& io = core.io;
  const uint32_t most = random_.chance(100) ? random_.below(kBurstMax) : kBurstMax;
  while (io.rx_cnt < most && !core.queue.empty() && frames_.has(1)) {
    Arrival& arrival = core.queue.front();
    if (arrival.cargo.kind == Cargo::Kind::query) oracle_.query_seen(arrival.cargo.index, now_ns_);
    io.rx[io.rx_cnt++] = frames_.take(arrival.cargo, arrival.bytes, arrival.port);
    oracle_.packets_delivered(1);
    core.queue.pop_front();
  }
  if (now_ns_ < core.starved_until_ns) return;
  while (io.stock_cnt < dp::kStockNeed && frames_.has(1)) {
    io.stock[io.stock_cnt++] = frames_.take({}, {}, 0);
  }
}

void World::collect(uint32_t w) {
  dp::StepIo& io = plane_.core(w).io;
  demand(io.rx_cnt == 0 && io.tx_cnt <= dp::kTxMax && io.done_cnt <= dp::kDoneMax, "frames",
         "a turn left frames behind");
  for (uint32_t i = 0; i < io.done_cnt; ++i) {
    oracle_.given_back(w, frames_.give_back(io.done[i]), now_ns_);
  }
  for (uint32_t i = 0; i < io.tx_cnt; ++i)
    sent_by(w, io.tx[i]);
  io.done_cnt = io.tx_cnt = 0;
}

void World::sent_by(uint32_t w, const Frame& frame) {
  Bytes bytes;
  const Cargo cargo = frames_.give_back(frame, &bytes);
  trace_.bytes(bytes);
  std::string why;
  const auto read = read_frame(bytes, &why);
  if (!read.has_value()) violate("A93", "a frame that no receiver accepts: " + why, bytes);
  const bool is_reply = read->source.port_be == address_of(kBind[0].text, 53).port_be;
  if (is_reply) {
    demand(cargo.kind == Cargo::Kind::query, "frames", "a reply in a frame of another kind", bytes);
    oracle_.reply(w, bytes, *read, frame.port, now_ns_);
    return;
  }
  demand(cargo.kind == Cargo::Kind::none, "frames", "a query of ours in a client's frame", bytes);
  const Sent sent = oracle_.sent(w, bytes, *read, now_ns_);
  if (!sent.probe) asked_[sent.backend] += 1;
  if (!draining_ && random_.chance(plan_.tx_drop)) {
    plane_.core(w).worker->count_tx_dropped(1);
    return;
  }
  upstreams_.sent(sent, now_ns_);
}

bool World::at_rest() {
  if (!network_.empty() || oracle_.unanswered() != 0 || control_.mail_pending()) return false;
  if (streams_ != nullptr && !streams_->at_rest()) return false;
  for (uint32_t w = 0; w < plane_.worker_cnt(); ++w) {
    const stats::CoreSnapshot page = plane_.page(w);
    if (!plane_.core(w).queue.empty() || page.inflight != 0 || page.waiters != 0) return false;
  }
  return plane_.in_rings() == 0;
}

// Everybody has a turn.
void World::run_all() {
  deliver();
  control_.collect(now_ns_);
  for (uint32_t w = 0; w < plane_.worker_cnt(); ++w)
    run_core(w);
  if (streams_ != nullptr) streams_->settle(now_ns_);
}

// Turns until nothing is left to do.
void World::settle(const char* what) {
  const uint64_t limit_ns = now_ns_ + (20ull * plan_.give_up_ms + 10'000) * kMs;
  while (now_ns_ < limit_ns) {
    advance_clock(1 * kMs);
    run_all();
    step_ += 1;
    if (step_ % 16 != 0) continue;
    oracle_.check_silence(now_ns_);
    if (at_rest()) return;
  }
  violate("rest", std::string("the world does not come to rest: ") + what);
}

void World::drain() {
  draining_ = true;
  plan_.forged = plan_.upstream_loss = plan_.client_loss = 0;
  if (plan_.randomize_case) plan_.changes_case = 0;
  for (uint32_t w = 0; w < plane_.worker_cnt(); ++w) {
    plane_.core(w).stalled_until_ns = plane_.core(w).starved_until_ns = 0;
  }
  oracle_.time_was_lost(now_ns_);
  upstreams_.heal();
  control_.restore();
  settle("drain");
  oracle_.check_quiet();
}

void World::finish() {
  settle("end");
  oracle_.check_quiet();
  for (uint32_t w = 0; w < plane_.worker_cnt(); ++w) {
    dp::StepIo& io = plane_.core(w).io;
    while (io.stock_cnt > 0)
      frames_.give_back(io.stock[--io.stock_cnt]);
  }
  demand(frames_.free_cnt() == frames_.frame_cnt(), "frames", "frames were lost");
  if (streams_ != nullptr) streams_->check_quiet();
  trace_.event("end", plane_.rx_packets());
}

std::string World::describe() const {
  return std::to_string(plan_.workers) + " workers, " + std::to_string(plan_.shards) + " shards" +
         (plan_.tcp ? ", slow path" : "") +
         (plan_.subnet_variants != 0 ? ", by subnet" : "") + (plan_.calm ? ", calm" : "");
}

std::string World::counters() const {
  std::string text;
  const auto add = [&text](std::string_view name, uint64_t value) {
    if (value != 0) text += "  " + std::string(name) + " " + std::to_string(value);
  };
  for (std::size_t i = 0; i < abi::kOutcomeCnt; ++i) {
    add(abi::kOutcomes[i].name, plane_.outcome(static_cast<Outcome>(i)));
  }
  for (std::size_t i = 0; i < abi::kEventCnt; ++i) {
    add(abi::kEvents[i].name, plane_.event(static_cast<Event>(i)));
  }
  return text;
}

}  // namespace millrace::sim
