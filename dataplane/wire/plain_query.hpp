// SPDX-License-Identifier: Apache-2.0
#pragma once
// The short way from a frame to a key, for the query that nearly every client sends.
//
// Plain is: Ethernet without a tag; IPv4 without options or IPv6 without extension headers; UDP,
// whole, to one of our services; opcode QUERY, RD=1, one question of class IN and an everyday type,
// behind it nothing or one OPT without options; in a buffer with room behind the message. Such a
// query is known to be in order after a few wide loads; anything else is left to classify() and
// parse_query(), which alone say what is wrong with it.
//
// So the functions here may only decline, never differ: where they answer "plain", the whole way
// gives the same (tests/fuzz/oracles.cpp compares them on every input).
//
// Threads: pure. Cost: some 100 instructions and the sum of the payload for plain_packet, 130 and
// 6 for each label for plain_query. Failure: none; nothing is read outside the frame's `room`, and
// what lies behind its `len` has no effect.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/wire/dns_name.hpp"
#include "dataplane/wire/edns.hpp"
#include "dataplane/wire/eth_ip_udp.hpp"
#include "dataplane/wire/packet.hpp"
#include "dataplane/wire/query.hpp"

namespace millrace::wire {

namespace detail {

// The key is made from the message in whole vectors, so up to this many octets of it are read.
inline constexpr uint32_t kPlainReadBytes = kDnsNsCountAt + sizeof(Key::bytes);
// With a question of the root name.
inline constexpr uint32_t kPlainUdpBytesMin = kUdpBytes + kDnsHeaderBytes + 1 + kQuestionTailBytes;

// A field of a wide load, as it stands in memory.
constexpr uint64_t in_memory(uint64_t value, uint32_t at, uint32_t bytes) noexcept {
  uint64_t raw = 0;
  for (uint32_t i = 0; i < bytes; ++i) raw |= (value >> 8 * (bytes - 1 - i) & 0xff) << 8 * (at + i);
  return raw;
}

// The UDP header and what it encloses, at `udp`; the IP layer leaves `room` octets for it.
// 0: not plain.
[[gnu::always_inline]] inline uint32_t plain_udp(const uint8_t* udp, uint32_t room, bool v6,
                                                 uint64_t addresses_sum) noexcept {
  const uint32_t bytes_be = load_raw<uint16_t>(udp + kUdpLengthAt);
  const uint32_t bytes = __builtin_bswap16(static_cast<uint16_t>(bytes_be));
  if (bytes < kPlainUdpBytesMin || bytes > room || load_be16(udp) < 1024) return 0;
  if (load_raw<uint16_t>(udp + kUdpChecksumAt) == 0) return v6 ? 0 : bytes;
  const uint64_t pseudo = in_memory(kProtocolUdp, 1, 1) + bytes_be + addresses_sum;
  return sum_is_whole(sum_bytes(udp, bytes, pseudo)) ? bytes : 0;
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
  if (ip[kIpv4ProtocolAt] != kProtocolUdp) return false;
  const uint32_t total = load_be16(ip + kIpv4TotalAt);
  if (total < kIpv4Bytes || total > frame.len - kEthBytes) return false;
  if (!sum_is_whole(sum_add(sum_add(front, middle), target))) return false;
  if (source == target || is_martian_ipv4(ip + kIpv4SourceAt)) return false;
  if (ours.may_own(source, 0)) return false;
  const uint32_t udp_bytes =
      plain_udp(ip + kIpv4Bytes, total - kIpv4Bytes, false, source + target);
  if (udp_bytes == 0) return false;
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
  const uint64_t sum = sum_add32(0, ip + kIpv6SourceAt);
  const uint32_t udp_bytes =
      plain_udp(ip + kIpv6Bytes, payload, true, (sum >> 32) + (sum & 0xffff'ffff));
  if (udp_bytes == 0) return false;
  fill(packet, true, udp_bytes, service);
  return true;
}

}  // namespace detail

// True: a plain packet to a service of ours; `packet` is filled as by classify() for Kind::query.
[[gnu::always_inline]] inline bool plain_packet(const Frame& frame, const Endpoints& ours,
                                                Packet& packet) noexcept {
  using detail::in_memory;
  constexpr uint32_t kHeadBytes = kEthBytes + kIpv6Bytes + kUdpBytes;
  // Nothing that is a query is shorter than the headers of IPv6.
  if (frame.len < kHeadBytes || frame.room < kHeadBytes + detail::kPlainReadBytes) return false;
  // A group bit in the target's first octet or in the source's.
  constexpr uint64_t kGroups = in_memory(1, 0, 1) | in_memory(1, kMacBytes, 1);
  if ((load_raw<uint64_t>(frame.data) & kGroups) != 0) return false;
  // EtherType, then version and header length; the octet behind them may be anything.
  const auto type = load_raw<uint32_t>(frame.data + kEthTypeAt);
  if ((type & 0x00ff'ffff) == in_memory(uint64_t{kEthTypeIpv4} << 8 | 0x45, 0, 3)) {
    return detail::plain_ipv4(frame, ours, packet);
  }
  if ((type & 0x00f0'ffff) == in_memory(uint64_t{kEthTypeIpv6} << 8 | 0x60, 0, 3)) {
    return detail::plain_ipv6(frame, ours, packet);
  }
  return false;
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

// True: a plain query; `query` (packet and pool excepted) and `key` are filled as by parse_query(),
// and the key's packet_cache byte too. For a message that plain_packet has let through.
[[gnu::always_inline]] inline bool plain_query(const uint8_t* msg, uint32_t len,
                                               uint8_t packet_cache, Query& query,
                                               Key& key) noexcept {
  const uint8_t flags = msg[kDnsFlagsAt];
  const uint64_t counts = load_be64(msg + kDnsQdCountAt);
  // AA means nothing in a query.
  if ((flags & ~kBitAa) != kBitRd || (counts & ~uint64_t{1}) != uint64_t{1} << 48) return false;

  uint32_t at = kDnsHeaderBytes;
  uint32_t label = msg[at];
  while (label - 1 < kLabelBytesMax) {
    at += label + 1;
    if (at >= len) return false;
    label = msg[at];
  }
  ++at;
  const uint32_t name_bytes = at - kDnsHeaderBytes;
  if (label != 0 || name_bytes > kNameBytesMax || at + kQuestionTailBytes > len) return false;
  const auto tail = load_raw<uint32_t>(msg + at);  // QTYPE, QCLASS
  const auto qtype = __builtin_bswap16(static_cast<uint16_t>(tail));
  if (tail >> 16 != detail::in_memory(kClassIn, 0, 2) || !detail::is_plain_type(qtype)) {
    return false;
  }
  at += kQuestionTailBytes;

  bool flag_do = false;
  uint32_t udp_bytes_max = kUdpBytesWithoutOpt;
  const bool has_opt = (counts & 1) != 0;
  if (has_opt) {
    // Owner, TYPE, size, extended RCODE, version, flags' high octet; then their low one, RDLENGTH.
    if (at + kOptBytes != len || load_be16(msg + at + 9) != 0) return false;
    const uint64_t opt = load_be64(msg + at);
    if ((opt & 0xffff'ff00'0000'ff00) != uint64_t{type::opt} << 40) return false;
    flag_do = (opt & 0x80) != 0;
    udp_bytes_max = std::max<uint32_t>(kUdpBytesWithoutOpt, opt >> 24 & 0xffff);
  } else if (at != len) {
    return false;
  }
  const uint8_t more_flags = msg[kDnsFlagsAt + 1];
  const bool flag_cd = (more_flags & kBitCd) != 0;
  query.qtype = qtype;
  query.options_at = 0;
  query.udp_bytes_max = static_cast<uint16_t>(udp_bytes_max);
  query.qname_len = static_cast<uint8_t>(name_bytes);
  query.opcode = 0;
  query.has_opt = has_opt;
  query.flag_do = flag_do;
  query.flag_cd = flag_cd;
  query.flag_rd = true;
  query.flag_ad = (more_flags & kBitAd) != 0;
  query.trailing = false;
  static_assert(kKeyFlagDo == 1 && kKeyFlagCd == 2);
  const uint32_t key_flags = uint32_t{flag_do} | uint32_t{flag_cd} << 1;
  const uint32_t head = (tail & 0xffff) | key_flags << 16 | uint32_t{packet_cache} << 24;
  detail::write_key(key, msg, head, kKeyHeadBytes + name_bytes);
  return true;
}

}  // namespace millrace::wire
