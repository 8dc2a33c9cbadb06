// SPDX-License-Identifier: Apache-2.0
// What one client, one prefix or one domain may take of a worker: which misses are not asked
// (miss_counts.hpp), which replies are not sent (response_limit.hpp).
#include "dataplane/worker/worker.hpp"

#include "dataplane/wire/eth_ip_udp.hpp"

namespace millrace::dp {

using abi::Event;
using abi::Outcome;

// The outcome of a query that came over UDP and is about to get a reply or to be looked up: as it
// is, or that its reply is above the limit. Queries are judged before it is known whether they are
// hits: each gets one reply, and what gets none need not be asked upstream.
Outcome Worker::limit_reply(const Frame& frame, const wire::Query& query,
                            Outcome outcome) noexcept {
  // Who shows a cookie of ours does not forge its address (RFC 7873, section 5.2.3).
  if (query.options_at != 0 && replies_.cookie_of(frame, query) == CookieState::good) {
    return outcome;
  }
  const bool v6 = query.packet.v6;
  const uint8_t* const source =
      frame.data + query.packet.l3_off + (v6 ? wire::kIpv6SourceAt : wire::kIpv4SourceAt);
  switch (response_limit_.judge(*to_.secret, v6, source, now_ns_)) {
    case ResponseLimit::Verdict::pass:
      return outcome;
    case ResponseLimit::Verdict::slip:
      // Without a question there is nothing to come again with.
      return query.qname_len != 0 ? Outcome::rrl_slip : Outcome::rrl_drop;
    case ResponseLimit::Verdict::drop:
      break;
  }
  return Outcome::rrl_drop;
}

// A miss that came over a ring has been counted as one already.
void Worker::count_limited(Outcome outcome) noexcept {
  if (outcome == Outcome::miss_limit_zone) counters_.count(Event::waiter_limit_zone);
  if (outcome == Outcome::miss_limit_src) counters_.count(Event::waiter_limit_src);
}

}  // namespace millrace::dp
