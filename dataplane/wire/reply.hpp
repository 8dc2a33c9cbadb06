// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writes replies over the query's own bytes.
//
// The question stays as the client sent it, case included; compression pointers of the body that
// point into it pick up that client's spelling (RFC 4343 section 4.1).
//
//     0        12                 body_at                        + body_bytes
//     +--------+------------------+------------------------------+-----------------+
//     | header | question         | body, TTLs aged              | OPT, if the     |
//     | made   | not touched      | copied from the AnswerView   | query had one,  |
//     |        |                  |                              | with options    |
//     +--------+------------------+------------------------------+-----------------+
//
// Threads: pure. Cost of write_reply: one copy of the body and one load-swap-subtract-store per
// TTL. Memory: `msg` is the query as parse_query saw it; `query.opcode` and lengths come from
// there. The body must not overlap `msg`. Failure: Reply::len 0. Sources: RFC 1035, 2181 (section
// 9), 4035 (section 4.6), 4343, 6891, 8906, 8914.

#include <cstdint>

#include "dataplane/base/answer_view.hpp"
#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/checksum.hpp"
#include "dataplane/wire/query.hpp"

namespace millrace::wire {

struct ReplyLimits {
  uint16_t udp_bytes_max;   // ours (edns_udp_bytes): also the size our OPT shows
  uint16_t room;            // bytes that may be written at `msg`
  bool stream = false;      // over TCP: no limit but `room`
  // EDNS options for a query that has an OPT; the first `cookie_bytes` of them are its cookie and
  // client subnet, which errors have, too. They do not overlap `msg`.
  const uint8_t* options = nullptr;
  uint16_t options_bytes = 0;
  uint16_t cookie_bytes = 0;
};

struct Reply {
  uint16_t len = 0;        // of the DNS message; 0: it could not be written in `room`
  bool truncated = false;  // TC was set
  uint64_t sum = 0;        // of the message's bytes (checksum.hpp), for turn_around
};

// Ages the TTLs of the first `body_bytes` octets of a body that was copied to `to`.
// Answers their sum afterwards; `sum`: the original's.
[[gnu::always_inline]] inline uint64_t age_ttls(uint8_t* to, const AnswerView& answer,
                                                uint32_t body_bytes, uint32_t age_s,
                                                uint64_t sum) noexcept {
  for (uint32_t i = 0; i < answer.ttl_cnt; ++i) {
    const uint32_t at = answer.ttl_offsets[i];
    if (at >= body_bytes) break;
    // Read from the original: the copy's bytes are still on their way to the cache.
    const uint32_t ttl_s = load_be32(answer.body + at);
    const uint32_t left_s = ttl_s > age_s ? ttl_s - age_s : 0;
    store_be32(to + at, left_s);
    // In ones complement, adding the complement takes away.
    const uint64_t change =
        uint64_t{__builtin_bswap32(left_s)} + static_cast<uint32_t>(~__builtin_bswap32(ttl_s));
    sum = sum_add(sum, sum_at(at, change));
  }
  return sum;
}

// `age_s`: whole seconds since insertion; every TTL shown is base - age, never below 0.
// When it does not fit into the smallest of query.udp_bytes_max, limits.udp_bytes_max and
// limits.room: first the additional section goes, then the options behind the cookie, then all
// records with TC=1. AD is shown only if
// the entry has it, the client asked (AD or DO), and TC is 0. Over TCP only
// limits.room counts, and what does not fit into that gets SERVFAIL (TC would say nothing there).
Reply write_reply(uint8_t* msg, const Query& query, const AnswerView& answer, uint32_t age_s,
                  const ReplyLimits& limits) noexcept;

// The same for an answer past its time (RFC 8767): every TTL shown is `ttl_s`, AD is 0, and with an
// OPT come the cookie and an EXTENDED-DNS-ERROR, 3 or with NXDOMAIN 19, unless records would have
// to go for them.
Reply write_stale_reply(uint8_t* msg, const Query& query, const AnswerView& answer, uint32_t ttl_s,
                        const ReplyLimits& limits) noexcept;

// The reply that says "ask again over TCP": TC=1, no records. For an answer that came truncated
// (Verdict::truncated), which has no view that could be cut.
Reply write_truncated(uint8_t* msg, const Query& query, const ReplyLimits& limits) noexcept;

// The reply for an outcome of class `error` or `refused`. Any other outcome gives SERVFAIL, so a
// caller cannot go silent.
//
//   opcode other than QUERY      header only, opcode and id echoed, no OPT
//   the question did not parse   header only (with QDCOUNT=0)
//   else                         header and question
//
// OPT if one was recognised in the query. With it an EXTENDED-DNS-ERROR where RFC 8914 names one
// (and if it fits): 13 servfail_cached, 14 servfail_no_route, 18 refused_acl, 20 refused_rd0,
// 21 other refused_* and notimp, 22 servfail_upstream, 30 fmt_meta_type; and the cookie. AA, AD and
// TC are 0. Never longer than the query by more than 6 octets, or 22 with a cookie, so nothing is
// gained by provoking errors with a false source. cookie_only is no error, but written alike.
Reply write_error(uint8_t* msg, const Query& query, abi::Outcome outcome,
                  const ReplyLimits& limits) noexcept;

}  // namespace millrace::wire
