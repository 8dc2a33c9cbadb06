// SPDX-License-Identifier: Apache-2.0
// A worker as the one that asked: checks what comes back, stores it, answers all who wait.
#include <algorithm>
#include <cstring>

#include "dataplane/base/check.hpp"
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/worker/worker.hpp"

namespace millrace::dp {

using abi::Event;
using abi::Outcome;

namespace {

// SERVFAIL may mean that the data is bogus: looking on for somebody who gives it out all the same
// would defeat validation. So it is asked elsewhere at most once (A54).
constexpr uint32_t kServfailsMax = 2;

bool same_host(const abi::Address& a, const abi::Address& b) noexcept {
  return a.family == b.family && std::memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

// Over TCP nobody needs a cookie: where an answer leaves no room for it, it goes.
wire::ReplyLimits with_answer_first(wire::ReplyLimits limits, const wire::Query& query,
                                    const AnswerView& view) noexcept {
  const uint32_t bytes = wire::kDnsHeaderBytes + query.qname_len + wire::kQuestionTailBytes +
                         view.ns_end + wire::kOptBytes;
  if (limits.stream && bytes <= limits.room && bytes + limits.cookie_bytes > limits.room) {
    limits.options_bytes = limits.cookie_bytes = 0;
  }
  return limits;
}

bool any_live(const Pending& pending) noexcept {
  return std::any_of(pending.tries, pending.tries + pending.try_cnt,
                     [](const Try& entry) { return entry.live; });
}

}  // namespace

// The caller gives the frame back. A packet that does not match changes nothing: the question stays
// outstanding and the right answer can still come (A55, D7).
Outcome Worker::upstream_answer(StepIo& io, const Frame& frame,
                                const wire::Packet& packet) noexcept {
  const Outcome outcome = match(io, frame, packet);
  if (outcome == Outcome::up_drop_addr || outcome == Outcome::up_drop_port ||
      outcome == Outcome::up_drop_question || outcome == Outcome::up_drop_cookie ||
      outcome == Outcome::up_drop_subnet) {
    note_stray(io, wire::destination_port(frame, packet));
  }
  return outcome;
}

// Somebody may be guessing. Who has seen too much of that is asked no more over UDP, where the next
// guess may be right, but over TCP, where it cannot; and if that is not to be had, again with
// another port and id, as after any other try that failed (A66; RFC 5452, section 9.3).
void Worker::note_stray(StepIo& io, uint16_t port) noexcept {
  const uint32_t idx = inflight_.note_stray(port);
  if (idx == kNone) return;
  counters_.count(Event::up_spoof_alarm);
  Pending& pending = inflight_.at(idx);
  pending.alarmed = true;
  for (uint32_t t = 0; t < pending.try_cnt; ++t) {
    Try& entry = pending.tries[t];
    if (entry.live && entry.backend != kNoBackend) backends_.on_abandoned(entry.backend);
    entry.live = false;
  }
  if (!ask_stream(io, idx, pending.try_cnt - 1u)) retry_or_fail(io, idx);
}

Outcome Worker::match(StepIo& io, const Frame& frame, const wire::Packet& packet) noexcept {
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
  if (!take_scope(pending, entry, msg, len, parsed.view.negative)) return Outcome::up_drop_subnet;

  if (!entry.live) return Outcome::up_drop_port;  // a second answer to the same packet (A61)
  const Guard lacks = guards_.judge(entry, pending.key, msg, verdict, parsed);
  if (lacks != Guard::none) {
    const Outcome dropped = distrust(io, idx, try_idx, lacks);
    // Where there is no OPT a cookie has no place. Errors often have none, and clients can ask for
    // what brings them, so they say nothing about whether this upstream sends cookies.
    const bool is_bare = verdict == wire::Verdict::failure && !parsed.has_opt;
    if (lacks == Guard::cookie && is_bare) entry.lacks = Guard::none;
    return dropped;
  }
  guards_.on_good(entry, verdict, parsed);
  entry.live = false;
  if (entry.backend != kNoBackend) {
    backends_.on_answer(entry.backend, now_ns_ - entry.sent_ns, pending.probe);
  }
  switch (verdict) {
    case wire::Verdict::answer:
      answered(idx, try_idx, parsed);
      return Outcome::up_accepted;
    case wire::Verdict::truncated:
      if (!pending.probe) counters_.count(Event::ins_skip_tc);
      if (pending.probe || !ask_stream(io, idx, try_idx)) answer_truncated(idx);
      return Outcome::up_tc;
    default:
      failed(io, idx, try_idx, parsed);
      return Outcome::up_failure;
  }
}

void Worker::answered(uint32_t idx, uint32_t try_idx, wire::ParsedAnswer& parsed) noexcept {
  const Pending& pending = inflight_.at(idx);
  const Try& entry = pending.tries[try_idx];
  keep_trusted_ad(entry, parsed.view);
  if (entry.edns_refused && entry.backend != kNoBackend) backends_.on_edns_refused(entry.backend);
  wire::cap_lifetime_by_signatures(parsed, replies_.unix_s());
  failures_.on_answer(pending.key.hash);
  store(pending, parsed);
  answer_waiters(
      idx, Event::waiter_answered,
      [&parsed](uint8_t* to, const wire::Query& query, const wire::ReplyLimits& room) noexcept {
        return wire::write_reply(to, query, parsed.view, 0,
                                 with_answer_first(room, query, parsed.view));
      });
}

// An upstream said that it has no data.
void Worker::failed(StepIo& io, uint32_t idx, uint32_t try_idx,
                    const wire::ParsedAnswer& parsed) noexcept {
  Pending& pending = inflight_.at(idx);
  const Try& entry = pending.tries[try_idx];
  // Data there was, but with records that do not belong to it.
  if (!pending.probe && parsed.skip == Event::ins_skip_chain) counters_.count(parsed.skip);
  if (entry.backend != kNoBackend) backends_.on_failure(entry.backend);
  if (!pending.probe && (ask_with_new_cookie(io, idx, try_idx, parsed) ||
                         ask_without_edns(io, idx, try_idx, parsed) ||
                         ask_without_subnet(io, idx, try_idx, parsed))) {
    return;
  }
  pending.failure_cnt += 1;
  if (parsed.rcode == wire::rcode::servfail) pending.servfail_cnt += 1;
  retry_or_fail(io, idx);
}

// FORMERR or NOTIMP without OPT is how an upstream answers that does not know EDNS: it is asked
// once more without, except for DNSSEC, which needs EDNS (A69; RFC 6891, section 7).
bool Worker::ask_without_edns(StepIo& io, uint32_t idx, uint32_t try_idx,
                              const wire::ParsedAnswer& parsed) noexcept {
  Pending& pending = inflight_.at(idx);
  const Try& entry = pending.tries[try_idx];
  const bool refused =
      (parsed.rcode == wire::rcode::formerr || parsed.rcode == wire::rcode::notimp) &&
      !parsed.has_opt;
  if (!refused || !entry.with_edns || (pending.key.bytes[2] & kKeyFlagDo) != 0) return false;
  if (!ask_again(io, idx, entry.backend, false)) return false;
  pending.tries[pending.try_cnt - 1].edns_refused = true;
  counters_.count(Event::up_edns_fallback);
  return true;
}

// The same question to the same backend, in another form. That packet may be one more than the
// tries of the config.
bool Worker::ask_again(StepIo& io, uint32_t idx, uint8_t backend, bool with_edns) noexcept {
  const Pending& pending = inflight_.at(idx);
  if (backend == kNoBackend || pending.pool == kNoPool ||
      (allowed_backends(pending) >> backend & 1) == 0 || settings_.hop(backend).usable == 0) {
    return false;
  }
  return pending.try_cnt <= settings_.service().upstream_tries_max &&
         pending.try_cnt < kTriesMax && now_ns_ < end_ns_of(pending) &&
         send_to(io, idx, backend, with_edns);
}

// AD counts for as much as who said it (A8).
void Worker::keep_trusted_ad(const Try& entry, AnswerView& view) const noexcept {
  if (entry.backend == kNoBackend || settings_.service().backend[entry.backend].trust_ad == 0) {
    view.authentic_data = false;
  }
}

void Worker::store(const Pending& pending, const wire::ParsedAnswer& parsed) noexcept {
  if (pending.probe) return;
  recheck_.forget(pending.key.hash);
  if (!parsed.cacheable) {
    counters_.count(parsed.skip);
    drop_stale(pending);
    return;
  }
  if (pending.flushed) {
    counters_.count(Event::ins_skip_flush);
    return;
  }
  switch (insert(pending, parsed.view)) {
    case cache::InsertResult::stored: counters_.count(Event::cache_insert); break;
    case cache::InsertResult::replaced: counters_.count(Event::cache_replace); break;
    case cache::InsertResult::no_memory: counters_.count(Event::cache_no_memory); break;
    case cache::InsertResult::outranked: counters_.count(Event::adm_reject); break;
    case cache::InsertResult::kept: break;  // said there, if it was no failure
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
  const uint64_t end_ns = end_ns_of(pending);
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
      stream_failed(io, idx);
    }
    return;
  }
  if (ask_next_stream(io, idx)) return;
  if (pending.servfail_cnt < kServfailsMax && now_ns_ < end_ns) {
    if (pending.try_cnt < settings_.service().upstream_tries_max && send_try(io, idx)) return;
    if (pending.try_cnt == 0 && routes_are_due(pending.pool)) {
      inflight_.set_due(idx, now_ns_ + kRoutesWaitNs);
      return;
    }
    if (any_live(pending)) {
      wait_for_tries(idx);  // nothing more to send, but an answer may still come
      return;
    }
  }
  give_up(idx);
}

void Worker::give_up(uint32_t idx) noexcept {
  const Pending& pending = inflight_.at(idx);
  const abi::StaleConfig& stale = settings_.service().stale;
  counters_.count(Event::up_gave_up);
  if (pending.refresh) counters_.count(Event::prefetch_failed);
  if (pending.truncated) return answer_truncated(idx);
  if (!pending.flushed && pending.try_cnt != 0) {
    // Where an answer past its time is at hand the cache keeps that.
    if (stale.kept_s != 0) {
      recheck_.note(pending.key.hash, now_ms_ + uint64_t{stale.recheck_s} * 1000);
    }
    AnswerView failure{};
    failure.rcode = 2;
    failure.failure = true;
    const abi::PacketCacheConfig& limits =
        settings_.service().packet_cache[pending.key.bytes[3]];
    failure.lifetime_s = failures_.on_failure(pending.key.hash, now_ms_, limits.failure_ttl_s,
                                              limits.failure_ttl_s_max);
    insert(pending, failure);
  }
  answer_waiters_stale(idx);
  answer_waiters(idx, Event::waiter_failed,
                 [](uint8_t* to, const wire::Query& query, const wire::ReplyLimits& room) noexcept {
                   return wire::write_error(to, query, Outcome::servfail_upstream, room);
                 });
}

void Worker::end(uint32_t idx, bool answered) noexcept {
  const Pending& pending = inflight_.at(idx);
  for (uint32_t t = 0; t < pending.try_cnt; ++t) {
    const Try& entry = pending.tries[t];
    if (!entry.live || entry.backend == kNoBackend) continue;
    const bool asked_earlier = t + 1 < pending.try_cnt;
    if (answered && asked_earlier && !entry.overdue) {
      backends_.on_overtaken(entry.backend, settings_.service().down_after);
    } else {
      backends_.on_abandoned(entry.backend);
    }
  }
  inflight_.close(idx);
}

// Those of its tries that were given their time.
void Worker::note_timeouts(Pending& pending) noexcept {
  for (uint32_t t = 0; t < pending.try_cnt; ++t) {
    Try& entry = pending.tries[t];
    if (!entry.live || entry.overdue || now_ns_ < entry.due_ns) continue;
    entry.overdue = true;
    counters_.count(Event::up_timeout);
    if (entry.backend == kNoBackend) continue;
    if (pending.probe) {
      backends_.on_silent_probe(entry.backend, entry.sent_ns);
    } else {
      backends_.on_timeout(entry.backend, settings_.service().down_after);
    }
  }
}

// Until a try is overdue, or it is time for a second one; at the longest for the question's time.
void Worker::wait_for_tries(uint32_t idx) noexcept {
  const Pending& pending = inflight_.at(idx);
  uint64_t due_ns = std::max(end_ns_of(pending), now_ns_);
  for (uint32_t t = 0; t < pending.try_cnt; ++t) {
    const Try& entry = pending.tries[t];
    if (entry.live && !entry.overdue) due_ns = std::min(due_ns, entry.due_ns);
  }
  const uint64_t hedge_ns = uint64_t{settings_.service().upstream_hedge_ms} * 1'000'000;
  if (hedge_ns != 0 && pending.try_cnt == 1 && now_ns_ < pending.tries[0].sent_ns + hedge_ns) {
    due_ns = std::min(due_ns, pending.tries[0].sent_ns + hedge_ns);
  }
  inflight_.set_due(idx, due_ns);
}

// A second try while the first has its time yet, at another backend (A63). False: not now.
bool Worker::hedge(StepIo& io, uint32_t idx) noexcept {
  const Pending& pending = inflight_.at(idx);
  const abi::ServiceSection& service = settings_.service();
  const uint64_t hedge_ns = uint64_t{service.upstream_hedge_ms} * 1'000'000;
  if (hedge_ns == 0 || pending.try_cnt != 1 || service.upstream_tries_max < 2 ||
      now_ns_ < pending.tries[0].sent_ns + hedge_ns || untried_backends(pending) == 0 ||
      !send_try(io, idx)) {
    return false;
  }
  counters_.count(Event::up_hedged);
  return true;
}

uint32_t Worker::run_deadlines(StepIo& io) noexcept {
  uint32_t done = 0;
  for (; done < kDeadlineBudget; ++done) {
    const uint32_t idx = inflight_.take_due(now_ns_);
    if (idx == kNone) break;
    Pending& pending = inflight_.at(idx);
    if (now_ns_ >= pending.client_due_ns) {
      pending.client_due_ns = kNever;
      answer_waiters_stale(idx);
    }
    if (now_ns_ < pending.try_due_ns) {
      inflight_.set_due(idx, pending.try_due_ns);
      continue;
    }
    note_timeouts(pending);
    const Try* const last = pending.try_cnt == 0 ? nullptr : &pending.tries[pending.try_cnt - 1];
    const bool has_time = last != nullptr && !pending.probe && !pending.on_stream && last->live &&
                          !last->overdue && now_ns_ < end_ns_of(pending);
    if (!has_time) {
      retry_or_fail(io, idx);
    } else if (!hedge(io, idx)) {
      wait_for_tries(idx);
    }
  }
  return done;
}

}  // namespace millrace::dp
