// SPDX-License-Identifier: Apache-2.0
#pragma once
// Server cookies in the form that servers of one anycast address can share (RFC 9018 section 4):
//
//     0              8         9          12          16           24
//     +--------------+---------+----------+-----------+------------+
//     | client       | version | reserved | Unix time | hash, of   |
//     | cookie       | 1       | 0        | (be)      | all before |
//     +--------------+---------+----------+-----------+------------+
//
// The hash is SipHash-2-4 of these 16 octets and the client's address, under a secret. A client
// that shows one of ours from its address is not forging that address.
//
// Threads: pure. Cost: one hash of 20 or 32 octets. Failure: a cookie is good or it is not.
// Sources: RFC 7873, RFC 9018.

#include "dataplane/abi/abi_base.hpp"
#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/siphash.hpp"

#include <cstdint>
#include <cstring>

namespace millrace::wire {

inline constexpr uint32_t kClientCookieBytes = 8;
inline constexpr uint32_t kCookieBytes = 24;     // client's and server's
inline constexpr int32_t kCookieAgeSMax = 3600;  // RFC 9018 section 4.3
inline constexpr int32_t kCookieAheadSMax = 300;
inline constexpr int32_t kCookieRenewAgeS = 1800;

namespace detail {

inline uint64_t hash_cookie(const uint8_t* cookie, const abi::Address& client,
                            const uint8_t* secret) noexcept {
  uint8_t input[16 + 16];
  std::memcpy(input, cookie, 16);
  const uint32_t address_bytes = client.family == 4 ? 4 : 16;
  std::memcpy(input + 16, client.bytes, address_bytes);
  return siphash24(secret, input, 16 + address_bytes);
}

}  // namespace detail

// Completes the kCookieBytes at `cookie`, which begin with the client's own. `secret` has
// kSipKeyBytes octets.
inline void write_cookie(uint8_t* cookie, const abi::Address& client, uint32_t unix_s,
                         const uint8_t* secret) noexcept {
  store_be32(cookie + 8, 1u << 24);
  store_be32(cookie + 12, unix_s);
  const uint64_t hash = detail::hash_cookie(cookie, client, secret);
  std::memcpy(cookie + 16, &hash, sizeof hash);
}

// How old a cookie is, in seconds; below 0 if its clock is ahead of ours. Serial arithmetic, so
// that the year 2106 is a second like others.
inline int32_t cookie_age_s(const uint8_t* cookie, uint32_t unix_s) noexcept {
  return static_cast<int32_t>(unix_s - load_be32(cookie + 12));
}

// Whether the kCookieBytes at `cookie` were made for this client, under this secret, of late.
inline bool is_good_cookie(const uint8_t* cookie, const abi::Address& client, uint32_t unix_s,
                           const uint8_t* secret) noexcept {
  const int32_t age_s = cookie_age_s(cookie, unix_s);
  if (cookie[8] != 1 || age_s > kCookieAgeSMax || age_s < -kCookieAheadSMax) return false;
  uint64_t shown;
  std::memcpy(&shown, cookie + 16, sizeof shown);
  return shown == detail::hash_cookie(cookie, client, secret);
}

}  // namespace millrace::wire
