// SPDX-License-Identifier: Apache-2.0
#pragma once
// The Ethernet, IP and UDP headers of what millrace sends: turn_around and write_upstream_head of
// packet.hpp, and the short way of worker/plain_reply.hpp, are made of these, and nothing else.
//
// Headers are put together in registers and stored in wide pieces; their sums are made from the
// registers, never from bytes that were just written, which would wait for those stores.
//
// Threads: pure. Cost: about 40 instructions for IPv4.

#include <bit>
#include <cstdint>
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/frame.hpp"
#include "dataplane/base/checksum.hpp"
#include "dataplane/wire/eth_ip_udp.hpp"
#include "dataplane/wire/packet.hpp"

namespace millrace::wire::detail {

// Both ends of a packet, in memory order: what is loaded from one header can be stored to another.
struct Flow {
  uint64_t addresses[4];  // source, then target; IPv4: both in addresses[0]
  uint32_t ports;         // likewise
};

constexpr uint64_t in_memory_order(uint32_t value) noexcept { return __builtin_bswap32(value); }

inline void write_udp(uint8_t* udp, uint32_t ports, uint32_t udp_bytes,
                      uint16_t checksum) noexcept {
  const uint64_t head =
      ports | (in_memory_order(udp_bytes << 16) | uint64_t{checksum} << 16) << 32;
  std::memcpy(udp, &head, sizeof head);
}

// Type of service and identification are 0: see the policy in packet.hpp.
inline void write_ipv4(uint8_t* head, uint64_t addresses, uint32_t udp_bytes) noexcept {
  const uint64_t first = in_memory_order(0x4500'0000u + kIpv4Bytes + udp_bytes);
  const uint64_t second = in_memory_order(kIpv4DontFragment);
  const uint64_t third = in_memory_order(uint32_t{kHopsOut} << 24 | uint32_t{kProtocolUdp} << 16);
  const auto checksum = static_cast<uint16_t>(
      ~sum_fold((addresses & 0xffff'ffff) + (addresses >> 32) + first + (second + third)));
  const uint64_t front = first | second << 32;
  const auto back = static_cast<uint32_t>(third | uint64_t{checksum} << 16);
  std::memcpy(head, &front, sizeof front);
  std::memcpy(head + kIpv4TtlAt, &back, sizeof back);
  std::memcpy(head + kIpv4SourceAt, &addresses, sizeof addresses);
}

inline void write_ipv6(uint8_t* head, const uint64_t (&addresses)[4], uint32_t udp_bytes) noexcept {
  store_be32(head, 0x6000'0000u);
  store_be32(head + kIpv6PayloadAt,
             udp_bytes << 16 | uint32_t{kProtocolUdp} << 8 | uint32_t{kHopsOut});
  std::memcpy(head + kIpv6SourceAt, addresses, sizeof addresses);
}

// The header of the reply to the packet whose header, without options, stands there.
template <bool kV6>
[[gnu::always_inline]] inline void turn_ip(uint8_t* head, uint32_t udp_bytes) noexcept {
  if constexpr (kV6) {
    uint64_t addresses[4];
    std::memcpy(addresses, head + kIpv6TargetAt, kIpv6AddressBytes);
    std::memcpy(addresses + 2, head + kIpv6SourceAt, kIpv6AddressBytes);
    write_ipv6(head, addresses, udp_bytes);
  } else {
    write_ipv4(head, std::rotl(load_raw<uint64_t>(head + kIpv4SourceAt), 32), udp_bytes);
  }
}

// With the checksum made for a payload whose sum this is.
inline void write_ip_udp(uint8_t* l3, bool v6, const Flow& flow, uint16_t dns_len,
                         uint64_t dns_sum) noexcept {
  const uint32_t udp_bytes = kUdpBytes + dns_len;
  // The length counts twice: in the header and in the pseudo-header.
  uint64_t sum = sum_add(dns_sum, flow.ports + 2 * in_memory_order(udp_bytes << 16) +
                                      in_memory_order(kProtocolUdp));
  for (uint32_t i = 0; i < (v6 ? 4u : 1u); ++i) sum = sum_add(sum, flow.addresses[i]);
  if (v6) {
    write_ipv6(l3, flow.addresses, udp_bytes);
  } else {
    write_ipv4(l3, flow.addresses[0], udp_bytes);
  }
  write_udp(l3 + (v6 ? kIpv6Bytes : kIpv4Bytes), flow.ports, udp_bytes, udp_checksum_from(sum));
}

inline uint32_t ip_udp_bytes(bool v6) noexcept {
  return (v6 ? kIpv6Bytes : kIpv4Bytes) + kUdpBytes;
}

inline void swap_macs(uint8_t* eth) noexcept {
  const auto target = load_raw<uint32_t>(eth);
  const auto target_end = load_raw<uint16_t>(eth + 4);
  const auto source = load_raw<uint32_t>(eth + kMacBytes);
  const auto source_end = load_raw<uint16_t>(eth + kMacBytes + 4);
  std::memcpy(eth, &source, sizeof source);
  std::memcpy(eth + 4, &source_end, sizeof source_end);
  std::memcpy(eth + kMacBytes, &target, sizeof target);
  std::memcpy(eth + kMacBytes + 4, &target_end, sizeof target_end);
}

// The flow of the reply to this packet.
inline Flow reversed_flow(const Frame& frame, const Packet& packet) noexcept {
  Flow flow;
  const uint8_t* head = frame.data + packet.l3_off;
  flow.ports = std::rotl(load_raw<uint32_t>(frame.data + packet.l4_off), 16);
  if (packet.v6) {
    std::memcpy(flow.addresses, head + kIpv6TargetAt, kIpv6AddressBytes);
    std::memcpy(flow.addresses + 2, head + kIpv6SourceAt, kIpv6AddressBytes);
  } else {
    flow.addresses[0] = std::rotl(load_raw<uint64_t>(head + kIpv4SourceAt), 32);
  }
  return flow;
}

}  // namespace millrace::wire::detail
