// SPDX-License-Identifier: Apache-2.0
#include "dataplane/wire/answer_chain.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

namespace millrace::wire {
namespace {

// The walk's state besides what the caller wants to know.
struct Walk {
  const NameMap& names;
  uint16_t qtype;
  FoldedName previous;  // the owner of the last CNAME; bytes 0: none
  uint32_t dnames = 0;  // so far, with their RRSIGs
};

bool owner_is(const NameMap& names, const Record& record, FoldedName& name) noexcept {
  if (name.bytes == 0 || record.owner_hash != name.hash) return false;
  if (record.owner_at == name.at) return true;
  uint8_t owner[kNameBytesMax];
  if (names.expand(record.owner_at, owner) != name.bytes ||
      std::memcmp(owner, name.octets, name.bytes) != 0) {
    return false;
  }
  name.at = record.owner_at;
  return true;
}

void follow_alias(Walk& walk, const Record& record, Chain& chain) noexcept {
  walk.previous = chain.end;
  chain.end.bytes = walk.names.expand(record.rdata_at, chain.end.octets);
  chain.end.hash = XXH3_64bits(chain.end.octets, chain.end.bytes);
  chain.end.at = walk.names.first_label(record.rdata_at);
  ++chain.aliases;
}

// False: the record is off the chain.
bool take_record(Walk& walk, const Record& record, Chain& chain) noexcept {
  if (record.cls != kClassIn) return false;
  if (owner_is(walk.names, record, chain.end)) {
    if (record.type == walk.qtype || walk.qtype == type::any) {
      chain.has_data = true;
      return true;
    }
    if (record.covered_type == walk.qtype) return true;
    if (record.covered_type != type::cname || chain.has_data) return false;
    if (record.type == type::cname) follow_alias(walk, record, chain);
    return chain.aliases <= kAliasesMax;
  }
  if (record.covered_type == type::cname && record.type != type::cname) {
    return owner_is(walk.names, record, walk.previous);
  }
  if (record.covered_type != type::dname || ++walk.dnames > kDnamesMax) return false;
  chain.has_dname |= record.type == type::dname;
  // Either before the CNAME that it announces or behind it. The name itself is not below it.
  const bool above_end = is_self_or_ancestor(walk.names, record.owner_at, chain.end);
  return above_end || (walk.previous.bytes != 0 &&
                       is_self_or_ancestor(walk.names, record.owner_at, walk.previous) &&
                       !owner_is(walk.names, record, walk.previous));
}

}  // namespace

bool is_self_or_ancestor(const NameMap& names, uint32_t owner_at,
                         const FoldedName& name) noexcept {
  uint8_t owner[kNameBytesMax];
  const uint32_t owner_bytes = names.expand(owner_at, owner);
  uint32_t at = 0;
  while (name.bytes - at > owner_bytes) at += 1u + name.octets[at];
  return name.bytes - at == owner_bytes && std::memcmp(name.octets + at, owner, owner_bytes) == 0;
}

void follow_chain(const NameMap& names, const Records& records,
                  const uint8_t* qname, uint32_t qname_bytes, uint16_t qtype,
                  Chain& chain) noexcept {
  chain.end.bytes = qname_bytes;
  std::memcpy(chain.end.octets, qname, qname_bytes);
  chain.end.hash = XXH3_64bits(qname, qname_bytes);
  chain.end.at = kDnsHeaderBytes;
  Walk walk{names, qtype, {}};
  walk.previous.bytes = 0;
  for (uint32_t i = 0; i < records.cnt && records.record[i].section == Section::answer; ++i) {
    if (take_record(walk, records.record[i], chain)) {
      chain.resumes |= chain.broken;
    } else if (!chain.broken) {
      chain.broken = true;
      chain.stray_at = records.record[i].start;
    }
    if (chain.aliases > kAliasesMax) return;
  }
}

}  // namespace millrace::wire
