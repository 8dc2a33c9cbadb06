// SPDX-License-Identifier: Apache-2.0
#pragma once
// TCP streams: an obvious parser of a whole one, and what it says against what comes out of the
// slow path, whatever the segments were.

#include "tests/fuzz/choices.hpp"

#include <cstdint>
#include <vector>

namespace millrace::test {

// A whole stream, cut.
struct Cut {
  std::vector<Bytes> messages;
  std::vector<std::size_t> ends;  // of each, in the stream
  std::size_t rest = 0;           // octets of a message that has not come to its end
};
Cut cut_stream(const Bytes& stream);

// A message after which the connection is closed (A104): shorter than a header, or a response.
bool ends_connection(const Bytes& message);

// What gets no answer over UDP: the same, and what is nothing like DNS (B69).
bool is_ignored(const Bytes& message);

// slow::StreamReader by itself: the same messages in the same order, also if some have to wait, and
// nothing else is kept.
void check_reader(Choices& from);

// The slow path with its sockets, a worker, clients and upstreams. Each query gets one answer at
// most, and exactly one where nobody had a reason to close; no answer without a query.
void check_slow_path(Choices& from);

}  // namespace millrace::test
