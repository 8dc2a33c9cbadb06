// SPDX-License-Identifier: Apache-2.0
#include "dataplane/slow/stream_reader.hpp"

#include "tests/unit/slow/peer.hpp"

#include <random>

namespace millrace::test {
namespace {

using slow::StreamReader;

// RFC 7766 section 8: whatever the segments are, the messages are the same.
TEST(StreamReader, A101_any_segmentation) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<Bytes> sent;
    Bytes stream;
    const int messages = std::uniform_int_distribution(1, 12)(random);
    for (int i = 0; i < messages; ++i) {
      const int longest = round % 10 == 0 ? 65'535 : 300;
      Bytes message(std::uniform_int_distribution<std::size_t>(0, longest)(random));
      for (uint8_t& octet : message)
        octet = static_cast<uint8_t>(random());
      const Bytes bytes = Peer::framed(message);
      stream.insert(stream.end(), bytes.begin(), bytes.end());
      sent.push_back(message);
    }
    StreamReader reader;
    std::vector<Bytes> come;
    const std::size_t longest_segment = round % 3 == 0 ? 1 : round % 3 == 1 ? 50 : 20'000;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t bytes = std::min<std::size_t>(
          stream.size() - at,
          std::uniform_int_distribution<std::size_t>(1, longest_segment)(random));
      // Now and then a message has to wait.
      const bool refuse = random() % 5 == 0;
      const auto take = [&](std::span<const uint8_t> message) {
        if (refuse) return false;
        come.emplace_back(message.begin(), message.end());
        return true;
      };
      reader.feed({stream.data() + at, bytes}, take);
      at += bytes;
    }
    reader.feed({}, [&](std::span<const uint8_t> message) {
      come.emplace_back(message.begin(), message.end());
      return true;
    });
    ASSERT_EQ(come, sent) << "round " << round;
    ASSERT_TRUE(reader.empty());
  }
}

TEST(StreamReader, HoldsNothingBetweenMessages) {
  StreamReader reader;
  const Bytes bytes = Peer::framed(Bytes(100, 'x'));
  int come = 0;
  reader.feed(bytes, [&](auto) { return ++come > 0; });
  EXPECT_EQ(come, 1);
  EXPECT_TRUE(reader.empty());
  reader.feed({bytes.data(), 50}, [&](auto) { return ++come > 0; });
  EXPECT_EQ(reader.kept_bytes(), 50u);
}

}  // namespace
}  // namespace millrace::test
