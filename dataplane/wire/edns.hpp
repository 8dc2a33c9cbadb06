// SPDX-License-Identifier: Apache-2.0
#pragma once
// The OPT record that millrace writes (RFC 6891 section 6.1): owner root, version 0, flags DO only.
//
//     0      1      3             5            6         7       9      11
//     +------+------+-------------+------------+---------+-------+------+---------
//     | 0    | 41   | our UDP     | RCODE      | version | DO    | RD-  | options
//     |      |      | size        | bits 4..11 | 0       | flag  | LEN  |
//     +------+------+-------------+------------+---------+-------+------+---------

#include <cstdint>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/checksum.hpp"
#include "dataplane/wire/dns_format.hpp"

namespace millrace::wire {

// Writes kOptBytes and answers their sum (checksum.hpp), as of a part at an even offset.
// `options_bytes`: what the caller will append.
inline uint64_t write_opt(uint8_t* to, uint16_t udp_bytes, uint8_t extended_rcode, bool flag_do,
                          uint16_t options_bytes) noexcept {
  static_assert((kOptFlagDo & 0xff) == 0);
  const uint64_t front = uint64_t{type::opt} << 40 | uint64_t{udp_bytes} << 24 |
                         uint64_t{extended_rcode} << 16 | (flag_do ? kOptFlagDo >> 8 : 0u);
  store_be64(to, front);
  to[8] = 0;
  store_be16(to + 9, options_bytes);
  // The length's two octets end one word and begin another.
  return sum_add(__builtin_bswap64(front), options_bytes);
}

// Writes kExtendedErrorBytes: an EXTENDED-DNS-ERROR option without text (RFC 8914 section 2).
inline void write_extended_error(uint8_t* to, uint16_t code) noexcept {
  store_be16(to, kOptionExtendedError);
  store_be16(to + 2, 2);
  store_be16(to + 4, code);
}

// The first option of this kind in the RDATA of an OPT of others; null: none. What is broken ends
// where it breaks.
inline const uint8_t* find_option(const uint8_t* rdata, uint32_t rdata_bytes, uint16_t code,
                                  uint16_t& option_bytes) noexcept {
  uint32_t at = 0;
  while (at + kOptionHeadBytes <= rdata_bytes) {
    const uint16_t bytes = load_be16(rdata + at + 2);
    const bool found = load_be16(rdata + at) == code;
    at += kOptionHeadBytes;
    if (bytes > rdata_bytes - at) return nullptr;
    if (found) {
      option_bytes = bytes;
      return rdata + at;
    }
    at += bytes;
  }
  return nullptr;
}

// What a client's OPT asks for. The pointer leads into its message.
struct ClientOptions {
  const uint8_t* cookie = nullptr;  // the client's own, and behind it what it says is a server's
  uint32_t cookie_bytes = 0;        // 0: none; of several the first counts (RFC 7873 section 5.2)
  const uint8_t* subnet = nullptr;  // data of a CLIENT-SUBNET option, not looked into
  uint32_t subnet_bytes = 0;
  bool nsid = false;
  bool keepalive = false;
  bool keepalive_empty = true;  // as it must be in a query (RFC 7828 section 3.2.1)
};

// `options_at` as parse_query() left it in the Query, not 0, and `msg` unchanged since.
inline ClientOptions read_options(const uint8_t* msg, uint16_t options_at) noexcept {
  ClientOptions options;
  uint32_t at = options_at;
  const uint32_t end = at + load_be16(msg + at - 2);
  while (at < end) {
    const uint16_t code = load_be16(msg + at);
    const uint32_t bytes = load_be16(msg + at + 2);
    at += kOptionHeadBytes;
    if (code == kOptionCookie && options.cookie == nullptr) {
      options.cookie = msg + at;
      options.cookie_bytes = bytes;
    }
    if (code == kOptionSubnet && options.subnet == nullptr) {
      options.subnet = msg + at;
      options.subnet_bytes = bytes;
    }
    if (code == kOptionNsid) options.nsid = true;
    if (code == kOptionKeepalive) {
      options.keepalive = true;
      options.keepalive_empty = bytes == 0;
    }
    at += bytes;
  }
  return options;
}

}  // namespace millrace::wire
