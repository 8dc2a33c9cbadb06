// SPDX-License-Identifier: Apache-2.0
// What an ICMP error says about a query of ours, in both families, cut anywhere.
#include "dataplane/wire/icmp_error.hpp"

#include "tests/support/icmp_frame.hpp"
#include "tests/unit/wire/wire_test.hpp"

#include <optional>

namespace millrace::test::icmp {  // the tests of a folder are compiled as one
namespace {

struct Ends {
  const char* ours;
  const char* upstream;
  const char* router;
  uint8_t type;
};
constexpr Ends kV4 = {"198.18.1.9", "198.18.1.1", "198.18.1.254", 3};
constexpr Ends kV6 = {"fd00:18:1::9", "fd00:18:1::1", "fd00:18:1::fe", 1};

wire::Endpoints endpoints() {
  wire::Endpoints ours{};
  ours.source[ours.source_cnt++] = address_of(kV4.ours);
  ours.source[ours.source_cnt++] = address_of(kV6.ours);
  ours.upstream_port_first = 20000;
  ours.upstream_port_end = 30000;
  ours.add_vlan(7);
  return ours;
}

FrameBuilder query(const Ends& ends, uint16_t port = 20000) {
  return FrameBuilder().from(ends.ours, port).to(ends.upstream, 53).payload({0xab, 0xcd, 1, 2, 3});
}

FrameBuilder error(const Ends& ends, const Bytes& quote, uint8_t code = 1) {
  return icmp_error(ends.router, ends.ours, ends.type, code, quote);
}

std::optional<wire::IcmpError> read(const Bytes& bytes) {
  const ExactCopy copy(bytes);
  Frame frame{};
  frame.data = copy.data();
  frame.len = frame.room = copy.len();
  wire::Packet packet;
  const wire::Classified seen = wire::classify(frame, endpoints(), packet);
  wire::IcmpError out;
  if (seen.outcome != Outcome::pass_proto) return std::nullopt;
  if (!wire::read_icmp_error(frame, endpoints(), packet, out)) return std::nullopt;
  return out;
}

bool same(const abi::Address& a, const abi::Address& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

TEST(IcmpError, A65_says_which_query) {
  for (const Ends& ends : {kV4, kV6}) {
    SCOPED_TRACE(ends.ours);
    const Bytes sent = query(ends).build();
    for (const auto& builder :
         {error(ends, quote_of(sent)), error(ends, quote_of(sent)).vlan(7),
          error(ends, quote_of(sent)).pad_to(300)}) {
      const auto got = read(builder.build());
      ASSERT_TRUE(got.has_value());
      EXPECT_TRUE(same(got->source, address_of(ends.ours, 20000)));
      EXPECT_TRUE(same(got->target, address_of(ends.upstream, 53)));
      EXPECT_TRUE(got->has_id);
      EXPECT_EQ(got->id, 0xabcd);
      const std::size_t checksum_at = sent.size() - 5 - 2;
      EXPECT_EQ(std::memcmp(&got->udp_checksum, sent.data() + checksum_at, 2), 0);
    }
  }
  EXPECT_TRUE(read(error(kV4, quote_of(query(kV4).build())).ipv4_options({1, 1, 1, 1}).build()));
}

TEST(IcmpError, A65_every_length_of_the_quote) {
  for (const Ends& ends : {kV4, kV6}) {
    const Bytes sent = query(ends).build();
    const std::size_t head = sent.size() - 14 - 5;  // IP and UDP
    for (std::size_t bytes = 0; bytes <= sent.size() - 14; ++bytes) {
      const auto got = read(error(ends, quote_of(sent, bytes)).build());
      EXPECT_EQ(got.has_value(), bytes >= head) << bytes;
      if (got.has_value()) {
        EXPECT_EQ(got->has_id, bytes >= head + 2) << bytes;
      }
    }
    // Frames that end within what their header promises.
    const Bytes whole = error(ends, quote_of(sent)).build();
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes)
      EXPECT_FALSE(read(Bytes(whole.begin(), whole.begin() + static_cast<long>(bytes))));
  }
}

TEST(IcmpError, B43_only_unreachable_and_only_of_ours) {
  for (const Ends& ends : {kV4, kV6}) {
    SCOPED_TRACE(ends.ours);
    const Bytes quote = quote_of(query(ends).build());
    for (int type = 0; type < 256; ++type) {
      const auto got = read(
          icmp_error(ends.router, ends.ours, static_cast<uint8_t>(type), 0, quote).build());
      EXPECT_EQ(got.has_value(), type == ends.type) << type;
    }
    EXPECT_FALSE(read(error(ends, quote).protocol(ends.type == 1 ? 1 : 58).build()))
        << "ICMP of the other family";
    EXPECT_EQ(read(error(ends, quote, 4).build()).has_value(), ends.type == 1)
        << "4: fragmentation needed, or port unreachable";
    const auto quoted = [&](const FrameBuilder& sent) {
      return read(error(ends, quote_of(sent.build())).build()).has_value();
    };
    EXPECT_TRUE(quoted(query(ends, 29999)));
    EXPECT_FALSE(quoted(query(ends, 19999)));
    EXPECT_FALSE(quoted(query(ends, 30000)));
    EXPECT_FALSE(quoted(query(ends).protocol(6)));
    EXPECT_FALSE(quoted(query(ends).from(ends.router, 20000))) << "not from whom the error is for";
    EXPECT_FALSE(quoted(query(ends).ip_version(ends.type == 1 ? 4 : 6)));
    EXPECT_FALSE(read(icmp_error(ends.router, ends.upstream, ends.type, 1,
                                 quote_of(query(ends).from(ends.upstream, 20000).build()))
                          .build()))
        << "none of our addresses";
    Bytes broken = error(ends, quote).build();
    broken.back() ^= 1;
    EXPECT_FALSE(read(broken)) << "checksum";
  }
  EXPECT_FALSE(read(error(kV4, quote_of(query(kV4).build())).fragment(0x2000).build()));
  EXPECT_FALSE(read(error(kV4, quote_of(query(kV4).ipv4_options({1, 1, 1, 1}).build())).build()));
}

}  // namespace
}  // namespace millrace::test::icmp
