// SPDX-License-Identifier: Apache-2.0
// Rows B25-B42 of the behaviour table, one frame each, and the frames that millrace writes, read
// back by a reader that verifies every length and checksum.
#include <netinet/in.h>

#include "tests/unit/wire/wire_test.hpp"

namespace millrace::test {
namespace {

using wire::Endpoints;
using wire::Kind;
using wire::Packet;

Endpoints endpoints() {
  Endpoints ours{};
  for (const char* address : {"198.18.0.53", "fd00:18::53", "198.18.0.54"}) {
    ours.service[ours.service_cnt].address = address_of(address, 53);
    ours.service[ours.service_cnt].pool = static_cast<uint8_t>(ours.service_cnt);
    ++ours.service_cnt;
  }
  ours.source[ours.source_cnt++] = address_of("198.18.1.9");
  ours.source[ours.source_cnt++] = address_of("fd00:18:1::9");
  ours.upstream_port_first = 20000;
  ours.upstream_port_end = 30000;
  for (const uint16_t vlan : std::initializer_list<uint16_t>{5, 7, 9, 0x64}) ours.add_vlan(vlan);
  return ours;
}

const Bytes& query_message() {
  static const Bytes message = DnsBuilder().rd().question("www.example.com", kTypeA).build();
  return message;
}

FrameBuilder query_v4() {
  return FrameBuilder().from("198.18.0.9", 40000).to("198.18.0.53", 53).payload(query_message());
}

FrameBuilder query_v6() {
  return FrameBuilder().from("fd00:18::9", 40000).to("fd00:18::53", 53).payload(query_message());
}

FrameBuilder answer_v4() {
  return FrameBuilder().from("198.18.1.1", 53).to("198.18.1.9", 20000).payload(query_message());
}

struct Result {
  Kind kind;
  Outcome outcome;
  Packet packet;
  Bytes bytes;
};

Result run(const Bytes& bytes) {
  const ExactCopy copy(bytes);
  Frame frame{};
  frame.data = copy.data();
  frame.len = frame.room = copy.len();
  Result result{};
  const wire::Classified classified = wire::classify(frame, endpoints(), result.packet);
  result.kind = classified.kind;
  result.outcome = classified.outcome;
  result.bytes = bytes;
  return result;
}

Outcome end_of(const FrameBuilder& builder) {
  const Result result = run(builder.build());
  return result.kind == Kind::finished ? result.outcome : kGoOn;
}

void expect_query(const FrameBuilder& builder, uint8_t service) {
  const Result result = run(builder.build());
  ASSERT_EQ(result.kind, Kind::query);
  EXPECT_EQ(result.packet.service, service);
  const auto begin = result.bytes.begin() + result.packet.dns_off;
  EXPECT_EQ(Bytes(begin, begin + result.packet.dns_len), query_message());
}

TEST(Classify, accepts_queries_to_each_service) {
  expect_query(query_v4(), 0);
  expect_query(query_v6(), 1);
  expect_query(query_v4().to("198.18.0.54", 53), 2);
}

TEST(Classify, accepts_answers_to_upstream_ports) {
  EXPECT_EQ(run(answer_v4().build()).kind, Kind::upstream);
  EXPECT_EQ(run(answer_v4().to("198.18.1.9", 29999).build()).kind, Kind::upstream);
  EXPECT_EQ(
      run(FrameBuilder().from("fd00:18:1::1", 53).to("fd00:18:1::9", 20001).build()).kind,
      Kind::upstream);
  EXPECT_EQ(end_of(answer_v4().to("198.18.1.9", 19999)), Outcome::pass_addr);
  EXPECT_EQ(end_of(answer_v4().to("198.18.1.9", 30000)), Outcome::pass_addr);
  EXPECT_EQ(end_of(answer_v4().to("198.18.1.9", 53)), Outcome::pass_addr);
}

TEST(Classify, reports_both_ends) {
  for (const bool v6 : {false, true}) {
    Bytes bytes = (v6 ? query_v6() : query_v4()).build();
    Frame frame{};
    frame.data = bytes.data();
    frame.len = frame.room = static_cast<uint16_t>(bytes.size());
    Packet packet;
    ASSERT_EQ(wire::classify(frame, endpoints(), packet).kind, Kind::query);
    const abi::Address source = wire::source_of(frame, packet);
    const abi::Address target = wire::destination_of(frame, packet);
    const abi::Address expected_source = address_of(v6 ? "fd00:18::9" : "198.18.0.9", 40000);
    const abi::Address expected_target = address_of(v6 ? "fd00:18::53" : "198.18.0.53", 53);
    EXPECT_EQ(std::memcmp(&source, &expected_source, sizeof source), 0);
    EXPECT_EQ(std::memcmp(&target, &expected_target, sizeof target), 0);
  }
}

TEST(Classify, B27_source_port_0) {
  EXPECT_EQ(end_of(query_v4().from("198.18.0.9", 0)), Outcome::drop_sport0);
  EXPECT_EQ(end_of(query_v6().from("fd00:18::9", 0)), Outcome::drop_sport0);
}

TEST(Classify, B28_low_source_ports) {
  for (const uint16_t port :
       std::initializer_list<uint16_t>{1, 7, 13, 17, 19, 37, 52, 54, 123, 161, 1023}) {
    EXPECT_EQ(end_of(query_v4().from("198.18.0.9", port)), Outcome::drop_sport_low) << port;
  }
  EXPECT_EQ(end_of(query_v4().from("198.18.0.9", 1024)), kGoOn);
  EXPECT_EQ(end_of(query_v4().from("198.18.0.9", 65535)), kGoOn);
}

TEST(Classify, B29_source_port_53) {
  EXPECT_EQ(end_of(query_v4().from("198.18.0.9", 53)), kGoOn);
}

TEST(Classify, B30_self_and_land) {
  EXPECT_EQ(end_of(query_v4().from("198.18.0.53", 40000)), Outcome::drop_land);
  EXPECT_EQ(end_of(query_v4().from("198.18.0.54", 40000)), Outcome::drop_self);
  EXPECT_EQ(end_of(query_v4().from("198.18.1.9", 20001)), Outcome::drop_self);
  EXPECT_EQ(end_of(query_v6().from("fd00:18::53", 40000)), Outcome::drop_land);
  EXPECT_EQ(end_of(query_v6().from("fd00:18:1::9", 40000)), Outcome::drop_self);
  EXPECT_EQ(end_of(answer_v4().from("198.18.1.9", 53)), Outcome::drop_land);
}

TEST(Classify, B31_martians) {
  for (const char* source : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1",
                             "239.1.1.1", "240.0.0.1", "255.255.255.255"}) {
    EXPECT_EQ(end_of(query_v4().from(source, 40000)), Outcome::drop_martian) << source;
    EXPECT_EQ(end_of(answer_v4().from(source, 53)), Outcome::drop_martian) << source;
  }
  for (const char* source : {"::", "::1", "ff02::1", "ff0e::1", "::ffff:198.18.0.9"}) {
    EXPECT_EQ(end_of(query_v6().from(source, 40000)), Outcome::drop_martian) << source;
  }
  for (const char* source : {"1.0.0.1", "126.255.255.255", "128.0.0.1", "223.255.255.255"}) {
    EXPECT_EQ(end_of(query_v4().from(source, 40000)), kGoOn) << source;
  }
  for (const char* source : {"fe80::1", "2001:db8::1", "::2", "::fffe:198.18.0.9"}) {
    EXPECT_EQ(end_of(query_v6().from(source, 40000)), kGoOn) << source;
  }
}

TEST(Classify, B31_source_mac_is_a_group) {
  EXPECT_EQ(end_of(query_v4().mac({2, 0, 0, 0, 0, 1}, {1, 0, 0x5e, 0, 0, 1})),
            Outcome::drop_martian);
}

TEST(Classify, B32_not_ours) {
  EXPECT_EQ(end_of(query_v4().to("198.18.0.99", 53)), Outcome::pass_addr);
  EXPECT_EQ(end_of(query_v4().to("198.18.0.53", 54)), Outcome::pass_addr);
  EXPECT_EQ(end_of(query_v6().to("fd00:18::99", 53)), Outcome::pass_addr);
  EXPECT_EQ(end_of(query_v4().mac({255, 255, 255, 255, 255, 255}, {2, 0, 0, 0, 0, 9})),
            Outcome::pass_addr);
}

TEST(Classify, B33_empty_payload_is_left_to_the_parser) {
  const Result result = run(query_v4().payload({}).build());
  EXPECT_EQ(result.kind, Kind::query);
  EXPECT_EQ(result.packet.dns_len, 0);
}

TEST(Classify, B34_udp_length) {
  const uint16_t good = static_cast<uint16_t>(8 + query_message().size());
  EXPECT_EQ(end_of(query_v4().udp_length(static_cast<uint16_t>(good + 1))), Outcome::drop_udplen);
  EXPECT_EQ(end_of(query_v6().udp_length(static_cast<uint16_t>(good + 1))), Outcome::drop_udplen);
  EXPECT_EQ(end_of(query_v4().udp_length(7)), Outcome::drop_udplen);
  EXPECT_EQ(end_of(query_v6().udp_length(0)), Outcome::drop_udplen);
  // The IP packet ends within the UDP header, though the frame goes on.
  EXPECT_EQ(end_of(query_v4().ip_length(27)), Outcome::drop_udplen);
  EXPECT_EQ(end_of(query_v6().ip_length(7)), Outcome::drop_udplen);
}

TEST(Classify, B35_only_the_udp_length_counts) {
  Bytes longer = query_message();
  longer.insert(longer.end(), 9, 0x77);
  const uint16_t good = static_cast<uint16_t>(8 + query_message().size());
  for (const auto& builder : {query_v4(), query_v6()}) {
    FrameBuilder frame = builder;
    const Result result = run(frame.payload(longer).udp_length(good).build());
    ASSERT_EQ(result.kind, Kind::query);
    EXPECT_EQ(result.packet.dns_len, query_message().size());
  }
}

TEST(Classify, A98_ethernet_padding_is_not_payload) {
  const Bytes tiny(13, 0x11);
  const Result result = run(query_v4().payload(tiny).pad_to(60).build());
  ASSERT_EQ(result.kind, Kind::query);
  EXPECT_EQ(result.packet.dns_len, tiny.size());
}

TEST(Classify, B36_broken_ip_header) {
  EXPECT_EQ(end_of(query_v4().ihl(4)), Outcome::drop_iphdr);
  EXPECT_EQ(end_of(query_v4().ihl(15).payload({}).truncate_to(14 + 40)), Outcome::drop_iphdr);
  EXPECT_EQ(end_of(query_v4().ip_length(19)), Outcome::drop_iphdr);
  EXPECT_EQ(end_of(query_v4().ip_length(1400)), Outcome::drop_iphdr);
  EXPECT_EQ(end_of(query_v4().ip_version(5)), Outcome::drop_iphdr);
  EXPECT_EQ(end_of(query_v6().ip_version(4)), Outcome::drop_iphdr);
  EXPECT_EQ(end_of(query_v6().ip_length(1400)), Outcome::drop_iphdr);
}

TEST(Classify, B37_ipv4_options) {
  EXPECT_EQ(end_of(query_v4().ipv4_options({131, 7, 4, 198, 18, 0, 1, 0})), Outcome::drop_ipopt);
  EXPECT_EQ(end_of(query_v4().ipv4_options({1, 137, 7, 4, 198, 18, 0, 1})), Outcome::drop_ipopt);
  EXPECT_EQ(end_of(query_v4().ipv4_options({148, 4, 0, 0})), kGoOn);            // router alert
  EXPECT_EQ(end_of(query_v4().ipv4_options({7, 7, 4, 0, 0, 0, 0, 0})), kGoOn);  // record route
  EXPECT_EQ(end_of(query_v4().ipv4_options({0, 131, 7, 4})), kGoOn);  // behind the end of the list
  EXPECT_EQ(end_of(query_v4().ipv4_options({148, 5, 0, 0})), Outcome::drop_iphdr);
  EXPECT_EQ(end_of(query_v4().ipv4_options({148, 1, 0, 0})), Outcome::drop_iphdr);
  EXPECT_EQ(end_of(query_v4().ipv4_options({1, 1, 1, 148})), Outcome::drop_iphdr);
  expect_query(query_v4().ipv4_options(Bytes(40, 1)), 0);
}

TEST(Classify, B38_checksums) {
  EXPECT_EQ(end_of(query_v4().ip_checksum(0x1234)), Outcome::drop_csum);
  EXPECT_EQ(end_of(query_v4().udp_checksum(0x1234)), Outcome::drop_csum);
  EXPECT_EQ(end_of(query_v6().udp_checksum(0x1234)), Outcome::drop_csum);
  EXPECT_EQ(end_of(answer_v4().udp_checksum(0x1234)), Outcome::drop_csum);
  EXPECT_EQ(end_of(query_v4().udp_checksum(0)), kGoOn);              // A93
  EXPECT_EQ(end_of(query_v6().udp_checksum(0)), Outcome::drop_csum);  // A93
}

TEST(Classify, B38_any_flipped_payload_bit_is_seen) {
  const Bytes good = query_v4().build();
  for (std::size_t i = good.size() - query_message().size(); i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= static_cast<uint8_t>(1u << (i % 8));
    EXPECT_EQ(run(bad).outcome, Outcome::drop_csum) << i;
  }
}

TEST(Classify, B39_fragments) {
  EXPECT_EQ(end_of(query_v4().fragment(0x2000)), Outcome::drop_frag);  // first
  EXPECT_EQ(end_of(query_v4().fragment(0x2001)), Outcome::drop_frag);  // middle
  EXPECT_EQ(end_of(query_v4().fragment(0x0001)), Outcome::drop_frag);  // last
  EXPECT_EQ(end_of(answer_v4().fragment(0x2000)), Outcome::drop_frag);
  EXPECT_EQ(end_of(query_v4().fragment(0)), kGoOn);
  EXPECT_EQ(end_of(query_v4().fragment(0x8000)), kGoOn);  // the reserved bit is ignored
  EXPECT_EQ(end_of(query_v6().extension(44, {0, 0, 0, 0, 0, 1})), Outcome::drop_frag);  // atomic
  EXPECT_EQ(end_of(query_v6().extension(44, {0, 1, 0, 0, 0, 1})), Outcome::drop_frag);
  EXPECT_EQ(end_of(query_v6().extension(0, Bytes(6, 0)).extension(44, Bytes(6, 0))),
            Outcome::drop_frag);
  EXPECT_EQ(end_of(query_v4().to("198.18.0.99", 53).fragment(0x2000)), Outcome::pass_addr);
}

TEST(Classify, B40_extension_headers) {
  const Bytes padn = {1, 4, 0, 0, 0, 0};
  expect_query(query_v6().extension(0, padn), 1);
  expect_query(query_v6().extension(60, padn), 1);
  expect_query(query_v6().extension(0, padn).extension(60, padn), 1);
  expect_query(query_v6().extension(0, {5, 2, 0, 0, 1, 0}), 1);  // router alert
  expect_query(
      query_v6().extension(0, padn).extension(60, padn).extension(60, padn).extension(60, padn),
      1);
  FrameBuilder five = query_v6();
  for (int i = 0; i < 5; ++i) five.extension(60, padn);
  EXPECT_EQ(end_of(five), Outcome::drop_v6ext);
  EXPECT_EQ(end_of(query_v6().extension(60, padn).extension(0, padn)), Outcome::drop_v6ext);
  EXPECT_EQ(end_of(query_v6().extension(43, padn)), Outcome::drop_v6ext);  // RH0
  EXPECT_EQ(end_of(query_v6().extension(253, padn)), Outcome::drop_v6ext);
  EXPECT_EQ(end_of(query_v6().protocol(59)), Outcome::drop_v6ext);
  EXPECT_EQ(end_of(query_v6().extension(0, {0xc2, 4, 0, 1, 0, 0})), Outcome::drop_v6ext);  // jumbo
  EXPECT_EQ(end_of(query_v6().extension(0, {0x3e, 9, 0, 0, 0, 0})), Outcome::drop_v6ext);
  EXPECT_EQ(end_of(query_v6().extension(60, {0x80, 4, 0, 0, 0, 0})), Outcome::drop_v6ext);
  expect_query(query_v6().extension(60, Bytes(126, 0)), 1);
  EXPECT_EQ(end_of(query_v6().extension(60, Bytes(134, 0))), Outcome::drop_v6ext);
  EXPECT_EQ(end_of(query_v6().extension(60, padn).ip_length(7)), Outcome::drop_v6ext);
  EXPECT_EQ(end_of(query_v6().extension(0, padn).protocol(6)), Outcome::pass_proto);
}

TEST(Classify, B41_tags) {
  const Result result = run(query_v4().vlan(0x2064).build());
  ASSERT_EQ(result.kind, Kind::query);
  EXPECT_EQ(result.packet.l3_off, 18);
  expect_query(query_v6().vlan(5), 1);
  EXPECT_EQ(run(answer_v4().vlan(0xf007).build()).kind, Kind::upstream);
  EXPECT_EQ(end_of(query_v4().vlan(5).vlan(7)), Outcome::drop_vlan);
  EXPECT_EQ(end_of(query_v4().vlan(5, 0x88a8)), Outcome::drop_vlan);
  EXPECT_EQ(end_of(query_v4().vlan(5, 0x88a8).vlan(7)), Outcome::drop_vlan);
  EXPECT_EQ(end_of(query_v4().ether_type(0x8847)), Outcome::drop_vlan);
  EXPECT_EQ(end_of(query_v4().ether_type(0x8864)), Outcome::drop_vlan);
}

// Every VLAN by itself: none lends its place in the bitmap to another, and priority does not count.
TEST(Classify, B41_vlans_that_are_not_configured) {
  for (const auto& builder : {query_v4(), query_v6(), answer_v4()}) {
    for (const uint16_t tag :
         std::initializer_list<uint16_t>{0, 0xe000, 4, 6, 0x44, 0x65, 0x964, 0xfff}) {
      EXPECT_EQ(end_of(FrameBuilder(builder).vlan(tag)), Outcome::drop_vlan) << tag;
    }
  }
  EXPECT_EQ(end_of(query_v4().vlan(6).ether_type(0x0806)), Outcome::drop_vlan);
  Endpoints ours = endpoints();
  ours.add_vlan(0);
  EXPECT_TRUE(ours.has_vlan(0xe000));
  EXPECT_FALSE(ours.has_vlan(0xe001));
}

TEST(Classify, other_protocols_pass) {
  EXPECT_EQ(end_of(query_v4().ether_type(0x0806)), Outcome::pass_l2);
  EXPECT_EQ(end_of(query_v4().vlan(5).ether_type(0x0806)), Outcome::pass_l2);
  EXPECT_EQ(end_of(query_v4().protocol(6)), Outcome::pass_proto);
  EXPECT_EQ(end_of(query_v4().protocol(1)), Outcome::pass_proto);
  EXPECT_EQ(end_of(query_v6().protocol(58)), Outcome::pass_proto);
}

TEST(Classify, every_cut_of_a_frame_is_survived) {
  for (const auto& builder : {query_v4(), query_v6(), query_v4().vlan(7),
                              query_v6().extension(0, Bytes(6, 0)),
                              query_v4().ipv4_options({148, 4, 0, 0})}) {
    const Bytes whole = builder.build();
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
      FrameBuilder cut = builder;
      EXPECT_EQ(run(cut.truncate_to(bytes).build()).kind, Kind::finished) << bytes;
    }
  }
}

// --- the way back

std::optional<ReadFrame> turned(const FrameBuilder& builder, const Bytes& reply,
                                std::size_t spare = 2000) {
  Bytes bytes = builder.build();
  const std::size_t len = bytes.size();
  bytes.resize(len + spare);
  const ExactCopy copy(bytes);
  Frame frame{};
  frame.data = copy.data();
  frame.len = static_cast<uint16_t>(len);
  frame.room = copy.len();
  Packet packet;
  EXPECT_EQ(wire::classify(frame, endpoints(), packet).kind, Kind::query);
  std::copy(reply.begin(), reply.end(), frame.data + packet.dns_off);
  const auto reply_bytes = static_cast<uint16_t>(reply.size());
  const uint64_t sum = sum_bytes(reply.data(), reply_bytes);
  if (!wire::turn_around(frame, packet, reply_bytes, sum)) return std::nullopt;
  std::string why;
  auto read = read_frame(Bytes(frame.data, frame.data + frame.len), &why);
  EXPECT_TRUE(read) << why;
  return read;
}

Bytes counting(std::size_t bytes) {
  Bytes out;
  for (std::size_t i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(i * 7 + 1));
  return out;
}

TEST(TurnAround, swaps_ends_and_verifies) {
  const uint8_t ours[6] = {0x02, 1, 2, 3, 4, 5}, theirs[6] = {0x02, 9, 8, 7, 6, 5};
  for (const auto& builder : {query_v4(), query_v6(), query_v4().vlan(0x2064), query_v6().vlan(5),
                              query_v4().ipv4_options({148, 4, 0, 0}).vlan(9),
                              query_v6().extension(0, Bytes(6, 0)).extension(60, Bytes(14, 0))}) {
    FrameBuilder frame = builder;
    frame.mac(ours, theirs).tos(0xb8).hops(3).flow_label(0x12345);
    const auto query = read_frame(query_v4().build());
    for (const std::size_t bytes : {0u, 1u, 12u, 63u, 64u, 511u, 1232u}) {
      const Bytes reply = counting(bytes);
      const auto read = turned(frame, reply);
      ASSERT_TRUE(read);
      EXPECT_EQ(read->payload, reply);
      EXPECT_TRUE(std::equal(theirs, theirs + 6, read->destination_mac));
      EXPECT_TRUE(std::equal(ours, ours + 6, read->source_mac));
      const bool v6 = read->source.family == 6;
      const abi::Address service = address_of(v6 ? "fd00:18::53" : "198.18.0.53", 53);
      const abi::Address client = address_of(v6 ? "fd00:18::9" : "198.18.0.9", 40000);
      EXPECT_EQ(std::memcmp(&read->source, &service, sizeof service), 0);
      EXPECT_EQ(std::memcmp(&read->target, &client, sizeof client), 0);
      EXPECT_EQ(read->hops, 64);  // A99
      EXPECT_EQ(read->tos, 0);
      EXPECT_EQ(read->flow_label, 0u);
      EXPECT_EQ(read->fragment, v6 ? 0 : 0x4000);  // A94
      EXPECT_TRUE(read->udp_checksum_present);
    }
  }
}

TEST(TurnAround, B41_keeps_the_tag) {
  const auto read = turned(query_v4().vlan(0x2064), counting(40));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->tags, std::vector<uint16_t>{0x2064});
}

TEST(TurnAround, A93_a_sum_of_zero_is_sent_as_ones) {
  // Two octets of payload run through all values: one of them makes the sum zero.
  int all_ones = 0;
  Bytes bytes = query_v4().payload({0, 0}).build();
  for (uint32_t value = 0; value < 65536; ++value) {
    Bytes copy = bytes;
    Frame frame{};
    frame.data = copy.data();
    frame.len = frame.room = static_cast<uint16_t>(copy.size());
    const Packet packet{.dns_off = 42, .dns_len = 2, .l3_off = 14, .l4_off = 34, .v6 = false,
                        .service = 0};
    store_be16(copy.data() + 42, static_cast<uint16_t>(value));
    ASSERT_TRUE(wire::turn_around(frame, packet, 2, sum_bytes(copy.data() + 42, 2)));
    const uint16_t checksum = load_be16(copy.data() + 40);
    ASSERT_NE(checksum, 0) << value;
    if (checksum == 0xffff) {
      ++all_ones;
      EXPECT_TRUE(read_frame(copy));
    }
  }
  EXPECT_EQ(all_ones, 1);
}

TEST(TurnAround, refuses_what_does_not_fit) {
  const Bytes payload = query_message();
  EXPECT_TRUE(turned(query_v4(), payload, 0));
  Bytes bytes = query_v4().build();
  Frame frame{};
  frame.data = bytes.data();
  frame.len = frame.room = static_cast<uint16_t>(bytes.size());
  Packet packet;
  ASSERT_EQ(wire::classify(frame, endpoints(), packet).kind, Kind::query);
  const Bytes before = bytes;
  EXPECT_FALSE(
      wire::turn_around(frame, packet, static_cast<uint16_t>(query_message().size() + 1), 0));
  EXPECT_EQ(bytes, before);
}

TEST(UpstreamHead, writes_a_frame_that_verifies) {
  for (const bool v6 : {false, true}) {
    for (const uint16_t tci : std::initializer_list<uint16_t>{0, 0x0123}) {
      abi::NextHop hop{};
      hop.source = address_of(v6 ? "fd00:18:1::9" : "198.18.1.9");
      for (int i = 0; i < 6; ++i) {
        hop.source_mac[i] = static_cast<uint8_t>(0x10 + i);
        hop.target_mac[i] = static_cast<uint8_t>(0x20 + i);
      }
      hop.port = 3;
      hop.vlan_tci_be = htons(tci);
      const abi::Address target = address_of(v6 ? "fd00:18:1::1" : "198.18.1.1", 5353);
      const uint16_t head = wire::upstream_head_bytes(hop);
      Bytes bytes(head + query_message().size());
      std::copy(query_message().begin(), query_message().end(), bytes.begin() + head);
      Frame frame{};
      frame.data = bytes.data();
      frame.room = static_cast<uint16_t>(bytes.size());
      wire::write_upstream_head(frame, hop, target, 23456,
                                static_cast<uint16_t>(query_message().size()));
      EXPECT_EQ(frame.len, bytes.size());
      EXPECT_EQ(frame.port, 3);
      std::string why;
      const auto read = read_frame(bytes, &why);
      ASSERT_TRUE(read) << why;
      EXPECT_EQ(read->payload, query_message());
      EXPECT_EQ(read->tags.size(), tci != 0 ? 1u : 0u);
      EXPECT_EQ(tci != 0 ? read->tags.at(0) : 0, tci);
      const abi::Address source =
          address_of(v6 ? "fd00:18:1::9" : "198.18.1.9", 23456);
      EXPECT_EQ(std::memcmp(&read->source, &source, sizeof source), 0);
      EXPECT_EQ(std::memcmp(&read->target, &target, sizeof target), 0);
      EXPECT_TRUE(std::equal(hop.target_mac, hop.target_mac + 6, read->destination_mac));
      EXPECT_EQ(read->fragment, v6 ? 0 : 0x4000);
    }
  }
}

}  // namespace
}  // namespace millrace::test
