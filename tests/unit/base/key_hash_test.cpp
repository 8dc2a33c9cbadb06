// SPDX-License-Identifier: Apache-2.0
// The hash of the caches: every bit counts, names that look alike spread evenly, and the secret
// decides. Seen with plain statistics; that it resists an attacker who knows the secret is not
// claimed.
#include "dataplane/base/key_hash.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace millrace::test {
namespace {

HashSecret secret_of(uint64_t seed) {
  HashSecret secret;
  for (uint8_t& byte : secret.bytes) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<uint8_t>(seed >> 56);
  }
  return secret;
}

Key key_of(const std::string& bytes) {
  Key key{};
  key.len = static_cast<uint16_t>(bytes.size());
  std::memcpy(key.bytes, bytes.data(), bytes.size());
  return key;
}

TEST(KeyHash, EveryBitAndTheLengthCount) {
  const HashSecret secret = secret_of(1);
  for (const uint16_t len : std::initializer_list<uint16_t>{5, 24, 32, 33, 64, 100, 259}) {
    std::set<uint64_t> hashes;
    Key key{};
    key.len = len;
    hashes.insert(hash_key(secret, key));
    for (uint32_t bit = 0; bit < len * 8u; ++bit) {
      key.bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      hashes.insert(hash_key(secret, key));
      key.bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    }
    for (uint16_t other = 1; other < len; ++other) {
      key.len = other;
      hashes.insert(hash_key(secret, key));
    }
    EXPECT_EQ(hashes.size(), 1u + len * 8u + (len - 1u)) << len;
  }
}

TEST(KeyHash, ABitChangesHalfOfTheHash) {
  const HashSecret secret = secret_of(2);
  const Key key = key_of(std::string("\0\1\0\0\3www\7example\3com\0", 21));
  double changed = 0;
  for (uint32_t bit = 0; bit < key.len * 8u; ++bit) {
    Key other = key;
    other.bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    changed += __builtin_popcountll(hash_key(secret, key) ^ hash_key(secret, other));
  }
  EXPECT_NEAR(changed / (key.len * 8.0), 32, 2);
}

// The bits that choose the shard and those that choose the bucket.
TEST(KeyHash, NamesThatCountUpSpreadEvenly) {
  const HashSecret secret = secret_of(3);
  constexpr uint32_t kNames = 1 << 16;
  for (const int shift : {0, 24, 32, 56}) {
    std::vector<uint32_t> cnt(256);
    for (uint32_t n = 0; n < kNames; ++n) {
      const std::string label = "www" + std::to_string(n);
      const Key key = key_of(std::string("\0\1\0\0", 4) + static_cast<char>(label.size()) + label +
                             std::string("\7example\3com\0", 13));
      ++cnt[hash_key(secret, key) >> shift & 0xff];
    }
    double chi_squared = 0;
    constexpr double kMean = kNames / 256.0;
    for (const uint32_t got : cnt) chi_squared += std::pow(got - kMean, 2) / kMean;
    // 255 degrees of freedom: mean 255, deviation 22.6.
    EXPECT_LT(chi_squared, 255 + 6 * 22.6) << shift;
  }
}

TEST(KeyHash, TheSecretDecides) {
  const Key key = key_of("some key");
  EXPECT_NE(hash_key(secret_of(4), key), hash_key(secret_of(5), key));
  EXPECT_EQ(hash_key(secret_of(4), key), hash_key(secret_of(4), key));
}

}  // namespace
}  // namespace millrace::test
