// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/local_answers.hpp"

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/check.hpp"
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/wire/dns_name.hpp"

#include <cstring>
#include <string_view>

namespace millrace::dp {
namespace {

using abi::LocalKind;
namespace type = wire::type;

constexpr uint16_t kPointer = 0xc000;

}  // namespace

uint8_t* LocalAnswers::add(uint16_t owner_at, uint16_t type, uint16_t rdata_bytes) noexcept {
  return add(owner_at, {type, wire::kClassIn, kTtlS}, rdata_bytes);
}

// Appends a record whose owner stands in the message already; answers where its data goes.
uint8_t* LocalAnswers::add(uint16_t owner_at, const Head& head, uint16_t rdata_bytes) noexcept {
  uint8_t* const to = body_ + view_.body_bytes;
  MR_CHECK(view_.ttl_cnt < kRecordsMax && view_.body_bytes + 12u + rdata_bytes <= sizeof body_);
  store_be16(to, static_cast<uint16_t>(kPointer | owner_at));
  store_be16(to + 2, head.type);
  store_be16(to + 4, head.cls);
  store_be32(to + 6, head.ttl_s);
  store_be16(to + 10, rdata_bytes);
  ttl_offsets_[view_.ttl_cnt++] = static_cast<uint16_t>(view_.body_bytes + 6);
  view_.body_bytes = static_cast<uint16_t>(view_.body_bytes + 12 + rdata_bytes);
  return to + 12;
}

// The SOA of RFC 6303 section 3: <zone> nobody.invalid. 1 3600 1200 604800 10800
void LocalAnswers::add_soa(uint16_t zone_at) noexcept {
  static constexpr uint8_t kMailbox[] = "\6nobody\7invalid";  // the root label is its closing NUL
  static constexpr uint32_t kNumbers[] = {1, 3600, 1200, 604800, kTtlS};
  uint8_t* to = add(zone_at, type::soa, 2 + sizeof kMailbox + sizeof kNumbers);
  store_be16(to, static_cast<uint16_t>(kPointer | zone_at));
  std::memcpy(to + 2, kMailbox, sizeof kMailbox);
  to += 2 + sizeof kMailbox;
  for (const uint32_t number : kNumbers) {
    store_be32(to, number);
    to += sizeof number;
  }
}

void LocalAnswers::add_loopback(bool v6) noexcept {
  static constexpr uint8_t kV4[4] = {127, 0, 0, 1};
  static constexpr uint8_t kV6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  if (v6) {
    std::memcpy(add(wire::kDnsHeaderBytes, type::aaaa, sizeof kV6), kV6, sizeof kV6);
  } else {
    std::memcpy(add(wire::kDnsHeaderBytes, type::a, sizeof kV4), kV4, sizeof kV4);
  }
}

// What the own name of an empty zone has.
void LocalAnswers::add_zone_data(uint16_t zone_at, uint16_t qtype) noexcept {
  if (qtype == type::soa || qtype == type::any) {
    add_soa(zone_at);
  } else if (qtype == type::ns) {
    store_be16(add(zone_at, type::ns, 2), static_cast<uint16_t>(kPointer | zone_at));
  }
}

bool LocalAnswers::find(const wire::Query& query, const Key& key, AnswerView& answer) noexcept {
  LocalZones::Match zone;
  if (!zones_.find(key.bytes + kKeyHeadBytes, zone)) return false;
  if (zone.kind == LocalKind::elsewhere) return false;
  const bool is_apex = zone.at == 0;
  if (zone.kind == LocalKind::empty && is_apex && query.qtype == type::ds) return false;

  view_ = {};
  const auto zone_at = static_cast<uint16_t>(wire::kDnsHeaderBytes + zone.at);
  const uint16_t qtype = query.qtype;
  if (zone.kind == LocalKind::loopback) {
    if (qtype == type::a || qtype == type::any) add_loopback(false);
    if (qtype == type::aaaa) add_loopback(true);
  } else if (zone.kind == LocalKind::empty && is_apex) {
    add_zone_data(zone_at, qtype);
  }
  view_.an_cnt = view_.ttl_cnt;
  view_.an_end = view_.body_bytes;
  if (view_.an_cnt == 0) {
    add_soa(zone_at);
    view_.ns_cnt = 1;
    view_.negative = true;
    const bool exists = zone.kind == LocalKind::loopback || zone.kind == LocalKind::nodata ||
                        (zone.kind == LocalKind::empty && is_apex);
    view_.rcode = exists ? wire::rcode::noerror : wire::rcode::nxdomain;
  }
  view_.authoritative = true;
  finish(answer);
  return true;
}

void LocalAnswers::finish(AnswerView& answer) noexcept {
  view_.ns_end = view_.body_bytes;
  view_.body = body_;
  view_.ttl_offsets = ttl_offsets_;
  answer = view_;
}

bool LocalAnswers::find_identity(const uint8_t* msg, const wire::Query& query,
                                 AnswerView& answer) noexcept {
  static constexpr std::string_view kVersion[] = {{"\7version\4bind", 14},
                                                  {"\7version\6server", 16}};
  static constexpr std::string_view kIdentity[] = {{"\2id\6server", 11}, {"\10hostname\4bind", 15}};
  constexpr uint32_t kLongest = 16;
  const uint32_t class_at = wire::kDnsHeaderBytes + query.qname_len + 2u;
  if (query.qname_len > kLongest || query.qtype != type::txt ||
      load_be16(msg + class_at) != wire::kClassCh) {
    return false;
  }
  uint8_t folded[kLongest];
  wire::fold_name(folded, msg + wire::kDnsHeaderBytes, query.qname_len);
  const std::string_view name(reinterpret_cast<const char*>(folded), query.qname_len);
  const char* text = "";
  if (name == kVersion[0] || name == kVersion[1]) text = config_.version;
  if (name == kIdentity[0] || name == kIdentity[1]) text = config_.identity;
  const std::size_t bytes = strnlen(text, abi::kNameMax);
  if (bytes == 0) return false;
  view_ = {};
  uint8_t* const to =
      add(wire::kDnsHeaderBytes, {type::txt, wire::kClassCh, 0}, static_cast<uint16_t>(1 + bytes));
  to[0] = static_cast<uint8_t>(bytes);
  std::memcpy(to + 1, text, bytes);
  view_.an_cnt = 1;
  view_.an_end = view_.body_bytes;
  view_.authoritative = true;
  finish(answer);
  return true;
}

void LocalAnswers::answer_any(AnswerView& answer) noexcept {
  static constexpr uint8_t kWhy[] = "\7RFC8482";  // its closing NUL is the empty second text
  view_ = {};
  std::memcpy(add(wire::kDnsHeaderBytes, {type::hinfo, wire::kClassIn, kAnyTtlS}, sizeof kWhy),
              kWhy, sizeof kWhy);
  view_.an_cnt = 1;
  view_.an_end = view_.body_bytes;
  finish(answer);
}

}  // namespace millrace::dp
