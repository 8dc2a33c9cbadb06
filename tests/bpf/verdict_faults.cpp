// SPDX-License-Identifier: Apache-2.0
// Each fault on a datagram of ours, which is dropped under the fault's name, and on one that is
// not, which passes as it always did.
#include <linux/bpf.h>

#include "tests/bpf/verdict_cases.hpp"

namespace millrace::test {

namespace {

constexpr const char* kBad = "passed_malformed";
constexpr const char* kFragment = "passed_fragment";
constexpr uint16_t kMore = 0x2000;

FrameBuilder host4() { return query4().to("198.18.0.53", 9999); }  // of another program there
FrameBuilder host6() { return query6().to("fd00:18::53", 9999); }
FrameBuilder other4() { return query4().to("198.18.0.52", 53); }
FrameBuilder other6() { return query6().to("fd00:18::52", 53); }
FrameBuilder stray4() { return answer4().from("198.18.1.3", 53); }

// `octets`: offset and flag.
FrameBuilder fragment6(FrameBuilder frame, uint8_t octets) {
  return frame.extension(44, {0, octets, 0, 0, 0, 1});
}

class Adder {
 public:
  Adder(std::vector<Case>& cases, const char* drop_row, const char* drop_counter,
        const char* pass_row, const char* pass_counter)
      : cases_(cases),
        drop_row_(drop_row),
        drop_counter_(drop_counter),
        pass_row_(pass_row),
        pass_counter_(pass_counter) {}

  // Whether or not a data plane runs; without rules nothing is ours.
  void drops(const char* name, const FrameBuilder& frame) {
    for (const Setup setup : {Setup::serving, Setup::no_socket})
      cases_.push_back({drop_row_, name, frame.build(), XDP_DROP, drop_counter_, setup});
    passes(name, frame, Setup::no_rules);
  }
  void passes(const char* name, const FrameBuilder& frame, Setup setup = Setup::serving) {
    cases_.push_back({pass_row_, name, frame.build(), XDP_PASS, pass_counter_, setup});
  }

 private:
  std::vector<Case>& cases_;
  const char* drop_row_;
  const char* drop_counter_;
  const char* pass_row_;
  const char* pass_counter_;
};

void add_ip_headers(std::vector<Case>& cases) {
  Adder add(cases, "V16", "drop_iphdr", "V3", kBad);
  add.drops("ihl_0", query4().ihl(0));
  add.drops("ihl_4", query4().ihl(4));
  add.drops("ihl_beyond_packet", query4().payload({}).ihl(15));
  add.drops("v4_length_below_header", query4().ip_length(19));
  add.drops("v4_length_0", query4().ip_length(0));
  add.drops("v4_length_below_options", query4().ipv4_options(Bytes(8, 1)).ip_length(27));
  add.drops("v4_length_beyond_frame", query4().ip_length(20 + 8 + 31));
  add.drops("v4_frame_cut", query4().truncate_to(14 + 28 + 29));
  add.drops("v4_length_beyond_frame_vlan", query4().vlan(5).ip_length(1400));
  add.drops("v4_fragment_beyond_frame", query4().fragment(kMore).ip_length(1400));
  add.drops("v4_ihl_4_answer", answer4().ihl(4));
  add.drops("v4_ihl_4_other_port", host4().ihl(4));
  add.drops("v6_length_beyond_frame", query6().ip_length(8 + 31));
  add.drops("v6_length_beyond_frame_answer", answer6().vlan(4).ip_length(1400));

  add.passes("ihl_4_elsewhere", other4().ihl(4));
  add.passes("ihl_4_to_backend", query4().to("198.18.1.1", 53).ihl(4));
  add.passes("ihl_4_tcp", query4().protocol(6).ihl(4));
  add.passes("ihl_4_icmp", query4().protocol(1).ihl(4));
  add.passes("v4_length_0_tcp", query4().protocol(6).ip_length(0));
  add.passes("v4_length_beyond_frame_elsewhere", other4().ip_length(1400));
  add.passes("v6_length_beyond_frame_elsewhere", other6().ip_length(1400));
  add.passes("v6_length_beyond_frame_tcp", query6().protocol(6).ip_length(1400));
  add.passes("v6_length_beyond_frame_options", query6().extension(0, {}).ip_length(1400));
}

void add_udp_lengths(std::vector<Case>& cases) {
  Adder add(cases, "V17", "drop_udplen", "V7", kBad);
  add.drops("v4_udp_length_7", query4().udp_length(7));
  add.drops("v4_udp_length_0", query4().udp_length(0));
  add.drops("v4_udp_beyond_ip", query4().udp_length(8 + 31));
  add.drops("v4_udp_beyond_ip_within_padding", query4().udp_length(8 + 31).pad_to(200));
  add.drops("v4_udp_beyond_ip_options", query4().ipv4_options(Bytes(8, 1)).udp_length(8 + 31));
  add.drops("v6_udp_length_0", query6().udp_length(0));
  add.drops("v6_udp_beyond_ip", query6().udp_length(8 + 31));
  add.drops("v6_udp_beyond_ip_behind_options", query6().extension(60, {}).udp_length(8 + 31));
  add.drops("v4_udp_beyond_ip_answer", answer4().udp_length(1000));
  add.drops("v6_udp_beyond_ip_answer", answer6().vlan(4).udp_length(1000));
  add.drops("v4_udp_beyond_ip_stray", stray4().udp_length(1000));

  add.passes("v4_udp_length_7_other_port", host4().udp_length(7));
  add.passes("v6_udp_length_0_other_port", host6().udp_length(0));  // a jumbogram to the kernel
  add.passes("v4_udp_beyond_ip_elsewhere", other4().udp_length(1000));
  add.passes("v6_udp_beyond_ip_elsewhere", other6().udp_length(1000));
  add.passes("v4_udp_beyond_ip_port_end", answer4().to("198.18.1.2", kEnd).udp_length(1000));

  Adder cut(cases, "V17", "drop_udplen", "V1", kBad);
  cut.drops("udp_header_cut_v4", query4().payload({}).truncate_to(41).ip_length(27));
  cut.drops("udp_header_cut_v6", query6().payload({}).truncate_to(61).ip_length(7));
  cut.drops("udp_header_cut_other_port", host4().ip_length(27));
  cut.drops("udp_header_cut_answer", answer6().ip_length(0));
  cut.passes("udp_header_cut_elsewhere_v4", other4().ip_length(27));
  cut.passes("udp_header_cut_elsewhere_v6", other6().ip_length(7));
}

void add_fragments(std::vector<Case>& cases) {
  Adder add(cases, "V18", "drop_frag", "V4", kFragment);
  add.drops("v4_first_fragment", query4().fragment(kMore));
  add.drops("v4_first_fragment_may_not_be_fragmented", query4().fragment(0x6000));
  add.drops("v4_first_fragment_options", query4().ipv4_options(Bytes(8, 1)).fragment(kMore));
  add.drops("v4_first_fragment_vlan", query4().vlan(3).fragment(kMore));
  add.drops("v4_first_fragment_of_more", query4().fragment(kMore).udp_length(2000));
  add.drops("v4_first_fragment_answer", answer4().fragment(kMore));
  add.drops("v4_first_fragment_stray", stray4().fragment(kMore));
  add.drops("v4_tiny_fragment", query4().fragment(kMore).ip_length(27));
  add.drops("v6_first_fragment", fragment6(query6(), 1));
  add.drops("v6_atomic_fragment", fragment6(query6(), 0));
  add.drops("v6_atomic_fragment_behind_options", fragment6(query6().extension(0, {}), 0));
  add.drops("v6_first_fragment_answer", fragment6(answer6().vlan(3), 1));
  add.drops("v6_tiny_fragment", fragment6(query6(), 1).ip_length(8 + 7));

  add.passes("v4_middle_fragment", query4().fragment(0x2010));
  add.passes("v4_last_fragment", query4().fragment(0x0010));
  add.passes("v4_overlapping_fragment", query4().fragment(0x2001));
  add.passes("v4_fragment_vlan", query4().fragment(0x1fff).vlan(3));
  add.passes("v4_later_fragment_answer", answer4().fragment(0x0010));
  add.passes("v6_later_fragment", fragment6(query6(), 9));
  add.passes("v6_last_fragment_behind_options", fragment6(query6().extension(0, {}), 8));
  add.passes("v4_fragment_of_tcp", query4().fragment(kMore).protocol(6));
  add.passes("v4_fragment_of_icmp", query4().fragment(kMore).protocol(1));
  add.passes("v6_fragment_of_tcp", fragment6(query6().protocol(6), 1));
  add.passes("v4_first_fragment_other_port", host4().fragment(kMore));
  add.passes("v6_first_fragment_other_port", fragment6(host6(), 1));
  add.passes("v6_atomic_fragment_other_port", fragment6(host6(), 0));
  add.passes("v4_first_fragment_elsewhere", other4().fragment(kMore));
  add.passes("v6_first_fragment_elsewhere", fragment6(other6(), 1));
  add.passes("v4_tiny_fragment_elsewhere", other4().fragment(kMore).ip_length(27));
  add.passes("v6_cut_fragment_header", fragment6(query6(), 0).ip_length(7));
  add.passes("v4_first_fragment_port_end", answer4().to("198.18.1.2", kEnd).fragment(kMore));
  add.passes("v6_options_behind_fragment_header", fragment6(query6(), 0).extension(60, {}));
}

}  // namespace

void add_faults(std::vector<Case>& cases) {
  add_ip_headers(cases);
  add_udp_lengths(cases);
  add_fragments(cases);
}

}  // namespace millrace::test
