// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a UDP payload to a Query: a view into the client's packet that is all the later stages need.
//
// `parse_query` walks the message once: header, question (lengths checked, case folded into the
// key), additional section (one OPT). It hashes nothing and looks nothing up.
//
// Threads: pure. Cost: each byte of the message is visited O(1) times. Failure: an Outcome whose
// reply write_error() knows how to make. Sources: RFC 1035, 6891, 9619, 8906, 7873.

#include <cstdint>

#include "dataplane/abi/outcomes.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/wire/packet.hpp"

namespace millrace::wire {

// Travels through rings with the Frame it points into.
struct Query {
  Packet packet;           // 10 bytes
  uint16_t qtype;
  uint16_t options_at;     // in the message: of an OPT that asks for options; 0: none does
  uint16_t udp_bytes_max;  // what the client takes: 512, or OPT's size if that is larger
  uint8_t qname_len;       // wire length, root label included; 0 if the question did not parse
  uint8_t pool;            // set by the worker
  uint8_t opcode;
  bool has_opt;        // an OPT was recognised, even if the query is in error
  bool flag_do;
  bool flag_cd;
  bool flag_rd;
  bool flag_ad;
  bool trailing;           // spare bytes after the message (counted, ignored)
};
static_assert(sizeof(Query) <= 24);

// `msg` is frame.data + packet.dns_off. Fills `query` (packet and pool excepted) as far as it got
// and, when the answer is kGoOn, `key` (packet_cache byte zero; hash not computed). Answers that
// are not kGoOn: fmt_*, notimp, badvers, refused_*, drop_short, drop_qr, drop_junk. With RD=0 it
// goes on: the policy is the worker's. Class other than IN ends in refused_class.
//
// Without a question: cookie_only if there is a COOKIE option (RFC 7873 section 5.4), else fmt_qd0.
// `with_cookies` false: COOKIE is an option like any unknown one (A82); so is CLIENT-SUBNET unless
// `with_subnets` (A88).
abi::Outcome parse_query(const uint8_t* msg, uint16_t len, Query& query, Key& key,
                         bool with_cookies = true, bool with_subnets = false) noexcept;

}  // namespace millrace::wire
