// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the fields of a DNS message stand, and the values that millrace knows by name
// (RFC 1035, 6891, 8914).
//
//     0      2        4         6         8         10        12
//     +------+--------+---------+---------+---------+---------+-----------------------------+
//     | id   | flags  | QDCOUNT | ANCOUNT | NSCOUNT | ARCOUNT | question, records ...       |
//     +------+--------+---------+---------+---------+---------+-----------------------------+
//            | 2: QR(1) opcode(4) AA TC RD    3: RA Z AD CD RCODE(4) |

#include <cstdint>

namespace millrace::wire {

inline constexpr uint32_t kDnsHeaderBytes = 12;
inline constexpr uint32_t kDnsFlagsAt = 2;  // two octets, see the bits below
inline constexpr uint32_t kDnsQdCountAt = 4;
inline constexpr uint32_t kDnsAnCountAt = 6;
inline constexpr uint32_t kDnsNsCountAt = 8;
inline constexpr uint32_t kDnsArCountAt = 10;

// First flags octet.
inline constexpr uint8_t kBitQr = 0x80;
inline constexpr uint8_t kBitAa = 0x04;
inline constexpr uint8_t kBitTc = 0x02;
inline constexpr uint8_t kBitRd = 0x01;
inline constexpr uint8_t kOpcodeShift = 3;
inline constexpr uint8_t kOpcodeMask = 0x0f;
// Second flags octet.
inline constexpr uint8_t kBitRa = 0x80;
inline constexpr uint8_t kBitAd = 0x20;
inline constexpr uint8_t kBitCd = 0x10;
inline constexpr uint8_t kRcodeMask = 0x0f;

inline constexpr uint32_t kNameBytesMax = 255;
inline constexpr uint32_t kLabelBytesMax = 63;
inline constexpr uint8_t kPointerBits = 0xc0;
inline constexpr uint32_t kQuestionTailBytes = 4;  // QTYPE, QCLASS
inline constexpr uint32_t kRecordHeadBytes = 10;   // TYPE, CLASS, TTL, RDLENGTH
inline constexpr uint32_t kRecordBytesMin = 1 + kRecordHeadBytes;
inline constexpr uint32_t kUdpBytesWithoutOpt = 512;

inline constexpr uint32_t kOptBytes = 11;  // without options
inline constexpr uint32_t kOptionHeadBytes = 4;
inline constexpr uint16_t kOptFlagDo = 0x8000;
inline constexpr uint16_t kOptionNsid = 3;
inline constexpr uint16_t kOptionSubnet = 8;
inline constexpr uint16_t kOptionCookie = 10;
inline constexpr uint16_t kOptionKeepalive = 11;
inline constexpr uint16_t kOptionExtendedError = 15;
inline constexpr uint32_t kExtendedErrorBytes = kOptionHeadBytes + 2;

inline constexpr uint16_t kClassIn = 1;
inline constexpr uint16_t kClassCh = 3;

namespace type {
inline constexpr uint16_t a = 1, ns = 2, md = 3, mf = 4, cname = 5, soa = 6, mb = 7, mg = 8, mr = 9,
                          ptr = 12, hinfo = 13, minfo = 14, mx = 15, txt = 16, rp = 17, afsdb = 18,
                          rt = 21, sig = 24, px = 26, aaaa = 28, nxt = 30, srv = 33, naptr = 35,
                          kx = 36, dname = 39,
                          opt = 41, ds = 43, rrsig = 46, nsec = 47, talink = 58, svcb = 64,
                          https = 65, lp = 107, nxname = 128, tkey = 249, tsig = 250, ixfr = 251,
                          axfr = 252, mailb = 253, maila = 254, any = 255;
}  // namespace type

namespace rcode {
inline constexpr uint8_t noerror = 0, formerr = 1, servfail = 2, nxdomain = 3, notimp = 4,
                         refused = 5, yxdomain = 6, badvers = 16, badcookie = 23;
}  // namespace rcode

}  // namespace millrace::wire
