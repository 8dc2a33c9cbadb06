// SPDX-License-Identifier: Apache-2.0
#pragma once
// A law was broken: what the run ends with.

#include "tests/support/packet_builder.hpp"

#include <string>
#include <utility>

namespace millrace::sim {

using test::Bytes;

struct Violation {
  std::string law;   // "law 4", "A57", ...
  std::string text;  // what happened
  Bytes packet;      // the frame in question, if any
};

[[noreturn]] inline void violate(std::string law, std::string text, const Bytes& packet = {}) {
  throw Violation{std::move(law), std::move(text), packet};
}

inline void demand(bool holds, const char* law, const char* text, const Bytes& packet = {}) {
  if (!holds) violate(law, text, packet);
}

}  // namespace millrace::sim
