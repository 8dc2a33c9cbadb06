// SPDX-License-Identifier: Apache-2.0
#pragma once
// Does an answer section belong to its question?
//
// The first record stands at QNAME; a CNAME moves the current name to its target, a DNAME above the
// current name announces such a CNAME; records of QTYPE at the current name are the data. RRSIGs
// belong to what they sign. Anything else is off the chain (RFC 1034 section 3.6.2, 6672, 5452
// section 6): it is never cached, and relayed only if the config says so.
//
// Threads: pure. Cost: one hash compare per record, names are compared octet by octet only when the
// hashes agree and it is not the same place again. Limits: kAliasesMax, so that a loop of CNAMEs is
// just a chain that is too long; kDnamesMax, since each has to be compared.

#include <cstdint>

#include "dataplane/wire/answer_records.hpp"

namespace millrace::wire {

inline constexpr uint32_t kAliasesMax = 16;
inline constexpr uint32_t kDnamesMax = 4 * kAliasesMax;  // with their RRSIGs

// A folded, decompressed name.
struct FoldedName {
  uint64_t hash;
  uint32_t at;  // a place in the message where it is known to stand
  uint32_t bytes;
  uint8_t octets[kNameBytesMax];
};

struct Chain {
  FoldedName end;         // QNAME, or the target of the last CNAME
  uint32_t aliases = 0;
  bool has_data = false;  // records of QTYPE at `end`
  bool has_dname = false;
  bool broken = false;    // something is off the chain
  uint32_t stray_at = 0;  // the first record that is
  bool resumes = false;   // and behind that there is one that is not
};

// `qname` folded; records as read_records left them.
void follow_chain(const NameMap& names, const Records& records,
                  const uint8_t* qname, uint32_t qname_bytes, uint16_t qtype,
                  Chain& chain) noexcept;

// True if the learned name at `owner_at` is `name` or an ancestor of it.
bool is_self_or_ancestor(const NameMap& names, uint32_t owner_at, const FoldedName& name) noexcept;

}  // namespace millrace::wire
