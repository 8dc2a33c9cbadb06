// SPDX-License-Identifier: Apache-2.0
// A worker's stages for clients' queries: receive, parse, look up, answer.
#include <algorithm>

#include "dataplane/base/check.hpp"
#include "dataplane/worker/worker.hpp"

namespace millrace::dp {

using abi::Event;
using abi::Outcome;

uint32_t Worker::step(StepIo& io, uint64_t now_ns) noexcept {
  now_ns_ = now_ns;
  now_ms_ = now_ns / 1'000'000;
  backends_.begin_turn(now_ns);
  load_snapshots();
  uint32_t work = io.rx_cnt;
  receive(io);
  look_up();
  answer(io);
  work += drain_rings(io);
  work += run_deadlines(io);
  upkeep(io);
  work += send_backlog(io);
  counters_.count(Event::steps);
  if (now_ns >= publish_due_ns_) publish();
  return work + (walking_ ? 1 : 0);
}

void Worker::load_snapshots() noexcept {
  const abi::ConfigImage* config = to_.config->load();
  if (config != nullptr && config->header.generation != settings_.generation()) [[unlikely]] {
    const Remap remap = settings_.apply(*config);
    backends_.apply(remap, config->service.backends);
    inflight_.apply(remap.backend, remap.pool);
    publish_due_ns_ = 0;
  }
  const abi::RoutesImage* routes = to_.routes->load();
  // Routes ahead of the config are looked at again when it has come.
  if (routes != nullptr && routes->header.generation != settings_.routes_generation() &&
      settings_.apply(*routes)) [[unlikely]] {
    publish_due_ns_ = 0;
  }
}

void Worker::receive(StepIo& io) noexcept {
  burst_->cnt = 0;
  const uint32_t cnt = io.rx_cnt;
  io.rx_cnt = 0;
  for (uint32_t i = 0; i < cnt; ++i) __builtin_prefetch(io.rx[i].data);
  for (uint32_t i = 0; i < cnt; ++i) {
    const Frame& frame = io.rx[i];
    counters_.rx_packets += 1;
    counters_.count(Event::rx_bytes, frame.len);
    wire::Query query{};
    const wire::Classified seen = wire::classify(frame, settings_.endpoints(), query.packet);
    switch (seen.kind) {
      case wire::Kind::query:
        take_query(io, frame, query);
        break;
      case wire::Kind::upstream: {
        // Misses need the rings: nobody on the clients' side gets to fill them.
        if (!settings_.leads_upstream(frame.port)) {
          counters_.count(Outcome::up_drop_addr);
          give_back(io, frame);
          break;
        }
        const uint32_t owner = port_owner(wire::destination_port(frame, query.packet));
        if (owner == to_.worker) {
          counters_.count(upstream_answer(io, frame, query.packet));
          give_back(io, frame);
          break;
        }
        ring::WorkItem item{};
        item.frame = frame;
        item.query = query;
        item.kind = ring::ItemKind::upstream;
        if (to_.to[owner]->push(item)) {
          // Every packet is counted once: by the core that will look into it.
          counters_.rx_packets -= 1;
          counters_.count(Event::ring_sent);
        } else {
          counters_.count(Outcome::up_ring_full);
          give_back(io, frame);
        }
        break;
      }
      case wire::Kind::finished:
        counters_.count(seen.outcome);
        give_back(io, frame);
        break;
    }
  }
}

void Worker::take_query(StepIo& io, const Frame& frame, wire::Query& query) noexcept {
  Burst& burst = *burst_;
  const uint32_t slot = burst.cnt;
  Key& key = burst.key[slot];
  Outcome outcome = wire::parse_query(frame.data + query.packet.dns_off, query.packet.dns_len,
                                      query, key);
  if (query.trailing) counters_.count(Event::rx_trailing);
  if (outcome == wire::kGoOn && !query.flag_rd && settings_.service().answer_rd0 == 0) {
    outcome = Outcome::refused_rd0;
  }
  if (outcome != wire::kGoOn) {
    Frame reply = frame;
    counters_.count(outcome);
    reply_error(io, reply, query, outcome);
    return;
  }
  query.pool = settings_.endpoints().service[query.packet.service].pool;
  key.bytes[3] = settings_.cache_idx_of_pool(query.pool);
  key.hash = hash_key(*to_.secret, key.bytes, key.len);
  burst.shard[slot] = to_.shards[shard_of(key.hash)];
  burst.frame[slot] = frame;
  burst.query[slot] = query;
  burst.cnt = slot + 1;
}

void Worker::look_up() noexcept {
  Burst& burst = *burst_;
  const Key* keys[kBurstMax];
  for (uint32_t i = 0; i < burst.cnt; ++i) keys[i] = &burst.key[i];
  cache::lookup_burst(burst.shard, keys, burst.cnt, now_ms_, burst.found);
}

void Worker::answer(StepIo& io) noexcept {
  Burst& burst = *burst_;
  for (uint32_t i = 0; i < burst.cnt; ++i) {
    const cache::Found& found = burst.found[i];
    if (found.entry == nullptr) {
      miss(io, i);
      continue;
    }
    Frame& frame = burst.frame[i];
    const wire::Query& query = burst.query[i];
    const AnswerView view = cache::view_of(*found.entry);
    cache::touch(*found.entry);
    if (view.failure) {
      counters_.count(Outcome::servfail_cached);
      reply_error(io, frame, query, Outcome::servfail_cached);
      continue;
    }
    counters_.count(Outcome::hit);
    const wire::Reply reply =
        wire::write_reply(frame.data + query.packet.dns_off, query, view, found.age_s,
                          limits_of(frame, query));
    if (reply.truncated) counters_.count(Event::reply_truncated);
    finish_reply(io, frame, query, reply.len);
  }
}

void Worker::miss(StepIo& io, uint32_t i) noexcept {
  Burst& burst = *burst_;
  const Outcome outcome = burst.query[i].flag_rd
                              ? ask_owner(io, burst.frame[i], burst.query[i], burst.key[i])
                              : Outcome::refused_rd0;  // from the cache only (A111)
  counters_.count(outcome);
  if (outcome != Outcome::miss) reply_error(io, burst.frame[i], burst.query[i], outcome);
}

wire::ReplyLimits Worker::limits_of(const Frame& frame, const wire::Query& query) const noexcept {
  return {.udp_bytes_max = settings_.service().edns_udp_bytes,
          .room = static_cast<uint16_t>(frame.room - query.packet.dns_off)};
}

void Worker::reply_error(StepIo& io, Frame& frame, const wire::Query& query,
                         Outcome outcome) noexcept {
  const abi::OutcomeClass cls = abi::kOutcomes[static_cast<std::size_t>(outcome)].cls;
  if (cls != abi::OutcomeClass::error && cls != abi::OutcomeClass::refused) {
    give_back(io, frame);  // dropped in silence
    return;
  }
  const wire::Reply reply = wire::write_error(frame.data + query.packet.dns_off, query, outcome,
                                              limits_of(frame, query));
  finish_reply(io, frame, query, reply.len);
}

void Worker::finish_reply(StepIo& io, Frame& frame, const wire::Query& query,
                          uint16_t len) noexcept {
  if (len != 0 && wire::turn_around(frame, query.packet, len)) {
    send(io, frame);
  } else {
    counters_.count(Event::tx_dropped);
    give_back(io, frame);
  }
}

void Worker::send(StepIo& io, const Frame& frame) noexcept {
  MR_DCHECK(io.tx_room() > 0);
  counters_.count(Event::tx_packets);
  counters_.count(Event::tx_bytes, frame.len);
  io.tx[io.tx_cnt++] = frame;
}

}  // namespace millrace::dp
