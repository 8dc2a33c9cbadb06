// SPDX-License-Identifier: Apache-2.0
// Packets that nobody should send: the shapes of table B, and good ones with octets changed.
#include "tests/sim/clients.hpp"

#include <algorithm>
#include <functional>

namespace millrace::sim {

using namespace millrace::test;

namespace {

struct BadMessage {
  Expect expect;
  std::function<void(DnsBuilder&, const Name&)> write;
};

DnsBuilder& asked(DnsBuilder& dns, const Name& name, uint16_t type = kTypeA,
                  uint16_t cls = kClassIn) {
  return dns.rd().question(name, type, cls);
}

Bytes too_long() {
  Bytes name;
  for (int i = 0; i < 128; ++i)
    name.insert(name.end(), {1, 'l'});
  name.push_back(0);
  return name;
}

const std::vector<BadMessage>& bad_messages() {
  using D = DnsBuilder;
  using N = Name;
  static const std::vector<BadMessage> kAll = {
      {Expect::formerr, [](D& d, const N&) { asked(d, N::pointer(12)); }},  // B1
      {Expect::formerr, [](D& d, const N&) { asked(d, N::pointer(4)); }},   // B4
      {Expect::formerr,
       [](D& d, const N&) {
         asked(d, N::wire({0x41, 'a', 0}));
       }},  // B6
      {Expect::formerr,
       [](D& d, const N&) {
         d.rd().qdcount(1).raw({9, 'a'});
       }},                                                                       // B7
      {Expect::formerr, [](D& d, const N&) { asked(d, N::wire(too_long())); }},  // B8
      {Expect::formerr,
       [](D& d, const N&) {
         d.rd().qdcount(1).raw({1, 'a', 0, 0});
       }},                                                           // B10
      {Expect::formerr, [](D& d, const N&) { d.rd().qdcount(1); }},  // B11
      {Expect::formerr, [](D& d, const N& n) { asked(d, n).arcount(1); }},
      {Expect::formerr, [](D& d, const N& n) { asked(d, n).arcount(65535); }},
      {Expect::formerr, [](D& d, const N& n) { asked(d, n).question(n, kTypeA); }},  // B12
      {Expect::formerr, [](D& d, const N&) { d.rd(); }},                             // B13
      {Expect::formerr,
       [](D& d, const N& n) { asked(d, n).answer(n, kTypeA, 9, rdata_a("198.18.9.9")); }},  // B14
      {Expect::formerr,
       [](D& d, const N& n) {
         asked(d, n).record_with_rdlen(Section::additional, N("."), kTypeA, 0, 50, {1, 2});
       }},                                                                                   // B15
      {Expect::formerr, [](D& d, const N& n) { asked(d, n).opt().opt(); }},                  // B17
      {Expect::formerr, [](D& d, const N& n) { asked(d, n).opt({.owner = N("a.test")}); }},  // B18
      {Expect::formerr,
       [](D& d, const N& n) {
         asked(d, n).opt({.raw = {0, 3, 0, 9, 1}});
       }},  // B19
      {Expect::formerr,
       [](D& d, const N& n) {
         asked(d, n).opt({.options = {{10, Bytes(5, 'c')}}});
       }},                                                                             // B21
      {Expect::badvers, [](D& d, const N& n) { asked(d, n).opt({.version = 255}); }},  // B22
      {Expect::notimp, [](D& d, const N& n) { asked(d, n).opcode(5); }},               // B24
      {Expect::notimp,
       [](D& d, const N&) {
         d.opcode(15).raw({0xff, 0xff, 0xff});
       }},
      {Expect::silence, [](D& d, const N& n) { asked(d, n).response(); }},           // B25
      {Expect::silence, [](D& d, const N& n) { asked(d, n).response().rcode(1); }},  // B26
      {Expect::formerr, [](D& d, const N& n) { asked(d, n).add_flags(kFlagTc); }},   // A109
      {Expect::formerr, [](D& d, const N& n) { asked(d, n, 0); }},                   // A116
      {Expect::formerr, [](D& d, const N& n) { asked(d, n, kTypeOpt); }},
      {Expect::refused, [](D& d, const N& n) { asked(d, n, kTypeAxfr); }},           // A113
      {Expect::refused, [](D& d, const N& n) { asked(d, n, kTypeTxt, kClassCh); }},  // A115
      {Expect::refused,
       [](D& d, const N& n) { asked(d, n).additional(n, kTypeTsig, 0, Bytes(20, 0)); }},  // A114
  };
  return kAll;
}

struct BadPacket {
  bool v4, v6;
  std::function<void(FrameBuilder&)> write;
};

const std::vector<BadPacket>& bad_packets() {
  using F = FrameBuilder;
  static const std::vector<BadPacket> kAll = {
      {true, true, [](F& f) { f.udp_checksum(0x1234); }},  // B38
      {false, true, [](F& f) { f.udp_checksum(0); }},
      {true, false, [](F& f) { f.ip_checksum(0x4321); }},
      {true, true, [](F& f) { f.udp_length(7); }},  // B34
      {true, true, [](F& f) { f.udp_length(2000); }},
      {true, true, [](F& f) { f.truncate_to(50); }},
      {true, false, [](F& f) { f.ihl(4); }},  // B36
      {true, false, [](F& f) { f.ihl(15); }},
      {true, true, [](F& f) { f.ip_length(9); }},
      {true, false,
       [](F& f) {
         f.ipv4_options({0x83, 3, 4, 0});
       }},                                              // B37
      {true, false, [](F& f) { f.fragment(0x2000); }},  // B39
      {true, false, [](F& f) { f.fragment(0x0003); }},
      {false, true, [](F& f) { f.extension(44, Bytes(6, 0)); }},
      {false, true, [](F& f) { f.extension(43, Bytes(6, 0)); }},        // B40
      {true, true, [](F& f) { f.vlan(0x0003).vlan(0x0004, 0x88a8); }},  // B41
      {true, true, [](F& f) { f.vlan(0x2003); }},
      {true, true, [](F& f) { f.payload(Bytes(5, 0x11)); }},            // B33
      {true, true, [](F& f) { f.payload({}); }},
      {true, true, [](F& f) { f.protocol(6); }},         // not UDP
      {true, true, [](F& f) { f.ether_type(0x0806); }},  // not IP
      {true, true, [](F& f) { f.truncate_to(9); }},
  };
  return kAll;
}

}  // namespace

bool Clients::spoil_message(Query& query) {
  const std::vector<BadMessage>& all = bad_messages();
  const BadMessage& bad = all[random_.below(static_cast<uint32_t>(all.size()))];
  DnsBuilder dns;
  dns.id(static_cast<uint16_t>(random_.below(65536)));
  bad.write(dns, Name::wire(query.name));
  query.expect = bad.expect;
  query.payload = dns.build();
  query.flag_rd = (query.payload[2] & 1) != 0;
  query.udp_bytes = 1232;
  query.cookie_bytes = 0;
  query.frame = frame_for(query).build();
  return true;
}

bool Clients::spoil_packet(Query& query) {
  query.expect = Expect::silence;
  query.frame.clear();
  FrameBuilder frame = frame_for(query);
  const uint32_t which = random_.below(24);
  const bool v6 = query.service.family == 6;
  const std::vector<BadPacket>& all = bad_packets();
  if (which < all.size()) {
    const BadPacket& bad = all[which];
    if (v6 ? bad.v6 : bad.v4) {
      bad.write(frame);
      query.frame = frame.build();
      // One in 65536 has the checksum that is meant to be wrong.
      if (query.frame != frame_for(query).build()) return true;
    }
  }
  // Who cannot be answered: B27, B28, B30, B31; and whom we are not: B32.
  const char* from = v6 ? kClient[3] : kClient[0];
  switch (which % 4) {
    case 0:
      frame.from(from, 0);
      break;
    case 1:
      frame.from(from, 19);
      break;
    case 2:
      frame.from(kBind[query.bind].text, 4000);
      break;
    default:
      frame.from(v6 ? "ff02::1" : "127.0.0.1", 4000);
      break;
  }
  query.frame = frame.build();
  return true;
}

void Clients::mutate(Query& query) {
  query.expect = Expect::anything;
  if (random_.chance(300)) {
    // One bit anywhere in the frame: a broken checksum, unless it fell on the Ethernet header.
    query.frame = frame_for(query).build();
    random_.pick(query.frame) ^= static_cast<uint8_t>(1u << random_.below(8));
    return;
  }
  for (uint32_t i = random_.below(6) + 1; i-- > 0;) {
    const auto at =
        static_cast<std::ptrdiff_t>(random_.below(static_cast<uint32_t>(query.payload.size())));
    switch (random_.below(4)) {
      case 0:
        query.payload[static_cast<std::size_t>(at)] = static_cast<uint8_t>(random_.below(256));
        break;
      case 1:
        query.payload.insert(query.payload.begin() + at, static_cast<uint8_t>(random_.below(256)));
        break;
      case 2:
        query.payload.erase(query.payload.begin() + at);
        break;
      default:
        query.payload.resize(static_cast<std::size_t>(at));
        break;
    }
    if (query.payload.empty()) query.payload.push_back(0);
  }
  query.frame = frame_for(query).build();
}

}  // namespace millrace::sim
