// SPDX-License-Identifier: Apache-2.0
#pragma once
// The short way from a frame to a key, for the query that nearly every client sends.
//
// Plain is: Ethernet without a tag; IPv4 without options or IPv6 without extension headers; UDP
// with a checksum, whole, to one of our services; opcode QUERY, RD=1, one question of class IN and
// an everyday type, behind it nothing or one OPT without options; in a buffer with room behind the
// message. Anything else is left to classify() and parse_query(), which alone say what is wrong
// with it.
//
//   plain_packet   headers of the frame ─▶ Packet
//   plain_query    checksum and message ─▶ Key, by a guess
//   finish_plain   the name             ─▶ Query, if the guess was right
//
// The guess: the name takes all that the rest of the message leaves. Nobody walks its labels to
// find its end, and for a hit nobody needs to: the octets that a stored key of the same length has
// in common with this one are a name, and its end is where the guess has it. (No length octet lies
// between 'A' and 'Z', so folding makes no other name equal to it.) Who wants more of the query
// than an answer under its key calls finish_plain, which walks the labels.
//
// So the functions here may only decline, never differ: where all three answer "plain", the whole
// way gives the same, and where only the third declines, no key that the whole way makes of any
// query is that one (tests/fuzz/oracles.cpp compares them on every input).
//
// Threads: pure. Cost: some 80 instructions for plain_packet, 100 and the sum of the message for
// plain_query, no branch that depends on the labels. Failure: none; nothing is read outside the
// frame's `room`, and what lies behind its message has no effect.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/base/checksum.hpp"
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/wire/dns_name.hpp"
#include "dataplane/wire/edns.hpp"
#include "dataplane/wire/eth_ip_udp.hpp"
#include "dataplane/wire/packet.hpp"
#include "dataplane/wire/query.hpp"

namespace millrace::wire {

namespace detail {

inline constexpr uint32_t kPlainUdpBytesMin = kUdpBytes + kDnsHeaderBytes + 1 + kQuestionTailBytes;
inline constexpr uint32_t kPlainUdpBytesMax =
    kUdpBytes + kDnsHeaderBytes + kNameBytesMax + kQuestionTailBytes + kOptBytes;
// What plain_packet clears behind a message, so that it can be added up in whole blocks.
inline constexpr uint32_t kPlainPadBytes = 32;
// Beside the headers: of the message, read in whole vectors, and of what is cleared behind it.
inline constexpr uint32_t kPlainRoomBytes =
    std::max<uint32_t>(kDnsNsCountAt + sizeof(Key::bytes), kPlainUdpBytesMax + kPlainPadBytes);

// The length of a UDP packet that fills what the IP layer has for it; 0: not plain. That its
// checksum is right is yet to be seen.
[[gnu::always_inline]] inline uint32_t plain_udp(const uint8_t* udp, uint32_t room) noexcept {
  const auto head = load_raw<uint64_t>(udp);
  const uint32_t bytes = __builtin_bswap16(static_cast<uint16_t>(head >> 32));
  if (bytes != room || bytes - kPlainUdpBytesMin > kPlainUdpBytesMax - kPlainUdpBytesMin) return 0;
  // A source port below 1024, whose upper octet is the first; no checksum.
  if ((head & 0xff) < 1024 / 256 || head >> 48 == 0) return 0;
  return bytes;
}

// Written as one word.
[[gnu::always_inline]] inline void fill(Packet& packet, bool v6, uint32_t udp_bytes,
                                        uint32_t service) noexcept {
  const uint64_t l4_off = kEthBytes + (v6 ? kIpv6Bytes : kIpv4Bytes);
  const uint64_t word = (l4_off + kUdpBytes) | uint64_t{udp_bytes - kUdpBytes} << 16 |
                        uint64_t{kEthBytes} << 32 | l4_off << 40 | uint64_t{v6} << 48 |
                        uint64_t{service} << 56;
  static_assert(sizeof(Packet) == sizeof word && offsetof(Packet, dns_off) == 0 &&
                offsetof(Packet, dns_len) == 2 && offsetof(Packet, l3_off) == 4 &&
                offsetof(Packet, l4_off) == 5 && offsetof(Packet, v6) == 6 &&
                offsetof(Packet, service) == 7 && std::endian::native == std::endian::little);
  std::memcpy(static_cast<void*>(&packet), &word, sizeof word);
}

[[gnu::always_inline]] inline bool plain_ipv4(const Frame& frame, const Endpoints& ours,
                                              Packet& packet) noexcept {
  const uint8_t* ip = frame.data + kEthBytes;
  // Version to fragment; TTL to source; target and ports.
  const auto front = load_raw<uint64_t>(ip);
  const auto middle = load_raw<uint64_t>(ip + 8);
  const auto back = load_raw<uint64_t>(ip + 16);
  const uint64_t source = middle >> 32;
  const uint64_t target = back & 0xffff'ffff;
  const uint32_t service = ours.plain_service4(back);
  if (service == Endpoints::kNoService) return false;
  if ((front & in_memory(kIpv4FragmentMask, kIpv4FragmentAt, 2)) != 0) return false;
  if ((middle & 0xff00) != in_memory(kProtocolUdp, kIpv4ProtocolAt - 8, 1)) return false;
  if (!sum_is_whole(sum_add(sum_add(front, middle), target))) return false;
  if (source == target || is_martian_ipv4(ip + kIpv4SourceAt)) return false;
  if (ours.may_own(source, 0)) return false;
  const uint32_t total = __builtin_bswap16(static_cast<uint16_t>(front >> 16));
  const uint32_t udp_bytes = plain_udp(ip + kIpv4Bytes, total - kIpv4Bytes);
  if (udp_bytes == 0 || kEthBytes + total > frame.len) return false;
  fill(packet, false, udp_bytes, service);
  return true;
}

[[gnu::always_inline]] inline bool plain_ipv6(const Frame& frame, const Endpoints& ours,
                                              Packet& packet) noexcept {
  const uint8_t* ip = frame.data + kEthBytes;
  const uint32_t payload = load_be16(ip + kIpv6PayloadAt);
  if (ip[kIpv6NextAt] != kProtocolUdp || kEthBytes + kIpv6Bytes + payload > frame.len) return false;
  const uint64_t source[2] = {load_raw<uint64_t>(ip + 8), load_raw<uint64_t>(ip + 16)};
  const uint64_t target[2] = {load_raw<uint64_t>(ip + 24), load_raw<uint64_t>(ip + 32)};
  // Multicast, and the block in which all the special sources are.
  if ((source[0] & 0xff) == 0xff || source[0] == 0) return false;
  if (source[0] == target[0] && source[1] == target[1]) return false;
  if (ours.may_own(source[0], source[1])) return false;
  const uint32_t service = ours.plain_service6(
      target[0], target[1], load_raw<uint16_t>(ip + kIpv6Bytes + kUdpTargetAt));
  if (service == Endpoints::kNoService) return false;
  const uint32_t udp_bytes = plain_udp(ip + kIpv6Bytes, payload);
  if (udp_bytes == 0) return false;
  fill(packet, true, udp_bytes, service);
  return true;
}

}  // namespace detail

// True: the headers of a plain packet to a service of ours; `packet` is filled as by classify() for
// Kind::query, and what lies behind the packet is zeroes as far as plain_query reads. (Written
// here, well before it is read: a load across the end of a store that is on its way would wait.)
[[gnu::always_inline]] inline bool plain_packet(const Frame& frame, const Endpoints& ours,
                                                Packet& packet) noexcept {
  constexpr uint32_t kHeadBytes = kEthBytes + kIpv6Bytes + kUdpBytes;
  // Nothing that is a query is shorter than the headers of IPv6.
  if (frame.len < kHeadBytes || frame.room < kHeadBytes + detail::kPlainRoomBytes) return false;
  // A group bit in the target's first octet or in the source's.
  constexpr uint64_t kGroups = in_memory(1, 0, 1) | in_memory(1, kMacBytes, 1);
  if ((load_raw<uint64_t>(frame.data) & kGroups) != 0) return false;
  // EtherType, then version and header length; the octet behind them may be anything.
  const auto type = load_raw<uint32_t>(frame.data + kEthTypeAt);
  if ((type & 0x00ff'ffff) == in_memory(uint64_t{kEthTypeIpv4} << 8 | 0x45, 0, 3)) {
    if (!detail::plain_ipv4(frame, ours, packet)) return false;
  } else if ((type & 0x00f0'ffff) == in_memory(uint64_t{kEthTypeIpv6} << 8 | 0x60, 0, 3)) {
    if (!detail::plain_ipv6(frame, ours, packet)) return false;
  } else {
    return false;
  }
  std::memset(frame.data + packet.dns_off + packet.dns_len, 0, detail::kPlainPadBytes);
  return true;
}

namespace detail {

// Types that a query may ask for without another thought: those below 64 but for 0 and OPT, and the
// newer ones up to where special types begin again.
inline bool is_plain_type(uint32_t qtype) noexcept {
  constexpr uint64_t kSpecial = uint64_t{1} << 0 | uint64_t{1} << type::opt;
  return qtype < 64 ? (kSpecial >> qtype & 1) == 0 : qtype < type::nxname;
}

// Key octets 4.. are message octets 12.. in lower case; so a vector of the message from octet 8 on
// becomes one of the key, once the first four octets are replaced and the end is cleared. Written
// in whole aligned vectors, which the hash's loads then meet in one piece each.
[[gnu::always_inline]] inline void write_key(Key& key, const uint8_t* msg, uint32_t head,
                                             uint32_t len) noexcept {
  typedef uint8_t Octets __attribute__((vector_size(16)));
  typedef uint32_t Words __attribute__((vector_size(16)));
  alignas(64) static constexpr struct Edge {
    uint8_t octets[64];
    constexpr Edge() noexcept : octets{} {
      for (uint32_t i = 0; i < 32; ++i) octets[i] = 0xff;
    }
  } kEdge;
  const uint8_t* from = msg + kDnsNsCountAt;
  const auto lower = [&from](uint32_t at) noexcept {
    Octets octets = load_raw<Octets>(from + at);
    return octets | (reinterpret_cast<Octets>((octets - 'A') < 26) & 0x20);
  };
  const auto store = [&key](uint32_t at, Octets octets) noexcept {
    std::memcpy(key.bytes + at, &octets, sizeof octets);
  };
  Words first = reinterpret_cast<Words>(lower(0));
  first[0] = head;
  Octets low = reinterpret_cast<Octets>(first);
  uint32_t at = 0;
  for (; at + 32 < len; at += 32) [[unlikely]] {
    store(at, low);
    store(at + 16, lower(at + 16));
    low = lower(at + 32);
  }
  const uint8_t* const edge = kEdge.octets + 32 - (len - at);
  store(at, low & load_raw<Octets>(edge));
  store(at + 16, lower(at + 16) & load_raw<Octets>(edge + 16));
  key.len = static_cast<uint16_t>(len);
}

}  // namespace detail

// True: a message that came whole, and plain if the guess is right; `key` is then the query's. For
// a frame that plain_packet has let through.
[[gnu::always_inline]] inline bool plain_query(const Frame& frame, const Packet& packet,
                                               uint8_t packet_cache, Key& key) noexcept {
  const uint8_t* const msg = frame.data + packet.dns_off;
  const uint8_t* const udp = msg - kUdpBytes;
  const uint32_t len = packet.dns_len;
  // Both addresses stand in front of the UDP header.
  const uint8_t* const first = udp - 2 * (packet.v6 ? kIpv6AddressBytes : kIpv4AddressBytes);
  const uint64_t pseudo =
      in_memory(kProtocolUdp, 1, 1) + load_raw<uint16_t>(udp + kUdpLengthAt);
  if (!sum_is_whole(sum_padded(first, msg + len, pseudo))) return false;

  const auto front = load_raw<uint32_t>(msg);  // id, flags
  const auto counts = load_raw<uint64_t>(msg + kDnsQdCountAt);
  constexpr uint64_t kArCountOne = in_memory(1, 7, 1);
  // AA means nothing in a query.
  if ((front & in_memory(uint8_t(~kBitAa), kDnsFlagsAt, 1)) != in_memory(kBitRd, kDnsFlagsAt, 1) ||
      (counts & ~kArCountOne) != in_memory(1, 1, 1)) {
    return false;
  }
  const uint32_t opt_bytes = counts >= kArCountOne ? kOptBytes : 0;
  const uint32_t name_bytes = len - kDnsHeaderBytes - kQuestionTailBytes - opt_bytes;
  if (name_bytes - 1 >= kNameBytesMax) return false;
  const uint8_t* const tail_at = msg + kDnsHeaderBytes + name_bytes;
  const auto tail = load_raw<uint32_t>(tail_at);  // QTYPE, QCLASS
  const auto qtype = __builtin_bswap16(static_cast<uint16_t>(tail));
  if (tail >> 16 != in_memory(kClassIn, 0, 2) || !detail::is_plain_type(qtype)) return false;

  static_assert(kKeyFlagDo == 1 && kKeyFlagCd == 2 && kBitCd == 0x10);
  uint32_t head = (tail & 0xffff) | (front >> 28 & 1) << 17 | uint32_t{packet_cache} << 24;
  if (opt_bytes != 0) {
    // Owner, TYPE, size, extended RCODE, version, flags' high octet; then their low one, RDLENGTH.
    const uint8_t* const opt_at = tail_at + kQuestionTailBytes;
    const auto opt = load_raw<uint64_t>(opt_at);
    constexpr uint64_t kFixed = in_memory(0xff'ffff, 0, 3) | in_memory(0xff, 6, 1);
    if ((opt & kFixed) != in_memory(type::opt, 1, 2) || load_raw<uint16_t>(opt_at + 9) != 0) {
      return false;
    }
    head |= static_cast<uint32_t>(opt >> 63) << 16;
  }
  detail::write_key(key, msg, head, kKeyHeadBytes + name_bytes);
  return true;
}

// False: the guess was wrong, the query is not plain. Else `query` (packet and pool excepted) is
// filled as by parse_query(). For a message of which plain_query has made `key`, and which has not
// been written to since.
inline bool finish_plain(const uint8_t* msg, uint32_t len, const Key& key, Query& query) noexcept {
  const uint32_t name_bytes = key.len - kKeyHeadBytes;
  uint32_t measured;
  if (measure_name(msg, len, kDnsHeaderBytes, measured) != NameFault::none ||
      measured != name_bytes) {
    return false;
  }
  const uint8_t* const opt_at = msg + kDnsHeaderBytes + name_bytes + kQuestionTailBytes;
  const uint8_t more_flags = msg[kDnsFlagsAt + 1];
  query.qtype = load_be16(key.bytes);
  query.options_at = 0;
  query.qname_len = static_cast<uint8_t>(name_bytes);
  query.opcode = 0;
  query.has_opt = opt_at != msg + len;
  const uint32_t fits = query.has_opt ? load_be16(opt_at + 3) : 0;
  query.udp_bytes_max = static_cast<uint16_t>(std::max(kUdpBytesWithoutOpt, fits));
  query.flag_do = (key.bytes[2] & kKeyFlagDo) != 0;
  query.flag_cd = (key.bytes[2] & kKeyFlagCd) != 0;
  query.flag_rd = true;
  query.flag_ad = (more_flags & kBitAd) != 0;
  query.trailing = false;
  return true;
}

}  // namespace millrace::wire
