// SPDX-License-Identifier: Apache-2.0
#pragma once
// An item that proves itself: every word follows from its number, so one made of two items shows.
// The last byte is the ring's and comes back as 0.

#include <cstdint>

namespace millrace::test {

struct alignas(64) ProvingItem {
  uint64_t words[8];

  bool holds(uint64_t number) const noexcept {
    for (uint64_t i = 0; i < 8; ++i) {
      if (words[i] != word(number, i)) return false;
    }
    return true;
  }
  static uint64_t word(uint64_t number, uint64_t i) noexcept {
    const uint64_t word = (number + 1) * 0x9e37'79b9'7f4a'7c15ULL ^ (i << 48) ^ number;
    return i < 7 ? word : word & ~(uint64_t{0xff} << 56);
  }
};
static_assert(sizeof(ProvingItem) == 64);

inline ProvingItem proving_item(uint64_t number) noexcept {
  ProvingItem item{};
  for (uint64_t i = 0; i < 8; ++i)
    item.words[i] = ProvingItem::word(number, i);
  return item;
}

}  // namespace millrace::test
