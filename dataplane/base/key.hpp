// SPDX-License-Identifier: Apache-2.0
#pragma once
// The key of a cached answer, as bytes.
//
//     0      2        3            4
//     +------+--------+------------+---------------------------+------- - -
//     | type | flags  | packet     | name, wire form, lower    | zeroes to
//     | (be) | DO, CD | cache      | case, root label included | the end of the block
//     +------+--------+------------+---------------------------+------- - -
//
// Everything that makes one whole answer unfit for another query is in these bytes (class is always
// IN: other classes are never cached). Two keys are equal when `bytes` agree over `len`; hash and
// compare never look at fields one by one. The tail is zeroed up to a multiple of 32, so both may
// run in whole vectors.

#include <cstddef>
#include <cstdint>

namespace millrace {

inline constexpr uint32_t kKeyHeadBytes = 4;
inline constexpr uint32_t kKeyBytesMax = kKeyHeadBytes + 255;
inline constexpr uint8_t kKeyFlagDo = 1;
inline constexpr uint8_t kKeyFlagCd = 2;

struct alignas(64) Key {
  uint64_t hash;  // keyed, of bytes[0, len); see base/key_hash.hpp
  uint16_t len;   // kKeyHeadBytes + length of the name
  alignas(32) uint8_t bytes[288];
};
static_assert(sizeof(Key::bytes) % 32 == 0 && sizeof(Key::bytes) >= kKeyBytesMax);
static_assert(sizeof(Key) == 320 && offsetof(Key, bytes) == 32, "a usual key takes one line");

}  // namespace millrace
