// SPDX-License-Identifier: Apache-2.0
// A worker and the slow path: questions of clients that came over TCP, and questions of ours that
// are asked again over TCP because the answer came truncated (RFC 5625 section 4.4.1, RFC 9715) or
// because somebody may be guessing at it (worker_answer.cpp).
#include "dataplane/base/check.hpp"
#include "dataplane/worker/worker.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace millrace::dp {

using abi::Event;
using abi::Outcome;

namespace {

// Names a question beyond the life of its record.
uint64_t name_of(uint32_t idx, const Pending& pending) noexcept {
  return uint64_t{pending.serial} << 32 | idx;
}

}  // namespace

void Worker::push_to_slow(ring::ItemKind kind, Frame frame, uint16_t len, uint64_t about) noexcept {
  ring::WorkItem item{};
  item.frame = frame;
  item.frame.len = len;
  item.hash = about;
  item.kind = kind;
  MR_CHECK(to_.to_slow->push(item));  // slow_frame.hpp has the sum
  counters_.count(Event::ring_sent);
}

// One at a time is asked over TCP; the next when that brought nothing. False: there is none.
bool Worker::ask_next_stream(StepIo& io, uint32_t idx) noexcept {
  Pending& pending = inflight_.at(idx);
  for (uint32_t t = 0; t < pending.try_cnt; ++t) {
    Try& entry = pending.tries[t];
    if (!std::exchange(entry.wants_stream, false) || entry.backend == kNoBackend) continue;
    if (now_ns_ < end_ns_of(pending) && ask_stream(io, idx, t)) return true;
  }
  return false;
}

// False: it cannot be asked now. The question stays open, with its clients, until the answer comes
// or the time of the question is over.
bool Worker::ask_stream(StepIo& io, uint32_t idx, uint32_t try_idx) noexcept {
  Pending& pending = inflight_.at(idx);
  if (pending.on_stream) {
    pending.tries[try_idx].wants_stream = try_idx != pending.stream_try;
    return true;
  }
  if (to_.to_slow == nullptr) return false;
  if (stream_cnt_ >= kStreamsPerWorkerMax || io.stock_cnt == 0) {
    counters_.count(Event::up_stream_full);
    return false;
  }
  Frame frame = io.stock[--io.stock_cnt];
  Try& entry = pending.tries[try_idx];
  entry.was_streamed = true;
  std::memcpy(frame.data, &entry.target, sizeof(abi::Address));
  const uint16_t len = write_query(frame.data + kAskMessageAt, 0, pending, entry);
  push_to_slow(ring::ItemKind::ask_stream, frame, static_cast<uint16_t>(kAskMessageAt + len),
               name_of(idx, pending));
  counters_.count(Event::up_stream_sent);
  stream_cnt_ += 1;
  pending.on_stream = true;
  pending.stream_try = static_cast<uint8_t>(try_idx);
  inflight_.set_due(idx, std::max(end_ns_of(pending), now_ns_));
  return true;
}

void Worker::take_stream_answer(StepIo& io, const ring::WorkItem& item) noexcept {
  stream_cnt_ -= 1;
  const auto idx = static_cast<uint32_t>(item.hash);
  const Pending& pending = inflight_.at(idx);
  const bool came = item.frame.len != 0;
  counters_.count(came ? Event::up_stream_answered : Event::up_stream_failed);
  // Otherwise its time was over, or another answer came first.
  if (pending.in_use && pending.on_stream && name_of(idx, pending) == item.hash &&
      (!came || !finish_stream(io, idx, item.frame.data, item.frame.len))) {
    stream_failed(io, idx);
  }
  if (item.frame.handle != nullptr) push_to_slow(ring::ItemKind::give_back, item.frame, 0);
}

// False: what came is no answer to this question.
bool Worker::finish_stream(StepIo& io, uint32_t idx, const uint8_t* msg, uint16_t len) noexcept {
  Pending& pending = inflight_.at(idx);
  wire::ParsedAnswer parsed;
  const wire::Verdict verdict =
      wire::parse_answer(msg, len, pending.key,
                         settings_.service().packet_cache[pending.key.bytes[3]], *scratch_, parsed);
  if (!take_scope(pending, pending.tries[pending.stream_try], msg, len, parsed.view.negative)) {
    return false;
  }
  if (verdict != wire::Verdict::question && verdict != wire::Verdict::malformed) {
    judge_stream_answer(pending, msg, verdict, parsed);
  }
  switch (verdict) {
    case wire::Verdict::answer:
      answered(idx, pending.stream_try, parsed);
      return true;
    case wire::Verdict::failure: {
      pending.on_stream = false;
      // Over UDP the same would come once more, or has come and was not believed.
      Try& entry = pending.tries[pending.stream_try];
      const bool waits = std::exchange(entry.live, false) && entry.backend != kNoBackend;
      if (waits) backends_.on_abandoned(entry.backend);
      failed(io, idx, pending.stream_try, parsed);
      return true;
    }
    default:  // TC, too, says nothing over TCP
      return false;
  }
}

// It brought no answer. If one came over UDP, we could not get all of it, and another upstream may
// do better; else this was one try of several.
void Worker::stream_failed(StepIo& io, uint32_t idx) noexcept {
  Pending& pending = inflight_.at(idx);
  pending.on_stream = false;
  Try& entry = pending.tries[pending.stream_try];
  note_breach(entry.backend, entry.lacks);
  entry.lacks = Guard::none;
  if (ask_next_stream(io, idx)) return;
  if (pending.alarmed) return retry_or_fail(io, idx);
  pending.truncated = true;
  const bool may_ask = pending.try_cnt < settings_.service().upstream_tries_max &&
                       untried_backends(pending) != 0 && now_ns_ < end_ns_of(pending);
  if (!may_ask || !send_try(io, idx)) answer_truncated(idx);
}

void Worker::answer_truncated(uint32_t idx) noexcept {
  answer_waiters(
      idx, Event::waiter_answered,
      [](uint8_t* to, const wire::Query& query, const wire::ReplyLimits& limits) noexcept {
        return limits.stream ? wire::write_error(to, query, Outcome::servfail_upstream, limits)
                             : wire::write_truncated(to, query, limits);
      });
}

}  // namespace millrace::dp
