// SPDX-License-Identifier: Apache-2.0
#pragma once
// The short way from a hit to the frame that goes out, for the answer that fits as it is.
//
// Plain is: the query had neither IP options nor extension headers (has_plain_headers), nor does it
// ask for EDNS options; and the whole body, of 16 octets at least, fits. Anything else is left to
// write_reply() and turn_around(), which this may only shorten, never differ from: where it does
// not decline, the two together would have left the same frame (tests/fuzz/oracles.cpp compares
// them on every input).
//
// Threads: pure. Cost: some 250 instructions for one record; the body is read twice and written
// once. Memory: as for write_reply. Failure: none; the frame is untouched where it declines.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "dataplane/base/answer_view.hpp"
#include "dataplane/wire/edns.hpp"
#include "dataplane/wire/packet_write.hpp"
#include "dataplane/wire/query.hpp"
#include "dataplane/wire/reply.hpp"

namespace millrace::wire {

namespace detail {

inline constexpr uint32_t kPlainBodyBytesMin = 16;

// Copies in steps of 16, the last one over the end of the one before it. bytes >= 16.
inline void copy_body(uint8_t* to, const uint8_t* from, uint32_t bytes) noexcept {
  for (uint32_t at = 0; at + 16 < bytes; at += 16) std::memcpy(to + at, from + at, 16);
  std::memcpy(to + bytes - 16, from + bytes - 16, 16);
}

}  // namespace detail

inline bool has_plain_headers(const Packet& packet) noexcept {
  return packet.dns_off == packet.l3_off + detail::ip_udp_bytes(packet.v6);
}

// Writes the reply over the query, which has plain headers and options_at 0. Answers the length of
// its frame, which frame.len does not yet say; 0: declined. `limits.room` is not looked at: the
// frame's own is.
[[gnu::always_inline]] inline uint16_t plain_reply(const Frame& frame, const Query& query,
                                                   const AnswerView& answer, uint32_t age_s,
                                                   const ReplyLimits& limits) noexcept {
  const Packet& packet = query.packet;
  const uint32_t l3_off = packet.l3_off;
  const uint32_t dns_off = packet.dns_off;
  const uint32_t body_at = kDnsHeaderBytes + query.qname_len + kQuestionTailBytes;
  const uint32_t opt_at = body_at + answer.body_bytes;
  const uint32_t len = opt_at + (query.has_opt ? kOptBytes : 0);
  if (dns_off + len > frame.room || len > std::min(query.udp_bytes_max, limits.udp_bytes_max) ||
      answer.body_bytes < detail::kPlainBodyBytesMin) {
    return 0;
  }
  uint8_t* msg = frame.data + dns_off;

  // The question, and in front of it NSCOUNT and ARCOUNT, which are about to change.
  uint32_t front;
  uint32_t old_counts;
  std::memcpy(&front, msg, sizeof front);
  std::memcpy(&old_counts, msg + kDnsNsCountAt, sizeof old_counts);
  uint64_t sum = sum_bytes(msg + kDnsNsCountAt, body_at - kDnsNsCountAt);
  const bool ad = answer.authentic_data && (query.flag_ad || query.flag_do);
  front = (front & 0x1001'ffff) | 0x8080'0000u |
          uint32_t{answer.rcode | (ad ? uint32_t{kBitAd} : 0u)} << 24;
  const uint64_t counts = __builtin_bswap64(
      uint64_t{1} << 48 | uint64_t{answer.an_cnt} << 32 | uint64_t{answer.ns_cnt} << 16 |
      (answer.ar_cnt + (query.has_opt ? 1u : 0u)));
  std::memcpy(msg, &front, sizeof front);
  std::memcpy(msg + kDnsQdCountAt, &counts, sizeof counts);
  sum = sum_add(sum, uint64_t{front} + ~old_counts);
  sum = sum_add(sum, counts);

  uint8_t* body = msg + body_at;
  detail::copy_body(body, answer.body, answer.body_bytes);
  uint64_t body_sum = sum_bytes(answer.body, answer.body_bytes);
  if (age_s != 0) body_sum = age_ttls(body, answer, answer.body_bytes, age_s, body_sum);
  sum = sum_add(sum, sum_at(body_at, body_sum));
  if (query.has_opt) {
    sum = sum_add(sum, sum_at(opt_at, write_opt(msg + opt_at, limits.udp_bytes_max, 0,
                                                query.flag_do, 0)));
  }

  const detail::Flow flow = detail::reversed_flow(frame, packet);
  detail::swap_macs(frame.data);
  detail::write_ip_udp(frame.data + l3_off, packet.v6, flow, static_cast<uint16_t>(len), sum);
  return static_cast<uint16_t>(dns_off + len);
}

}  // namespace millrace::wire
