// SPDX-License-Identifier: Apache-2.0
#pragma once
// The short way from a hit to the frame that goes out, for the answer that fits as it is.
//
// For a query that plain_packet and plain_query have let through and a narrow entry under its key;
// anything else, and an answer that does not fit whole, is left to write_reply() and turn_around(),
// which this may only shorten, never differ from: where it does not decline, the two together would
// have left the same frame (tests/fuzz/oracles.cpp compares them on every input).
//
// The reply's checksum is made from the query's (RFC 1624), which is known to be right: id,
// question, addresses and ports are in both and add up to the same; what changes is the flags, a
// count, the length, the body and the OPT record. So the reply is summed up nowhere: the body's sum
// is stored with it.
//
// Threads: pure. Cost: some 170 instructions for one record. Memory: what an entry is made of is
// read in place, its body in whole steps of 16 octets, which stay within its lines; the frame is
// written up to kPlainSpareBytes beyond the reply. Failure: none; the frame is untouched where it
// declines.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/checksum.hpp"
#include "dataplane/base/frame.hpp"
#include "dataplane/cache/entry.hpp"
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/wire/eth_ip_udp.hpp"
#include "dataplane/wire/packet_write.hpp"

namespace millrace::dp {

inline constexpr uint32_t kPlainSpareBytes = 32;

namespace detail {

// Entries begin at multiples of 64 octets and end with their key, so 32 octets of the body may
// always be read, and its last step ends where a line does at the latest.
static_assert(sizeof(cache::Entry) == 16);
inline void copy_body(uint8_t* to, const uint8_t* from, uint32_t bytes) noexcept {
  std::memcpy(to, from, 32);
  for (uint32_t at = 32; at < bytes; at += 16) [[unlikely]] std::memcpy(to + at, from + at, 16);
}

// The opposite of a partial sum below 2^48: the sum of both is a multiple of 0xffff.
inline uint64_t sum_opposite(uint64_t sum) noexcept { return 0xffff'0000'0000 - sum; }

inline uint64_t shifted_if_odd(uint32_t offset, uint64_t sum) noexcept {
  return sum << (offset % 2 * 8);
}

// Of the eight octets and one more with which an OPT record without options begins.
inline uint64_t opt_sum(uint64_t opt, uint8_t next) noexcept {
  return (opt & 0xffff'ffff) + (opt >> 32) + next;
}

// Writes our OPT record, in twelve octets of which the last counts for nothing; answers its sum.
inline uint64_t write_plain_opt(uint8_t* to, uint32_t udp_bytes_max, uint64_t flag_do) noexcept {
  const uint64_t opt = in_memory(wire::type::opt, 1, 2) | flag_do |
                       uint64_t{__builtin_bswap16(static_cast<uint16_t>(udp_bytes_max))} << 24;
  const uint32_t rest = 0;
  std::memcpy(to, &opt, sizeof opt);
  std::memcpy(to + sizeof opt, &rest, sizeof rest);
  return opt_sum(opt, 0);
}

}  // namespace detail

// Writes the reply over the query, which came over IPv6 or IPv4. Answers the length of its frame,
// which frame.len does not yet say; 0: declined. `udp_bytes_max`: ours.
template <bool kV6>
[[gnu::always_inline]] inline uint16_t plain_reply(const Frame& frame, uint32_t dns_len,
                                                   const cache::Entry& entry, uint32_t age_s,
                                                   uint32_t udp_bytes_max) noexcept {
  using detail::shifted_if_odd;
  using detail::sum_opposite;
  constexpr uint32_t kUdpAt = wire::kEthBytes + (kV6 ? wire::kIpv6Bytes : wire::kIpv4Bytes);
  constexpr uint32_t kDnsAt = kUdpAt + wire::kUdpBytes;
  const uint32_t body_at = wire::kDnsHeaderBytes + entry.name_len + wire::kQuestionTailBytes;
  const uint32_t body_bytes = entry.body_bytes;
  const uint32_t len = dns_len + body_bytes;
  uint8_t* const data = frame.data;
  uint8_t* const msg = data + kDnsAt;
  uint8_t* const to = msg + body_at;

  auto front = load_raw<uint32_t>(msg);  // id, flags
  uint64_t sum = load_raw<uint16_t>(data + kUdpAt + wire::kUdpChecksumAt);
  uint32_t fits = wire::kUdpBytesWithoutOpt;
  uint64_t flag_do = 0;
  uint32_t ad = front >> 24 & wire::kBitAd;
  const bool has_opt = dns_len != body_at;
  if (has_opt) {
    const auto opt = load_raw<uint64_t>(to);
    sum += shifted_if_odd(body_at, detail::opt_sum(opt, to[8]));
    fits = std::max<uint32_t>(fits, __builtin_bswap16(static_cast<uint16_t>(opt >> 24)));
    flag_do = opt >> 63 << 63;
    if (flag_do != 0) ad = wire::kBitAd;
  }
  if (kDnsAt + len + kPlainSpareBytes > frame.room || len > std::min(fits, udp_bytes_max)) return 0;

  // The id and the question stay. Of the sum of the front its old flags are taken with the new.
  static_assert(cache::kEntryAuthenticData << 1 == wire::kBitAd);
  const uint32_t flags = entry.flags;
  sum += front >> 16;
  front = (front & 0x1001'ffff) | 0x8080'0000u |
          ((flags & cache::kEntryRcodeMask) | (flags << 1 & ad)) << 24;
  sum += sum_opposite(front >> 16);
  std::memcpy(msg, &front, sizeof front);
  const uint32_t record_cnt = entry.record_cnt;
  const uint32_t counts = record_cnt << ((flags & cache::kEntryNegative) != 0 ? 24 : 8);
  std::memcpy(msg + wire::kDnsAnCountAt, &counts, sizeof counts);
  // The length counts twice, in the header and in the pseudo-header.
  sum += sum_opposite(uint64_t{2 * body_bytes + record_cnt} << 8);
  sum += sum_opposite(shifted_if_odd(body_at, entry.body_sum));

  const uint8_t* const body = cache::bytes_of(entry) + sizeof entry;
  detail::copy_body(to, body, body_bytes);
  if (age_s != 0) {
    const auto* offset = reinterpret_cast<const uint16_t*>(body + ((body_bytes + 1) & ~1u));
    for (const auto* const end = offset + record_cnt; offset != end; ++offset) {
      const uint32_t at = *offset;
      const auto was = load_raw<uint32_t>(body + at);
      const uint32_t ttl_s = __builtin_bswap32(was);
      const uint32_t is = __builtin_bswap32(ttl_s > age_s ? ttl_s - age_s : 0);
      std::memcpy(to + at, &is, sizeof is);
      sum += shifted_if_odd(body_at + at, uint64_t{was} + static_cast<uint32_t>(~is));
    }
  }
  if (has_opt) {
    const uint64_t opt = detail::write_plain_opt(to + body_bytes, udp_bytes_max, flag_do);
    sum += sum_opposite(shifted_if_odd(body_at + body_bytes, opt));
  }

  wire::detail::swap_macs(data);
  wire::detail::turn_ip<kV6>(data + wire::kEthBytes, wire::kUdpBytes + len);
  const uint32_t ports = std::rotl(load_raw<uint32_t>(data + kUdpAt), 16);
  wire::detail::write_udp(data + kUdpAt, ports, wire::kUdpBytes + len, sum_fold(sum));
  return static_cast<uint16_t>(kDnsAt + len);
}

}  // namespace millrace::dp
