// SPDX-License-Identifier: Apache-2.0
#include "dataplane/wire/packet_write.hpp"

#include <algorithm>

namespace millrace::wire {

bool turn_around(Frame& frame, const Packet& packet, uint16_t dns_len, uint64_t dns_sum) noexcept {
  const uint32_t dns_off = packet.l3_off + detail::ip_udp_bytes(packet.v6);
  if (std::max<uint32_t>(dns_off, packet.dns_off) + dns_len > frame.room) return false;

  const detail::Flow flow = detail::reversed_flow(frame, packet);
  if (dns_off != packet.dns_off) {
    // The query had IP options or extension headers; the reply has none.
    std::memmove(frame.data + dns_off, frame.data + packet.dns_off, dns_len);
  }
  detail::swap_macs(frame.data);
  detail::write_ip_udp(frame.data + packet.l3_off, packet.v6, flow, dns_len, dns_sum);
  frame.len = static_cast<uint16_t>(dns_off + dns_len);
  return true;
}

uint16_t upstream_head_bytes(const abi::NextHop& hop) noexcept {
  const uint32_t tag_bytes = hop.vlan_tci_be != 0 ? kVlanBytes : 0;
  const uint32_t ip_udp_bytes = detail::ip_udp_bytes(hop.source.family == 6);
  return static_cast<uint16_t>(kEthBytes + tag_bytes + ip_udp_bytes);
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
  detail::Flow flow;
  flow.ports = __builtin_bswap16(source_port) | uint32_t{target.port_be} << 16;
  const uint32_t address_bytes = v6 ? kIpv6AddressBytes : kIpv4AddressBytes;
  auto* addresses = reinterpret_cast<uint8_t*>(flow.addresses);
  std::memcpy(addresses, hop.source.bytes, address_bytes);
  std::memcpy(addresses + address_bytes, target.bytes, address_bytes);
  const uint64_t dns_sum = sum_bytes(frame.data + upstream_head_bytes(hop), dns_len);
  detail::write_ip_udp(at + 2, v6, flow, dns_len, dns_sum);
  frame.len = static_cast<uint16_t>(upstream_head_bytes(hop) + dns_len);
  frame.port = hop.port;
}

}  // namespace millrace::wire
