// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writes replies over the query's own bytes.
//
// The question stays as the client sent it, case included; compression pointers of the body that
// point into it pick up that client's spelling (RFC 4343 section 4.1).
//
// Threads: pure. Cost of write_reply: one copy of the body and one load-swap-subtract-store per TTL.

#include <cstdint>

#include "dataplane/base/answer_view.hpp"
#include "dataplane/wire/query.hpp"

namespace millrace::wire {

struct ReplyLimits {
  uint16_t udp_bytes_max;   // ours (edns_udp_bytes): also the size our OPT shows
  uint16_t room;            // bytes that may be written at `msg`
  bool trust_ad = false;    // A8: AD out = entry AD and trusted and asked for
};

struct Reply {
  uint16_t len;    // of the DNS message; 0: it could not be written in `room`
  bool truncated;  // TC was set
};

// `age_s`: whole seconds since insertion; every TTL shown is base - age, never below 0.
// When it does not fit: first the additional section goes, then all records with TC=1 (A90-A92).
Reply write_reply(uint8_t* msg, const Query& query, const AnswerView& answer, uint32_t age_s,
                  const ReplyLimits& limits) noexcept;

// An answer without records and with TC=1: the client asks again over TCP.
Reply write_truncated(uint8_t* msg, const Query& query, const ReplyLimits& limits) noexcept;

// The reply for an outcome of class `error` or `refused`: RCODE, shape (header only, or with the
// question), OPT if the query had one, EDE where the RFCs name one (A80: 18, 20, 13, 14, 22).
// `starved` outcomes of the worker (servfail_*) are made here too.
Reply write_error(uint8_t* msg, const Query& query, abi::Outcome outcome,
                  const ReplyLimits& limits) noexcept;

}  // namespace millrace::wire
