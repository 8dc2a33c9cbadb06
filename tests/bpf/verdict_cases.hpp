// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the tests of the verdict table are made of: frames, each with its row, and how the program
// stands when it gets them.

#include <string_view>
#include <vector>

#include "tests/support/packet_builder.hpp"

namespace millrace::test {

enum class Setup { serving, no_socket, no_rules };

struct Case {
  const char* row;  // of the table
  const char* name;
  Bytes frame;
  int action;
  const char* counter;
  Setup setup = Setup::serving;
};

inline constexpr uint16_t kFirst = 20000;
inline constexpr uint16_t kEnd = 20064;

inline FrameBuilder query4() {
  return FrameBuilder().from("198.18.0.9", 40000).to("198.18.0.53", 53).payload(Bytes(30, 0x11));
}
inline FrameBuilder query6() {
  return FrameBuilder().from("fd00:18::9", 40000).to("fd00:18::53", 53).payload(Bytes(30, 0x11));
}
inline FrameBuilder answer4() {
  return FrameBuilder().from("198.18.1.1", 53).to("198.18.1.2", kFirst).payload(Bytes(90, 0x22));
}
inline FrameBuilder answer6() {
  return FrameBuilder().from("fd00:18:1::1", 53).to("fd00:18:1::2", kFirst).payload(Bytes(90, 2));
}

// verdict_faults.cpp: what is broken or a fragment, ours (V16 to V18) and of others.
void add_faults(std::vector<Case>& cases);

}  // namespace millrace::test
