// SPDX-License-Identifier: Apache-2.0
#pragma once
// The Internet checksum (RFC 1071).
//
// Sums are kept in the machine's own byte order: a ones-complement sum of 16-bit words comes out
// byte-swapped when its words are, so a folded result is stored as it is, without a swap. Partial
// sums may be added as long as every part but the last has an even length.
//
// Cost: one addition with carry per eight octets. Never reads past `bytes`.

#include <cstdint>
#include <cstring>

namespace millrace::wire {

// Adds with end-around carry.
inline uint64_t sum_add(uint64_t sum, uint64_t value) noexcept {
  sum += value;
  return sum + (sum < value ? 1 : 0);
}

inline uint64_t sum_bytes(const uint8_t* from, uint32_t bytes, uint64_t sum = 0) noexcept {
  uint64_t other = 0;  // a second chain, so that additions need not wait for each other
  uint64_t word;
  for (; bytes >= 16; bytes -= 16, from += 16) {
    std::memcpy(&word, from, 8);
    sum = sum_add(sum, word);
    std::memcpy(&word, from + 8, 8);
    other = sum_add(other, word);
  }
  sum = sum_add(sum, other);
  if ((bytes & 8) != 0) {
    std::memcpy(&word, from, 8);
    sum = sum_add(sum, word);
    from += 8;
  }
  // What is left ends a message: shorter than a word, so it stands alone behind zeroes.
  uint64_t tail = 0;
  uint32_t shift = 0;
  if ((bytes & 4) != 0) {
    uint32_t four;
    std::memcpy(&four, from, 4);
    tail = four;
    shift = 32;
    from += 4;
  }
  if ((bytes & 2) != 0) {
    uint16_t two;
    std::memcpy(&two, from, 2);
    tail |= static_cast<uint64_t>(two) << shift;
    shift += 16;
    from += 2;
  }
  if ((bytes & 1) != 0) tail |= static_cast<uint64_t>(*from) << shift;
  return sum_add(sum, tail);
}

// Folds to 16 bits. 0xffff over data with its checksum in place means that the data is whole.
inline uint16_t sum_fold(uint64_t sum) noexcept {
  sum = (sum & 0xffff'ffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// What a sender writes into a UDP header: 0 would say "no checksum" (RFC 768).
inline uint16_t udp_checksum_from(uint64_t sum) noexcept {
  const uint16_t checksum = static_cast<uint16_t>(~sum_fold(sum));
  return checksum != 0 ? checksum : 0xffff;
}

}  // namespace millrace::wire
