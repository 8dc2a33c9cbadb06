// SPDX-License-Identifier: Apache-2.0
#pragma once
// Names that say themselves what their answers look like: <label>.<shape>.mr.test, with as many
// labels in front as make the wanted length.

#include "tests/sim/random.hpp"
#include "tests/support/packet_builder.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::sim {

using test::Bytes;

enum class Shape : uint8_t {
  plain,   // one record
  many,    // a few records with unequal TTLs
  alias,   // a chain of CNAMEs in front
  large,   // fits a large buffer only
  opaque,  // RDATA of no known form, 0..300 octets
  ttl_zero,
  ttl_one,
  ttl_top_bit,  // 2^31 and above
  nxdomain,
  nodata,
  alias_nxdomain,
  bare_nxdomain,  // no SOA
  bare_nodata,
  wrong_soa,  // of a zone that the name is not in
  extra,      // NS and glue behind the answer
  opt_first,  // OPT in front of other additional records
  off_chain,  // an answer record that nobody asked for
  duplicate,  // a record twice
  truncated,  // TC=1
  // From here on a client is to get SERVFAIL.
  servfail,
  refused,
  notimp,
  odd_rcode,
  lame,         // a referral
  no_question,  // FORMERR without the question
  flaky,        // SERVFAIL every other time
  count_
};
inline constexpr uint32_t kShapes = static_cast<uint32_t>(Shape::count_);
inline bool fails(Shape shape) {
  return shape >= Shape::servfail;
}

// `bytes_wanted` 0: as short as it comes; at most 255.
Bytes make_name(std::string_view label, Shape shape, uint32_t bytes_wanted = 0);
Shape shape_of(const Bytes& name);
Bytes random_case(Bytes name, Random& random);
std::string text_of(const Bytes& name);

// Everything that makes one answer unfit for another question, in one string; and in front of that
// for whom it is asked.
std::string key_text(const Bytes& name, uint16_t type, bool flag_do, bool flag_cd, uint8_t view,
                     const Bytes& subnet = {});
// Without for whom.
std::string question_of(const std::string& key);

}  // namespace millrace::sim
