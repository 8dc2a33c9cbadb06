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
    uint8_t packet_cache;  // of the pool
  };
  uint32_t service_cnt = 0;
  Service service[abi::kBindsMax];
  uint32_t source_cnt = 0;
  abi::Address source[abi::kBackendsMax];  // our addresses towards upstreams, without repeats
  uint16_t upstream_port_first = 0;        // [first, end), host order
  uint16_t upstream_port_end = 0;

  // Of a tag's 16 bits, those that name the VLAN; a priority tag has VLAN 0.
  static constexpr uint16_t kVlanMask = 0xfff;
  void add_vlan(uint16_t tci) noexcept {
    vlan[(tci & kVlanMask) / 32] |= uint32_t{1} << tci % 32;
  }
  bool has_vlan(uint16_t tci) const noexcept {
    return (vlan[(tci & kVlanMask) / 32] >> tci % 32 & 1) != 0;
  }

  // --- derived from the above by index(), for plain_query.hpp; without it nothing is plain
  static constexpr uint32_t kNoService = abi::kBindsMax;
  struct Plain4 {
    uint64_t target;  // address, and port in the top two octets
    uint32_t service;
  };
  struct Plain6 {
    uint64_t high, low;
    uint16_t port_be;
    uint8_t service;
  };

  static constexpr uint64_t kTargetMask4 = 0xffff'0000'ffff'ffff;
  static constexpr uint64_t kNoTarget4 = ~uint64_t{0};  // has octets that the mask clears

  void index() noexcept;

  // The service at an IPv4 target address and port. `back`: the eight octets from that address on,
  // the two source port octets among them.
  uint32_t plain_service4(uint64_t back) const noexcept {
    back &= kTargetMask4;
    if (back == plain4[0].target) [[likely]] return plain4[0].service;
    for (uint32_t i = 1; i < plain4_cnt; ++i) {
      if (back == plain4[i].target) return plain4[i].service;
    }
    return kNoService;
  }
  uint32_t plain_service6(uint64_t high, uint64_t low, uint16_t port_be) const noexcept {
    for (uint32_t i = 0; i < plain6_cnt; ++i) {
      const Plain6& at = plain6[i];
      if (low == at.low && high == at.high && port_be == at.port_be) return at.service;
    }
    return kNoService;
  }
  // False: the address (its octets as loaded; IPv4: in `high`) is none of ours.
  bool may_own(uint64_t high, uint64_t low) const noexcept {
    const uint32_t bit = own_bit(high, low);
    return (own_filter[bit / 64] >> bit % 64 & 1) != 0;
  }

  static uint32_t own_bit(uint64_t high, uint64_t low) noexcept {
    return static_cast<uint32_t>((high ^ (low << 1)) * 0x9e37'79b9'7f4a'7c15u >> 54);
  }
  uint32_t plain4_cnt = 0;
  uint32_t plain6_cnt = 0;
  uint64_t own_filter[16] = {};  // bit own_bit() of each address of ours
  Plain4 plain4[abi::kBindsMax] = {{kNoTarget4, kNoService}};
  Plain6 plain6[abi::kBindsMax];
  uint32_t vlan[abi::kVlanWords] = {};  // whose tagged frames are taken; as in the config image
};

enum class Kind : uint8_t {
  query,     // to a service address and port
  upstream,  // to one of our upstream source addresses and ports
  finished,  // `outcome` says how it ended
};

// Sources that no reply may be sent to (RFC 1122 section 3.2.1.3, RFC 6890).
inline bool is_martian_ipv4(const uint8_t* source) noexcept {
  return source[0] == 0 || source[0] == 127 || source[0] >= 224;
}

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

// The checks in their order; the first that fails names the outcome.
//
//   Ethernet   too short: drop_l2 · a VLAN that is none of ours, second tag, QinQ, MPLS, PPPoE:
//              drop_vlan · other: pass_l2
//              destination is a group: pass_addr
//   IP header  too short: drop_l2 · version, lengths, IHL: drop_iphdr · IPv4 checksum: drop_csum
//              not UDP: pass_proto · destination is none of our addresses: pass_addr
//   ours       fragment (atomic ones too): drop_frag · source route: drop_ipopt
//              IPv6 headers other than Hop-by-Hop and Destination Options (4 of them, 128
//              octets): drop_v6ext
//   UDP        cut short: drop_udplen · port is none of ours: pass_addr · length: drop_udplen
//   source     drop_martian (a group MAC, too) · drop_land · drop_self
//              queries only: drop_sport0 · drop_sport_low (below 1024, not 53)
//   UDP sum    drop_csum; 0 is "none" on IPv4 and an error on IPv6
//
// `packet` is meaningful when the kind is not `finished`.
Classified classify(const Frame& frame, const Endpoints& endpoints, Packet& packet) noexcept;

// The two ends of a received packet, as they stand in it.
abi::Address source_of(const Frame& frame, const Packet& packet) noexcept;
abi::Address destination_of(const Frame& frame, const Packet& packet) noexcept;

inline uint16_t destination_port(const Frame& frame, const Packet& packet) noexcept {
  return load_be16(frame.data + packet.l4_off + 2);
}

// Turns a query's frame into the frame of its reply: MACs, addresses and ports swapped (the tag
// stays: the reply leaves the way the query came), lengths and checksums made for `dns_len` bytes
// of payload that already stand at packet.dns_off and whose checksum.hpp sum is `dns_sum`. The
// reply has no IPv4 options and no extension headers; if the query had some, the payload moves
// down, and packet.dns_off no longer holds. Returns false, with the frame as it was, if the reply
// does not fit in frame.room.
//
// Policy of both writers: TTL or hop limit 64, DF set (we never send fragments), identification 0
// (RFC 6864: atomic datagrams need none), type of service, traffic class and flow label 0 whatever
// the client sent (a client does not choose our priority), UDP checksum always present.
bool turn_around(Frame& frame, const Packet& packet, uint16_t dns_len, uint64_t dns_sum) noexcept;

// Room needed in front of an upstream query's DNS message.
uint16_t upstream_head_bytes(const abi::NextHop& hop) noexcept;

// Writes Ethernet, IP and UDP headers for a DNS message of `dns_len` bytes that already stands at
// frame.data + upstream_head_bytes(hop), and sets frame.len and frame.port.
void write_upstream_head(Frame& frame, const abi::NextHop& hop, const abi::Address& target,
                         uint16_t source_port, uint16_t dns_len) noexcept;

}  // namespace millrace::wire
