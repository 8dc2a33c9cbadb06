// SPDX-License-Identifier: Apache-2.0
#pragma once
// What must be true of a reply, given the query and nothing else: whatever it says, and wherever
// it comes from; no upstream is trusted for AD. Reads with the tests' own reader; throws
// sim::Violation.

#include "tests/sim/violation.hpp"

#include <cstddef>
#include <vector>

namespace millrace::test {

struct ReplyRules {
  std::size_t udp_bytes_max = 1232;  // ours
  bool stream = false;               // over TCP
};

void check_reply(const Bytes& query, const Bytes& reply, const ReplyRules& rules);

// Gives each reply a query of its own, in whatever order they came: true for each query that has
// one. Throws where there are more replies than queries that they could answer.
std::vector<bool> match_replies(const std::vector<Bytes>& queries,
                                const std::vector<Bytes>& replies, const ReplyRules& rules);

}  // namespace millrace::test
