// SPDX-License-Identifier: Apache-2.0
#pragma once
// From an Ethernet frame to a UDP payload, and back.
//
// `classify` does every L2-L4 check that table B of docs/behaviour.md asks for and says what the
// frame is; the writers make a frame that any checksum-verifying receiver accepts.
//
// Threads: pure functions on the caller's bytes. Cost: one or two lines of the frame; the checksum
// reads the payload once. Failure: an Outcome, never an abort; no read past `frame.len`.
//
// Sources: RFC 791, 8200, 768, 1071, 1122; IEEE 802.1Q (one tag).

#include <cstdint>

#include "dataplane/abi/outcomes.hpp"
#include "dataplane/abi/routes_image.hpp"
#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/frame.hpp"

namespace millrace::wire {

// "No outcome yet": the packet goes on to the next stage.
inline constexpr abi::Outcome kGoOn = abi::Outcome::count_;

// What is ours, derived once per snapshot from the config and the routes.
struct Endpoints {
  struct Service {
    abi::Address address;  // port_be as configured
    uint8_t pool;
  };
  uint32_t service_cnt = 0;
  Service service[abi::kBindsMax];
  uint32_t source_cnt = 0;
  abi::Address source[abi::kBackendsMax];  // our addresses towards upstreams, without repeats
  uint16_t upstream_port_first = 0;        // [first, end), host order
  uint16_t upstream_port_end = 0;
};

enum class Kind : uint8_t {
  query,     // to a service address and port
  upstream,  // to one of our upstream source addresses and ports
  finished,  // `outcome` says how it ended
};

// Offsets count from Frame::data.
struct Packet {
  uint16_t dns_off;
  uint16_t dns_len;  // UDP length - 8: the IP and UDP lengths rule, not the frame (A98)
  uint8_t l3_off;    // 14, or 18 behind one 802.1Q tag
  uint8_t l4_off;
  bool v6;
  uint8_t service;   // index into Endpoints::service, for Kind::query
};

struct Classified {
  Kind kind;
  abi::Outcome outcome;  // for Kind::finished
};

Classified classify(const Frame& frame, const Endpoints& endpoints, Packet& packet) noexcept;

// The two ends of a received packet, as they stand in it.
abi::Address source_of(const Frame& frame, const Packet& packet) noexcept;
abi::Address destination_of(const Frame& frame, const Packet& packet) noexcept;

inline uint16_t destination_port(const Frame& frame, const Packet& packet) noexcept {
  return load_be16(frame.data + packet.l4_off + 2);
}

// Turns a query's frame into the frame of its reply: MACs, addresses and ports swapped (the tag
// stays), hop limit 64, DF set, lengths and checksums made for `dns_len` bytes of payload that
// already stand at packet.dns_off. IPv4 options of the query, if any, must have been dropped by the
// caller's `packet` (classify accepts them; the reply is written with IHL 5, so the payload is moved
// if needed). Returns false, and the frame is unusable, if it does not fit in frame.room.
bool turn_around(Frame& frame, const Packet& packet, uint16_t dns_len) noexcept;

// Room needed in front of an upstream query's DNS message.
uint16_t upstream_head_bytes(const abi::NextHop& hop) noexcept;

// Writes Ethernet, IP and UDP headers for a DNS message of `dns_len` bytes that already stands at
// frame.data + upstream_head_bytes(hop), and sets frame.len and frame.port.
void write_upstream_head(Frame& frame, const abi::NextHop& hop, const abi::Address& target,
                         uint16_t source_port, uint16_t dns_len) noexcept;

}  // namespace millrace::wire
