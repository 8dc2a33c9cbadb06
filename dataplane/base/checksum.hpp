// SPDX-License-Identifier: Apache-2.0
#pragma once
// The Internet checksum (RFC 1071).
//
// Sums are kept in the machine's own byte order: a ones-complement sum of 16-bit words comes out
// byte-swapped when its words are, so a folded result is stored as it is, without a swap. Partial
// sums may be added as long as every part but the last has an even length.
//
// Cost: one addition with carry per eight octets. Never reads past `bytes`.

#include <bit>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"

namespace millrace {

// Adds with end-around carry.
inline uint64_t sum_add(uint64_t sum, uint64_t value) noexcept {
  const bool carry = __builtin_add_overflow(sum, value, &sum);
  return sum + carry;
}

// Adds 32 octets: one chain of carries, which compilers do not make of sum_add.
inline uint64_t sum_add32(uint64_t sum, const uint8_t* from) noexcept {
#if defined(__x86_64__)
  struct Block {
    uint8_t octets[32];
  };
  asm("addq   (%[from]), %[sum]\n\t"
      "adcq  8(%[from]), %[sum]\n\t"
      "adcq 16(%[from]), %[sum]\n\t"
      "adcq 24(%[from]), %[sum]\n\t"
      "adcq $0, %[sum]"
      : [sum] "+r"(sum)
      : [from] "r"(from), "m"(*reinterpret_cast<const Block*>(from))
      : "cc");
#else
  for (uint32_t at = 0; at < 32; at += 8) sum = sum_add(sum, load_raw<uint64_t>(from + at));
#endif
  return sum;
}

// Adds from `from` to `end` in whole blocks: up to the next multiple of 32, and 64 octets at least.
// What is behind the end has to be zeroes that far.
[[gnu::always_inline]] inline uint64_t sum_padded(const uint8_t* from, const uint8_t* end,
                                                  uint64_t sum) noexcept {
  sum = sum_add32(sum_add32(sum, from), from + 32);
  for (from += 64; from < end; from += 32) [[unlikely]] sum = sum_add32(sum, from);
  return sum;
}

// With few branches: whole blocks of 32, then a jump by how many words are left.
[[gnu::always_inline]] inline uint64_t sum_bytes(const uint8_t* from, uint32_t bytes,
                                                 uint64_t sum = 0) noexcept {
  if (bytes < 8) [[unlikely]] {
    uint64_t tail = 0;
    while (bytes > 0) tail = tail << 8 | from[--bytes];
    return sum_add(sum, tail);
  }
  const uint8_t* const end = from + bytes;
  while (end - from > 32) {
    sum = sum_add32(sum, from);
    from += 32;
  }
  const auto left = static_cast<uint32_t>(end - from);
  if (left > 24) sum = sum_add(sum, load_raw<uint64_t>(from + 16));
  if (left > 16) sum = sum_add(sum, load_raw<uint64_t>(from + 8));
  if (left > 8) sum = sum_add(sum, load_raw<uint64_t>(from));
  // The last one to eight octets, at the end of a load whose other octets are shifted out. These
  // may lie in front of `from`, never in front of the message.
  return sum_add(sum, load_raw<uint64_t>(end - 8) >> (-(left * 8) & 63));
}

// The share in a longer sum of a part that begins at an odd offset: its octets change places in
// their words (RFC 1071 section 2 (B)).
inline uint64_t sum_at_odd(uint64_t part) noexcept {
  part = (part & 0xffff'ffff) + (part >> 32);
  return part << 8;
}

inline uint64_t sum_at(uint32_t offset, uint64_t part) noexcept {
  return (offset & 1) != 0 ? sum_at_odd(part) : part;
}

// Folds to 16 bits. 0xffff over data with its checksum in place means that the data is whole.
// A number and itself with its halves exchanged add up to the folded number in the upper half, the
// carry of the lower one included.
inline uint16_t sum_fold(uint64_t sum) noexcept {
  auto half = static_cast<uint32_t>((sum + std::rotl(sum, 32)) >> 32);
  half += std::rotl(half, 16);
  return static_cast<uint16_t>(half >> 16);
}

// Whether a sum over data with its checksum in place says that the data is whole: it folds to
// 0xffff when it is a multiple of that. Not for sums of nothing but zeroes.
inline bool sum_is_whole(uint64_t sum) noexcept { return sum % 0xffff == 0; }

// What a sender writes into a UDP header: 0 would say "no checksum" (RFC 768).
inline uint16_t udp_checksum_from(uint64_t sum) noexcept {
  const uint16_t checksum = static_cast<uint16_t>(~sum_fold(sum));
  return checksum != 0 ? checksum : 0xffff;
}

}  // namespace millrace
