// SPDX-License-Identifier: Apache-2.0
// A worker as the one that asked: checks what comes back, stores it, answers all who wait.
#include <algorithm>
#include <cstring>

#include "dataplane/base/check.hpp"
#include "dataplane/worker/worker.hpp"

namespace millrace::dp {

using abi::Event;
using abi::Outcome;

namespace {

constexpr uint32_t kFailuresMax = 2;      // a failure is asked elsewhere at most once (A54)

bool same_host(const abi::Address& a, const abi::Address& b) noexcept {
  return a.family == b.family && std::memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

}  // namespace

// The caller gives the frame back. A packet that does not match changes nothing: the question stays
// outstanding and the right answer can still come (A55, D7).
Outcome Worker::upstream_answer(StepIo& io, const Frame& frame,
                                const wire::Packet& packet) noexcept {
  const uint8_t* msg = frame.data + packet.dns_off;
  uint16_t id = 0;
  const Outcome head = wire::check_answer_head(msg, packet.dns_len, id);
  if (head != wire::kGoOn) return head;
  uint32_t pending;
  uint32_t try_idx;
  if (!inflight_.find_try(wire::destination_port(frame, packet), id, pending, try_idx)) {
    return Outcome::up_drop_port;
  }
  const Try& entry = inflight_.at(pending).tries[try_idx];
  const abi::Address from = wire::source_of(frame, packet);
  if (frame.port != entry.left_by || !same_host(from, entry.target) ||
      from.port_be != entry.target.port_be ||
      !same_host(wire::destination_of(frame, packet), entry.source)) {
    return Outcome::up_drop_addr;
  }
  return matched(io, pending, try_idx, msg, packet.dns_len);
}

Outcome Worker::matched(StepIo& io, uint32_t idx, uint32_t try_idx, const uint8_t* msg,
                        uint16_t len) noexcept {
  Pending& pending = inflight_.at(idx);
  const abi::PacketCacheConfig& limits =
      settings_.service().packet_cache[pending.probe ? 0 : pending.key.bytes[3]];
  wire::ParsedAnswer parsed;
  const wire::Verdict verdict =
      wire::parse_answer(msg, len, pending.key, limits, *scratch_, parsed);
  Try& entry = pending.tries[try_idx];
  if (verdict == wire::Verdict::question) return Outcome::up_drop_question;
  if (verdict == wire::Verdict::malformed) {
    if (entry.backend != kNoBackend) backends_.on_sign_of_life(entry.backend, pending.probe);
    return Outcome::up_drop_malformed;
  }

  if (!entry.live) return Outcome::up_drop_port;  // a second answer to the same packet (A61)
  entry.live = false;
  if (entry.backend != kNoBackend) {
    backends_.on_answer(entry.backend, now_ns_ - entry.sent_ns, pending.probe);
  }
  switch (verdict) {
    case wire::Verdict::answer:
      store(pending, parsed);
      answer_waiters(
          idx, Event::waiter_answered,
          [&parsed](uint8_t* to, const wire::Query& query, const wire::ReplyLimits& room) noexcept {
            return wire::write_reply(to, query, parsed.view, 0, room);
          });
      return Outcome::up_accepted;
    case wire::Verdict::truncated:
      if (!pending.probe) counters_.count(Event::ins_skip_tc);
      if (pending.probe || !ask_stream(io, idx, try_idx)) answer_truncated(idx);
      return Outcome::up_tc;
    default:
      if (entry.backend != kNoBackend) backends_.on_failure(entry.backend);
      pending.failure_cnt += 1;
      retry_or_fail(io, idx);
      return Outcome::up_failure;
  }
}

void Worker::store(const Pending& pending, const wire::ParsedAnswer& parsed) noexcept {
  if (pending.probe) return;
  if (!parsed.cacheable) {
    counters_.count(parsed.skip);
    return;
  }
  if (pending.flushed) {
    counters_.count(Event::ins_skip_flush);
    return;
  }
  cache::Shard& shard = *to_.shards[shard_of(pending.key.hash)];
  switch (shard.insert(pending.key, parsed.view, now_ms_)) {
    case cache::InsertResult::stored: counters_.count(Event::cache_insert); break;
    case cache::InsertResult::replaced: counters_.count(Event::cache_replace); break;
    case cache::InsertResult::no_memory: counters_.count(Event::cache_no_memory); break;
    case cache::InsertResult::kept: break;  // only a failure is ever kept out
    case cache::InsertResult::too_large: counters_.count(Event::ins_skip_size); break;
  }
}

void Worker::queue_reply(Frame& frame, const wire::Query& query,
                         const wire::Reply& reply) noexcept {
  if (is_slow(frame)) {
    push_to_slow(ring::ItemKind::reply, frame, reply.len);
    return;
  }
  const bool fits =
      reply.len != 0 && wire::turn_around(frame, query.packet, reply.len, reply.sum);
  if (!fits) frame.len = 0;
  // Never full: a client is only taken in while waiters and backlog together are below capacity.
  MR_CHECK(backlog_cnt_ < backlog_capacity_);
  backlog_[(backlog_head_ + backlog_cnt_) % backlog_capacity_] = frame;
  backlog_cnt_ += 1;
}

// This try brought nothing. Another, or the end of the question.
void Worker::retry_or_fail(StepIo& io, uint32_t idx) noexcept {
  Pending& pending = inflight_.at(idx);
  const abi::ServiceSection& service = settings_.service();
  const uint64_t end_ns =
      pending.started_ns + uint64_t{service.upstream_give_up_ms} * 1'000'000;
  if (pending.probe) {
    // Silence has been reported, but an answer may still come, until the next probe.
    if (pending.tries[0].live && now_ns_ < end_ns) {
      inflight_.set_due(idx, end_ns);
    } else {
      end(idx);
    }
    return;
  }
  if (pending.on_stream) {
    if (now_ns_ < end_ns) {
      inflight_.set_due(idx, end_ns);
    } else {
      answer_truncated(idx);
    }
    return;
  }
  if (pending.failure_cnt < kFailuresMax && now_ns_ < end_ns) {
    if (pending.failure_cnt > 0 && backends_untried(pending) == 0) {
      give_up(idx);  // the only upstream there is has said no
      return;
    }
    if (pending.try_cnt < service.upstream_tries_max && send_try(io, idx)) {
      return;
    }
    for (uint32_t t = 0; t < pending.try_cnt; ++t) {
      if (!pending.tries[t].live) continue;
      inflight_.set_due(idx, end_ns);  // nothing more to send, but an answer may still come
      return;
    }
  }
  give_up(idx);
}

uint32_t Worker::backends_untried(const Pending& pending) const noexcept {
  if (pending.pool == kNoPool) return 0;
  return settings_.service().pool[pending.pool].backends & ~pending.backends_tried;
}

void Worker::give_up(uint32_t idx) noexcept {
  const Pending& pending = inflight_.at(idx);
  if (!pending.flushed) {
    AnswerView failure{};
    failure.rcode = 2;
    failure.failure = true;
    failure.lifetime_s = settings_.service().packet_cache[pending.key.bytes[3]].failure_ttl_s;
    to_.shards[shard_of(pending.key.hash)]->insert(pending.key, failure, now_ms_);
  }
  answer_waiters(idx, Event::waiter_failed,
                 [](uint8_t* to, const wire::Query& query, const wire::ReplyLimits& room) noexcept {
                   return wire::write_error(to, query, Outcome::servfail_upstream, room);
                 });
}

void Worker::end(uint32_t idx) noexcept {
  const Pending& pending = inflight_.at(idx);
  for (uint32_t t = 0; t < pending.try_cnt; ++t) {
    const Try& entry = pending.tries[t];
    if (entry.live && entry.backend != kNoBackend) backends_.on_abandoned(entry.backend);
  }
  inflight_.close(idx);
}

// Its last try was given its time.
void Worker::note_timeout(Pending& pending) noexcept {
  Try& last = pending.tries[pending.try_cnt - 1];
  if (!last.live || last.overdue) return;
  last.overdue = true;
  counters_.count(Event::up_timeout);
  if (last.backend == kNoBackend) return;
  if (pending.probe) {
    backends_.on_silent_probe(last.backend, last.sent_ns);
  } else {
    backends_.on_timeout(last.backend, settings_.service().down_after);
  }
}

uint32_t Worker::run_deadlines(StepIo& io) noexcept {
  uint32_t done = 0;
  for (; done < kDeadlineBudget; ++done) {
    const uint32_t idx = inflight_.take_due(now_ns_);
    if (idx == kNone) break;
    Pending& pending = inflight_.at(idx);
    note_timeout(pending);
    retry_or_fail(io, idx);
  }
  return done;
}

}  // namespace millrace::dp
