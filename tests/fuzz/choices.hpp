// SPDX-License-Identifier: Apache-2.0
#pragma once
// A fuzzer's bytes as decisions: small ones, so that a changed byte changes one of them. When the
// bytes are used up, every answer is 0.

#include "tests/support/packet_builder.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace millrace::test {

class Choices {
 public:
  Choices(const uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}

  bool empty() const { return at_ == end_; }
  uint8_t octet() { return empty() ? uint8_t{0} : *at_++; }
  // [0, bound); of one byte.
  uint32_t below(uint32_t bound) { return octet() % bound; }
  bool flag() { return below(2) != 0; }
  uint16_t word() {
    const uint8_t high = octet();
    return static_cast<uint16_t>(high << 8 | octet());
  }
  // That many, or what is left.
  Bytes bytes(std::size_t n) {
    const std::size_t cnt = std::min(n, static_cast<std::size_t>(end_ - at_));
    const uint8_t* const from = at_;
    at_ += cnt;
    return Bytes(from, at_);
  }
  template <class T, std::size_t kSize>
  const T& pick(const T (&from)[kSize]) {
    return from[below(kSize)];
  }

  // Changes a few octets, or the length: most often nothing.
  void edit(Bytes& bytes) {
    for (uint32_t n = below(8); n > 4 && !bytes.empty(); --n) {
      const std::size_t at = word() % bytes.size();
      const uint8_t value = octet();
      switch (below(4)) {
        case 0:
          bytes.resize(at);
          break;
        case 1:
          bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), value);
          break;
        default:
          bytes[at] = value;
          break;
      }
    }
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace millrace::test
