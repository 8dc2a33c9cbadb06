// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/stream_oracle.hpp"

#include "dataplane/slow/stream_reader.hpp"
#include "tests/sim/violation.hpp"

namespace millrace::test {
namespace {

using sim::demand;

constexpr std::size_t kShortestBytes = 12;
constexpr std::size_t kNameBytesMax = 255;

// An uncompressed name.
bool has_name_at(const Bytes& message, std::size_t at) {
  const std::size_t begin = at;
  while (at < message.size() && message[at] != 0) {
    if (message[at] > 63) return false;
    at += 1u + message[at];
  }
  return at < message.size() && at + 1 - begin <= kNameBytesMax;
}

}  // namespace

Cut cut_stream(const Bytes& stream) {
  Cut cut;
  std::size_t at = 0;
  while (at + 2 <= stream.size()) {
    const std::size_t end = at + 2 + stream[at] * 256u + stream[at + 1];
    if (end > stream.size()) break;
    cut.messages.emplace_back(stream.begin() + static_cast<std::ptrdiff_t>(at + 2),
                              stream.begin() + static_cast<std::ptrdiff_t>(end));
    cut.ends.push_back(end);
    at = end;
  }
  cut.rest = stream.size() - at;
  return cut;
}

bool ends_connection(const Bytes& message) {
  return message.size() < kShortestBytes || (message[2] & 0x80) != 0;
}

bool is_ignored(const Bytes& message) {
  if (ends_connection(message)) return true;
  const bool is_query = (message[2] & 0x78) == 0;
  const bool several = message[4] != 0 || message[5] > 1;
  const bool is_bare = message.size() == kShortestBytes;
  return is_query && several && !is_bare && !has_name_at(message, kShortestBytes);
}

void check_reader(Choices& from) {
  // How the stream is cut: segments of these lengths, again and again. Of some, only a number of
  // messages is taken, and the next has to wait.
  struct Segment {
    std::size_t bytes;
    uint32_t taken_max;
  };
  std::vector<Segment> segments(1 + from.below(8));
  for (Segment& segment : segments) {
    segment.bytes = 1u + from.octet();
    if (segment.bytes > 200) segment.bytes = (segment.bytes - 200) * 400;
    segment.taken_max = from.below(8) == 0 ? from.below(4) : UINT32_MAX;
  }
  const Bytes stream = from.bytes(SIZE_MAX);
  const Cut expected = cut_stream(stream);

  slow::StreamReader reader;
  std::size_t next = 0;  // of the expected messages
  std::size_t taken_bytes = 0;
  const auto feed = [&](std::size_t at, std::size_t bytes, uint32_t taken_max) {
    uint32_t taken = 0;
    const ExactCopy segment(Bytes(stream.begin() + static_cast<std::ptrdiff_t>(at),
                                  stream.begin() + static_cast<std::ptrdiff_t>(at + bytes)));
    reader.feed({segment.data(), bytes}, [&](std::span<const uint8_t> message) {
      demand(
          next < expected.messages.size() && std::ranges::equal(message, expected.messages[next]),
          "A101", "a message that nobody sent, or not the next one");
      if (taken == taken_max) return false;
      taken += 1;
      taken_bytes += 2 + message.size();
      next += 1;
      return true;
    });
    demand(reader.kept_bytes() == at + bytes - taken_bytes, "A101",
           "keeps more or less than what was not taken");
    return taken;
  };
  std::size_t at = 0;
  for (std::size_t i = 0; at < stream.size(); i = (i + 1) % segments.size()) {
    const std::size_t bytes = std::min(segments[i].bytes, stream.size() - at);
    const uint32_t taken = feed(at, bytes, segments[i].taken_max);
    at += bytes;
    if (taken == segments[i].taken_max) continue;
    const auto whole = std::ranges::upper_bound(expected.ends, at) - expected.ends.begin();
    demand(next == static_cast<std::size_t>(whole), "A101", "a whole message is not given out");
  }
  feed(at, 0, UINT32_MAX);
  demand(next == expected.messages.size() && reader.kept_bytes() == expected.rest, "A101",
         "messages were lost");
}

}  // namespace millrace::test
