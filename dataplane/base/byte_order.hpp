// SPDX-License-Identifier: Apache-2.0
#pragma once
// Loads and stores of network-order integers at any address.
//
// Costs one unaligned move and one byte swap. Never reads past the integer.

#include <cstdint>
#include <cstring>

namespace millrace {

inline uint16_t load_be16(const uint8_t* from) noexcept {
  uint16_t raw;
  std::memcpy(&raw, from, sizeof raw);
  return __builtin_bswap16(raw);
}

inline uint32_t load_be32(const uint8_t* from) noexcept {
  uint32_t raw;
  std::memcpy(&raw, from, sizeof raw);
  return __builtin_bswap32(raw);
}

inline uint64_t load_be64(const uint8_t* from) noexcept {
  uint64_t raw;
  std::memcpy(&raw, from, sizeof raw);
  return __builtin_bswap64(raw);
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

}  // namespace millrace
