// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the policy for a packet may depend on, as bytes.
//
//    0                16        18        20         21       22       24
//    +----------------+---------+---------+----------+--------+--------+
//    | source prefix  | service | ingress | protocol | family | 0      |
//    +----------------+---------+---------+----------+--------+--------+
//
// The source is cut to the prefix length of the config, so that clients of one network share a
// verdict; which length is not in the key, for under another config the verdict is void anyway. An
// IPv4 prefix stands in the first 4 bytes, zeroes behind it. Two keys are equal when all bytes are.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace millrace::flow {

// The shortest prefixes that a verdict may be shared by, and the length of an address.
inline constexpr uint32_t kPrefixBitsMin4 = 24;
inline constexpr uint32_t kPrefixBitsMax4 = 32;
inline constexpr uint32_t kPrefixBitsMin6 = 48;
inline constexpr uint32_t kPrefixBitsMax6 = 128;

inline constexpr uint8_t kFamily4 = 4;
inline constexpr uint8_t kFamily6 = 6;

struct alignas(8) FlowKey {
  uint8_t source[16];
  uint16_t service;  // index of the service address and port
  uint16_t ingress;  // index of the port
  uint8_t protocol;  // of IP: 17 UDP, 6 TCP
  uint8_t family;
  uint16_t reserved;  // 0
};
static_assert(sizeof(FlowKey) == 24 && std::has_unique_object_representations_v<FlowKey>);
static_assert(offsetof(FlowKey, service) == 16 && offsetof(FlowKey, ingress) == 18);
static_assert(offsetof(FlowKey, protocol) == 20 && offsetof(FlowKey, family) == 21);

struct FlowPath {
  uint16_t service;
  uint16_t ingress;
  uint8_t protocol;
};

// `address`: 4 or 16 bytes as on the wire; `prefix_bits` within the limits of the family.
inline FlowKey make_flow_key(uint8_t family, const uint8_t* address, uint32_t prefix_bits,
                             const FlowPath& path) noexcept {
  static_assert(kPrefixBitsMin4 > 0 && kPrefixBitsMin6 > 0, "a shift by a whole word is no shift");
  FlowKey key{};
  if (family == kFamily4) {
    uint32_t word;
    std::memcpy(&word, address, sizeof word);
    word &= __builtin_bswap32(~uint32_t{0} << (32 - prefix_bits));
    std::memcpy(key.source, &word, sizeof word);
  } else {
    uint64_t words[2];
    std::memcpy(words, address, sizeof words);
    words[0] &=
        __builtin_bswap64(prefix_bits < 64 ? ~uint64_t{0} << (64 - prefix_bits) : ~uint64_t{0});
    words[1] &= __builtin_bswap64(prefix_bits > 64 ? ~uint64_t{0} << (128 - prefix_bits) : 0);
    std::memcpy(key.source, words, sizeof words);
  }
  key.service = path.service;
  key.ingress = path.ingress;
  key.protocol = path.protocol;
  key.family = family;
  return key;
}

inline bool same_key(const FlowKey& a, const FlowKey& b) noexcept {
  uint64_t words_a[3];
  uint64_t words_b[3];
  std::memcpy(words_a, &a, sizeof words_a);
  std::memcpy(words_b, &b, sizeof words_b);
  return ((words_a[0] ^ words_b[0]) | (words_a[1] ^ words_b[1]) | (words_a[2] ^ words_b[2])) == 0;
}

}  // namespace millrace::flow
