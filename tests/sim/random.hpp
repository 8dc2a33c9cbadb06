// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a run's choices come from: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
//
// Every actor has a stream of its own, forked from the seed, so that a change in what one of them
// asks for does not change what the others get.

#include <cstddef>
#include <cstdint>

namespace millrace::sim {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = (state_ += 0x9e37'79b9'7f4a'7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11ebULL;
    return z ^ (z >> 31);
  }

  // [0, n), n > 0.
  uint32_t below(uint32_t n) { return static_cast<uint32_t>((next() >> 32) * n >> 32); }
  // [first, last]
  uint64_t between(uint64_t first, uint64_t last) { return first + next() % (last - first + 1); }
  bool chance(uint32_t per_mille) { return below(1000) < per_mille; }

  template <class T, std::size_t kSize>
  const T& pick(const T (&from)[kSize]) {
    return from[below(kSize)];
  }
  template <class Container>
  auto& pick(Container& from) {
    return from[below(static_cast<uint32_t>(from.size()))];
  }

  Random fork() { return Random(next()); }

 private:
  uint64_t state_;
};

}  // namespace millrace::sim
