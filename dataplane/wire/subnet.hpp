// SPDX-License-Identifier: Apache-2.0
#pragma once
// The first bits of a client's address, and the EDNS option that tells of them (RFC 7871).
//
//     0        2        4        6        7        8
//     +--------+--------+--------+--------+--------+-------------------------+
//     | 8      | length | FAMILY | SOURCE | SCOPE  | ADDRESS, of as many     |
//     |        |        | 1, 2   | bits   | bits   | octets as SOURCE takes  |
//     +--------+--------+--------+--------+--------+-------------------------+
//
// SOURCE says how much of the address is told; SCOPE, in an answer alone, for how much of it the
// answer was made.
//
// Threads: pure. Cost: read_scope walks the records of the message once. Failure: false; nothing is
// read outside the bytes that were given, whatever they are.
// Limits: of an IPv6 address the first 64 bits; more would name a single machine.

#include "dataplane/abi/abi_base.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/wire/dns_format.hpp"

#include <cstdint>

namespace millrace::wire {

inline constexpr uint8_t kSubnetIpv4 = 1, kSubnetIpv6 = 2;
inline constexpr uint32_t kSubnetHeadBytes = 4;  // FAMILY to SCOPE
inline constexpr uint32_t kSubnetBitsMax = 64;
inline constexpr uint32_t kSubnetBytesMax = kOptionHeadBytes + kSubnetHeadBytes + 16;

struct Subnet {
  uint64_t prefix;  // the first octet on top; zero behind `bits`
  uint8_t family;   // of the option; 0: there is none
  uint8_t bits;     // <= kSubnetBitsMax. With 0 the family is kSubnetIpv4, so that all are equal

  bool operator==(const Subnet&) const = default;
};

constexpr uint64_t subnet_mask(uint32_t bits) noexcept {
  return bits == 0 ? 0 : ~uint64_t{0} << (64 - bits);
}
constexpr uint32_t subnet_octets(uint32_t bits) noexcept {
  return (bits + 7) / 8;
}

// The same with at most `bits`.
constexpr Subnet cut(const Subnet& subnet, uint32_t bits) noexcept {
  if (bits >= subnet.bits) return subnet;
  return {subnet.prefix & subnet_mask(bits), bits == 0 ? kSubnetIpv4 : subnet.family,
          static_cast<uint8_t>(bits)};
}

constexpr bool contains(const Subnet& outer, const Subnet& inner) noexcept {
  return outer.family == inner.family && outer.bits <= inner.bits &&
         ((outer.prefix ^ inner.prefix) & subnet_mask(outer.bits)) == 0;
}

// All of an address, as far as the limit goes.
Subnet subnet_of(const abi::Address& address) noexcept;

// The data of a client's option. False: it cannot be (RFC 7871 section 6): a length that does not
// go with SOURCE, a family other than 1 and 2 (or, with SOURCE 0, 0), bits behind SOURCE, a SCOPE.
bool read_subnet(const uint8_t* data, uint32_t bytes, Subnet& subnet) noexcept;

// Adds the option to a query as write_upstream_query() makes it, of `len` octets, that has an OPT;
// answers its new length. At most kSubnetBytesMax octets more.
uint16_t add_subnet(uint8_t* msg, uint16_t len, const Key& key, const Subnet& subnet) noexcept;

// What an answer to a question with `asked` says that it is made for; 0 without the option. False:
// it is for somebody else, and so not ours (RFC 7871 section 7.3). Who told nothing may be told
// anything.
bool read_scope(const uint8_t* msg, uint16_t len, const Subnet& asked, uint8_t& scope) noexcept;

}  // namespace millrace::wire
