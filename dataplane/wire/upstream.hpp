// SPDX-License-Identifier: Apache-2.0
#pragma once
// The upstream side: our own query, and what an answer may become.
//
// `parse_answer` is the gate of the cache. It accepts a message only whole, keeps what belongs to
// the question, and puts it in the form that entries have (base/answer_view.hpp): OPT removed, TTLs
// levelled within an RRset and capped, their offsets noted, sections bounded.
//
// A message may have any length: what is too large for an entry is read in the same way, since
// whoever waits for it gets it in the same form.
//
// Threads: pure on the caller's scratch. Memory: the scratch is about half a MiB, of which a
// message touches as much as it has octets and records. Cost: linear in the message but for two
// sorts of its records (answer_records.hpp and answer_chain.hpp bound what names may cost).
// Failure: a Verdict.
// Sources: RFC 1035, 2181, 2308, 5452, 6891, 8767, 9267.

#include <cstdint>

#include "dataplane/abi/config_image.hpp"
#include "dataplane/abi/outcomes.hpp"
#include "dataplane/base/answer_view.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/wire/answer_records.hpp"

namespace millrace::wire {

// Writes header, question and OPT at `msg`: RD=1, AD=1 (A15), DO and CD as keyed, no options; the
// name as the key has it. edns_udp_bytes 0: no OPT, and so no DO. Returns the length; needs the
// name's and 27 bytes more.
uint16_t write_upstream_query(uint8_t* msg, uint16_t id, const Key& key,
                              uint16_t edns_udp_bytes) noexcept;

// Adds an option to such a query, of `len` octets, that has an OPT; answers its new length. Needs
// `bytes` and 4 more.
uint16_t add_option(uint8_t* msg, uint16_t len, const Key& key, uint16_t code, const uint8_t* data,
                    uint16_t bytes) noexcept;

// First look, before anything is known: the checks that need no query of ours.
// Answers kGoOn, or up_drop_short / up_drop_qr / up_drop_opcode.
abi::Outcome check_answer_head(const uint8_t* msg, uint16_t len, uint16_t& id) noexcept;

enum class Verdict : uint8_t {
  answer,      // `view` may be sent to every client that waits
  failure,     // a valid refusal to answer: SERVFAIL, REFUSED, FORMERR, NOTIMP, odd RCODE, lame
  truncated,   // TC=1: clients get TC=1 and an empty answer; nothing is cached
  question,    // another question (up_drop_question): the query stays outstanding
  malformed,   // cannot be parsed (up_drop_malformed): the query stays outstanding
};

// A record in the order of the hashes of what it belongs to.
struct RankedRecord {
  uint64_t hash;
  uint32_t idx;
};

struct AnswerScratch {
  uint8_t body[65'535];
  uint16_t name_facts[65'535];  // of the NameMap
  uint16_t ttl_offsets[kRecordsMax];
  Record records[kRecordsMax];
  RankedRecord ranks[kRecordsMax];
};

struct ParsedAnswer {
  AnswerView view;      // points into the scratch
  bool cacheable;       // all of A21-A27, A45-A47 hold
  abi::Event skip;      // why not, when !cacheable (an ins_skip_* event)
  uint8_t rcode;        // with the extended bits of OPT: 0..4095 clipped to 255
  bool has_opt;         // the upstream speaks EDNS
  const uint8_t* cookie;  // its COOKIE option, in the message; null: none
  uint16_t cookie_bytes;
  bool has_signatures;  // RRSIGs are kept: the entry should end before they do, see below
  uint32_t signatures_expire_s;  // the earliest end of an RRSIG, seconds of Unix time modulo 2^32
};

// Ends an entry's life no later than its first signature, so that a validating client never gets
// one that has just run out (A42). Leaves 0 for an answer whose signatures are over: relay, do not
// cache.
inline void cap_lifetime_by_signatures(ParsedAnswer& parsed, uint32_t unix_now_s) noexcept {
  if (!parsed.has_signatures) return;
  // Serial arithmetic (RFC 4034 section 3.1.5): the sign of the difference is what counts.
  const int32_t left_s = static_cast<int32_t>(parsed.signatures_expire_s - unix_now_s);
  const uint32_t cap_s = left_s > 0 ? static_cast<uint32_t>(left_s) : 0;
  if (cap_s < parsed.view.lifetime_s) parsed.view.lifetime_s = cap_s;
  if (cap_s == 0 && parsed.cacheable) {
    parsed.cacheable = false;
    parsed.skip = abi::Event::ins_skip_ttl;
  }
}

// `key` names the question that was asked (type, folded name). `limits` are the packet cache's.
//
// Verdict::answer. The body is what stood behind the question, up to the first OPT or TSIG; records
// behind that are cut with it, since removing it alone would move what pointers point at. A
// positive answer whose authority section is NS only (and whose additional section is addresses
// only) ends behind its answer section: nobody asked for the rest, and forged rest is how caches
// get poisoned. Labels with which an owner name, or under a DNAME the target of a CNAME, begins as
// the question does are put into lower case: servers copy the question's spelling, which is another
// each time (spelling.hpp). TTLs: unsigned; capped at limits.ttl_s_max; the SOA of a negative
// answer at its own MINIMUM and at limits.negative_ttl_s_max; then every RRset together with its
// RRSIGs gets the lowest of its TTLs. lifetime_s: the lowest TTL of all records of the message, cut
// ones included (the message is one atom: RFC 4035 section 4.5), raised to limits.ttl_s_min, never
// above the cap of its kind.
//
//   not cacheable                                              skip
//   a record off the chain QNAME -> CNAME/DNAME -> QTYPE,      ins_skip_chain
//     more than 16 aliases, a record twice, NXDOMAIN with data
//   negative without exactly one SOA of the name or above      ins_skip_soa
//   class other than IN, a meta type, TSIG or SIG(0)           ins_skip_class
//   lowest TTL 0 or below limits.ttl_s_min_cacheable           ins_skip_ttl
//   header, question and body above limits.entry_bytes_max     ins_skip_size
//
// Records off the chain are in the view if limits.unrelated is `relay`. With `strip` the view ends
// in front of them: removing records from the middle would move what pointers point at. That needs
// data for the question, and that nothing of it stands behind them; otherwise, and always with
// `refuse`, the verdict is failure, and `skip` ins_skip_chain. Where it can be done, `relay` does
// as `strip` with a message behind which no OPT has room.
//
// Verdict::failure. RCODE other than NOERROR, NXDOMAIN, and YXDOMAIN with a DNAME; a referral; an
// empty NOERROR without RA and AA; unrelated records, as above. `view` is SERVFAIL with an empty
// body and lifetime_s = limits.failure_ttl_s, ready to be remembered as a failure; `rcode` tells
// what the upstream said. `skip` is ins_skip_rcode, or ins_skip_soa for the lame ones. QDCOUNT 0 is
// let pass here only.
//
// Verdict::truncated. TC: `skip` is ins_skip_tc. With the other verdicts `parsed` says nothing.
// `has_opt` and `cookie` are known with answer and failure.
Verdict parse_answer(const uint8_t* msg, uint16_t len, const Key& key,
                     const abi::PacketCacheConfig& limits, AnswerScratch& scratch,
                     ParsedAnswer& parsed) noexcept;

}  // namespace millrace::wire
