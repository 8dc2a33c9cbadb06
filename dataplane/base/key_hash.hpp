// SPDX-License-Identifier: Apache-2.0
#pragma once
// The keyed hash of the caches: XXH3-64 with a secret made at start.
//
// An attacker who does not know the secret cannot choose names that share a bucket; if one were to
// succeed, buckets are bounded, so the price is a miss. The secret lives as long as the cache
// region (it is stored in the region's header, for a later process that adopts the region).
//
// Threads: any; the secret is immutable after start. Cost: about 10 ns for a short name.

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstddef>
#include <cstdint>

namespace millrace {

struct HashSecret {
  static constexpr std::size_t kBytes = XXH3_SECRET_SIZE_MIN + 56;  // 192: covers long input too
  alignas(64) uint8_t bytes[kBytes];
};

inline uint64_t hash_key(const HashSecret& secret, const uint8_t* bytes, std::size_t len) noexcept {
  return XXH3_64bits_withSecret(bytes, len, secret.bytes, HashSecret::kBytes);
}

}  // namespace millrace
