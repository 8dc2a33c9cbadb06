// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random numbers that an attacker cannot guess: query ids, source ports, backend choice.
//
// ChaCha20 keystream in buffers of 512 bytes with fast key erasure: the first 32 bytes of every
// buffer become the key of the next one and are never given out, and bytes that were given out are
// wiped. So whoever reads the memory of the process later learns nothing about earlier ids.
//
//     0        32                                            512
//     +--------+----------------------------------------------+
//     | next   | given out from the front, wiped as it goes    |
//     | key    |            ^ next_                            |
//     +--------+----------------------------------------------+
//
// Threads: one object per worker, used by that worker only.
// Randomness enters once, as the seed (the appliance: getrandom at start; the simulator: the seed
// of the run), so equal seeds give equal numbers. Cost: a few instructions; every 480 bytes one
// refill, about a microsecond, no system call.
//
// Source: D. J. Bernstein, "Fast-key-erasure random-number generators", 2017; RFC 8439 for ChaCha20
// (here with the 64-bit nonce of the original, which is always zero: no key is used twice).
// `below`: D. Lemire, "Fast random integer generation in an interval", 2019.

#include <cstddef>
#include <cstdint>

namespace millrace {

class Csprng {
 public:
  static constexpr std::size_t kSeedBytes = 32;
  static constexpr std::size_t kBufferBytes = 512;

  explicit Csprng(const uint8_t seed[kSeedBytes]) noexcept;
  ~Csprng();
  Csprng(const Csprng&) = delete;  // two copies would give the same "random" ids
  Csprng& operator=(const Csprng&) = delete;

  uint16_t u16() noexcept { return take<uint16_t>(); }
  uint32_t u32() noexcept { return take<uint32_t>(); }

  // Uniform over [0, n), without the bias of a plain modulo. n > 0.
  uint32_t below(uint32_t n) noexcept {
    uint64_t product = uint64_t{u32()} * n;
    if (static_cast<uint32_t>(product) < n) {
      // The lowest `rejected` products would be hit once too often. Each turn ends the loop with
      // a probability above one half, whatever n is.
      const uint32_t rejected = (0u - n) % n;
      while (static_cast<uint32_t>(product) < rejected)
        product = uint64_t{u32()} * n;
    }
    return static_cast<uint32_t>(product >> 32);
  }

 private:
  template <class Word>
  Word take() noexcept {
    if (kBufferBytes - next_ < sizeof(Word)) refill();
    Word word;
    __builtin_memcpy(&word, buffer_ + next_, sizeof word);
    __builtin_memset(buffer_ + next_, 0, sizeof word);
    next_ += sizeof word;
    return word;
  }

  void refill() noexcept;

  alignas(64) uint8_t buffer_[kBufferBytes];
  std::size_t next_;
};

}  // namespace millrace
