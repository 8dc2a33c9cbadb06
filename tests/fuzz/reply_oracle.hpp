// SPDX-License-Identifier: Apache-2.0
#pragma once
// What must be true of a reply, given the query and nothing else: whatever it says, and wherever
// it comes from. Reads with the tests' own reader; throws sim::Violation.

#include "tests/sim/violation.hpp"

#include <cstddef>

namespace millrace::test {

struct ReplyRules {
  std::size_t udp_bytes_max = 1232;  // ours
  bool stream = false;               // over TCP
};

void check_reply(const Bytes& query, const Bytes& reply, const ReplyRules& rules);

}  // namespace millrace::test
