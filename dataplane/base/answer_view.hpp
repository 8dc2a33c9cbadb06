// SPDX-License-Identifier: Apache-2.0
#pragma once
// A DNS answer ready to be served to any client: no header, no question, no OPT.
//
// The same form comes out of the upstream parser (wire/upstream_answer.hpp), lies in a cache entry,
// and goes into the reply writer (wire/reply.hpp), so a miss and a hit are answered by one piece of
// code. Compression pointers in `body` count from the start of the DNS message, and the question of
// every client of this key has the same length, so the body fits behind any of them unchanged.
//
// Memory: points into memory that somebody else owns (a cache entry under a grace period, or the
// parser's scratch buffer); never outlives the step in which it was made.

#include <cstdint>

namespace millrace {

struct AnswerView {
  const uint8_t* body;
  const uint16_t* ttl_offsets;  // of each TTL field, counted from `body`; strictly rising
  uint16_t body_bytes;
  uint16_t ttl_cnt;
  uint16_t an_cnt, ns_cnt, ar_cnt;
  uint16_t an_end, ns_end;  // where the answer and the authority section end, from `body`
  uint8_t rcode;            // 0..15
  bool authentic_data;      // AD, from an upstream that is trusted for it (A8)
  bool negative;            // NXDOMAIN or NODATA
  bool failure;             // SERVFAIL remembered; body is empty
  bool authoritative;       // made here, of a zone that is served here (AA); never cached
  bool directory;           // no answer: says which answers there are (worker/subnet_cache.hpp)
  uint32_t lifetime_s;      // from the moment of insertion; every TTL in `body` is <= its cap
};

}  // namespace millrace
