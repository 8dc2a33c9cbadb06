// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/clients.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace millrace::test;

namespace {

constexpr uint16_t kTypes[] = {kTypeA, kTypeA, kTypeA, kTypeAaaa, kTypeTxt, kTypeOpaque};

std::string text_of_client(const abi::Address& address) {
  for (const char* text : kClient) {
    if (std::equal(address.bytes, address.bytes + 16, address_of(text).bytes)) return text;
  }
  return kClient[0];
}

}  // namespace

Clients::Clients(const Plan& plan, Random random) : plan_(plan), random_(random) {
  for (uint32_t i = 0; i < plan.popular_names; ++i) {
    const uint32_t bytes = random_.chance(50) ? static_cast<uint32_t>(random_.between(40, 255)) : 0;
    popular_.push_back(make_name("w" + std::to_string(i), draw_shape(), bytes));
  }
}

Shape Clients::draw_shape() {
  const auto first_failing = static_cast<uint32_t>(Shape::servfail);
  if (random_.chance(plan_.failing_names)) {
    return static_cast<Shape>(first_failing + random_.below(kShapes - first_failing));
  }
  if (random_.chance(400)) return Shape::plain;
  return static_cast<Shape>(random_.below(first_failing));
}

Bytes Clients::fresh_name(Shape shape) {
  return make_name("x" + std::to_string(one_shots_++), shape);
}

Query Clients::begin(uint8_t bind) {
  Query query;
  query.bind = bind;
  query.service = address_of(kBind[bind].text, kBind[bind].port);
  const bool v6 = is_v6(kBind[bind].text);
  const uint32_t client = random_.below(kClients / 2) + (v6 ? kClients / 2 : 0);
  query.client = address_of(kClient[client], static_cast<uint16_t>(random_.between(1024, 65535)));
  query.tag = kClientTag[client];
  query.port = static_cast<uint8_t>(random_.below(2));
  return query;
}

void Clients::retarget(Query& query) {
  query.client =
      address_of(text_of_client(query.client), static_cast<uint16_t>(random_.between(1024, 65535)));
  query.payload = payload_of(query);
  finish(query);
}

Query Clients::good() {
  const auto bind = static_cast<uint8_t>(random_.below(kBinds));
  if (random_.chance(plan_.one_shot_per_mille)) {
    const Shape shape = plan_.large_one_shots ? Shape::large : draw_shape();
    const uint16_t type = plan_.large_one_shots ? kTypeTxt : random_.pick(kTypes);
    return good_for(fresh_name(shape), type, bind);
  }
  // Rank r is asked for about as often as 1/r.
  const uint32_t n = plan_.popular_names;
  const uint32_t rank = random_.below(random_.below(n) + 1);
  return good_for(popular_[rank], random_.chance(600) ? kTypeA : random_.pick(kTypes), bind);
}

Query Clients::good_for(const Bytes& name, uint16_t type, uint8_t bind) {
  Query query = begin(bind);
  query.name = random_case(name, random_);
  query.type = type;
  query.has_opt = random_.chance(700);
  if (query.has_opt) {
    static constexpr uint16_t kSizes[] = {0, 512, 1232, 1232, 4096, 65535};
    query.udp_bytes = random_.pick(kSizes);
    query.flag_do = random_.chance(300);
    const bool tells = plan_.subnet_variants != 0 && random_.chance(400);
    if (tells) query.told = made_up_subnet(query.client, random_);
  }
  query.flag_cd = random_.chance(100);
  query.flag_rd = !random_.chance(30);
  choose_key(query);
  query.expect = query.flag_rd ? Expect::data : plan_.answer_rd0 ? Expect::cached : Expect::refused;
  query.payload = payload_of(query);
  finish(query);
  return query;
}

void Clients::choose_key(Query& query) const {
  const uint8_t view = kBind[query.bind].view;
  const Bytes subnet =
      by_subnet(plan_, view) ? asker_of(plan_, query.client, query.told).asked : Bytes{};
  query.key = key_text(query.name, query.type, query.flag_do, query.flag_cd, view, subnet);
}

Bytes Clients::payload_of(Query& query) {
  DnsBuilder dns;
  dns.id(static_cast<uint16_t>(random_.below(65536)));
  if (query.flag_rd) dns.rd();
  if (query.flag_cd) dns.add_flags(kFlagCd);
  if (random_.chance(300)) dns.add_flags(kFlagAd);
  if (random_.chance(50)) dns.add_flags(kFlagZ);
  dns.question(Name::wire(query.name), query.type);
  if (query.has_opt) {
    OptFields opt{.udp_bytes = query.udp_bytes, .flag_do = query.flag_do};
    if (random_.chance(100)) opt.other_flags = 0x4000;
    if (random_.chance(100)) opt.options.push_back({65001, Bytes(random_.below(40), 'o')});
    query.cookie_bytes = random_.chance(100) ? (random_.chance(500) ? 8 : 24) : 0;
    if (query.cookie_bytes != 0) opt.options.push_back({10, Bytes(query.cookie_bytes, 'c')});
    if (!query.told.empty()) opt.options.push_back({kOptionSubnet, query.told});
    dns.opt(opt);
  }
  if (random_.chance(20)) dns.raw(Bytes(1 + random_.below(20), 0));  // spare octets: ignored
  return dns.build();
}

FrameBuilder Clients::frame_for(const Query& query) {
  FrameBuilder frame;
  frame.from(text_of_client(query.client), port_of(query.client));
  frame.to(kBind[query.bind].text, kBind[query.bind].port);
  const uint8_t to[6] = {0x02, 0, 0, 0, 0, 0x53};
  const uint8_t from[6] = {0x02, 0, 0, 0, 9, static_cast<uint8_t>(query.client.bytes[3])};
  frame.mac(to, from);
  if (query.tag != 0) frame.vlan(query.tag);
  frame.payload(query.payload);
  return frame;
}

void Clients::finish(Query& query) {
  FrameBuilder frame = frame_for(query);
  if (random_.chance(100)) frame.pad_to(query.payload.size() + 100);
  const bool v6 = query.service.family == 6;
  if (!v6 && random_.chance(20)) frame.ipv4_options({1, 1, 1, 0});
  if (!v6 && random_.chance(20)) frame.udp_checksum(0);
  if (v6 && random_.chance(20)) frame.extension(60, Bytes{1, 4, 0, 0, 0, 0});
  query.frame = frame.build();
}

Query Clients::hostile() {
  Query query = good_for(random_.chance(500) ? popular_[0] : fresh_name(Shape::plain), kTypeA,
                         static_cast<uint8_t>(random_.below(kBinds)));
  query.flag_rd = true;
  query.flag_cd = false;
  query.has_opt = query.flag_do = false;
  if (!query.told.empty()) {
    query.told.clear();
    query.payload = payload_of(query);
  }
  switch (random_.below(3)) {
    case 0:
      spoil_message(query);
      break;
    case 1:
      spoil_packet(query);
      break;
    default:
      mutate(query);
      break;
  }
  return query;
}

}  // namespace millrace::sim
