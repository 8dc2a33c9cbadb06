// SPDX-License-Identifier: Apache-2.0
// A worker's stages for clients' queries: receive, parse, judge, look up, answer.
#include <algorithm>

#include "dataplane/base/check.hpp"
#include "dataplane/base/prefetch.hpp"
#include "dataplane/wire/plain_query.hpp"
#include "dataplane/worker/plain_reply.hpp"
#include "dataplane/worker/worker.hpp"

namespace millrace::dp {

using abi::Event;
using abi::Outcome;

namespace {

abi::OutcomeClass class_of(Outcome outcome) noexcept {
  return abi::kOutcomes[static_cast<std::size_t>(outcome)].cls;
}

}  // namespace

uint32_t Worker::step(StepIo& io, uint64_t now_ns) noexcept {
  now_ns_ = now_ns;
  now_ms_ = now_ns / 1'000'000;
  backends_.begin_turn(now_ns);
  guards_.begin_turn(now_ns);
  load_snapshots();
  uint32_t work = io.rx_cnt;
  receive(io);
  finish_burst(io);
  if (burst_->other_cnt != 0) [[unlikely]] {
    burst_->cnt = burst_->plain_cnt = 0;
    take_others(io);
    finish_burst(io);
  }
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
    keep_former(config->service.upstream_give_up_ms);
    const Remap remap = settings_.apply(*config);
    config_ns_ = now_ns_;
    backends_.apply(remap, config->service.backends);
    guards_.apply(remap, config->service);
    inflight_.apply(remap.backend, remap.pool);
    policy_.load(*config);
    forward_.load(config->service);
    response_limit_.load(config->service.limits, to_.workers);
    sorts_ = policy_.active() || forward_.active() || response_limit_.active();
    replies_.load(config->service, *to_.secret);
    ageing_ms_per_s_ = ageing_ms_per_s(config->service.prefetch);
    set_stale_budget();
    publish_due_ns_ = 0;
  }
  const abi::RoutesImage* routes = to_.routes->load();
  // Routes ahead of the config are looked at again when it has come.
  if (routes != nullptr && routes->header.generation != settings_.routes_generation())
      [[unlikely]] {
    keep_former(settings_.service().upstream_give_up_ms);
    if (settings_.apply(*routes)) publish_due_ns_ = 0;
  }
}

// Before the settings change. A question's time is that of the config that it ends under.
void Worker::keep_former(uint32_t next_give_up_ms) noexcept {
  const uint32_t longest_ms = std::max(settings_.service().upstream_give_up_ms, next_give_up_ms);
  former_.keep(settings_, now_ns_, now_ns_ + uint64_t{longest_ms} * 1'000'000);
}

// The key in this slot of the burst is complete.
[[gnu::always_inline]] inline void Worker::begin_lookup(Frame& frame, uint32_t slot) noexcept {
  Burst& burst = *burst_;
  Key& key = burst.key[slot];
  const uint64_t hash = hash_key(*to_.secret, key);
  key.hash = hash;
  burst.frame[slot] = &frame;
  cache::begin_lookup(burst.lookup[slot], *to_.shards[shard_of(hash)], key, hash);
}

void Worker::receive(StepIo& io) noexcept {
  const uint32_t cnt = io.rx_cnt;
  io.rx_cnt = 0;
  burst_->cnt = 0;
  for (uint32_t i = 0; i < cnt; ++i) prefetch(io.rx[i].data);
  counters_.rx_packets += cnt;

  // Two passes, each short enough to keep what it works on in registers.
  Burst& burst = *burst_;
  uint64_t bytes = 0;
  uint32_t packet_cnt = 0;
  const wire::Endpoints& endpoints = settings_.endpoints();
  for (uint32_t i = 0; i < cnt; ++i) {
    Frame& frame = io.rx[i];
    bytes += frame.len;
    prefetch(frame.data + kCacheLineBytes);  // for the second pass
    if (wire::plain_packet(frame, endpoints, burst.query[packet_cnt].packet)) [[likely]] {
      burst.frame[packet_cnt++] = &frame;
    } else {
      burst.other[burst.other_cnt++] = &frame;
    }
  }
  counters_.count(Event::rx_bytes, bytes);
  uint32_t slot = 0;
  for (uint32_t i = 0; i < packet_cnt; ++i) {
    Frame& frame = *burst.frame[i];
    wire::Query& query = burst.query[slot];
    if (slot != i) [[unlikely]] query.packet = burst.query[i].packet;
    const wire::Endpoints::Service& service = endpoints.service[query.packet.service];
    query.pool = service.pool;
    Key& key = burst.key[slot];
    if (!wire::plain_query(frame, query.packet, service.packet_cache, key) ||
        (sorts_ && !finish_query(frame, slot))) [[unlikely]] {
      burst.other[burst.other_cnt++] = &frame;
      continue;
    }
    begin_lookup(frame, slot++);
  }
  burst.cnt = burst.plain_cnt = slot;
  if (burst.other_cnt != 0) take_others(io);
}

// Rules, lookups, answers.
void Worker::finish_burst(StepIo& io) noexcept {
  if (sorts_) judge(io);
  const uint32_t ageing =
      cache::finish_lookups(burst_->lookup, burst_->cnt, now_ms_, ageing_ms_per_s_);
  if (ageing != 0) [[unlikely]] refresh_ageing(io, ageing);
  answer(io);
}

// Fills the plain query in this slot of the burst. False: it is not plain after all; never for a
// hit.
[[gnu::noinline]] bool Worker::finish_query(const Frame& frame, uint32_t i) noexcept {
  wire::Query& query = burst_->query[i];
  return wire::finish_plain(frame.data + query.packet.dns_off, query.packet.dns_len,
                            burst_->key[i], query);
}

// What is not plain. Queries among it join the burst.
void Worker::take_others(StepIo& io) noexcept {
  const uint32_t cnt = burst_->other_cnt;
  burst_->other_cnt = 0;
  for (uint32_t i = 0; i < cnt; ++i) take_other(io, *burst_->other[i]);
}

// Whatever does not look like a plain query at first sight.
void Worker::take_other(StepIo& io, Frame& frame) noexcept {
  wire::Query& query = burst_->query[burst_->cnt];
  query = {};  // parse_query fills what it gets to
  const wire::Classified seen = wire::classify(frame, settings_.endpoints(), query.packet);
  switch (seen.kind) {
    case wire::Kind::query:
      take_query(io, frame);
      return;
    case wire::Kind::upstream:
      take_upstream(io, frame, query.packet, ring::ItemKind::upstream,
                    wire::destination_port(frame, query.packet));
      return;
    case wire::Kind::finished:
      if (seen.outcome == Outcome::pass_proto && take_icmp(io, frame, query.packet)) return;
      if (take_late(io, frame, seen.outcome, query.packet)) return;
      counters_.count(seen.outcome);
      give_back(io, frame);
      return;
  }
}

// To where nothing is asked from any more: an answer to what was asked before the last change?
bool Worker::take_late(StepIo& io, const Frame& frame, Outcome outcome,
                       wire::Packet& packet) noexcept {
  if (!former_.open(now_ns_)) return false;
  if (outcome != Outcome::pass_addr && outcome != Outcome::drop_vlan) return false;
  if (wire::classify(frame, former_.endpoints(), packet).kind != wire::Kind::upstream) return false;
  take_upstream(io, frame, packet, ring::ItemKind::upstream, wire::destination_port(frame, packet));
  return true;
}

void Worker::take_query(StepIo& io, Frame& frame) noexcept {
  wire::Query& query = burst_->query[burst_->cnt];
  Key& key = burst_->key[burst_->cnt];
  const wire::Endpoints::Service& service = settings_.endpoints().service[query.packet.service];
  query.pool = service.pool;
  Outcome outcome = wire::parse_query(frame.data + query.packet.dns_off, query.packet.dns_len,
                                      query, key, replies_.cookies(), replies_.subnets());
  if (query.trailing) counters_.count(Event::rx_trailing);
  if (outcome == wire::kGoOn && !query.flag_rd && settings_.service().answer_rd0 == 0) {
    outcome = Outcome::refused_rd0;
  }
  if (outcome == wire::kGoOn && query.qtype == wire::type::any &&
      settings_.service().local.any_over_udp != 0) {
    outcome = Outcome::local_any;
  }
  if (outcome != wire::kGoOn) {
    end_early(io, frame, query, key, outcome);
    return;
  }
  key.bytes[3] = service.packet_cache;
  begin_lookup(frame, burst_->cnt++);
}

// A query that is not looked up.
void Worker::end_early(StepIo& io, Frame& frame, wire::Query& query, const Key& key,
                       Outcome outcome) noexcept {
  // Whoever is dropped gets no error, either, and whoever is refused no other. What gets no reply
  // at all, a response for one, is not refused.
  if (class_of(outcome) != abi::OutcomeClass::dropped) {
    const Outcome ruled = judge_one(frame, query);
    if (ruled != wire::kGoOn) outcome = ruled;
  }
  if (response_limit_.active() && class_of(outcome) != abi::OutcomeClass::dropped) {
    outcome = limit_reply(frame, query, outcome);
  }
  if (outcome == Outcome::local_any) {
    answer_any(io, frame, query, key);
    return;
  }
  AnswerView local;
  outcome = replies_.conclude(frame, query, outcome, local);
  if (outcome == Outcome::local_identity) {
    answer_locally(io, frame, query, outcome, local);
    return;
  }
  counters_.count(outcome);
  reply_error(io, frame, query, outcome);
}

// Over UDP, all that a name has is what makes answers large and queries for them worth forging. A
// made-up record would fail validation, so who asks for signatures comes by TCP.
void Worker::answer_any(StepIo& io, Frame& frame, const wire::Query& query,
                        const Key& key) noexcept {
  AnswerView local;
  if (replies_.local().find(query, key, local)) {
    answer_locally(io, frame, query, Outcome::local_zone, local);
  } else if (query.flag_do) {
    counters_.count(Outcome::local_any);
    counters_.count(Event::reply_truncated);
    const wire::Reply reply = wire::write_truncated(frame.data + query.packet.dns_off, query,
                                                    replies_.limits_of(frame, query));
    finish_reply(io, frame, query, reply);
  } else {
    replies_.local().answer_any(local);
    answer_locally(io, frame, query, Outcome::local_any, local);
  }
}

void Worker::count_flows(uint32_t known, uint32_t all) noexcept {
  counters_.count(Event::flow_hit, known);
  counters_.count(Event::flow_miss, all - known);
}

// Rules and limits, for a burst whose lookups have begun as if there were none: so the
// answer cache's lines come while the flows are looked up. Only what goes to another packet cache,
// or moves up into the place of a query that ends here, begins anew.
void Worker::judge(StepIo& io) noexcept {
  Burst& burst = *burst_;
  const uint32_t cnt = burst.cnt;
  flow::Verdict verdicts[kBurstMax];
  const bool ruled = policy_.active();
  const bool limited = response_limit_.active();
  if (ruled) count_flows(policy_.judge(burst.frame, burst.query, cnt, now_ms_, verdicts), cnt);
  const uint32_t plain_cnt = burst.plain_cnt;
  burst.cnt = 0;
  burst.plain_cnt = 0;
  for (uint32_t i = 0; i < cnt; ++i) {
    Frame& frame = *burst.frame[i];
    wire::Query& query = burst.query[i];
    Outcome outcome = ruled ? follow(verdicts[i], query) : wire::kGoOn;
    if (limited && outcome != Outcome::drop_acl) outcome = limit_reply(frame, query, outcome);
    if (outcome != wire::kGoOn) {
      counters_.count(outcome);
      reply_error(io, frame, query, outcome);
      continue;
    }
    redirect(query, burst.key[i]);
    if (i < plain_cnt) ++burst.plain_cnt;
    const uint8_t packet_cache = settings_.cache_idx_of_pool(query.pool);
    if (burst.cnt == i && burst.key[i].bytes[3] == packet_cache) {
      ++burst.cnt;
      continue;
    }
    if (burst.cnt != i) {
      burst.query[burst.cnt] = query;
      burst.key[burst.cnt] = burst.key[i];
    }
    burst.key[burst.cnt].bytes[3] = packet_cache;
    begin_lookup(frame, burst.cnt++);
  }
}

// The same for a query that is not in the burst; its pool is that of its service so far.
Outcome Worker::judge_one(const Frame& frame, wire::Query& query) noexcept {
  if (!policy_.active()) return wire::kGoOn;
  if (is_slow(frame)) {
    return follow(policy_.judge_stream(slow_head(frame).client, query.packet.service), query);
  }
  const Frame* const frames[1] = {&frame};
  flow::Verdict verdict;
  count_flows(policy_.judge(frames, &query, 1, now_ms_, &verdict), 1);
  return follow(verdict, query);
}

// What came for a query that left by this port of ours: an answer, or an ICMP error.
Outcome Worker::from_upstream(StepIo& io, const Frame& frame, const wire::Packet& packet,
                              ring::ItemKind kind) noexcept {
  return kind == ring::ItemKind::icmp ? icmp_error(io, frame, packet)
                                      : upstream_answer(io, frame, packet);
}

void Worker::take_upstream(StepIo& io, const Frame& frame, const wire::Packet& packet,
                           ring::ItemKind kind, uint16_t port) noexcept {
  // Misses need the rings: nobody on the clients' side gets to fill them.
  if (!settings_.leads_upstream(frame.port) && !former_.led_upstream(frame.port, now_ns_)) {
    counters_.count(Outcome::up_drop_addr);
    give_back(io, frame);
    return;
  }
  const uint32_t owner = port_owner(port);
  if (owner == to_.worker) {
    counters_.count(from_upstream(io, frame, packet, kind));
    give_back(io, frame);
    return;
  }
  ring::WorkItem item{};
  item.frame = frame;
  item.query.packet = packet;
  item.kind = kind;
  if (to_.to[owner]->push(item)) {
    // Every packet is counted once: by the core that will look into it.
    counters_.rx_packets -= 1;
    counters_.count(Event::ring_sent);
  } else {
    counters_.count(Outcome::up_ring_full);
    give_back(io, frame);
  }
}

void Worker::answer(StepIo& io) noexcept {
  Burst& burst = *burst_;
  const uint32_t udp_bytes_max = settings_.service().edns_udp_bytes;
  const uint32_t cnt = burst.cnt;
  const uint32_t plain_cnt = burst.plain_cnt;
  for (uint32_t i = 0; i < cnt; ++i) {
    const cache::Entry* const entry = burst.lookup[i].entry;
    constexpr uint8_t kNotPlain = cache::kEntryWide | cache::kEntryFailure;
    if (entry != nullptr && i < plain_cnt && (entry->flags & kNotPlain) == 0) [[likely]] {
      cache::touch(*entry);
      const Frame& frame = *burst.frame[i];
      const wire::Packet& packet = burst.query[i].packet;
      const uint32_t age_s = cache::age_s_of(*entry, now_ms_);
      const uint16_t len =
          packet.v6 ? plain_reply<true>(frame, packet.dns_len, *entry, age_s, udp_bytes_max)
                    : plain_reply<false>(frame, packet.dns_len, *entry, age_s, udp_bytes_max);
      if (len != 0) [[likely]] {
        counters_.count(Outcome::hit);
        send(io, frame, len);
        continue;
      }
    }
    answer_with_care(io, i);
  }
}

// A miss, and a hit that the short way has declined.
[[gnu::noinline]] void Worker::answer_with_care(StepIo& io, uint32_t i) noexcept {
  Burst& burst = *burst_;
  Frame& frame = *burst.frame[i];
  const wire::Query& query = burst.query[i];
  const cache::Entry* const entry = burst.lookup[i].entry;
  if (i < burst.plain_cnt && !finish_query(frame, i)) {
    burst.other[burst.other_cnt++] = &frame;
  } else if (entry == nullptr) {
    miss(io, i);
  } else if (cache::touch(*entry); cache::is_directory(*entry) || has_subnet_options(query)) {
    hit_by_subnet(io, i);
  } else {
    answer_at_length(io, frame, query, *entry);
  }
}

// A hit that takes more than the short way: a remembered failure, an answer that does not fit.
void Worker::answer_at_length(StepIo& io, Frame& frame, const wire::Query& query,
                              const cache::Entry& entry) noexcept {
  const AnswerView view = cache::view_of(entry);
  if (view.failure) {
    counters_.count(Outcome::servfail_cached);
    reply_error(io, frame, query, Outcome::servfail_cached);
    return;
  }
  counters_.count(Outcome::hit);
  const wire::Reply reply =
      wire::write_reply(frame.data + query.packet.dns_off, query, view,
                        cache::age_s_of(entry, now_ms_), limits_of(frame, query, entry));
  if (reply.truncated) counters_.count(Event::reply_truncated);
  finish_reply(io, frame, query, reply);
}

void Worker::miss(StepIo& io, uint32_t i) noexcept {
  Burst& burst = *burst_;
  Frame& frame = *burst.frame[i];
  const wire::Query& query = burst.query[i];
  if (SubnetAsker asker; has_subnet_options(query) && !read_asker(frame, query, asker)) {
    counters_.count(Outcome::fmt_subnet);
    reply_error(io, frame, query, Outcome::fmt_subnet);
    return;
  }
  AnswerView local;
  if (replies_.local().find(query, burst.key[i], local)) {
    answer_locally(io, frame, query, Outcome::local_zone, local);
    return;
  }
  const Asked asked = query.flag_rd ? ask_owner(io, frame, query, burst.key[i])
                                    : Asked{Outcome::refused_rd0};  // what is fresh only (A111)
  counters_.count(asked.outcome);
  if (asked.outcome == Outcome::miss) return;
  if (asked.outcome == Outcome::stale) {
    finish_reply(io, frame, query, write_stale(frame, query, *asked.stale));
  } else {
    reply_error(io, frame, query, asked.outcome);
  }
}

void Worker::answer_locally(StepIo& io, Frame& frame, const wire::Query& query, Outcome outcome,
                            const AnswerView& answer) noexcept {
  counters_.count(outcome);
  finish_reply(io, frame, query, replies_.write_local(frame, query, answer));
}

void Worker::reply_error(StepIo& io, Frame& frame, const wire::Query& query,
                         Outcome outcome) noexcept {
  if (!DirectReplies::gets_a_reply(outcome)) {
    give_back(io, frame);
    return;
  }
  finish_reply(io, frame, query, replies_.write_error(frame, query, outcome));
}

void Worker::finish_reply(StepIo& io, Frame& frame, const wire::Query& query,
                          const wire::Reply& reply) noexcept {
  if (is_slow(frame)) {
    push_to_slow(ring::ItemKind::reply, frame, reply.len);
  } else if (reply.len != 0 && wire::turn_around(frame, query.packet, reply.len, reply.sum)) {
    send(io, frame);
  } else {
    counters_.count(Event::tx_dropped);
    give_back(io, frame);
  }
}

}  // namespace millrace::dp
