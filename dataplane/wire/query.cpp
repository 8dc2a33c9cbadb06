// SPDX-License-Identifier: Apache-2.0
#include "dataplane/wire/query.hpp"

#include <algorithm>
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/wire/dns_name.hpp"

namespace millrace::wire {
namespace {

using abi::Outcome;

// What the records behind the question were.
struct Extras {
  bool with_cookies;  // whether COOKIE means anything
  bool with_subnets;  // likewise CLIENT-SUBNET
  bool is_signed = false;
  bool has_cookie = false;
  uint8_t edns_version = 0;
};

Outcome outcome_of(NameFault fault) noexcept {
  switch (fault) {
    case NameFault::none:
      return kGoOn;
    case NameFault::pointer:
      return Outcome::fmt_qname_ptr;
    case NameFault::label_type:
      return Outcome::fmt_label_type;
    case NameFault::cut_short:
      return Outcome::fmt_qname_trunc;
    case NameFault::too_long:
      return Outcome::fmt_name_long;
  }
  return Outcome::fmt_qname_trunc;
}

// Reads the one question at offset 12. `query` learns it only if it is whole.
Outcome read_question(const uint8_t* msg, uint32_t len, Query& query) noexcept {
  if (len == kDnsHeaderBytes) return Outcome::fmt_counts;
  uint32_t name_bytes;
  const NameFault fault = measure_name(msg, len, kDnsHeaderBytes, name_bytes);
  if (fault != NameFault::none) return outcome_of(fault);
  const uint32_t tail = kDnsHeaderBytes + name_bytes;
  if (tail + kQuestionTailBytes > len) return Outcome::fmt_short_q;
  query.qname_len = static_cast<uint8_t>(name_bytes);
  query.qtype = load_be16(msg + tail);
  return kGoOn;
}

// RFC 6891 section 6.1.2, RFC 7873 section 5.2.2. `wanted`: some of them ask for ours.
Outcome check_options(const uint8_t* rdata, uint32_t bytes, Extras& extras, bool& wanted) noexcept {
  while (bytes != 0) {
    if (bytes < kOptionHeadBytes) return Outcome::fmt_opt_len;
    const uint16_t code = load_be16(rdata);
    const uint32_t option_bytes = load_be16(rdata + 2);
    if (option_bytes > bytes - kOptionHeadBytes) return Outcome::fmt_opt_len;
    if (code == kOptionCookie && extras.with_cookies) {
      if (option_bytes != 8 && (option_bytes < 16 || option_bytes > 40)) return Outcome::fmt_cookie;
      extras.has_cookie = wanted = true;
    }
    if (code == kOptionNsid || code == kOptionKeepalive) wanted = true;
    if (code == kOptionSubnet && extras.with_subnets) wanted = true;
    rdata += kOptionHeadBytes + option_bytes;
    bytes -= kOptionHeadBytes + option_bytes;
  }
  return kGoOn;
}

// The record from TYPE on, at `head_at`, whole.
Outcome read_opt(const uint8_t* msg, uint32_t head_at, bool root_owner, bool additional,
                 Query& query, Extras& extras) noexcept {
  const uint8_t* const head = msg + head_at;
  const bool second = query.has_opt;
  query.has_opt = true;
  const uint32_t ttl = load_be32(head + 4);
  query.flag_do = (ttl & kOptFlagDo) != 0;
  query.udp_bytes_max = std::max<uint16_t>(kUdpBytesWithoutOpt, load_be16(head + 2));
  query.options_at = 0;
  if (second) return Outcome::fmt_opt2;
  if (!root_owner || !additional) return Outcome::fmt_opt_place;
  extras.edns_version = static_cast<uint8_t>(ttl >> 16);
  // The options of another version may look otherwise.
  if (extras.edns_version != 0) return kGoOn;
  bool wanted = false;
  const Outcome outcome =
      check_options(head + kRecordHeadBytes, load_be16(head + 8), extras, wanted);
  if (wanted && outcome == kGoOn) {
    query.options_at = static_cast<uint16_t>(head_at + kRecordHeadBytes);
  }
  return outcome;
}

// OPT, a signature, and in front of them the SOA of an IXFR: a query with more is in error.
constexpr uint32_t kRecordsMax = 3;

// Passes over an owner name; 0: there is none. A pointer leads back; of the first records also to
// a name, which for others, being in error anyway, would cost more than they are worth.
uint32_t skip_owner(const uint8_t* msg, uint32_t len, uint32_t at, bool follow) noexcept {
  uint32_t start = at;
  uint32_t end = 0;  // behind the first pointer
  uint32_t name_bytes = 0;
  uint32_t pointers = 0;
  while (at < len) {
    const uint32_t label = msg[at];
    if (label >= kPointerBits) {
      if (at + 2 > len || ++pointers > kRecordsMax) return 0;
      if (end == 0) end = at + 2;
      at = load_be16(msg + at) & 0x3fff;
      if (at < kDnsHeaderBytes || at >= start) return 0;
      if (!follow) return end;
      start = at;
      continue;
    }
    at += 1 + label;
    name_bytes += 1 + label;
    if (label > kLabelBytesMax || name_bytes > kNameBytesMax) return 0;
    if (label == 0) return end != 0 ? end : at;
  }
  return 0;
}

// Walks the records behind the question. Each turn eats at least 11 octets, whatever the counts
// say.
Outcome read_records(const uint8_t* msg, uint32_t len, uint32_t& at, Query& query,
                     Extras& extras) noexcept {
  const uint32_t before_additional =
      uint32_t{load_be16(msg + kDnsAnCountAt)} + load_be16(msg + kDnsNsCountAt);
  const uint32_t all = before_additional + load_be16(msg + kDnsArCountAt);
  for (uint32_t i = 0; i < all; ++i) {
    const bool root_owner = at < len && msg[at] == 0;
    const uint32_t head = root_owner ? at + 1 : skip_owner(msg, len, at, i < kRecordsMax);
    if (head == 0 || head + kRecordHeadBytes > len) return Outcome::fmt_counts;
    const uint32_t rdata_bytes = load_be16(msg + head + 8);
    if (head + kRecordHeadBytes + rdata_bytes > len) return Outcome::fmt_rdlen;
    const bool additional = i >= before_additional;
    const uint16_t record_type = load_be16(msg + head);
    if (record_type == type::opt) {
      const Outcome outcome = read_opt(msg, head, root_owner, additional, query, extras);
      if (outcome != kGoOn) return outcome;
    } else if (additional && (record_type == type::tsig || record_type == type::sig)) {
      extras.is_signed = true;
    }
    at = head + kRecordHeadBytes + rdata_bytes;
  }
  return kGoOn;
}

// Header rules that need the question and the OPT first, so that the error can show them.
Outcome check_header(const uint8_t* msg, const Query& query) noexcept {
  if ((msg[kDnsFlagsAt] & kBitTc) != 0) return Outcome::fmt_tc;
  const uint32_t ns_legal = query.qtype == type::ixfr ? 1 : 0;
  if (load_be16(msg + kDnsAnCountAt) != 0 || load_be16(msg + kDnsNsCountAt) > ns_legal) {
    return Outcome::fmt_an_ns;
  }
  return load_be16(msg + kDnsArCountAt) >= kRecordsMax ? Outcome::fmt_counts : kGoOn;
}

Outcome check_question(const uint8_t* msg, const Query& query) noexcept {
  const uint32_t class_at = kDnsHeaderBytes + query.qname_len + 2;
  if (load_be16(msg + class_at) != kClassIn) return Outcome::refused_class;
  switch (query.qtype) {
    case 0:
    case type::opt:
    case type::nxname:
    case type::tkey:
    case type::tsig:
      return Outcome::fmt_meta_type;
    case type::mailb:
    case type::maila:
      return Outcome::notimp;
    case type::axfr:
    case type::ixfr:
      return Outcome::refused_transfer;
    default:
      return kGoOn;
  }
}

void make_key(const uint8_t* msg, const Query& query, Key& key) noexcept {
  const uint32_t len = kKeyHeadBytes + query.qname_len;
  // Zeroes first: the name then covers all of the last block that is not tail.
  std::memset(key.bytes + ((len - 1) & ~31u), 0, 32);
  store_be16(key.bytes, query.qtype);
  key.bytes[2] = static_cast<uint8_t>((query.flag_do ? kKeyFlagDo : 0) |
                                      (query.flag_cd ? kKeyFlagCd : 0));
  key.bytes[3] = 0;
  fold_name(key.bytes + kKeyHeadBytes, msg + kDnsHeaderBytes, query.qname_len);
  key.len = static_cast<uint16_t>(len);
}

// A header that claims several questions in front of bytes that are not even one is not a sender's
// mistake but another protocol.
Outcome check_question_count(const uint8_t* msg, uint32_t len) noexcept {
  const uint16_t questions = load_be16(msg + kDnsQdCountAt);
  if (questions == 1) return kGoOn;
  uint32_t name_bytes;
  const bool plausible =
      len == kDnsHeaderBytes ||
      measure_name(msg, len, kDnsHeaderBytes, name_bytes) == NameFault::none;
  return plausible ? Outcome::fmt_qdcount : Outcome::drop_junk;
}

// Without a question only a cookie makes sense. Anything else gets a header and no more.
Outcome read_no_question(const uint8_t* msg, uint32_t len, Query& query, Extras& extras) noexcept {
  uint32_t at = kDnsHeaderBytes;
  Outcome outcome = read_records(msg, len, at, query, extras);
  if (outcome == kGoOn) outcome = check_header(msg, query);
  if (outcome == kGoOn && extras.has_cookie && !extras.is_signed) return Outcome::cookie_only;
  query.has_opt = false;
  query.flag_do = false;
  query.options_at = 0;
  query.udp_bytes_max = kUdpBytesWithoutOpt;
  return Outcome::fmt_qd0;
}

}  // namespace

Outcome parse_query(const uint8_t* msg, uint16_t len, Query& query, Key& key,
                    bool with_cookies, bool with_subnets) noexcept {
  if (len < kDnsHeaderBytes) return Outcome::drop_short;
  const uint8_t flags = msg[kDnsFlagsAt];
  if ((flags & kBitQr) != 0) return Outcome::drop_qr;

  const uint8_t more_flags = msg[kDnsFlagsAt + 1];
  query.qtype = 0;
  query.options_at = 0;
  query.udp_bytes_max = kUdpBytesWithoutOpt;
  query.qname_len = 0;
  query.opcode = flags >> kOpcodeShift & kOpcodeMask;
  query.has_opt = false;
  query.flag_do = false;
  query.flag_rd = (flags & kBitRd) != 0;
  query.flag_cd = (more_flags & kBitCd) != 0;
  query.flag_ad = (more_flags & kBitAd) != 0;
  query.trailing = false;
  if (query.opcode != 0) return Outcome::notimp;

  Extras extras{.with_cookies = with_cookies, .with_subnets = with_subnets};
  if (load_be16(msg + kDnsQdCountAt) == 0) return read_no_question(msg, len, query, extras);
  Outcome outcome = check_question_count(msg, len);
  if (outcome != kGoOn) return outcome;
  outcome = read_question(msg, len, query);
  if (outcome != kGoOn) return outcome;

  uint32_t at = kDnsHeaderBytes + query.qname_len + kQuestionTailBytes;
  outcome = read_records(msg, len, at, query, extras);
  if (outcome == kGoOn) outcome = check_header(msg, query);
  if (outcome != kGoOn) return outcome;
  query.trailing = at != len;
  if (extras.edns_version != 0) return Outcome::badvers;
  if (extras.is_signed) return Outcome::refused_signed;
  outcome = check_question(msg, query);
  if (outcome != kGoOn) return outcome;
  make_key(msg, query, key);
  return kGoOn;
}

}  // namespace millrace::wire
