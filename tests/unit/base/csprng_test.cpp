// SPDX-License-Identifier: Apache-2.0
// Random numbers: bit for bit what libsodium's ChaCha20 gives under the published scheme, the same
// for the same seed, without bias, and without a trace of what was given out.
#include "dataplane/base/csprng.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>
#include <sodium/crypto_stream_chacha20.h>

namespace millrace {
namespace {

static_assert(!std::is_copy_constructible_v<Csprng>);

std::array<uint8_t, 32> seed_of(uint8_t first) {
  std::array<uint8_t, 32> seed;
  for (std::size_t i = 0; i < seed.size(); ++i)
    seed[i] = static_cast<uint8_t>(first + i);
  return seed;
}

// The scheme in the plainest words: block n under key n; its first 32 bytes are key n + 1.
std::vector<uint8_t> expected_bytes(std::array<uint8_t, 32> key, std::size_t buffers) {
  const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES] = {};
  std::vector<uint8_t> out;
  for (std::size_t n = 0; n < buffers; ++n) {
    std::array<uint8_t, Csprng::kBufferBytes> block;
    crypto_stream_chacha20(block.data(), block.size(), nonce, key.data());
    std::copy_n(block.begin(), key.size(), key.begin());
    out.insert(out.end(), block.begin() + 32, block.end());
  }
  return out;
}

TEST(Csprng, ChaCha20IsTheOneOfTheStandard) {
  // RFC 8439, appendix A.1, test vector 1: key, nonce and counter zero. Also shows that libsodium
  // computes without having been initialised.
  const uint8_t zero[32] = {};
  const uint8_t expected[16] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90,
                                0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28};
  uint8_t block[16];
  crypto_stream_chacha20(block, sizeof block, zero, zero);
  EXPECT_EQ(std::memcmp(block, expected, sizeof block), 0);
}

TEST(Csprng, FirstWordsAreKnown) {
  // With a zero seed: bytes 32.. of that key stream, da 41 59 7c 51 57 48 8d ...
  const uint8_t zero[32] = {};
  Csprng random(zero);
  EXPECT_EQ(random.u32(), 0x7c59'41dau);
  EXPECT_EQ(random.u32(), 0x8d48'5751u);
}

TEST(Csprng, FollowsTheSchemeAcrossRefills) {
  const auto seed = seed_of(1);
  const std::vector<uint8_t> expected = expected_bytes(seed, 20);
  Csprng random(seed.data());
  for (std::size_t at = 0; at < expected.size(); at += 4) {
    uint32_t word;
    std::memcpy(&word, &expected[at], sizeof word);
    ASSERT_EQ(random.u32(), word) << "byte " << at;
  }
}

TEST(Csprng, ShortWordsUseEveryByte) {
  const auto seed = seed_of(9);
  const std::vector<uint8_t> expected = expected_bytes(seed, 3);
  Csprng random(seed.data());
  for (std::size_t at = 0; at < expected.size(); at += 2) {
    uint16_t word;
    std::memcpy(&word, &expected[at], sizeof word);
    ASSERT_EQ(random.u16(), word) << "byte " << at;
  }
}

TEST(Csprng, MixedWordsNeverRunOffTheBuffer) {
  // 2 + 4 + 4 + ... meets the end of the buffer with two bytes left: they are skipped, not used as
  // half a word.
  const auto seed = seed_of(3);
  const std::vector<uint8_t> expected = expected_bytes(seed, 2);
  Csprng random(seed.data());
  random.u16();
  for (std::size_t i = 0; i < 119; ++i)
    random.u32();
  uint32_t word;
  std::memcpy(&word, &expected[480], sizeof word);  // first of the second buffer
  EXPECT_EQ(random.u32(), word);
}

TEST(Csprng, EqualSeedsGiveEqualNumbersAndOthersDoNot) {
  Csprng a(seed_of(5).data());
  Csprng b(seed_of(5).data());
  Csprng c(seed_of(6).data());
  bool all_equal = true;
  for (int i = 0; i < 1000; ++i) {
    const uint32_t word = a.u32();
    ASSERT_EQ(word, b.u32());
    all_equal = all_equal && word == c.u32();
  }
  EXPECT_FALSE(all_equal);
}

TEST(Csprng, WhatWasGivenOutIsNoLongerInMemory) {
  const auto seed = seed_of(77);
  alignas(Csprng) unsigned char memory[sizeof(Csprng)];
  auto* random = new (memory) Csprng(seed.data());
  const auto holds = [&](const uint8_t* bytes, std::size_t len) {
    return std::search(memory, memory + sizeof memory, bytes, bytes + len) !=
           memory + sizeof memory;
  };
  EXPECT_FALSE(holds(seed.data(), seed.size())) << "the seed";
  const std::vector<uint8_t> expected = expected_bytes(seed, 1);
  EXPECT_TRUE(holds(&expected[0], 16)) << "not yet given out";
  for (int i = 0; i < 8; ++i)
    random->u32();
  EXPECT_FALSE(holds(&expected[0], 8));
  EXPECT_FALSE(holds(&expected[24], 8));
  EXPECT_TRUE(holds(&expected[32], 16));
  random->~Csprng();
  EXPECT_FALSE(holds(&expected[32], 16)) << "after the end";
}

TEST(Csprng, BelowStaysBelow) {
  Csprng random(seed_of(0).data());
  for (uint32_t n : {1u, 2u, 3u, 7u, 1000u, 64'512u, 0x8000'0001u, 0xffff'ffffu}) {
    for (int i = 0; i < 2000; ++i)
      ASSERT_LT(random.below(n), n);
  }
}

// Pearson's chi-square of `draw` over `cells` equally likely cells. With the seed fixed the result
// is the same in every run; the bounds are mean +- 5 sigma.
template <class Draw>
void expect_uniform(uint32_t cells, uint32_t draws, Draw draw) {
  std::vector<uint32_t> hits(cells);
  for (uint32_t i = 0; i < draws; ++i)
    ++hits[draw()];
  const double expected = double(draws) / cells;
  double chi_square = 0;
  for (uint32_t cnt : hits)
    chi_square += (cnt - expected) * (cnt - expected) / expected;
  const double freedom = cells - 1.0;
  EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2 * freedom)) << cells << " cells";
  EXPECT_GT(chi_square, freedom - 5 * std::sqrt(2 * freedom)) << "too even to be random";
}

TEST(Csprng, BytesAreUniform) {
  Csprng random(seed_of(11).data());
  expect_uniform(65536, 2'000'000, [&] { return random.u16(); });
  expect_uniform(256, 500'000, [&] { return random.u32() >> 24; });
}

TEST(Csprng, BelowIsUniform) {
  Csprng random(seed_of(12).data());
  for (uint32_t n : {3u, 10u, 1000u, 16'000u}) {
    expect_uniform(n, 400'000, [&] { return random.below(n); });
  }
}

TEST(Csprng, BelowHasNoBiasWhereAModuloWouldHaveMuch) {
  // n = 3 * 2^30: a plain modulo, or a multiplication without rejection, gives a third of the
  // results twice as often.
  Csprng random(seed_of(13).data());
  constexpr uint32_t kN = 3u << 30;
  expect_uniform(3, 300'000, [&] { return random.below(kN) % 3; });
  expect_uniform(3, 300'000, [&] { return random.below(kN) >> 30; });
}

}  // namespace
}  // namespace millrace
