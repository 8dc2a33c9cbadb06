// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/eth_ip_udp.hpp"
#include "dataplane/wire/packet.hpp"

namespace millrace::wire {
namespace {

struct Flow {
  const uint8_t* source;
  const uint8_t* target;
  uint16_t source_port;
  uint16_t target_port;
};

// Type of service and identification are 0: see the policy in packet.hpp.
void write_ipv4(uint8_t* head, const Flow& flow, uint32_t payload_bytes) noexcept {
  store_be32(head, 0x4500'0000u + kIpv4Bytes + payload_bytes);
  store_be32(head + 4, kIpv4DontFragment);
  store_be32(head + kIpv4TtlAt, uint32_t{kHopsOut} << 24 | uint32_t{kProtocolUdp} << 16);
  std::memcpy(head + kIpv4SourceAt, flow.source, kIpv4AddressBytes);
  std::memcpy(head + kIpv4TargetAt, flow.target, kIpv4AddressBytes);
  const uint16_t checksum = static_cast<uint16_t>(~sum_fold(sum_bytes(head, kIpv4Bytes)));
  std::memcpy(head + kIpv4ChecksumAt, &checksum, sizeof checksum);
}

void write_ipv6(uint8_t* head, const Flow& flow, uint32_t payload_bytes) noexcept {
  store_be32(head, 0x6000'0000u);
  store_be16(head + kIpv6PayloadAt, static_cast<uint16_t>(payload_bytes));
  head[kIpv6NextAt] = kProtocolUdp;
  head[kIpv6HopsAt] = kHopsOut;
  std::memcpy(head + kIpv6SourceAt, flow.source, kIpv6AddressBytes);
  std::memcpy(head + kIpv6TargetAt, flow.target, kIpv6AddressBytes);
}

// `addresses`: both of them, in a row, in the IP header that has been written.
void write_udp(uint8_t* udp, const Flow& flow, uint16_t dns_len, const uint8_t* addresses,
               uint32_t addresses_bytes) noexcept {
  const uint32_t udp_bytes = kUdpBytes + dns_len;
  store_be16(udp, flow.source_port);
  store_be16(udp + kUdpTargetAt, flow.target_port);
  store_be32(udp + kUdpLengthAt, udp_bytes << 16);
  uint8_t pseudo[4] = {0, kProtocolUdp};
  store_be16(pseudo + 2, static_cast<uint16_t>(udp_bytes));
  uint64_t sum = sum_bytes(pseudo, sizeof pseudo);
  sum = sum_bytes(addresses, addresses_bytes, sum);
  const uint16_t checksum = udp_checksum_from(sum_bytes(udp, udp_bytes, sum));
  std::memcpy(udp + kUdpChecksumAt, &checksum, sizeof checksum);
}

void write_ip_udp(uint8_t* l3, bool v6, const Flow& flow, uint16_t dns_len) noexcept {
  if (v6) {
    write_ipv6(l3, flow, kUdpBytes + dns_len);
    write_udp(l3 + kIpv6Bytes, flow, dns_len, l3 + kIpv6SourceAt, 2 * kIpv6AddressBytes);
  } else {
    write_ipv4(l3, flow, kUdpBytes + dns_len);
    write_udp(l3 + kIpv4Bytes, flow, dns_len, l3 + kIpv4SourceAt, 2 * kIpv4AddressBytes);
  }
}

uint32_t ip_udp_bytes(bool v6) noexcept { return (v6 ? kIpv6Bytes : kIpv4Bytes) + kUdpBytes; }

void swap_macs(uint8_t* eth) noexcept {
  uint8_t target[kMacBytes];
  std::memcpy(target, eth, kMacBytes);
  std::memmove(eth, eth + kMacBytes, kMacBytes);
  std::memcpy(eth + kMacBytes, target, kMacBytes);
}

}  // namespace

bool turn_around(Frame& frame, const Packet& packet, uint16_t dns_len) noexcept {
  const uint32_t dns_off = packet.l3_off + ip_udp_bytes(packet.v6);
  if (std::max<uint32_t>(dns_off, packet.dns_off) + dns_len > frame.room) return false;

  const abi::Address client = source_of(frame, packet);
  const abi::Address service = destination_of(frame, packet);
  if (dns_off != packet.dns_off) {
    // The query had IP options or extension headers; the reply has none.
    std::memmove(frame.data + dns_off, frame.data + packet.dns_off, dns_len);
  }
  swap_macs(frame.data);
  const Flow flow{service.bytes, client.bytes, __builtin_bswap16(service.port_be),
                  __builtin_bswap16(client.port_be)};
  write_ip_udp(frame.data + packet.l3_off, packet.v6, flow, dns_len);
  frame.len = static_cast<uint16_t>(dns_off + dns_len);
  return true;
}

uint16_t upstream_head_bytes(const abi::NextHop& hop) noexcept {
  const uint32_t tag_bytes = hop.vlan_tci_be != 0 ? kVlanBytes : 0;
  return static_cast<uint16_t>(kEthBytes + tag_bytes + ip_udp_bytes(hop.source.family == 6));
}

void write_upstream_head(Frame& frame, const abi::NextHop& hop, const abi::Address& target,
                         uint16_t source_port, uint16_t dns_len) noexcept {
  const bool v6 = hop.source.family == 6;
  uint8_t* at = frame.data;
  std::memcpy(at, hop.target_mac, kMacBytes);
  std::memcpy(at + kMacBytes, hop.source_mac, kMacBytes);
  at += kEthTypeAt;
  if (hop.vlan_tci_be != 0) {
    store_be16(at, kEthTypeVlan);
    std::memcpy(at + 2, &hop.vlan_tci_be, sizeof hop.vlan_tci_be);
    at += kVlanBytes;
  }
  store_be16(at, v6 ? kEthTypeIpv6 : kEthTypeIpv4);
  const Flow flow{hop.source.bytes, target.bytes, source_port, __builtin_bswap16(target.port_be)};
  write_ip_udp(at + 2, v6, flow, dns_len);
  frame.len = static_cast<uint16_t>(upstream_head_bytes(hop) + dns_len);
  frame.port = hop.port;
}

}  // namespace millrace::wire
