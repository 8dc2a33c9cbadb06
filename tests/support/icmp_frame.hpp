// SPDX-License-Identifier: Apache-2.0
#pragma once
// ICMP and ICMPv6 errors for tests.

#include "tests/support/packet_builder.hpp"

#include <algorithm>
#include <string_view>

namespace millrace::test {

// What stands behind the Ethernet header (and tag) of a frame, `bytes` of it at most.
inline Bytes quote_of(const Bytes& frame, std::size_t bytes = 548) {
  const std::size_t l3 = frame.at(12) == 0x81 ? 18 : 14;
  return Bytes(frame.begin() + static_cast<std::ptrdiff_t>(l3),
               frame.begin() + static_cast<std::ptrdiff_t>(std::min(frame.size(), l3 + bytes)));
}

// The eight octets of the ICMP header take the place of the UDP header.
inline FrameBuilder icmp_error(std::string_view from, std::string_view to, uint8_t type,
                               uint8_t code, const Bytes& quote) {
  const abi::Address ends[2] = {address_of(from), address_of(to)};
  const bool v6 = ends[0].family == 6;
  Bytes summed = {type, code, 0, 0, 0, 0, 0, 0};
  summed.insert(summed.end(), quote.begin(), quote.end());
  const std::size_t bytes = summed.size();
  if (bytes % 2 != 0) summed.push_back(0);
  if (v6) {
    for (const abi::Address& end : ends) summed.insert(summed.end(), end.bytes, end.bytes + 16);
    summed.insert(summed.end(), {static_cast<uint8_t>(bytes >> 8), static_cast<uint8_t>(bytes),
                                 0, 58});
  }
  uint32_t sum = 0;
  for (std::size_t i = 0; i < summed.size(); i += 2) sum += summed[i] << 8 | summed[i + 1];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return FrameBuilder()
      .from(from, static_cast<uint16_t>(type << 8 | code))
      .to(to, static_cast<uint16_t>(~sum))
      .udp_length(0)
      .udp_checksum(0)
      .protocol(v6 ? 58 : 1)
      .payload(quote);
}

}  // namespace millrace::test
