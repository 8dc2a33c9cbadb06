// SPDX-License-Identifier: Apache-2.0
// Aim: every row of ebpf/README.md's verdict table, for every kind of frame it can be met with.
// Method: the loaded program is run on built frames (BPF_PROG_TEST_RUN); both the action and the
// one counter that moved are compared. A last test compares the rows used here with the table
// itself.

#include <algorithm>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <map>
#include <netinet/in.h>
#include <optional>
#include <ostream>
#include <set>
#include <sstream>
#include <sys/socket.h>

#include "tests/bpf/bpf_bench.hpp"
#include "tests/bpf/verdict_cases.hpp"
#include "tests/support/icmp_frame.hpp"

namespace millrace::test {
namespace {

const char* name_of(Setup setup) {
  if (setup == Setup::serving) return "Serving";
  return setup == Setup::no_socket ? "NoSocket" : "NoRules";
}

FrameBuilder asked4() {
  return FrameBuilder().from("198.18.1.2", kFirst).to("198.18.1.1", 53).payload(Bytes(30, 0x33));
}
FrameBuilder asked6() {
  return FrameBuilder().from("fd00:18:1::2", kFirst).to("fd00:18:1::1", 53).payload(Bytes(30, 3));
}
FrameBuilder icmp4(const FrameBuilder& about, uint8_t type = 3, uint8_t code = 1,
                   std::size_t quote_bytes = 548) {
  return icmp_error("198.18.1.254", "198.18.1.2", type, code, quote_of(about.build(), quote_bytes));
}
FrameBuilder icmp6(const FrameBuilder& about, uint8_t type = 1, uint8_t code = 0,
                   std::size_t quote_bytes = 548) {
  return icmp_error("fd00:18:1::fe", "fd00:18:1::2", type, code,
                    quote_of(about.build(), quote_bytes));
}

ctl::PrefilterRules rules() {
  return {.services = {address_of("198.18.0.53", 53), address_of("fd00:18::53", 53),
                       address_of("198.18.0.54", 5353)},
          .backends = {address_of("198.18.1.1", 53), address_of("fd00:18:1::1", 53)},
          .sources = {address_of("198.18.1.2"), address_of("fd00:18:1::2")},
          .upstream_port_first = kFirst,
          .upstream_port_end = kEnd,
          .generation = 7};
}

constexpr const char* kQuery = "redirected_query";
constexpr const char* kUpstream = "redirected_upstream";
constexpr const char* kAddr = "passed_addr";
constexpr const char* kBad = "passed_malformed";
constexpr const char* kL2 = "passed_l2";
constexpr const char* kExt = "passed_ext_header";
constexpr const char* kProto = "passed_proto";

void add_ours(std::vector<Case>& cases) {
  const Bytes options = {0x94, 4, 0, 0, 1, 1, 1, 0};  // router alert, padding
  const Bytes all_options(40, 1);
  const auto query = [&](const char* name, const FrameBuilder& frame) {
    cases.push_back({"V12", name, frame.build(), XDP_REDIRECT, kQuery});
  };
  const auto answer = [&](const char* name, const FrameBuilder& frame) {
    cases.push_back({"V13", name, frame.build(), XDP_REDIRECT, kUpstream});
  };
  query("query4", query4());
  query("query6", query6());
  query("query4_other_port", query4().to("198.18.0.54", 5353));
  query("query4_vlan", query4().vlan(100));
  query("query6_vlan", query6().vlan(0xe064));
  query("query4_options", query4().ipv4_options(options));
  query("query4_options_vlan", query4().ipv4_options(options).vlan(1));
  query("query4_40_bytes_of_options", query4().ipv4_options(all_options));
  query("query4_padded", query4().payload({}).pad_to(60));
  query("query4_no_payload", query4().payload({}));
  query("query6_no_payload", query6().payload({}));
  query("query4_longest", query4().payload(Bytes(1792 - 14 - 28, 1)));
  query("query6_longest", query6().payload(Bytes(1792 - 14 - 48, 1)));
  query("query4_may_not_be_fragmented", query4().fragment(0x4000));
  query("query4_udp_shorter_than_ip", query4().udp_length(20));
  query("query4_no_udp_checksum", query4().udp_checksum(0));
  query("query6_hop_by_hop", query6().extension(0, {5, 2, 0, 0, 1, 0}));
  query("query6_destination_options", query6().extension(60, Bytes(70, 0)));
  query("query6_four_options",
        query6().extension(0, {}).extension(60, {}).extension(60, Bytes(14, 0)).extension(60, {}));
  query("query6_options_vlan", query6().extension(0, {}).extension(60, {}).vlan(9));
  query("query6_longest_option", query6().extension(60, Bytes(255 * 8 - 2 - 1000, 0)));
  answer("answer4", answer4());
  answer("answer6", answer6());
  answer("answer4_vlan", answer4().vlan(7));
  answer("answer6_vlan", answer6().vlan(7));
  answer("answer4_options", answer4().ipv4_options(options));
  answer("answer6_destination_options", answer6().extension(60, {}));
  answer("answer4_last_port", answer4().to("198.18.1.2", kEnd - 1));
  answer("answer6_last_port", answer6().to("fd00:18:1::2", kEnd - 1));
}

void add_icmp(std::vector<Case>& cases) {
  const auto ours = [&](const char* name, const FrameBuilder& frame) {
    cases.push_back({"V14", name, frame.build(), XDP_REDIRECT, "redirected_icmp"});
  };
  ours("icmp4_host", icmp4(asked4()));
  ours("icmp4_port", icmp4(asked4(), 3, 3));
  ours("icmp4_vlan_and_options", icmp4(asked4()).vlan(7).ipv4_options({1, 1, 1, 1}));
  ours("icmp4_least_quote", icmp4(asked4(), 3, 3, 28));
  ours("icmp4_last_port", icmp4(asked4().from("198.18.1.2", kEnd - 1)));
  ours("icmp4_longest", icmp4(asked4().payload(Bytes(1792 - 14 - 56, 1)), 3, 3, 1800));
  ours("icmp6_route", icmp6(asked6()));
  ours("icmp6_port", icmp6(asked6(), 1, 4));
  ours("icmp6_vlan_and_options", icmp6(asked6()).vlan(7).extension(60, {}));
  ours("icmp6_least_quote", icmp6(asked6(), 1, 4, 48));

  const auto other = [&](const char* name, const FrameBuilder& frame) {
    cases.push_back({"V6", name, frame.build(), XDP_PASS, kProto});
  };
  other("icmp4_fragmentation_needed", icmp4(asked4(), 3, 4));
  other("icmp4_time_exceeded", icmp4(asked4(), 11, 0));
  other("icmp4_echo", icmp4(asked4(), 8, 0));
  other("icmp4_type_of_icmp6", icmp4(asked4(), 1, 4));
  other("icmp4_cut_quote", icmp4(asked4(), 3, 3, 27));
  other("icmp4_ip_length_cuts_quote", icmp4(asked4()).ip_length(20 + 8 + 27));
  other("icmp6_ip_length_cuts_quote", icmp6(asked6()).ip_length(8 + 47));
  other("icmp4_no_quote", icmp4(asked4(), 3, 3, 0).pad_to(200));
  other("icmp4_port_before", icmp4(asked4().from("198.18.1.2", kFirst - 1)));
  other("icmp4_port_end", icmp4(asked4().from("198.18.1.2", kEnd)));
  other("icmp4_of_another_program", icmp4(asked4().to("198.18.1.1", 123)));
  other("icmp4_to_no_backend", icmp4(asked4().to("198.18.1.3", 53)));
  other("icmp4_not_from_us", icmp4(asked4().from("198.18.1.9", kFirst)));
  other("icmp4_of_tcp", icmp4(asked4().protocol(6)));
  const Bytes like_udp = {kFirst >> 8, kFirst & 0xff, 0, 53, 0, 0, 0, 0};
  other("icmp4_of_options", icmp4(asked4().ipv4_options(like_udp)));
  other("icmp4_quotes_version_6", icmp4(asked4().ip_version(6)));
  other("icmp6_packet_too_big", icmp6(asked6(), 2, 0));
  other("icmp6_neighbour", icmp6(asked6(), 135, 0));
  other("icmp6_cut_quote", icmp6(asked6(), 1, 4, 47));
  other("icmp6_not_from_us", icmp6(asked6().from("fd00:18:1::9", kFirst)));
  other("icmp6_of_tcp", icmp6(asked6().protocol(6)));
}

void add_strays(std::vector<Case>& cases) {
  const auto stray = [&](const char* name, const FrameBuilder& frame) {
    for (const Setup setup : {Setup::serving, Setup::no_socket})
      cases.push_back({"V15", name, frame.build(), XDP_DROP, "dropped_stray", setup});
  };
  stray("answer4_from_other_port", answer4().from("198.18.1.1", 54));
  stray("answer4_from_other_host", answer4().from("198.18.1.3", 53));
  stray("answer4_from_a_client", answer4().from("198.18.0.9", 4000).vlan(3));
  stray("answer4_from_other_host_too_long",
        answer4().from("198.18.1.3", 53).payload(Bytes(1793 - 14 - 28, 1)));
  stray("answer4_last_port", answer4().from("198.18.1.3", 53).to("198.18.1.2", kEnd - 1));
  stray("answer6_from_other_port", answer6().from("fd00:18:1::1", 54));
  stray("answer6_from_other_host", answer6().from("fd00:18:1::3", 53).extension(60, {}));
}

void add_not_ours(std::vector<Case>& cases) {
  const auto other = [&](const char* name, const FrameBuilder& frame) {
    cases.push_back({"V9", name, frame.build(), XDP_PASS, kAddr});
  };
  other("query4_wrong_port", query4().to("198.18.0.53", 54));
  other("query4_port_of_other_service", query4().to("198.18.0.53", 5353));
  other("query4_wrong_address", query4().to("198.18.0.52", 53));
  other("query6_wrong_address", query6().to("fd00:18::5300", 53));
  other("query6_wrong_port", query6().to("fd00:18::53", 5353));
  other("query6_address_starts_like_v4", query6().to("c612:35::", 53));
  other("query4_from_service_to_nobody", query4().from("198.18.0.53", 53).to("198.18.0.9", 53));
  other("answer4_port_before", answer4().to("198.18.1.2", kFirst - 1));
  other("answer4_port_end", answer4().to("198.18.1.2", kEnd));
  other("answer6_port_end", answer6().to("fd00:18:1::2", kEnd));
  other("stranger4_port_before", answer4().from("198.18.1.3", 53).to("198.18.1.2", kFirst - 1));
  other("stranger4_port_end", answer4().from("198.18.1.3", 53).to("198.18.1.2", kEnd));
  other("stranger6_port_end", answer6().from("fd00:18:1::3", 53).to("fd00:18:1::2", kEnd));
  other("answer4_to_somebody_else", answer4().to("198.18.1.9", kFirst));
  other("answer6_to_somebody_else", answer6().to("fd00:18:1::9", kFirst));
  other("backend_asks_somebody", answer4().to("198.18.1.2", 53));

  const auto too_long = [&](const char* name, const FrameBuilder& frame) {
    cases.push_back({"V10", name, frame.build(), XDP_PASS, "passed_too_long"});
  };
  too_long("query4_too_long", query4().payload(Bytes(1793 - 14 - 28, 1)));
  too_long("query6_too_long", query6().payload(Bytes(1793 - 14 - 48, 1)));
  too_long("answer4_too_long", answer4().payload(Bytes(1793 - 14 - 28, 1)));
  too_long("query4_padded_too_long", query4().pad_to(1793));
  too_long("icmp4_padded_too_long", icmp4(asked4()).pad_to(1793));
}

void add_odd_l2_l3(std::vector<Case>& cases) {
  const auto add = [&](const char* row, const char* name, const FrameBuilder& frame,
                       const char* counter) {
    cases.push_back({row, name, frame.build(), XDP_PASS, counter});
  };
  add("V1", "vlan_cut", query4().vlan(1).truncate_to(17), kBad);
  add("V1", "ethernet_only_v4", query4().truncate_to(14), kBad);
  add("V1", "ethernet_only_v6", query6().truncate_to(14), kBad);
  add("V1", "v4_header_cut", query4().truncate_to(33), kBad);
  add("V1", "v4_header_cut_vlan", query4().vlan(1).truncate_to(37), kBad);
  add("V1", "v6_header_cut", query6().truncate_to(53), kBad);
  add("V1", "v6_option_cut", query6().extension(0, {}).truncate_to(55).ip_length(1), kBad);

  add("V2", "arp", query4().ether_type(0x0806), kL2);
  add("V2", "ieee_802_3_length", query4().ether_type(60), kL2);
  add("V2", "service_tag", query4().vlan(5, 0x88a8), kL2);
  add("V2", "two_tags", query4().vlan(5).vlan(6), kL2);
  add("V2", "mpls_behind_tag", query4().vlan(5).ether_type(0x8847), kL2);

  add("V3", "v4_says_version_6", query4().ip_version(6), kBad);
  add("V3", "v4_says_version_0", query4().ip_version(0), kBad);
  add("V3", "v6_says_version_4", query6().ip_version(4), kBad);
  add("V3", "v6_option_beyond_length",
      query6().extension(60, Bytes(14, 0)).ip_length(8), kBad);

}

void add_odd_l4(std::vector<Case>& cases) {
  const auto add = [&](const char* row, const char* name, const FrameBuilder& frame,
                       const char* counter) {
    cases.push_back({row, name, frame.build(), XDP_PASS, counter});
  };
  add("V5", "v6_routing", query6().extension(43, {}), kExt);
  add("V5", "v6_authentication", query6().extension(51, {}), kExt);
  add("V5", "v6_mobility", query6().extension(135, {}), kExt);
  add("V5", "v6_routing_behind_options", query6().extension(60, {}).extension(43, {}), kExt);
  add("V5", "v6_five_options", query6().extension(0, {}).extension(60, {}).extension(60, {})
                                   .extension(60, {}).extension(60, {}), kExt);

  add("V6", "v4_tcp", query4().protocol(6), kProto);
  add("V6", "v4_icmp", query4().protocol(1), kProto);
  add("V6", "v4_esp_vlan", query4().protocol(50).vlan(8), kProto);
  add("V6", "v6_tcp", query6().protocol(6), kProto);
  add("V6", "v6_icmp", query6().protocol(58), kProto);
  add("V6", "v6_no_next_header", query6().protocol(59), kProto);
  add("V6", "v6_tcp_behind_options", query6().extension(0, {}).protocol(6), kProto);

}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_ours(cases);
  add_icmp(cases);
  add_strays(cases);
  add_not_ours(cases);
  add_odd_l2_l3(cases);
  add_odd_l4(cases);
  add_faults(cases);
  const std::pair<const char*, FrameBuilder> ours[] = {
      {"query4", query4()}, {"query6", query6().vlan(4)}, {"answer4", answer4()},
      {"answer6", answer6()}, {"icmp4", icmp4(asked4())}, {"icmp6", icmp6(asked6())}};
  for (const auto& [name, frame] : ours) {
    cases.push_back({"V8", name, frame.build(), XDP_PASS, "passed_no_rules", Setup::no_rules});
    cases.push_back({"V11", name, frame.build(), XDP_PASS, "passed_no_socket", Setup::no_socket});
  }
  cases.push_back({"V9", "query4_wrong_port", query4().to("198.18.0.53", 54).build(), XDP_PASS,
                   kAddr, Setup::no_socket});
  cases.push_back({"V6", "v4_tcp", query4().protocol(6).build(), XDP_PASS, kProto,
                   Setup::no_rules});
  return cases;
}

// One interface per setup, made once: loading takes longer than all the cases together.
struct Bench {
  explicit Bench(Setup setup) : wire("mrv0", "mrv1") {
    auto opened = ctl::Prefilter::open(kPinDir);
    if (!opened.ok()) throw std::runtime_error(opened.status().message());
    prefilter = std::move(opened).value();
    ctl::Status status = prefilter->attach(wire.a);
    if (status.ok() && setup != Setup::no_rules) status = prefilter->set_rules(rules());
    if (!status.ok()) throw std::runtime_error(status.message());
    // A run takes place on queue 0, whatever the interface.
    if (setup == Setup::serving) socket.emplace(wire.a, 0);
    program = program_on(wire.a);
  }
  ~Bench() { static_cast<void>(prefilter->detach_all().ok()); }

  VethPair wire;
  std::unique_ptr<ctl::Prefilter> prefilter;
  std::optional<XskSocket> socket;
  ctl::Fd program;
};

// Of the kernel, bound to an address that need not be ours.
class UdpSocket {
 public:
  UdpSocket(const char* address, uint16_t port) {
    const abi::Address ours = address_of(address, port);
    const int on = 1;
    const bool v6 = ours.family == 6;
    fd_ = ctl::Fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0));
    ::setsockopt(fd_.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, &on,
                 sizeof on);
    sockaddr_in6 at6 = {};
    at6.sin6_family = AF_INET6;
    at6.sin6_port = ours.port_be;
    std::memcpy(&at6.sin6_addr, ours.bytes, sizeof at6.sin6_addr);
    sockaddr_in at4 = {};
    at4.sin_family = AF_INET;
    at4.sin_port = ours.port_be;
    std::memcpy(&at4.sin_addr, ours.bytes, sizeof at4.sin_addr);
    const auto* at = v6 ? reinterpret_cast<const sockaddr*>(&at6)
                        : reinterpret_cast<const sockaddr*>(&at4);
    if (::bind(fd_.get(), at, v6 ? sizeof at6 : sizeof at4) != 0)
      throw std::runtime_error(std::string("bind ") + address);
  }

 private:
  ctl::Fd fd_;
};

class Verdicts : public ::testing::TestWithParam<Setup> {};

TEST_P(Verdicts, AreThoseOfTheTable) {
  Bench bench(GetParam());
  for (const Case& c : all_cases()) {
    if (c.setup != GetParam()) continue;
    SCOPED_TRACE(std::string(c.row) + " " + c.name);
    const auto before = bench.prefilter->counters(bench.wire.a);
    EXPECT_EQ(run_program(bench.program.get(), c.frame), c.action);
    const auto after = bench.prefilter->counters(bench.wire.a);
    ASSERT_TRUE(before.ok() && after.ok());
    for (std::size_t i = 0; i < after.value().by_reason.size(); ++i) {
      const auto& [name, packets] = after.value().by_reason[i];
      EXPECT_EQ(packets - before.value().by_reason[i].second, name == c.counter ? 1u : 0u) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Prefilter, Verdicts,
                         ::testing::Values(Setup::serving, Setup::no_socket, Setup::no_rules),
                         [](const auto& row) { return std::string(name_of(row.param)); });

// Rules without sources accept an answer for any address.
TEST(Verdict, AnswersGoAnywhereWithoutSources) {
  Bench bench(Setup::serving);
  ctl::PrefilterRules open = rules();
  open.sources.clear();
  ASSERT_TRUE(bench.prefilter->set_rules(open).ok());
  const Bytes frame = answer4().to("198.18.1.9", kFirst).build();
  EXPECT_EQ(run_program(bench.program.get(), frame), XDP_REDIRECT);
  EXPECT_EQ(counter(*bench.prefilter, bench.wire.a, kUpstream), 1u);
}

// What another config asked is answered to its ports, by its backends, to its addresses.
TEST(Verdict, AnswersToFormerConfigsAreTaken) {
  Bench bench(Setup::serving);
  ctl::PrefilterRules changed = rules();
  for (uint16_t first = 21000; first < 25000; first = static_cast<uint16_t>(first + 1000)) {
    changed.also.push_back({.backends = {address_of("198.18.1.1", 53),
                                         address_of("198.18.1.7", 5353)},
                            .sources = {address_of("198.18.1.3")},
                            .port_first = first,
                            .port_end = static_cast<uint16_t>(first + 10)});
  }
  ASSERT_TRUE(bench.prefilter->set_rules(changed).ok());
  const auto action = [&](const char* from, uint16_t from_port, const char* to, uint16_t port) {
    return run_program(bench.program.get(),
                       FrameBuilder().from(from, from_port).to(to, port).build());
  };
  EXPECT_EQ(action("198.18.1.1", 53, "198.18.1.2", kFirst), XDP_REDIRECT);
  for (const uint16_t port : std::initializer_list<uint16_t>{21000, 22009, 23000, 24009}) {
    EXPECT_EQ(action("198.18.1.1", 53, "198.18.1.3", port), XDP_REDIRECT) << port;
    EXPECT_EQ(action("198.18.1.7", 5353, "198.18.1.3", port), XDP_REDIRECT) << port;
    EXPECT_EQ(action("198.18.1.9", 53, "198.18.1.3", port), XDP_DROP) << "a stray";
  }
  for (const uint16_t port : std::initializer_list<uint16_t>{20999, 21010, 24010})
    EXPECT_EQ(action("198.18.1.1", 53, "198.18.1.3", port), XDP_PASS) << port;
  EXPECT_EQ(action("198.18.1.7", 5353, "198.18.1.3", kFirst), XDP_PASS) << "it was not asked there";
  ASSERT_TRUE(bench.prefilter->set_rules(rules()).ok());
  EXPECT_EQ(action("198.18.1.1", 53, "198.18.1.3", 21000), XDP_PASS) << "that is over";
}

// A program of this host that has got one of our ports by its number gets what is sent there,
// whatever its socket is bound to; not what a backend answers.
TEST(Verdict, PortsOfOtherProgramsAreTheirs) {
  Bench bench(Setup::serving);
  const auto action = [&](const FrameBuilder& frame) {
    return run_program(bench.program.get(), frame.build());
  };
  const FrameBuilder to4 = answer4().from("198.18.1.3", 123);
  const FrameBuilder to6 = answer6().from("fd00:18:1::3", 123);
  {
    const UdpSocket socket4("198.18.1.2", kFirst);
    EXPECT_EQ(action(to4), XDP_PASS);
    EXPECT_EQ(action(to6), XDP_DROP) << "the other family";
    EXPECT_EQ(action(FrameBuilder(to4).to("198.18.1.2", kFirst + 1)), XDP_DROP);
    EXPECT_EQ(action(answer4()), XDP_REDIRECT);
    EXPECT_EQ(action(FrameBuilder(to4).fragment(0x2000)), XDP_PASS);
    EXPECT_EQ(action(FrameBuilder(to4).udp_length(7)), XDP_PASS);
    EXPECT_EQ(action(answer4().fragment(0x2000)), XDP_DROP);
    const UdpSocket socket6("fd00:18:1::2", kFirst);
    EXPECT_EQ(action(to6), XDP_PASS);
  }
  EXPECT_EQ(action(to4), XDP_DROP);
  EXPECT_EQ(action(to6), XDP_DROP);
  const UdpSocket any("::", kFirst);
  EXPECT_EQ(action(to4), XDP_PASS);
  EXPECT_EQ(action(to6), XDP_PASS);
  EXPECT_EQ(counter(*bench.prefilter, bench.wire.a, kAddr), 4u);
}

// The program sees the first buffer of a packet only; what its IP header says is held against the
// whole.
TEST(Verdict, PacketsInMoreBuffersAreNotTakenForBroken) {
  Bench bench(Setup::serving);
  const auto action = [&](const FrameBuilder& frame) {
    return run_program(bench.program.get(), frame.build());
  };
  const Bytes much(6000, 0x11);
  EXPECT_EQ(action(query4().payload(much)), XDP_PASS);
  EXPECT_EQ(action(query6().payload(much)), XDP_PASS);
  EXPECT_EQ(action(query4().to("198.18.0.53", 2222).protocol(6).payload(much)), XDP_PASS);
  EXPECT_EQ(counter(*bench.prefilter, bench.wire.a, kBad), 3u);
  EXPECT_EQ(action(query4().payload(much).ip_length(6000 + 29)), XDP_DROP);
  EXPECT_EQ(action(query6().payload(much).ip_length(6000 + 9)), XDP_DROP);
  EXPECT_EQ(counter(*bench.prefilter, bench.wire.a, "drop_iphdr"), 2u);
}

// Every prefix of a good frame passes or is redirected, and is counted once: no read beyond the end
// is possible (the verifier sees to that), no length takes a path that is not counted.
TEST(Verdict, EveryCutFrameIsCountedOnce) {
  Bench bench(Setup::serving);
  const Bytes whole = query6().extension(0, {}).extension(60, {}).vlan(3).build();
  uint64_t runs = 0;
  for (std::size_t bytes = 14; bytes <= whole.size(); ++bytes, ++runs) {
    const int action =
        run_program(bench.program.get(), Bytes(whole.begin(), whole.begin() + long(bytes)));
    EXPECT_EQ(action, bytes == whole.size() ? XDP_REDIRECT : XDP_PASS) << bytes;
  }
  uint64_t counted = 0;
  const auto counters = bench.prefilter->counters(bench.wire.a);
  for (const auto& [name, packets] : counters.value().by_reason) counted += packets;
  EXPECT_EQ(counted, runs);
}

struct TableRow {
  std::string action;
  std::string counter;
  bool operator==(const TableRow&) const = default;
};
void PrintTo(const TableRow& row, std::ostream* out) { *out << row.action << " " << row.counter; }

TEST(Verdict, TableListsWhatIsTestedAndNothingElse) {
  std::ifstream readme(MR_PREFILTER_README);
  ASSERT_TRUE(readme.is_open()) << MR_PREFILTER_README;
  std::map<std::string, TableRow> table;
  for (std::string line; std::getline(readme, line);) {
    if (!line.starts_with("| V")) continue;
    std::vector<std::string> cells;
    std::istringstream in(line.substr(1));
    for (std::string cell; std::getline(in, cell, '|');)
      cells.push_back(cell.substr(1, cell.size() - 2));
    ASSERT_EQ(cells.size(), 4u) << line;
    std::string name = cells[3];
    std::erase(name, '`');
    table[cells[0]] = {cells[2], name};
  }
  std::map<std::string, TableRow> tested;
  for (const Case& c : all_cases()) {
    const char* const action = c.action == XDP_PASS   ? "pass"
                               : c.action == XDP_DROP ? "drop"
                                                      : "redirect";
    const TableRow row = {action, c.counter};
    EXPECT_TRUE(tested.try_emplace(c.row, row).first->second == row) << c.row << " " << c.name;
  }
  EXPECT_EQ(table, tested);

  std::set<std::string> listed, reasons;
  for (const auto& [id, row] : table) listed.insert(row.counter);
#define MR_XDP_REASON(name, text) reasons.insert(#name);
#include "ebpf/abi/xdp_reasons.def"
#undef MR_XDP_REASON
  EXPECT_EQ(listed, reasons);
}

}  // namespace
}  // namespace millrace::test
