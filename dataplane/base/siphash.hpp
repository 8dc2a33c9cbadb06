// SPDX-License-Identifier: Apache-2.0
#pragma once
// SipHash-2-4 with a result of 64 bits: a keyed hash whose results may be shown to strangers, who
// learn nothing of the key from them. For cookies, which other implementations must agree with; the
// caches have a faster one (key_hash.hpp) that nobody sees the results of.
//
// Threads: pure. Cost: some 40 instructions for each 8 octets, and 100.
// Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012).

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace millrace {

inline constexpr std::size_t kSipKeyBytes = 16;

namespace detail {

struct SipState {
  uint64_t v0, v1, v2, v3;

  void rounds(uint32_t cnt) noexcept {
    for (uint32_t i = 0; i < cnt; ++i) {
      v0 += v1;
      v2 += v3;
      v1 = std::rotl(v1, 13) ^ v0;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 = std::rotl(v0, 32);
      v2 += v1;
      v0 += v3;
      v1 = std::rotl(v1, 17) ^ v2;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 = std::rotl(v2, 32);
    }
  }
  void absorb(uint64_t word) noexcept {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
};

}  // namespace detail

// `key` has kSipKeyBytes octets. The result's octets in memory are those that the paper prints.
inline uint64_t siphash24(const uint8_t* key, const uint8_t* bytes, std::size_t len) noexcept {
  static_assert(std::endian::native == std::endian::little);
  uint64_t k[2];
  std::memcpy(k, key, sizeof k);
  // "somepseudorandomlygeneratedbytes"
  detail::SipState state{k[0] ^ 0x736f'6d65'7073'6575, k[1] ^ 0x646f'7261'6e64'6f6d,
                         k[0] ^ 0x6c79'6765'6e65'7261, k[1] ^ 0x7465'6462'7974'6573};
  std::size_t at = 0;
  for (; at + 8 <= len; at += 8) {
    uint64_t word;
    std::memcpy(&word, bytes + at, sizeof word);
    state.absorb(word);
  }
  uint64_t last = uint64_t{len & 0xff} << 56;
  if (at != len) std::memcpy(&last, bytes + at, len - at);  // `bytes` may be null if there are none
  state.absorb(last);
  state.v2 ^= 0xff;
  state.rounds(4);
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace millrace
