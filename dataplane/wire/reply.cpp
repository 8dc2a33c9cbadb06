// SPDX-License-Identifier: Apache-2.0
#include "dataplane/wire/reply.hpp"

#include <algorithm>
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/checksum.hpp"
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/wire/edns.hpp"

namespace millrace::wire {
namespace {

using abi::Outcome;

struct Counts {
  uint16_t qd, an, ns, ar;
};

// What a header says besides the query's own.
struct Flags {
  bool aa = false, tc = false, ad = false;
};

// Z is always 0 and RA is always 1, so the two octets depend on nothing else. Answers the sum of
// the whole header.
uint64_t write_header(uint8_t* msg, const Query& query, uint8_t rcode, Flags flags,
                      const Counts& counts) noexcept {
  const auto high =
      static_cast<uint8_t>(kBitQr | query.opcode << kOpcodeShift | (flags.aa ? kBitAa : 0) |
                           (flags.tc ? kBitTc : 0) | (query.flag_rd ? kBitRd : 0));
  const auto low = static_cast<uint8_t>(kBitRa | (flags.ad ? kBitAd : 0) |
                                        (query.flag_cd ? kBitCd : 0) | (rcode & kRcodeMask));
  const uint32_t front = load_raw<uint16_t>(msg) | uint32_t{high} << 16 | uint32_t{low} << 24;
  const uint64_t back = uint64_t{counts.qd} << 48 | uint64_t{counts.an} << 32 |
                        uint64_t{counts.ns} << 16 | counts.ar;
  std::memcpy(msg, &front, sizeof front);
  store_be64(msg + kDnsQdCountAt, back);
  return sum_add(__builtin_bswap64(back), front);
}

uint32_t question_end(const Query& query) noexcept {
  return kDnsHeaderBytes + query.qname_len + kQuestionTailBytes;
}

uint32_t bytes_max_of(const Query& query, const ReplyLimits& limits) noexcept {
  return limits.stream ? limits.room
                       : std::min({query.udp_bytes_max, limits.udp_bytes_max, limits.room});
}

// How much of an answer is shown.
struct Cut {
  uint32_t body_bytes;
  uint16_t an, ns, ar;
  bool truncated;
};

Cut choose_cut(const AnswerView& answer, uint32_t room_for_body) noexcept {
  if (answer.body_bytes <= room_for_body) {
    return {answer.body_bytes, answer.an_cnt, answer.ns_cnt, answer.ar_cnt, false};
  }
  // Additional data may be left out without a word (RFC 2181 section 9).
  if (answer.ns_end <= room_for_body) {
    return {answer.ns_end, answer.an_cnt, answer.ns_cnt, 0, false};
  }
  return {0, 0, 0, 0, true};
}

// The OPT of an answer, with the first `options_bytes` of the options there are. Answers the sum,
// as of a part at an even offset.
uint64_t write_opt_of_answer(uint8_t* to, const Query& query, const ReplyLimits& limits,
                             uint16_t options_bytes) noexcept {
  const uint64_t sum = write_opt(to, limits.udp_bytes_max, 0, query.flag_do, options_bytes);
  if (options_bytes == 0) return sum;
  std::memcpy(to + kOptBytes, limits.options, options_bytes);
  return sum_add(sum, sum_at(kOptBytes, sum_bytes(limits.options, options_bytes)));
}

// What an error reply says.
struct ErrorShape {
  uint8_t rcode;
  uint8_t extended_error;  // kNoExtendedError: none
};

constexpr uint8_t kNoExtendedError = 255;
// RFC 8914 section 4, RFC 9824 section 3.5.
constexpr uint8_t kStaleAnswer = 3, kStaleNxdomain = 19;
constexpr uint8_t kCachedError = 13, kNotReady = 14, kProhibited = 18, kNotAuthoritative = 20,
                  kNotSupported = 21, kNoReachableAuthority = 22, kInvalidQueryType = 30;

ErrorShape shape_of(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::refused_rd0:
      return {rcode::refused, kNotAuthoritative};
    case Outcome::refused_acl:
      return {rcode::refused, kProhibited};
    case Outcome::refused_class:
    case Outcome::refused_transfer:
    case Outcome::refused_signed:
      return {rcode::refused, kNotSupported};
    case Outcome::notimp:
      return {rcode::notimp, kNotSupported};
    case Outcome::cookie_only:
      return {rcode::noerror, kNoExtendedError};
    case Outcome::bad_cookie:
      return {rcode::badcookie, kNoExtendedError};
    case Outcome::badvers:
      return {rcode::badvers, kNoExtendedError};
    case Outcome::fmt_meta_type:
      return {rcode::formerr, kInvalidQueryType};
    case Outcome::fmt_qname_ptr:
    case Outcome::fmt_label_type:
    case Outcome::fmt_qname_trunc:
    case Outcome::fmt_name_long:
    case Outcome::fmt_short_q:
    case Outcome::fmt_counts:
    case Outcome::fmt_qdcount:
    case Outcome::fmt_qd0:
    case Outcome::fmt_an_ns:
    case Outcome::fmt_rdlen:
    case Outcome::fmt_opt2:
    case Outcome::fmt_opt_place:
    case Outcome::fmt_opt_len:
    case Outcome::fmt_cookie:
    case Outcome::fmt_subnet:
    case Outcome::fmt_tc:
      return {rcode::formerr, kNoExtendedError};
    case Outcome::servfail_cached:
      return {rcode::servfail, kCachedError};
    case Outcome::servfail_no_route:
      return {rcode::servfail, kNotReady};
    case Outcome::servfail_upstream:
      return {rcode::servfail, kNoReachableAuthority};
    default:
      return {rcode::servfail, kNoExtendedError};
  }
}

// An OPT at `at`, with the cookie, and with the error of the shape if it has one, each if it fits
// below `bytes_max`. Answers where it ends.
uint32_t write_opt_with_error(uint8_t* msg, uint32_t at, const Query& query,
                              const ReplyLimits& limits, ErrorShape shape,
                              uint32_t bytes_max) noexcept {
  const uint32_t cookie_bytes =
      at + kOptBytes + limits.cookie_bytes <= bytes_max ? limits.cookie_bytes : 0;
  const bool with_error = shape.extended_error != kNoExtendedError &&
                          at + kOptBytes + cookie_bytes + kExtendedErrorBytes <= bytes_max;
  write_opt(msg + at, limits.udp_bytes_max, shape.rcode >> 4, query.flag_do,
            static_cast<uint16_t>(cookie_bytes + (with_error ? kExtendedErrorBytes : 0)));
  at += kOptBytes;
  if (cookie_bytes != 0) std::memcpy(msg + at, limits.options, cookie_bytes);
  at += cookie_bytes;
  if (!with_error) return at;
  write_extended_error(msg + at, shape.extended_error);
  return at + kExtendedErrorBytes;
}

// Replies that are rare enough to be read again.
Reply whole(const uint8_t* msg, uint32_t bytes, bool truncated) noexcept {
  return {static_cast<uint16_t>(bytes), truncated, sum_bytes(msg, bytes)};
}

// Question and OPT as far as they were recognised, and what went wrong.
Reply write_shape(uint8_t* msg, const Query& query, ErrorShape shape,
                  const ReplyLimits& limits) noexcept {
  // A question that did not parse is not repeated. parse_query looks at nothing behind the header
  // of another opcode (RFC 8906 section 8.1.4), so both are false there.
  const bool with_question = query.qname_len != 0;
  const bool with_opt = query.has_opt;
  uint32_t at = with_question ? question_end(query) : kDnsHeaderBytes;
  if (at + (with_opt ? kOptBytes : 0) > limits.room) return {};
  if (with_opt) at = write_opt_with_error(msg, at, query, limits, shape, limits.room);
  write_header(msg, query, shape.rcode, {},
               {static_cast<uint16_t>(with_question ? 1 : 0), 0, 0,
                static_cast<uint16_t>(with_opt ? 1 : 0)});
  return whole(msg, at, false);
}

// Where TC would say nothing: what does not fit cannot be had.
constexpr ErrorShape kTooLarge = {rcode::servfail, kNoExtendedError};

}  // namespace

Reply write_reply(uint8_t* msg, const Query& query, const AnswerView& answer, uint32_t age_s,
                  const ReplyLimits& limits) noexcept {
  const uint32_t body_at = question_end(query);
  uint16_t options_bytes = query.has_opt ? limits.options_bytes : uint16_t{0};
  uint32_t opt_bytes = query.has_opt ? kOptBytes + options_bytes : 0;
  if (body_at + opt_bytes > limits.room) return {};
  const uint32_t bytes_max = bytes_max_of(query, limits);

  Cut cut = choose_cut(answer, bytes_max - std::min(body_at + opt_bytes, bytes_max));
  if (cut.truncated && options_bytes > limits.cookie_bytes) [[unlikely]] {
    options_bytes = limits.cookie_bytes;
    opt_bytes = kOptBytes + options_bytes;
    cut = choose_cut(answer, bytes_max - std::min(body_at + opt_bytes, bytes_max));
  }
  if (cut.truncated && limits.stream) return write_shape(msg, query, kTooLarge, limits);
  uint8_t* body = msg + body_at;
  if (cut.body_bytes != 0) std::memcpy(body, answer.body, cut.body_bytes);  // it may be null
  uint64_t body_sum = sum_bytes(answer.body, cut.body_bytes);
  if (age_s != 0) body_sum = age_ttls(body, answer, cut.body_bytes, age_s, body_sum);
  const bool ad =
      answer.authentic_data && (query.flag_ad || query.flag_do) && !cut.truncated;
  const auto ar = static_cast<uint16_t>(cut.ar + (query.has_opt ? 1 : 0));
  uint64_t sum = write_header(msg, query, answer.rcode,
                              {.aa = answer.authoritative, .tc = cut.truncated, .ad = ad},
                              {1, cut.an, cut.ns, ar});
  sum = sum_bytes(msg + kDnsHeaderBytes, body_at - kDnsHeaderBytes, sum);
  sum = sum_add(sum, sum_at(body_at, body_sum));
  const uint32_t opt_at = body_at + cut.body_bytes;
  if (query.has_opt) {
    const uint64_t opt_sum = write_opt_of_answer(msg + opt_at, query, limits, options_bytes);
    sum = sum_add(sum, sum_at(opt_at, opt_sum));
  }
  return {static_cast<uint16_t>(opt_at + opt_bytes), cut.truncated, sum};
}

Reply write_stale_reply(uint8_t* msg, const Query& query, const AnswerView& answer, uint32_t ttl_s,
                        const ReplyLimits& limits) noexcept {
  const uint32_t body_at = question_end(query);
  const uint32_t opt_bytes = query.has_opt ? kOptBytes : 0;
  if (body_at + opt_bytes > limits.room) return {};
  const uint32_t bytes_max = bytes_max_of(query, limits);
  const Cut cut = choose_cut(answer, bytes_max - std::min(body_at + opt_bytes, bytes_max));
  if (cut.truncated && limits.stream) return write_shape(msg, query, kTooLarge, limits);
  uint8_t* body = msg + body_at;
  if (cut.body_bytes != 0) std::memcpy(body, answer.body, cut.body_bytes);  // it may be null
  for (uint32_t i = 0; i < answer.ttl_cnt && answer.ttl_offsets[i] < cut.body_bytes; ++i)
    store_be32(body + answer.ttl_offsets[i], ttl_s);
  uint32_t at = body_at + cut.body_bytes;
  if (query.has_opt) {
    const uint8_t why = answer.rcode == rcode::nxdomain ? kStaleNxdomain : kStaleAnswer;
    at = write_opt_with_error(msg, at, query, limits, {answer.rcode, why}, bytes_max);
  }
  const auto ar = static_cast<uint16_t>(cut.ar + (query.has_opt ? 1 : 0));
  write_header(msg, query, answer.rcode, {.tc = cut.truncated}, {1, cut.an, cut.ns, ar});
  return whole(msg, at, cut.truncated);
}

Reply write_truncated(uint8_t* msg, const Query& query, const ReplyLimits& limits) noexcept {
  const uint32_t body_at = question_end(query);
  const uint32_t opt_bytes = query.has_opt ? kOptBytes + limits.options_bytes : 0;
  if (body_at + opt_bytes > limits.room) return {};
  if (query.has_opt) write_opt_of_answer(msg + body_at, query, limits, limits.options_bytes);
  const uint16_t ar = query.has_opt ? 1 : 0;
  write_header(msg, query, rcode::noerror, {.tc = true}, {1, 0, 0, ar});
  return whole(msg, body_at + opt_bytes, true);
}

Reply write_error(uint8_t* msg, const Query& query, Outcome outcome,
                  const ReplyLimits& limits) noexcept {
  return write_shape(msg, query, shape_of(outcome), limits);
}

}  // namespace millrace::wire
