// SPDX-License-Identifier: Apache-2.0
#pragma once
// An ICMP or ICMPv6 error that says of one of our queries upstream that it did not arrive.
//
//     | IP, to us | ICMP 8: type, code, checksum | IP, as we sent it | UDP 8 | DNS: id, ...
//                                                '------- quote, cut anywhere behind UDP --'
//
// Anybody can send one, so it counts only with what the receiver of the query alone can know: the
// port, and the id or, where the quote ends in front of that, the UDP checksum.
//
// Only "destination unreachable" is read. What would lower a path MTU, "fragmentation needed" or
// "packet too big", is left alone: our queries are small, and a forged one would do harm.
//
// Threads: pure. Cost: a line or two of the frame, and the sum over it; off the path of a hit.
// Failure: false; no read past the packet. Sources: RFC 792, RFC 1122 section 3.2.2, RFC 4443.

#include "dataplane/wire/packet.hpp"

namespace millrace::wire {

struct IcmpError {
  abi::Address source;    // of the query: ours, with its port
  abi::Address target;    // whom it was for
  uint16_t udp_checksum;  // as it stands in the packet
  bool has_id;            // the quote reaches so far
  uint16_t id;
};

// `packet`: as classify() left it when it said pass_proto. False: no whole packet of this kind to
// one of our addresses that quotes a datagram from there and one of our upstream ports.
bool read_icmp_error(const Frame& frame, const Endpoints& endpoints, const Packet& packet,
                     IcmpError& error) noexcept;

}  // namespace millrace::wire
