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
#include "dataplane/wire/dns_format.hpp"

namespace millrace::wire {

// Writes kOptBytes. `options_bytes`: what the caller will append.
inline void write_opt(uint8_t* to, uint16_t udp_bytes, uint8_t extended_rcode, bool flag_do,
                      uint16_t options_bytes) noexcept {
  store_be32(to, uint32_t{type::opt} << 8 | udp_bytes >> 8);
  to[4] = static_cast<uint8_t>(udp_bytes);
  store_be32(to + 5, uint32_t{extended_rcode} << 24 | (flag_do ? kOptFlagDo : 0u));
  store_be16(to + 9, options_bytes);
}

// Writes kExtendedErrorBytes: an EXTENDED-DNS-ERROR option without text (RFC 8914 section 2).
inline void write_extended_error(uint8_t* to, uint16_t code) noexcept {
  store_be16(to, kOptionExtendedError);
  store_be16(to + 2, 2);
  store_be16(to + 4, code);
}

}  // namespace millrace::wire
