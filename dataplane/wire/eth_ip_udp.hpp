// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the fields of Ethernet, 802.1Q, IPv4, IPv6 and UDP headers stand, and their values.
//
// Offsets count from the start of the header they belong to. Headers are read and written field by
// field at any alignment; no struct is laid over a packet.

#include <cstdint>

namespace millrace::wire {

inline constexpr uint32_t kEthBytes = 14;
inline constexpr uint32_t kEthTypeAt = 12;
inline constexpr uint32_t kMacBytes = 6;
inline constexpr uint32_t kVlanBytes = 4;

inline constexpr uint16_t kEthTypeIpv4 = 0x0800;
inline constexpr uint16_t kEthTypeIpv6 = 0x86dd;
inline constexpr uint16_t kEthTypeVlan = 0x8100;
inline constexpr uint16_t kEthTypeQinq = 0x88a8;
inline constexpr uint16_t kEthTypeQinqOld = 0x9100;
inline constexpr uint16_t kEthTypeMpls = 0x8847;
inline constexpr uint16_t kEthTypeMplsMulticast = 0x8848;
inline constexpr uint16_t kEthTypePppoeDiscovery = 0x8863;
inline constexpr uint16_t kEthTypePppoe = 0x8864;

inline constexpr uint32_t kIpv4Bytes = 20;  // without options
inline constexpr uint32_t kIpv4TotalAt = 2;
inline constexpr uint32_t kIpv4FragmentAt = 6;
inline constexpr uint32_t kIpv4TtlAt = 8;
inline constexpr uint32_t kIpv4ProtocolAt = 9;
inline constexpr uint32_t kIpv4ChecksumAt = 10;
inline constexpr uint32_t kIpv4SourceAt = 12;
inline constexpr uint32_t kIpv4TargetAt = 16;
inline constexpr uint32_t kIpv4AddressBytes = 4;
inline constexpr uint16_t kIpv4DontFragment = 0x4000;
inline constexpr uint16_t kIpv4FragmentMask = 0x3fff;  // MF and offset

inline constexpr uint8_t kIpv4OptionEnd = 0;
inline constexpr uint8_t kIpv4OptionNop = 1;
inline constexpr uint8_t kIpv4OptionLooseRoute = 131;
inline constexpr uint8_t kIpv4OptionStrictRoute = 137;

inline constexpr uint32_t kIpv6Bytes = 40;
inline constexpr uint32_t kIpv6PayloadAt = 4;
inline constexpr uint32_t kIpv6NextAt = 6;
inline constexpr uint32_t kIpv6HopsAt = 7;
inline constexpr uint32_t kIpv6SourceAt = 8;
inline constexpr uint32_t kIpv6TargetAt = 24;
inline constexpr uint32_t kIpv6AddressBytes = 16;

inline constexpr uint8_t kProtocolHopByHop = 0;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolRouting = 43;
inline constexpr uint8_t kProtocolFragment = 44;
inline constexpr uint8_t kProtocolEsp = 50;
inline constexpr uint8_t kProtocolAh = 51;
inline constexpr uint8_t kProtocolNoNext = 59;
inline constexpr uint8_t kProtocolDestOptions = 60;
inline constexpr uint8_t kProtocolMobility = 135;
inline constexpr uint8_t kProtocolHip = 139;
inline constexpr uint8_t kProtocolShim6 = 140;

// Extension headers that are followed: more are legal, but no resolver's client sends them. Bytes
// are bounded so that every offset up to UDP fits in 8 bits.
inline constexpr uint32_t kIpv6ExtensionsMax = 4;
inline constexpr uint32_t kIpv6ExtensionBytesMax = 128;

inline constexpr uint32_t kUdpBytes = 8;
inline constexpr uint32_t kUdpTargetAt = 2;
inline constexpr uint32_t kUdpLengthAt = 4;
inline constexpr uint32_t kUdpChecksumAt = 6;

inline constexpr uint8_t kHopsOut = 64;

}  // namespace millrace::wire
