// SPDX-License-Identifier: Apache-2.0
#pragma once
// Loads and stores of integers at any address: in network order, and as they stand in memory.
//
// Costs one unaligned move, and one byte swap for network order. Never reads past the integer.

#include <cstdint>
#include <cstring>

namespace millrace {

template <class Word>
inline Word load_raw(const uint8_t* from) noexcept {
  Word raw;
  std::memcpy(&raw, from, sizeof raw);
  return raw;
}

inline uint16_t load_be16(const uint8_t* from) noexcept {
  return __builtin_bswap16(load_raw<uint16_t>(from));
}

inline uint32_t load_be32(const uint8_t* from) noexcept {
  return __builtin_bswap32(load_raw<uint32_t>(from));
}

inline uint64_t load_be64(const uint8_t* from) noexcept {
  return __builtin_bswap64(load_raw<uint64_t>(from));
}

inline void store_be16(uint8_t* to, uint16_t value) noexcept {
  const uint16_t raw = __builtin_bswap16(value);
  std::memcpy(to, &raw, sizeof raw);
}

inline void store_be32(uint8_t* to, uint32_t value) noexcept {
  const uint32_t raw = __builtin_bswap32(value);
  std::memcpy(to, &raw, sizeof raw);
}

inline void store_be64(uint8_t* to, uint64_t value) noexcept {
  const uint64_t raw = __builtin_bswap64(value);
  std::memcpy(to, &raw, sizeof raw);
}

// The octets of `value`, in network order, at octet `at` of a wide load: what that part of it is.
constexpr uint64_t in_memory(uint64_t value, uint32_t at, uint32_t bytes) noexcept {
  uint64_t raw = 0;
  for (uint32_t i = 0; i < bytes; ++i) raw |= (value >> 8 * (bytes - 1 - i) & 0xff) << 8 * (at + i);
  return raw;
}

}  // namespace millrace
