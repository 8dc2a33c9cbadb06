// SPDX-License-Identifier: Apache-2.0
#pragma once
// CLIENT-SUBNET in a run (A89), counted from RFC 7871 alone.
//
// A subnet is the data of the option: FAMILY (2 octets), SOURCE, SCOPE, ADDRESS. Where no answer is
// meant SCOPE is 0, and with SOURCE 0 the family is 1, so that equal subnets are equal octets. An
// empty one: there is none.

#include "dataplane/abi/abi_base.hpp"
#include "tests/sim/plan.hpp"
#include "tests/sim/random.hpp"
#include "tests/support/packet_reader.hpp"

#include <cstdint>
#include <string>

namespace millrace::sim {

using test::Bytes;

inline constexpr uint16_t kOptionSubnet = 8, kOptionCookie = 10;

// Only the near pool asks by subnet, so that the other shows what must not differ.
inline bool by_subnet(const Plan& plan, uint8_t view) {
  return plan.subnet_variants != 0 && view == 0;
}

// For the trace; nothing of none.
std::string text_of_subnet(const Bytes& subnet);

// The data of an option in a message; empty: it has none.
Bytes option_in(const test::ReadMessage& message, uint16_t code);

Bytes subnet_of(const abi::Address& address);
Bytes cut(Bytes subnet, uint32_t bits);
bool contains(const Bytes& outer, const Bytes& inner);

// What a client tells: its own subnet, another one, all or nothing of an address.
Bytes made_up_subnet(const abi::Address& client, Random& random);

// Who asks: what is told upstream, and by what answers are chosen.
struct SubnetAsker {
  Bytes asked;
  Bytes known;
};
SubnetAsker asker_of(const Plan& plan, const abi::Address& client, const Bytes& told);

// May an answer with this SCOPE to a question with `asked` be given to somebody else (section
// 7.3.1)?
bool holds_for(const Plan& plan, const Bytes& asked, uint8_t scope, const SubnetAsker& asker);

}  // namespace millrace::sim
