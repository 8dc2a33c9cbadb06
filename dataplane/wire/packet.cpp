// SPDX-License-Identifier: Apache-2.0
#include "dataplane/wire/packet.hpp"

#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/checksum.hpp"
#include "dataplane/wire/eth_ip_udp.hpp"

namespace millrace::wire {
namespace {

using abi::Outcome;

// What the IP layer leaves to the checks that both families share.
struct IpView {
  const uint8_t* source;
  const uint8_t* target;
  uint32_t payload_bytes;  // from Packet::l4_off, as the IP length says
  uint64_t addresses_sum;  // of both addresses, for the pseudo-header
};

bool is_other_tag(uint16_t ether_type) noexcept {
  switch (ether_type) {
    case kEthTypeVlan:
    case kEthTypeQinq:
    case kEthTypeQinqOld:
    case kEthTypeMpls:
    case kEthTypeMplsMulticast:
    case kEthTypePppoe:
    case kEthTypePppoeDiscovery:
      return true;
    default:
      return false;
  }
}

Outcome read_ethernet(const Frame& frame, const Endpoints& endpoints, Packet& packet) noexcept {
  if (frame.len < kEthBytes) return Outcome::drop_l2;
  uint16_t ether_type = load_be16(frame.data + kEthTypeAt);
  packet.l3_off = kEthBytes;
  if (ether_type == kEthTypeVlan) {
    if (frame.len < kEthBytes + kVlanBytes) return Outcome::drop_l2;
    if (!endpoints.has_vlan(load_be16(frame.data + kEthBytes))) return Outcome::drop_vlan;
    ether_type = load_be16(frame.data + kEthTypeAt + kVlanBytes);
    packet.l3_off = kEthBytes + kVlanBytes;
  }
  if (ether_type == kEthTypeIpv4) {
    packet.v6 = false;
    return kGoOn;
  }
  if (ether_type == kEthTypeIpv6) {
    packet.v6 = true;
    return kGoOn;
  }
  return is_other_tag(ether_type) ? Outcome::drop_vlan : Outcome::pass_l2;
}

// RFC 791 section 3.1. Source routes are the only options that change who gets the reply.
Outcome check_ipv4_options(const uint8_t* at, uint32_t bytes) noexcept {
  while (bytes != 0) {
    const uint8_t option = at[0];
    if (option == kIpv4OptionEnd) return kGoOn;
    uint32_t option_bytes = 1;
    if (option != kIpv4OptionNop) {
      if (option == kIpv4OptionLooseRoute || option == kIpv4OptionStrictRoute) {
        return Outcome::drop_ipopt;
      }
      if (bytes < 2 || at[1] < 2 || at[1] > bytes) return Outcome::drop_iphdr;
      option_bytes = at[1];
    }
    at += option_bytes;
    bytes -= option_bytes;
  }
  return kGoOn;
}

Outcome read_ipv4(const Frame& frame, Packet& packet, IpView& ip) noexcept {
  const uint8_t* head = frame.data + packet.l3_off;
  const uint32_t room = frame.len - packet.l3_off;
  if (room < kIpv4Bytes) return Outcome::drop_l2;
  const uint32_t head_bytes = (head[0] & 0xfu) * 4;
  const uint32_t total = load_be16(head + kIpv4TotalAt);
  if (head[0] >> 4 != 4 || head_bytes < kIpv4Bytes || total < head_bytes || total > room) {
    return Outcome::drop_iphdr;
  }
  if (sum_fold(sum_bytes(head, head_bytes)) != 0xffff) return Outcome::drop_csum;
  packet.l4_off = static_cast<uint8_t>(packet.l3_off + head_bytes);
  ip.source = head + kIpv4SourceAt;
  ip.target = head + kIpv4TargetAt;
  ip.payload_bytes = total - head_bytes;
  ip.addresses_sum = sum_bytes(ip.source, 2 * kIpv4AddressBytes);
  return head[kIpv4ProtocolAt] == kProtocolUdp ? kGoOn : Outcome::pass_proto;
}

// What only matters once the packet is known to be for us.
Outcome check_ipv4_ours(const uint8_t* head) noexcept {
  if ((load_be16(head + kIpv4FragmentAt) & kIpv4FragmentMask) != 0) return Outcome::drop_frag;
  const uint32_t head_bytes = (head[0] & 0xfu) * 4;
  if (head_bytes == kIpv4Bytes) return kGoOn;
  return check_ipv4_options(head + kIpv4Bytes, head_bytes - kIpv4Bytes);
}

// RFC 8200 section 4.2: an option we do not know may be skipped only if its two top bits are 0.
// The Jumbo Payload option is not among those, so jumbograms end here.
bool ipv6_options_fit(const uint8_t* at, uint32_t bytes) noexcept {
  while (bytes != 0) {
    if (at[0] == 0) {  // Pad1
      ++at;
      --bytes;
      continue;
    }
    if (at[0] >> 6 != 0 || bytes < 2 || 2u + at[1] > bytes) return false;
    bytes -= 2u + at[1];
    at += 2u + at[1];
  }
  return true;
}

Outcome end_of_ipv6_chain(uint8_t next) noexcept {
  switch (next) {
    case kProtocolUdp:
      return kGoOn;
    case kProtocolFragment:
      return Outcome::drop_frag;
    case kProtocolHopByHop:
    case kProtocolRouting:
    case kProtocolEsp:
    case kProtocolAh:
    case kProtocolNoNext:
    case kProtocolDestOptions:
    case kProtocolMobility:
    case kProtocolHip:
    case kProtocolShim6:
    case 253:  // experiments, RFC 3692
    case 254:
      return Outcome::drop_v6ext;
    default:
      return Outcome::pass_proto;
  }
}

// Walks Hop-by-Hop (only in first place) and Destination Options up to the UDP header.
Outcome walk_ipv6_extensions(const Frame& frame, Packet& packet, IpView& ip) noexcept {
  const uint8_t* head = frame.data + packet.l3_off;
  uint8_t next = head[kIpv6NextAt];
  uint32_t walked = 0;
  for (uint32_t i = 0; i < kIpv6ExtensionsMax; ++i) {
    const bool followed = next == kProtocolDestOptions || (next == kProtocolHopByHop && i == 0);
    if (!followed) break;
    if (walked + 8 > ip.payload_bytes) return Outcome::drop_v6ext;
    const uint8_t* extension = head + kIpv6Bytes + walked;
    const uint32_t bytes = (extension[1] + 1u) * 8;
    if (walked + bytes > ip.payload_bytes || walked + bytes > kIpv6ExtensionBytesMax ||
        !ipv6_options_fit(extension + 2, bytes - 2)) {
      return Outcome::drop_v6ext;
    }
    next = extension[0];
    walked += bytes;
  }
  packet.l4_off = static_cast<uint8_t>(packet.l4_off + walked);
  ip.payload_bytes -= walked;
  return end_of_ipv6_chain(next);
}

Outcome read_ipv6(const Frame& frame, Packet& packet, IpView& ip) noexcept {
  const uint8_t* head = frame.data + packet.l3_off;
  const uint32_t room = frame.len - packet.l3_off;
  if (room < kIpv6Bytes) return Outcome::drop_l2;
  ip.payload_bytes = load_be16(head + kIpv6PayloadAt);
  if (head[0] >> 4 != 6 || kIpv6Bytes + ip.payload_bytes > room) return Outcome::drop_iphdr;
  packet.l4_off = static_cast<uint8_t>(packet.l3_off + kIpv6Bytes);
  ip.source = head + kIpv6SourceAt;
  ip.target = head + kIpv6TargetAt;
  ip.addresses_sum = sum_bytes(ip.source, 2 * kIpv6AddressBytes);
  const bool other_protocol = end_of_ipv6_chain(head[kIpv6NextAt]) == Outcome::pass_proto;
  return other_protocol ? Outcome::pass_proto : kGoOn;
}

bool is_martian_ipv6(const uint8_t* source) noexcept {
  if (source[0] == 0xff) return true;
  if (load_be64(source) != 0) return false;
  const uint32_t third = load_be32(source + 8);
  const uint32_t fourth = load_be32(source + 12);
  return third == 0xffff || (third == 0 && fourth <= 1);
}

bool same_address(const uint8_t* one, const uint8_t* other, bool v6) noexcept {
  if (!v6) return std::memcmp(one, other, kIpv4AddressBytes) == 0;
  return std::memcmp(one, other, kIpv6AddressBytes) == 0;
}

// Where the two addresses of a packet meet ours. Linear: an appliance has a handful of addresses,
// and they stand on one or two lines that never leave the L1 cache.
struct Owned {
  bool source = false;     // the source address is ours
  bool upstream = false;   // the destination is an upstream-facing address
  uint32_t first_service;  // lowest index whose address is the destination; service_cnt: none
};

Owned find_owned(const Endpoints& endpoints, const IpView& ip, bool v6) noexcept {
  const uint8_t family = v6 ? 6 : 4;
  Owned owned;
  owned.first_service = endpoints.service_cnt;
  for (uint32_t i = endpoints.service_cnt; i-- > 0;) {
    const abi::Address& ours = endpoints.service[i].address;
    if (ours.family != family) continue;
    owned.source |= same_address(ours.bytes, ip.source, v6);
    if (same_address(ours.bytes, ip.target, v6)) owned.first_service = i;
  }
  for (uint32_t i = 0; i < endpoints.source_cnt; ++i) {
    const abi::Address& ours = endpoints.source[i];
    if (ours.family != family) continue;
    owned.source |= same_address(ours.bytes, ip.source, v6);
    owned.upstream |= same_address(ours.bytes, ip.target, v6);
  }
  return owned;
}

// The service that listens on this address and port; service_cnt: none.
uint32_t find_service(const Endpoints& endpoints, const IpView& ip, const Packet& packet,
                      uint32_t first, const uint8_t* port) noexcept {
  const uint8_t family = packet.v6 ? 6 : 4;
  for (uint32_t i = first; i < endpoints.service_cnt; ++i) {
    const abi::Address& ours = endpoints.service[i].address;
    if (std::memcmp(&ours.port_be, port, sizeof ours.port_be) == 0 && ours.family == family &&
        same_address(ours.bytes, ip.target, packet.v6)) {
      return i;
    }
  }
  return endpoints.service_cnt;
}

Outcome check_source(const Frame& frame, const Packet& packet, const IpView& ip,
                     const Owned& owned) noexcept {
  const bool group_mac = (frame.data[kMacBytes] & 1) != 0;
  if (group_mac || (packet.v6 ? is_martian_ipv6(ip.source) : is_martian_ipv4(ip.source))) {
    return Outcome::drop_martian;
  }
  if (same_address(ip.source, ip.target, packet.v6)) return Outcome::drop_land;
  return owned.source ? Outcome::drop_self : kGoOn;
}

// A reply to one of these ports would feed a service that answers anything (CVE-2024-2169).
Outcome check_query_port(uint16_t port) noexcept {
  if (port == 0) return Outcome::drop_sport0;
  return port < 1024 && port != 53 ? Outcome::drop_sport_low : kGoOn;
}

Outcome check_udp_sum(const uint8_t* udp, uint32_t udp_bytes, const Packet& packet,
                      const IpView& ip) noexcept {
  if (load_be16(udp + kUdpChecksumAt) == 0) return packet.v6 ? Outcome::drop_csum : kGoOn;
  uint8_t pseudo[4] = {0, kProtocolUdp};
  store_be16(pseudo + 2, static_cast<uint16_t>(udp_bytes));
  const uint64_t sum = sum_bytes(pseudo, sizeof pseudo, ip.addresses_sum);
  return sum_fold(sum_bytes(udp, udp_bytes, sum)) == 0xffff ? kGoOn : Outcome::drop_csum;
}

Classified finished(Outcome outcome) noexcept { return {Kind::finished, outcome}; }

// From the UDP header on; the IP layer is known to be sound and the address to be ours.
Classified classify_udp(const Frame& frame, const Endpoints& endpoints, Packet& packet,
                        const IpView& ip, const Owned& owned) noexcept {
  if (ip.payload_bytes < kUdpBytes) return finished(Outcome::drop_udplen);
  const uint8_t* udp = frame.data + packet.l4_off;
  const uint16_t target_port = load_be16(udp + kUdpTargetAt);
  const uint32_t service =
      find_service(endpoints, ip, packet, owned.first_service, udp + kUdpTargetAt);
  const bool query = service != endpoints.service_cnt;
  const bool upstream = owned.upstream && target_port >= endpoints.upstream_port_first &&
                        target_port < endpoints.upstream_port_end;
  if (!query && !upstream) return finished(Outcome::pass_addr);

  const uint32_t udp_bytes = load_be16(udp + kUdpLengthAt);
  if (udp_bytes < kUdpBytes || udp_bytes > ip.payload_bytes) return finished(Outcome::drop_udplen);
  Outcome outcome = check_source(frame, packet, ip, owned);
  if (outcome == kGoOn && query) outcome = check_query_port(load_be16(udp));
  if (outcome == kGoOn) outcome = check_udp_sum(udp, udp_bytes, packet, ip);
  if (outcome != kGoOn) return finished(outcome);

  packet.dns_off = static_cast<uint16_t>(packet.l4_off + kUdpBytes);
  packet.dns_len = static_cast<uint16_t>(udp_bytes - kUdpBytes);
  packet.service = static_cast<uint8_t>(query ? service : 0);
  return {query ? Kind::query : Kind::upstream, kGoOn};
}

abi::Address address_at(const Frame& frame, const Packet& packet, uint32_t v4_at, uint32_t v6_at,
                        uint32_t port_at) noexcept {
  abi::Address address{};
  const uint8_t* head = frame.data + packet.l3_off;
  if (packet.v6) {
    std::memcpy(address.bytes, head + v6_at, kIpv6AddressBytes);
  } else {
    std::memcpy(address.bytes, head + v4_at, kIpv4AddressBytes);
  }
  address.family = packet.v6 ? 6 : 4;
  address.port_be = load_raw<uint16_t>(frame.data + packet.l4_off + port_at);
  return address;
}

}  // namespace

void Endpoints::index() noexcept {
  plain4_cnt = 0;
  plain4[0] = {kNoTarget4, kNoService};
  plain6_cnt = 0;
  std::memset(own_filter, 0, sizeof own_filter);
  const auto add_own = [this](const abi::Address& address) noexcept {
    uint64_t words[2] = {};
    std::memcpy(words, address.bytes, address.family == 6 ? kIpv6AddressBytes : kIpv4AddressBytes);
    const uint32_t bit = own_bit(words[0], words[1]);
    own_filter[bit / 64] |= uint64_t{1} << bit % 64;
  };
  for (uint32_t i = 0; i < service_cnt; ++i) {
    const abi::Address& address = service[i].address;
    add_own(address);
    if (address.family == 6) {
      Plain6& at = plain6[plain6_cnt++];
      at.high = load_raw<uint64_t>(address.bytes);
      at.low = load_raw<uint64_t>(address.bytes + sizeof at.high);
      at.port_be = address.port_be;
      at.service = static_cast<uint8_t>(i);
    } else {
      const auto target = load_raw<uint32_t>(address.bytes);
      plain4[plain4_cnt++] = {target | uint64_t{address.port_be} << 48, i};
    }
  }
  for (uint32_t i = 0; i < source_cnt; ++i) add_own(source[i]);
}

Classified classify(const Frame& frame, const Endpoints& endpoints, Packet& packet) noexcept {
  Outcome outcome = read_ethernet(frame, endpoints, packet);
  if (outcome != kGoOn) return finished(outcome);
  // A frame for a group cannot be for us: our addresses are unicast (RFC 1122 section 3.3.6).
  if ((frame.data[0] & 1) != 0) return finished(Outcome::pass_addr);

  IpView ip;
  outcome = packet.v6 ? read_ipv6(frame, packet, ip) : read_ipv4(frame, packet, ip);
  if (outcome != kGoOn) return finished(outcome);
  // Fragments and odd headers of other hosts' packets are none of our business.
  const Owned owned = find_owned(endpoints, ip, packet.v6);
  if (owned.first_service == endpoints.service_cnt && !owned.upstream) {
    return finished(Outcome::pass_addr);
  }
  outcome = packet.v6 ? walk_ipv6_extensions(frame, packet, ip)
                      : check_ipv4_ours(frame.data + packet.l3_off);
  if (outcome != kGoOn) return finished(outcome);
  return classify_udp(frame, endpoints, packet, ip, owned);
}

abi::Address source_of(const Frame& frame, const Packet& packet) noexcept {
  return address_at(frame, packet, kIpv4SourceAt, kIpv6SourceAt, 0);
}

abi::Address destination_of(const Frame& frame, const Packet& packet) noexcept {
  return address_at(frame, packet, kIpv4TargetAt, kIpv6TargetAt, kUdpTargetAt);
}

}  // namespace millrace::wire
