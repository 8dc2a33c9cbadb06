// SPDX-License-Identifier: Apache-2.0
#pragma once
// In which letter case a name goes upstream: the answer must come back in the same, so whoever
// forges one has to guess that, too.
//
// A spelling is 64 random bits. The letter at octet i of a name is a capital if bit i modulo 64 is
// set; so many are more than a forger has time for, and the rest of a long name repeats them. 0 is
// lower case.
//
// Threads: pure. Cost: a few instructions for each octet. Failure: none.
// Source: draft-vixie-dnsext-dns0x20 ("Use of Bit 0x20 in DNS Labels").

#include <cstdint>

namespace millrace::wire {

namespace detail {

inline uint8_t spell_octet(uint8_t folded, uint32_t at, uint64_t spelling) noexcept {
  const bool is_letter = static_cast<uint8_t>(folded - 'a') < 26;
  const bool is_capital = (spelling >> (at % 64) & 1) != 0;
  return static_cast<uint8_t>(folded ^ (is_letter && is_capital ? 0x20 : 0));
}

}  // namespace detail

// Spells the name at `name`, which is in lower case (length octets lie below the letters).
inline void spell_name(uint8_t* name, uint32_t bytes, uint64_t spelling) noexcept {
  for (uint32_t at = 0; at < bytes; ++at) name[at] = detail::spell_octet(name[at], at, spelling);
}

// Whether `name` is `folded` in this spelling; both have `bytes` octets.
inline bool is_spelt(const uint8_t* name, const uint8_t* folded, uint32_t bytes,
                     uint64_t spelling) noexcept {
  uint8_t differs = 0;
  for (uint32_t at = 0; at < bytes; ++at) {
    differs |= static_cast<uint8_t>(name[at] ^ detail::spell_octet(folded[at], at, spelling));
  }
  return differs == 0;
}

}  // namespace millrace::wire
