// SPDX-License-Identifier: Apache-2.0
// A worker and what it asks of answers beside the right tuple (answer_guards.hpp).
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/worker/worker.hpp"

#include <algorithm>

namespace millrace::dp {

using abi::Event;
using abi::Outcome;

// The query that a try is.
uint16_t Worker::write_query(uint8_t* msg, uint16_t id, const Pending& pending,
                             const Try& entry) const noexcept {
  const uint16_t edns_udp_bytes =
      entry.with_edns ? settings_.service().upstream_edns_udp_bytes : uint16_t{0};
  uint16_t len = wire::write_upstream_query(msg, id, pending.key, edns_udp_bytes);
  if (entry.with_subnet) len = wire::add_subnet(msg, len, pending.key, pending.subnet);
  return guards_.dress(msg, len, pending.key, entry);
}

// An answer that is right but for its spelling or its cookie: by somebody who has guessed all the
// rest, or by an upstream that does not keep to them. It is dropped, and the question stays
// outstanding; besides its upstream is asked over TCP, once, where it answers in either case.
Outcome Worker::distrust(StepIo& io, uint32_t idx, uint32_t try_idx, Guard lacks) noexcept {
  Pending& pending = inflight_.at(idx);
  Try& entry = pending.tries[try_idx];
  entry.lacks = lacks;
  if (entry.backend != kNoBackend) backends_.on_sign_of_life(entry.backend, pending.probe);
  if (lacks == Guard::spelling) counters_.count(Event::up_case_changed);
  const bool first = !pending.probe && !entry.was_streamed;
  if (first && ask_stream(io, idx, try_idx)) pending.alarmed = true;
  return lacks == Guard::spelling ? Outcome::up_drop_question : Outcome::up_drop_cookie;
}

// What an answer lacks over TCP its upstream does not give.
void Worker::judge_stream_answer(Pending& pending, const uint8_t* msg, wire::Verdict verdict,
                                 const wire::ParsedAnswer& parsed) noexcept {
  Try& entry = pending.tries[pending.stream_try];
  const Guard lacks = guards_.judge(entry, pending.key, msg, verdict, parsed);
  if (lacks == Guard::none) guards_.on_good(entry, verdict, parsed);
  if (lacks == entry.lacks) note_breach(entry.backend, lacks);
  entry.lacks = Guard::none;
}

void Worker::note_breach(uint8_t backend, Guard guard) noexcept {
  if (guard == Guard::none || !guards_.on_breach(backend, guard)) return;
  counters_.count(Event::up_guard_off);
}

// BADCOOKIE: once more, with the cookie that came along; the second time over TCP, where none is
// needed (RFC 7873, section 5.3). Each try may be refused so once, wherever its question goes, so
// there are no more of them than tries. An upstream that answers FORMERR, and knows EDNS, may mean
// our cookie by it.
bool Worker::ask_with_new_cookie(StepIo& io, uint32_t idx, uint32_t try_idx,
                                 const wire::ParsedAnswer& parsed) noexcept {
  Pending& pending = inflight_.at(idx);
  Try& entry = pending.tries[try_idx];
  if (!entry.with_cookie || entry.cookie_refused) return false;
  if (!pending.alarmed && parsed.cookie == nullptr && parsed.has_opt &&
      parsed.rcode == wire::rcode::formerr) {
    note_breach(entry.backend, Guard::cookie);
  }
  if (parsed.cookie == nullptr || parsed.rcode != wire::rcode::badcookie) return false;
  counters_.count(Event::up_bad_cookie);
  const bool again = std::any_of(
      pending.tries, pending.tries + pending.try_cnt, [&entry](const Try& other) {
        return other.cookie_refused && other.backend == entry.backend;
      });
  entry.cookie_refused = true;
  if (!again && ask_again(io, idx, entry.backend, true)) return true;
  if (!ask_stream(io, idx, try_idx)) return false;
  pending.alarmed = true;
  return true;
}

}  // namespace millrace::dp
