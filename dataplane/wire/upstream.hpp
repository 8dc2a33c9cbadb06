// SPDX-License-Identifier: Apache-2.0
#pragma once
// The upstream side: our own query, and what an answer may become.
//
// `parse_answer` is the gate of the cache. It accepts a message only whole, keeps what belongs to the
// question, and puts it in the form that entries have (base/answer_view.hpp): OPT removed, TTLs
// levelled within an RRset and capped, their offsets noted, sections bounded.
//
// Threads: pure on the caller's scratch. Cost: linear in the message. Failure: a Verdict.
// Sources: RFC 1035, 2181, 2308, 5452, 6891, 8767, 9267.

#include <cstdint>

#include "dataplane/abi/config_image.hpp"
#include "dataplane/abi/outcomes.hpp"
#include "dataplane/base/answer_view.hpp"
#include "dataplane/base/key.hpp"

namespace millrace::wire {

inline constexpr uint16_t kAnswerBytesMax = 4096;  // of a message that is parsed
inline constexpr uint16_t kAnswerTtlsMax = 512;

// Writes header, question and OPT at `msg`: RD=1, AD=1 (A15), CD as keyed, OPT with DO as keyed and
// no options. `qname` in the case to be sent. Returns the length; needs 12 + qname_len + 4 + 11 bytes.
uint16_t write_upstream_query(uint8_t* msg, uint16_t id, const uint8_t* qname, uint8_t qname_len,
                              uint16_t qtype, bool flag_do, bool flag_cd,
                              uint16_t edns_udp_bytes) noexcept;

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

struct AnswerScratch {
  uint8_t body[kAnswerBytesMax];
  uint16_t ttl_offsets[kAnswerTtlsMax];
};

struct ParsedAnswer {
  AnswerView view;      // points into the scratch
  bool cacheable;       // all of A21-A27, A45-A47 hold
  abi::Event skip;      // why not, when !cacheable (an ins_skip_* event)
  uint8_t rcode;        // with the extended bits of OPT: 0..4095 clipped to 255
};

// `key` names the question that was asked (type, folded name). `limits` are the packet cache's.
Verdict parse_answer(const uint8_t* msg, uint16_t len, const Key& key,
                     const abi::PacketCacheConfig& limits, AnswerScratch& scratch,
                     ParsedAnswer& parsed) noexcept;

}  // namespace millrace::wire
