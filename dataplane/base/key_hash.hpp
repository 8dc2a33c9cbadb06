// SPDX-License-Identifier: Apache-2.0
#pragma once
// The keyed hash of the caches.
//
// Each 16 octets of the key, xored with two words of a secret made at start, are multiplied to 128
// bits and folded to 64; the folds are added up, and one more fold mixes in the length. This is the
// scheme of wyhash and of XXH3's middle lengths, cut down to what a Key allows: its bytes are
// zeroed up to a multiple of 32, so there is no tail to take care of, and names up to 28 octets
// take one round without a loop.
//
// An attacker who does not know the secret cannot choose names that share a bucket; if one were to
// succeed, buckets are bounded, so the price is a miss. The secret lives as long as the cache
// region (it is stored in the region's header, for a later process that adopts the region).
//
// Threads: any; the secret is immutable after start. Cost: about 35 instructions for a key of up to
// 32 octets, 14 more for each further 32.

#include <cstddef>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/key.hpp"

namespace millrace {

struct HashSecret {
  static constexpr std::size_t kWords = sizeof(Key::bytes) / 8 + 2;
  static constexpr std::size_t kBytes = (kWords * 8 + 63) & ~std::size_t{63};
  // The octets from here on are none that the hash uses; cookies are made with them.
  static constexpr std::size_t kSpareAt = kWords * 8;
  alignas(64) uint8_t bytes[kBytes];
};

namespace detail {

inline uint64_t fold_product(uint64_t a, uint64_t b) noexcept {
  __extension__ typedef unsigned __int128 Product;
  const Product product = static_cast<Product>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace detail

// Reads whole blocks of 32 octets: `bytes` has zeroes from `len` up to the next multiple of 32.
// 1 <= len <= sizeof(Key::bytes).
inline uint64_t hash_blocks(const HashSecret& secret, const uint8_t* bytes,
                            std::size_t len) noexcept {
  using detail::fold_product;
  const uint8_t* mask = secret.bytes + 16;
  const auto block = [bytes, mask](std::size_t at) noexcept {
    return fold_product(load_raw<uint64_t>(bytes + at) ^ load_raw<uint64_t>(mask + at),
                        load_raw<uint64_t>(bytes + at + 8) ^ load_raw<uint64_t>(mask + at + 8)) +
           fold_product(load_raw<uint64_t>(bytes + at + 16) ^ load_raw<uint64_t>(mask + at + 16),
                        load_raw<uint64_t>(bytes + at + 24) ^ load_raw<uint64_t>(mask + at + 24));
  };
  uint64_t sum = block(0);
  for (std::size_t at = 32; at < len; at += 32) [[unlikely]] sum += block(at);
  return fold_product(sum ^ load_raw<uint64_t>(secret.bytes),
                      len ^ load_raw<uint64_t>(secret.bytes + 8));
}

inline uint64_t hash_key(const HashSecret& secret, const Key& key) noexcept {
  return hash_blocks(secret, key.bytes, key.len);
}

}  // namespace millrace
