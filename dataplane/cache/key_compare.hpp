// SPDX-License-Identifier: Apache-2.0
#pragma once
// Is this entry of that key: the whole key, every byte.
//
// Cost: two 16-byte compares for a name of 28 octets. Reads nothing outside the two keys: the last
// vector overlaps the one before it instead of running past the end.

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "dataplane/base/byte_order.hpp"
#include "dataplane/cache/entry.hpp"

namespace millrace::cache {

namespace detail {

template <class Word>
inline bool differ(const uint8_t* a, const uint8_t* b) noexcept {
  return load_raw<Word>(a) != load_raw<Word>(b);
}

inline bool differ16(const uint8_t* a, const uint8_t* b) noexcept {
#if defined(__SSE2__)
  const __m128i equal = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a)),
                                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(b)));
  return _mm_movemask_epi8(equal) != 0xffff;
#else
  return differ<uint64_t>(a, b) || differ<uint64_t>(a + 8, b + 8);
#endif
}

// Either pair.
inline bool differ16(const uint8_t* a, const uint8_t* b, const uint8_t* c,
                     const uint8_t* d) noexcept {
#if defined(__SSE2__)
  const auto load = [](const uint8_t* from) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  };
  const __m128i equal =
      _mm_and_si128(_mm_cmpeq_epi8(load(a), load(b)), _mm_cmpeq_epi8(load(c), load(d)));
  return _mm_movemask_epi8(equal) != 0xffff;
#else
  return differ16(a, b) || differ16(c, d);
#endif
}

}  // namespace detail

// `len` >= 4.
inline bool equal_bytes(const uint8_t* a, const uint8_t* b, uint32_t len) noexcept {
  if (len - 16 <= 16) [[likely]] {
    return !detail::differ16(a, b, a + len - 16, b + len - 16);
  }
  if (len >= 16) {
    for (uint32_t at = 0; at + 16 < len; at += 16) {
      if (detail::differ16(a + at, b + at)) return false;
    }
    return !detail::differ16(a + len - 16, b + len - 16);
  }
  if (len >= 8) {
    return !detail::differ<uint64_t>(a, b) && !detail::differ<uint64_t>(a + len - 8, b + len - 8);
  }
  return !detail::differ<uint32_t>(a, b) && !detail::differ<uint32_t>(a + len - 4, b + len - 4);
}

[[gnu::always_inline]] inline bool entry_has_key(const Entry& entry, const Key& key) noexcept {
  if (kKeyHeadBytes + entry.name_len != key.len) return false;
  return equal_bytes(key_of(entry).bytes, key.bytes, key.len);
}

}  // namespace millrace::cache
