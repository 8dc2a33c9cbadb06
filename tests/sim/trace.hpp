// SPDX-License-Identifier: Apache-2.0
#pragma once
// What happened in a run: folded into one number always, printed line by line on request.
//
// Two runs of one seed must give the same number; it takes in every event with its time and every
// byte that a worker sent.

#include "tests/support/packet_builder.hpp"

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace millrace::sim {

class Trace {
 public:
  explicit Trace(bool verbose) : verbose_(verbose) {}

  void at(uint64_t now_ns) { now_ns_ = now_ns; }

  // `text` makes the words of the line and is called only when lines are wanted.
  template <class Text>
  void event(std::string_view kind, uint64_t detail, Text&& text) {
    fold(now_ns_);
    fold(kind.size() * 131 + static_cast<unsigned char>(kind[0]));
    fold(detail);
    if (!verbose_) return;
    const std::string words = text();
    std::printf("%12.6f  %-14.*s %s\n", static_cast<double>(now_ns_) / 1e9,
                static_cast<int>(kind.size()), kind.data(), words.c_str());
  }
  void event(std::string_view kind, uint64_t detail) {
    event(kind, detail, [detail] { return std::to_string(detail); });
  }

  void bytes(const test::Bytes& packet) {
    for (const uint8_t octet : packet)
      hash_ = (hash_ ^ octet) * 0x0000'0100'0000'01b3ULL;
  }

  bool verbose() const { return verbose_; }
  uint64_t hash() const { return hash_; }

 private:
  void fold(uint64_t word) {
    hash_ ^= word;
    hash_ *= 0x9e37'79b9'7f4a'7c15ULL;
    hash_ ^= hash_ >> 29;
  }

  bool verbose_;
  uint64_t now_ns_ = 0;
  uint64_t hash_ = 0xcbf2'9ce4'8422'2325ULL;
};

}  // namespace millrace::sim
