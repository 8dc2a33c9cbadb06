// SPDX-License-Identifier: Apache-2.0
#include "dataplane/wire/answer_records.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/base/byte_order.hpp"

namespace millrace::wire {
namespace {

static_assert(4096 / kRecordBytesMin * kNameBytesMax < kOwnerBytesMax);

// Where the names of a type's RDATA stand: `before` octets, then `names` names, then `after` octets
// (kAny: as many as there are).
struct RdataShape {
  uint16_t before;
  uint8_t names;
  uint16_t after;
};

constexpr uint16_t kAny = 0xffff;

RdataShape shape_of(uint16_t record_type) noexcept {
  switch (record_type) {
    case type::a:
      return {4, 0, 0};
    case type::aaaa:
      return {16, 0, 0};
    case type::ns:
    case type::md:
    case type::mf:
    case type::cname:
    case type::mb:
    case type::mg:
    case type::mr:
    case type::ptr:
    case type::dname:
      return {0, 1, 0};
    case type::soa:
      return {0, 2, 20};
    case type::minfo:
    case type::rp:
    case type::talink:
      return {0, 2, 0};
    case type::mx:
    case type::afsdb:
    case type::rt:
    case type::kx:
    case type::lp:
      return {2, 1, 0};
    case type::px:
      return {2, 2, 0};
    case type::srv:
      return {6, 1, 0};
    case type::svcb:
    case type::https:
      return {2, 1, kAny};
    case type::sig:
    case type::rrsig:
      return {18, 1, kAny};
    case type::nxt:
    case type::nsec:
      return {0, 1, kAny};
    default:
      return {0, 0, kAny};
  }
}

// NAPTR has three strings in front of its name (RFC 3403 section 4.1). 0: cut short.
uint32_t naptr_before(const uint8_t* rdata, uint32_t bytes) noexcept {
  uint32_t at = 4;
  for (int i = 0; i < 3; ++i) {
    if (at >= bytes) return 0;
    at += 1u + rdata[at];
  }
  return at;
}

// Other servers compress against the names in here, and clients will follow them.
bool check_rdata(const uint8_t* msg, const Record& record, NameMap& names) noexcept {
  if (record.cls != kClassIn) return true;
  RdataShape shape = shape_of(record.type);
  if (record.type == type::naptr) {
    const uint32_t before = naptr_before(msg + record.rdata_at, record.rdata_bytes);
    if (before == 0) return false;
    shape = {static_cast<uint16_t>(before), 1, 0};
  }
  if (shape.before > record.rdata_bytes) return false;
  uint32_t at = record.rdata_at + shape.before;
  const uint32_t end = record.rdata_at + record.rdata_bytes;
  for (uint32_t i = 0; i < shape.names; ++i) {
    at = names.learn(at, end);
    if (at == 0) return false;
  }
  return shape.after == kAny || end - at == shape.after;
}

// The records that speak about the message, not about the name: they end the part that is kept.
enum class Transport : uint8_t { not_one, is_one, malformed };

Transport read_transport_record(const uint8_t* msg, const Record& record,
                                Records& records) noexcept {
  const bool is_opt = record.type == type::opt;
  const bool is_tsig = record.type == type::tsig;
  const bool is_sig0 = record.type == type::sig && record.rdata_bytes >= 2 &&
                       load_be16(msg + record.rdata_at) == 0;
  if (!is_opt && !is_tsig && !is_sig0) return Transport::not_one;
  if (record.section != Section::additional) return Transport::malformed;
  if (is_opt) {
    if (records.has_opt || msg[record.start] != 0) return Transport::malformed;
    records.has_opt = true;
    records.options_at = record.rdata_at;
    records.options_bytes = record.rdata_bytes;
    records.extended_rcode = static_cast<uint8_t>(record.ttl_s >> 24);
  } else {
    records.is_signed = true;
  }
  if (records.cut_at == 0) records.cut_at = record.start;
  return Transport::is_one;
}

// Reads the record at `at` and answers the offset behind it; 0: malformed.
uint32_t read_record(const uint8_t* msg, uint32_t len, uint32_t at, NameMap& names,
                     Record& record) noexcept {
  const uint32_t head = names.learn(at, len);
  if (head == 0 || head + kRecordHeadBytes > len) return 0;
  record.start = static_cast<uint16_t>(at);
  record.owner_at = static_cast<uint16_t>(names.first_label(at));
  record.type = load_be16(msg + head);
  record.cls = load_be16(msg + head + 2);
  record.ttl_at = static_cast<uint16_t>(head + 4);
  record.ttl_s = load_be32(msg + record.ttl_at);
  record.rdata_bytes = load_be16(msg + head + 8);
  record.rdata_at = static_cast<uint16_t>(head + kRecordHeadBytes);
  const uint32_t end = uint32_t{record.rdata_at} + record.rdata_bytes;
  if (end > len || !check_rdata(msg, record, names)) return 0;
  const bool is_signature = record.type == type::rrsig || record.type == type::sig;
  record.covered_type =
      is_signature && record.rdata_bytes >= 2 ? load_be16(msg + record.rdata_at) : record.type;
  return end;
}

}  // namespace

bool read_records(const uint8_t* msg, uint32_t len, uint32_t at, NameMap& names,
                  Records& records) noexcept {
  uint8_t owner[kNameBytesMax];
  uint32_t owner_bytes = 0;  // of all owners so far
  uint32_t last_owner_at = 0;
  uint64_t last_owner_hash = 0;
  for (uint32_t section = 0; section < 3; ++section) {
    const uint32_t cnt = load_be16(msg + kDnsAnCountAt + 2 * section);
    for (uint32_t i = 0; i < cnt; ++i) {
      // Every record takes its 11 octets of the message, so there is room for one more here.
      if (len - at < kRecordBytesMin) return false;
      Record& record = records.record[records.cnt];
      record.section = static_cast<Section>(section);
      at = read_record(msg, len, at, names, record);
      if (at == 0) return false;
      switch (read_transport_record(msg, record, records)) {
        case Transport::malformed:
          return false;
        case Transport::is_one:
          continue;
        case Transport::not_one:
          break;
      }
      if (record.owner_at != last_owner_at) {
        last_owner_at = record.owner_at;
        const uint32_t bytes = names.expand(last_owner_at, owner);
        owner_bytes += bytes;
        if (owner_bytes > kOwnerBytesMax) return false;
        last_owner_hash = XXH3_64bits(owner, bytes);
      }
      record.owner_hash = last_owner_hash;
      ++records.cnt;
    }
  }
  records.end = at;
  return true;
}

}  // namespace millrace::wire
