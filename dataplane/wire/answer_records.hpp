// SPDX-License-Identifier: Apache-2.0
#pragma once
// The records of an upstream answer, read once and noted for the later steps of parse_answer.
//
// Reading proves the structure: every owner, and every name inside RDATA of a type that has names,
// is a name by the rules of dns_name.hpp; every RDLENGTH stays inside the message and agrees with
// the type where the type fixes it (RFC 9267). What only some types may be (class, cacheable or
// not) is noted, not judged.
//
// Threads: pure, on the caller's memory. Cost: linear in the message. Records in a row whose owners
// are the same pointer share one decompression, and all decompressions together are bounded: a name
// of 2 octets may stand for 255, and a message has room for thousands of them. Limits:
// kOwnerBytesMax: as much as 4096 addresses need, each with an owner of its own of 32 octets. A
// message of 4 KiB cannot reach it; 64 KiB at the limit take about three times as long as others.

#include <cstdint>

#include "dataplane/wire/dns_format.hpp"
#include "dataplane/wire/dns_name.hpp"

namespace millrace::wire {

enum class Section : uint8_t { answer, authority, additional };

struct Record {
  uint64_t owner_hash;    // of the folded name
  uint32_t ttl_s;
  uint16_t start;         // offsets count from the start of the message
  uint16_t owner_at;
  uint16_t ttl_at;
  uint16_t rdata_at;
  uint16_t rdata_bytes;
  uint16_t type;
  uint16_t covered_type;  // RRSIG: the type that it signs; else `type`
  uint16_t cls;
  Section section;
};

inline constexpr uint32_t kRecordsMax = 65'535 / kRecordBytesMin;
inline constexpr uint32_t kOwnerBytesMax = 4096 * 32;  // decompressed, of all owners

struct Records {
  explicit Records(Record* memory) noexcept : record(memory) {}

  uint32_t cnt = 0;
  uint32_t end = 0;               // of the last record
  uint32_t cut_at = 0;            // first OPT, TSIG or SIG(0) of the additional section; 0: none
  bool has_opt = false;
  uint16_t options_at = 0;        // the RDATA of OPT
  uint16_t options_bytes = 0;
  bool is_signed = false;         // TSIG or SIG(0)
  uint8_t extended_rcode = 0;     // bits 4..11 of the RCODE, from OPT
  Record* record;                 // [kRecordsMax]; without OPT, TSIG and SIG(0)
};

// Reads `counts` records from msg[at]. False: the message is malformed. `names` knows the question.
bool read_records(const uint8_t* msg, uint32_t len, uint32_t at, NameMap& names,
                  Records& records) noexcept;

}  // namespace millrace::wire
