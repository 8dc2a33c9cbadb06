// SPDX-License-Identifier: Apache-2.0
// What takes the short way, and what must not. That both ways agree is the property tests' matter.
#include "dataplane/wire/plain_query.hpp"

#include "tests/unit/wire/wire_test.hpp"

namespace millrace::test {
namespace {

wire::Endpoints plain_endpoints() {
  wire::Endpoints ours{};
  ours.service_cnt = 2;
  ours.service[0].address = address_of("198.18.0.53", 53);
  ours.service[1].address = address_of("fd00:18::53", 5353);
  ours.source_cnt = 1;
  ours.source[0] = address_of("198.18.1.9");
  ours.index();
  return ours;
}

FrameBuilder frame_of(const Bytes& payload) {
  FrameBuilder builder;
  builder.from("198.18.0.9", 40000).to("198.18.0.53", 53).payload(payload);
  return builder;
}

DnsBuilder ask(const char* name, uint16_t type) {
  DnsBuilder builder;
  builder.rd().question(Name(name), type);
  return builder;
}

bool is_plain(const Bytes& bytes, uint16_t room_behind = 400) {
  Bytes padded = bytes;
  padded.resize(bytes.size() + room_behind, 0xa5);
  const ExactCopy copy(padded);
  Frame frame{};
  frame.data = copy.data();
  frame.len = static_cast<uint16_t>(bytes.size());
  frame.room = copy.len();
  static const wire::Endpoints ours = plain_endpoints();
  wire::Packet packet{};
  wire::Query query{};
  Key key;
  return wire::plain_packet(frame, ours, packet) && wire::plain_query(frame, packet, 0, key) &&
         wire::finish_plain(frame.data + packet.dns_off, packet.dns_len, key, query);
}

const Bytes kUsual = ask("www.example.com", kTypeA).build();

TEST(PlainQuery, is_what_clients_send) {
  for (const uint16_t type : {kTypeA, kTypeAaaa, kTypeMx, uint16_t{65}}) {
    EXPECT_TRUE(is_plain(frame_of(ask("www.Example.com", type).build()).build())) << type;
    EXPECT_TRUE(is_plain(frame_of(ask("www.Example.com", type).opt().build()).build())) << type;
  }
  EXPECT_TRUE(is_plain(
      FrameBuilder().from("fd00:18::9", 40000).to("fd00:18::53", 5353).payload(kUsual).build()));
}

TEST(PlainQuery, may_be_of_any_length) {
  for (std::size_t length = 2; length < 64; ++length) {
    const DnsBuilder query = ask(std::string(length, 'x').c_str(), kTypeA);
    EXPECT_TRUE(is_plain(frame_of(query.build()).build())) << length;
    EXPECT_TRUE(is_plain(frame_of(DnsBuilder(query).opt().build()).build())) << length;
  }
}

TEST(PlainQuery, may_be_longer_than_a_vector) {
  const std::string label(63, 'x');
  const std::string name = label + "." + label + "." + label + "." + std::string(61, 'y');
  EXPECT_TRUE(is_plain(frame_of(ask(name.c_str(), kTypeA).build()).build()));
}

TEST(PlainQuery, is_not_what_needs_a_second_look) {
  EXPECT_FALSE(is_plain(frame_of(kUsual).vlan(5).build()));
  EXPECT_FALSE(is_plain(frame_of(kUsual).ipv4_options(Bytes(4, 1)).build()));
  EXPECT_FALSE(is_plain(frame_of(kUsual).to("198.18.0.53", 54).build()));
  EXPECT_FALSE(is_plain(frame_of(kUsual).to("198.18.0.52", 53).build()));
  EXPECT_FALSE(is_plain(frame_of(kUsual).from("198.18.0.53", 40000).build()));
  EXPECT_FALSE(is_plain(frame_of(kUsual).from("198.18.1.9", 40000).build()));
  EXPECT_FALSE(is_plain(frame_of(kUsual).from("127.0.0.1", 40000).build()));
  EXPECT_FALSE(is_plain(frame_of(kUsual).from("198.18.0.9", 53).build()));
  EXPECT_FALSE(is_plain(frame_of(kUsual).udp_checksum(1).build()));
  EXPECT_FALSE(is_plain(frame_of(kUsual).udp_checksum(0).build())) << "none";
  EXPECT_FALSE(is_plain(frame_of(DnsBuilder().question(Name("a.example"), kTypeA).build()).build()))
      << "RD=0";
  EXPECT_FALSE(is_plain(frame_of(ask("a.example", 252).build()).build())) << "AXFR";
  EXPECT_FALSE(is_plain(frame_of(ask("a.example", 41).build()).build())) << "OPT";
  EXPECT_FALSE(is_plain(frame_of(ask("a.example", kTypeA).raw({0}).build()).build()))
      << "trailing octet";
}

TEST(PlainQuery, needs_room_to_read_in_vectors) {
  EXPECT_FALSE(is_plain(frame_of(kUsual).build(), 200));
}

}  // namespace
}  // namespace millrace::test
