// SPDX-License-Identifier: Apache-2.0
#include "dataplane/wire/icmp_error.hpp"

#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/checksum.hpp"
#include "dataplane/wire/eth_ip_udp.hpp"

namespace millrace::wire {
namespace {

constexpr uint8_t kProtocolIcmp = 1;
constexpr uint8_t kProtocolIcmp6 = 58;
constexpr uint32_t kIcmpBytes = 8;
constexpr uint8_t kIcmpUnreachable = 3;
constexpr uint8_t kIcmpFragmentationNeeded = 4;  // a code of it
constexpr uint8_t kIcmp6Unreachable = 1;

// What tells the families apart, from the IP header on.
struct Family {
  uint8_t number;
  uint8_t icmp;
  uint32_t ip_bytes;
  uint32_t protocol_at;
  uint32_t source_at;
  uint32_t target_at;
  uint32_t address_bytes;
};
constexpr Family kFamilies[] = {
    {4, kProtocolIcmp, kIpv4Bytes, kIpv4ProtocolAt, kIpv4SourceAt, kIpv4TargetAt,
     kIpv4AddressBytes},
    {6, kProtocolIcmp6, kIpv6Bytes, kIpv6NextAt, kIpv6SourceAt, kIpv6TargetAt, kIpv6AddressBytes}};

abi::Address address_at(const uint8_t* ip, const Family& family, uint32_t at,
                        const uint8_t* port) noexcept {
  abi::Address address{};
  std::memcpy(address.bytes, ip + at, family.address_bytes);
  address.family = family.number;
  if (port != nullptr) address.port_be = load_raw<uint16_t>(port);
  return address;
}

bool is_source(const Endpoints& endpoints, const abi::Address& address) noexcept {
  for (uint32_t i = 0; i < endpoints.source_cnt; ++i) {
    const abi::Address& ours = endpoints.source[i];
    if (ours.family == address.family &&
        std::memcmp(ours.bytes, address.bytes, sizeof ours.bytes) == 0) {
      return true;
    }
  }
  return false;
}

bool is_unreachable(const uint8_t* icmp, const Family& family) noexcept {
  if (family.number == 6) return icmp[0] == kIcmp6Unreachable;
  return icmp[0] == kIcmpUnreachable && icmp[1] != kIcmpFragmentationNeeded;
}

bool is_whole(const uint8_t* ip, const Family& family, const uint8_t* icmp,
              uint32_t bytes) noexcept {
  uint64_t sum = 0;
  if (family.number == 6) {
    uint8_t pseudo[4] = {0, 0, 0, kProtocolIcmp6};
    store_be16(pseudo, static_cast<uint16_t>(bytes));
    sum = sum_bytes(pseudo, sizeof pseudo, sum_bytes(ip + kIpv6SourceAt, 2 * kIpv6AddressBytes));
  }
  return sum_fold(sum_bytes(icmp, bytes, sum)) == 0xffff;
}

}  // namespace

bool read_icmp_error(const Frame& frame, const Endpoints& endpoints, const Packet& packet,
                     IcmpError& error) noexcept {
  const Family& family = kFamilies[packet.v6 ? 1 : 0];
  const uint8_t* const ip = frame.data + packet.l3_off;
  const uint8_t* const icmp = frame.data + packet.l4_off;
  if (ip[family.protocol_at] != family.icmp) return false;
  if (!packet.v6 && (load_be16(ip + kIpv4FragmentAt) & kIpv4FragmentMask) != 0) return false;
  const uint32_t ip_bytes = packet.v6 ? kIpv6Bytes + load_be16(ip + kIpv6PayloadAt)
                                      : load_be16(ip + kIpv4TotalAt);
  const uint32_t bytes = ip_bytes - (packet.l4_off - packet.l3_off);
  const uint32_t quote_min = family.ip_bytes + kUdpBytes;
  if (bytes < kIcmpBytes + quote_min || !is_unreachable(icmp, family)) return false;

  // Our queries have no options and no extension headers, so the UDP header has its place.
  const uint8_t* const quote = icmp + kIcmpBytes;
  const uint8_t* const udp = quote + family.ip_bytes;
  const uint8_t first = packet.v6 ? 0x60 : 0x45;
  if ((quote[0] & (packet.v6 ? 0xf0 : 0xff)) != first) return false;
  if (quote[family.protocol_at] != kProtocolUdp) return false;
  error.source = address_at(quote, family, family.source_at, udp);
  error.target = address_at(quote, family, family.target_at, udp + kUdpTargetAt);
  const uint16_t port = load_be16(udp);
  if (port < endpoints.upstream_port_first || port >= endpoints.upstream_port_end) return false;
  const abi::Address to = address_at(ip, family, family.target_at, nullptr);
  if (std::memcmp(to.bytes, error.source.bytes, sizeof to.bytes) != 0) return false;
  if (!is_source(endpoints, to) || !is_whole(ip, family, icmp, bytes)) return false;

  error.udp_checksum = load_raw<uint16_t>(udp + kUdpChecksumAt);
  error.has_id = bytes >= kIcmpBytes + quote_min + sizeof error.id;
  error.id = error.has_id ? load_be16(udp + kUdpBytes) : uint16_t{0};
  return true;
}

}  // namespace millrace::wire
