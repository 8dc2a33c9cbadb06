// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/zone.hpp"

#include "tests/sim/geography.hpp"
#include "tests/sim/subnets.hpp"

#include "tests/sim/violation.hpp"

#include <algorithm>
#include <map>

namespace millrace::sim {

using namespace millrace::test;

namespace {

void put32(Bytes& to, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    to.push_back(static_cast<uint8_t>(value >> shift));
}

uint32_t get32(const Bytes& from, std::size_t at) {
  return static_cast<uint32_t>(from[at]) << 24 | static_cast<uint32_t>(from[at + 1]) << 16 |
         static_cast<uint32_t>(from[at + 2]) << 8 | from[at + 3];
}

uint16_t covered_type(const ReadRecord& record) {
  if (record.type != kTypeRrsig || record.rdata.size() < 2) return record.type;
  return static_cast<uint16_t>(record.rdata[0] << 8 | record.rdata[1]);
}

}  // namespace

// Whose cookie it is, and when made, in four octets each; then the client's.
Bytes server_cookie(uint8_t backend, const Bytes& cookie, uint64_t second) {
  Bytes made(cookie.begin(), cookie.begin() + 8);
  put32(made, backend);
  put32(made, static_cast<uint32_t>(second));
  made.insert(made.end(), cookie.begin(), cookie.begin() + 8);
  return made;
}

bool is_server_cookie(uint8_t backend, const Bytes& cookie, uint64_t second) {
  return cookie.size() >= 8 && (cookie == server_cookie(backend, cookie, second) ||
                                cookie == server_cookie(backend, cookie, second - 1));
}

struct Zone::Draft {
  const Ask& ask;
  const Manners& manners;
  Answer& answer;
  uint32_t number;
  DnsBuilder dns{};
  bool opt_done = false;
  bool huge = false;  // more than is ever kept
};

uint32_t Zone::new_answer(const Ask& ask, Shape shape) {
  auto answer = std::make_unique<Answer>();
  answer->key = key_text(ask.name, ask.type, ask.flag_do, ask.flag_cd, ask.view, ask.subnet);
  answer->subnet = ask.subnet;
  answer->shape = shape;
  answer->backend = ask.backend;
  answer->opened_ns = ask.opened_ns;
  answer->sent_ns = ask.sent_ns;
  answers_.push_back(std::move(answer));
  return static_cast<uint32_t>(answers_.size()) - 1;
}

// An OPT with what this upstream has to say, if it says anything.
void Zone::write_opt(Draft& draft) {
  const Ask& ask = draft.ask;
  if (draft.opt_done || !ask.has_opt || !draft.manners.knows_edns) return;
  draft.opt_done = true;
  OptFields opt{.flag_do = ask.flag_do};
  if (draft.answer.bad_cookie) opt.extended_rcode = 1;
  const bool with_cookie = draft.manners.knows_cookies && !ask.cookie.empty();
  // An error without OPT would be taken for one of somebody who does not know EDNS.
  const bool must = with_cookie || (draft.answer.failure && draft.manners.keeps_opt);
  if (!must && random_.chance(100)) return;
  if (random_.chance(200)) opt.options.push_back({3, Bytes(random_.below(20), 'n')});
  if (with_cookie) {
    opt.options.push_back({10, server_cookie(ask.backend, ask.cookie, second_of(ask.sent_ns))});
  }
  if (!ask.subnet.empty() && random_.chance(850)) {
    const uint8_t scopes[] = {0, 12, 24, ask.subnet[2], static_cast<uint8_t>(ask.subnet[2] / 2),
                              static_cast<uint8_t>(std::min(32, ask.subnet[2] + 8))};
    draft.answer.scope = draft.answer.negative ? uint8_t{0} : random_.pick(scopes);
    Bytes told = ask.subnet;
    told[3] = draft.answer.scope;
    opt.options.push_back({kOptionSubnet, told});
  }
  draft.dns.opt(opt);
}

MadeAnswer Zone::answer(const Ask& ask, const Manners& manners) {
  const uint32_t number = new_answer(ask, shape_of(ask.name));
  Draft draft{ask, manners, at(number), number};
  draft.dns.id(ask.id).response().rd();
  if (random_.chance(300)) draft.dns.add_flags(kFlagAd);
  if (ask.flag_cd) draft.dns.add_flags(kFlagCd);
  if (draft.answer.shape != Shape::no_question) {
    const bool changed = random_.chance(manners.changes_case);
    const Bytes echo = changed ? random_case(ask.name, random_) : ask.name;
    draft.answer.forged = manners.case_must_keep && echo != ask.name;
    draft.dns.question(Name::wire(echo), ask.type);
  }
  const bool wants_cookie =
      manners.knows_cookies && !ask.cookie.empty() &&
      !is_server_cookie(ask.backend, ask.cookie, second_of(ask.sent_ns)) &&
      random_.chance(manners.wants_cookie);
  if (ask.has_opt && !manners.knows_edns) {
    draft.answer.failure = true;
    draft.dns.rcode(random_.chance(500) ? 1 : 4);
  } else if (wants_cookie) {
    draft.answer.failure = draft.answer.bad_cookie = true;
    draft.dns.rcode(7);
  } else {
    write_shape(draft);
  }
  write_opt(draft);
  Bytes message = draft.dns.build();
  if (random_.chance(20)) message.push_back(0);  // spare octets are cut off
  draft.answer.message = *read_message(message);
  const uint8_t rcode = draft.answer.message.rcode();
  draft.answer.no_edns = ask.has_opt && draft.answer.message.opt() == nullptr &&
                         (rcode == 1 || rcode == 4);
  draft.answer.body_bytes = message.size();
  return {number, message};
}

MadeAnswer Zone::forge(const Ask& ask) {
  const uint32_t number = new_answer(ask, Shape::plain);
  Answer& answer = at(number);
  answer.forged = true;
  DnsBuilder dns;
  dns.id(ask.id).response().rd().question(Name::wire(ask.name), ask.type);
  dns.answer(Name::pointer(12), ask.type, 86400, rdata(number, 0, ask.type, 0));
  OptFields opt;
  if (!ask.cookie.empty()) opt.options.push_back({10, ask.cookie});
  if (!ask.subnet.empty()) opt.options.push_back({kOptionSubnet, ask.subnet});
  if (!opt.options.empty()) dns.opt(opt);
  const Bytes message = dns.build();
  answer.message = *read_message(message);
  return {number, message};
}

uint32_t Zone::error(const Ask& ask, bool forged) {
  const uint32_t number = new_answer(ask, shape_of(ask.name));
  at(number).failure = true;
  at(number).forged = forged;
  return number;
}

void Zone::write_shape(Draft& draft) {
  switch (draft.answer.shape) {
    case Shape::truncated:
      if (draft.manners.stream) return write_positive(draft);
      draft.answer.truncated = true;
      draft.dns.add_flags(kFlagTc);
      if (random_.chance(500)) write_data(draft, Name::pointer(12), 1);
      return;
    case Shape::nxdomain:
    case Shape::nodata:
    case Shape::alias_nxdomain:
    case Shape::bare_nxdomain:
    case Shape::bare_nodata:
    case Shape::wrong_soa:
      return write_negative(draft);
    case Shape::flaky:
      return random_.chance(500) ? write_failure(draft) : write_positive(draft);
    case Shape::servfail:
    case Shape::refused:
    case Shape::notimp:
    case Shape::odd_rcode:
    case Shape::lame:
    case Shape::no_question:
      return write_failure(draft);
    default:
      return write_positive(draft);
  }
}

void Zone::write_positive(Draft& draft) {
  const Ask& ask = draft.ask;
  const Shape shape = draft.answer.shape;
  draft.answer.cacheable = shape != Shape::off_chain && shape != Shape::duplicate;
  uint32_t records = shape == Shape::many ? 2 + random_.below(5) : 1;
  if (shape == Shape::truncated && random_.chance(500)) {
    // Too much for UDP, and with every owner spelled out no more than the cache takes.
    records = (2000 + random_.below(1500)) / static_cast<uint32_t>(ask.name.size() + 26);
  }
  if (shape == Shape::truncated && ask.type == kTypeTxt && random_.chance(250)) {
    records = 30 + random_.below(200);
    draft.huge = true;
    draft.answer.cacheable = false;
  }
  if (shape == Shape::large) records = ask.type == kTypeA ? 35 + random_.below(25) : 3;
  if (shape == Shape::alias) {
    // Each alias points to the next name, spelled out.
    Name owner = Name::pointer(12);
    const uint32_t links = 1 + random_.below(3);
    for (uint32_t i = 0; i < links; ++i) {
      const Name target("c" + std::to_string(i) + ".alias.mr.test");
      draft.dns.answer(owner, kTypeCname, ttl_s(), rdata_name(target));
      owner = target;
    }
    write_data(draft, owner, records);
  } else {
    // Most servers point to the question; some repeat it, where there is room.
    const bool repeats =
        random_.chance(200) && shape != Shape::large && !draft.huge && ask.name.size() < 100;
    write_data(draft, repeats ? Name::wire(ask.name) : Name::pointer(12), records);
  }
  if (shape == Shape::duplicate) {
    draft.dns.answer(Name::pointer(12), ask.type, 60, rdata(draft.number, 0, ask.type, 0));
    draft.dns.answer(Name::pointer(12), ask.type, 60, rdata(draft.number, 0, ask.type, 0));
  }
  if (shape == Shape::off_chain) {
    draft.dns.answer(Name("www.bank.test"), kTypeA, 600, rdata(draft.number, 200, kTypeA, 0));
  }
  if (shape == Shape::extra) {
    draft.dns.authority(Name("mr.test"), kTypeNs, ttl_s(), rdata_name(Name("ns.mr.test")));
    draft.dns.additional(Name("ns.mr.test"), kTypeA, ttl_s(), rdata(draft.number, 201, kTypeA, 0));
  }
  if (shape == Shape::opt_first) {
    write_opt(draft);
    draft.dns.additional(Name("mx.mr.test"), kTypeTxt, ttl_s(),
                         rdata(draft.number, 202, kTypeTxt, 0));
  }
}

void Zone::write_negative(Draft& draft) {
  Answer& answer = draft.answer;
  const Shape shape = answer.shape;
  answer.negative = true;
  answer.bare = shape == Shape::bare_nxdomain || shape == Shape::bare_nodata;
  answer.cacheable = !answer.bare && shape != Shape::wrong_soa;
  if (shape == Shape::alias_nxdomain) {
    draft.dns.answer(Name::pointer(12), kTypeCname, ttl_s(), rdata_name(Name("gone.mr.test")));
  }
  if (shape != Shape::nodata && shape != Shape::bare_nodata) draft.dns.rcode(3);
  if (!answer.bare) {
    const Name owner(shape == Shape::wrong_soa ? "elsewhere"
                     : random_.chance(500)     ? "mr.test"
                                               : "test");
    draft.dns.authority(owner, kTypeSoa, ttl_s(), soa(draft.number));
    if (draft.ask.flag_do) {
      draft.dns.authority(owner, kTypeRrsig, ttl_s(),
                          rrsig(draft, kTypeSoa));
    }
  }
}

void Zone::write_failure(Draft& draft) {
  draft.answer.failure = true;
  // Who refuses is asked again without: see plan.cpp.
  const bool keeps_opt = draft.manners.keeps_opt;
  switch (draft.answer.shape) {
    case Shape::refused:
      draft.dns.rcode(keeps_opt ? 2 : 5);
      return;
    case Shape::notimp:
      draft.dns.rcode(4);
      return;
    case Shape::odd_rcode:
      draft.dns.rcode(static_cast<uint8_t>(6 + random_.below(10)));
      return;
    case Shape::no_question:
      draft.dns.rcode(keeps_opt ? 2 : 1);
      return;
    case Shape::lame:
      draft.dns.authority(Name("mr.test"), kTypeNs, 3600, rdata_name(Name("ns.mr.test")));
      return;
    default:
      draft.dns.rcode(2);
      return;
  }
}

void Zone::write_data(Draft& draft, const Name& owner, uint32_t records) {
  const Shape shape = draft.answer.shape;
  const uint16_t type = draft.ask.type;
  for (uint32_t i = 0; i < records; ++i) {
    uint32_t filler = 0;
    if (draft.huge) filler = 240;
    if (shape == Shape::large && type != kTypeA) filler = type == kTypeTxt ? 240 : 300;
    if (shape == Shape::opaque) filler = random_.below(300);
    draft.dns.answer(owner, type, ttl_s(), rdata(draft.number, i, type, filler));
  }
  if (draft.ask.flag_do) {
    draft.dns.answer(owner, kTypeRrsig, ttl_s(), rrsig(draft, type));
  }
}

Bytes Zone::rdata(uint32_t number, uint32_t index, uint16_t type, uint32_t filler) {
  Bytes bytes;
  if (type == kTypeAaaa) bytes = {0xfd, 0, 0, 0x18, 0, 0, 0, 0, 0, 0, 0, 0};
  if (type == kTypeTxt) bytes.push_back(static_cast<uint8_t>(4 + std::min(filler, 250u)));
  put32(bytes, number << 8 | index);
  if (type == kTypeA || type == kTypeAaaa) return bytes;
  bytes.insert(bytes.end(), type == kTypeTxt ? std::min(filler, 250u) : filler, 'f');
  return bytes;
}

Bytes Zone::soa(uint32_t number) {
  return rdata_soa(
      {.serial = number << 8, .minimum = static_cast<uint32_t>(random_.between(1, 60))});
}

// Most are good for long; some end soon, or have ended.
Bytes Zone::rrsig(const Draft& draft, uint16_t covered) {
  const uint32_t soon_s = unix_s_at(draft.ask.sent_ns) + random_.below(20) - random_.below(5);
  const uint32_t expiration = random_.chance(700) ? 0x7fff'ffff : soon_s;
  return rdata_rrsig({.covered = covered, .expiration = expiration});
}

uint32_t Zone::ttl_s() {
  static constexpr uint32_t kTtls[] = {1, 2, 3, 5, 10, 30, 300, 3600, 86400, 2'000'000'000};
  switch (answers_.back()->shape) {
    case Shape::ttl_zero:
      return 0;
    case Shape::ttl_one:
      return 1;
    case Shape::ttl_top_bit:
      return 0x8000'0000u + random_.below(1000);
    default:
      return random_.pick(kTtls);
  }
}

uint32_t Zone::number_of(const ReadRecord& record) const {
  const Bytes& data = record.rdata;
  std::size_t at = data.size();
  switch (record.type) {
    case kTypeA:
      at = 0;
      break;
    case kTypeAaaa:
      at = 12;
      break;
    case kTypeTxt:
      at = 1;
      break;
    case kTypeOpaque:
      at = 0;
      break;
    case kTypeSoa:
      at = data.size() < 20 ? data.size() : data.size() - 20;
      break;
    default:
      return kNoNumber;
  }
  if (at + 4 > data.size()) return kNoNumber;
  const uint32_t number = get32(data, at) >> 8;
  return number < answers_.size() ? number : kNoNumber;
}

Times times_of(const Answer& answer, const abi::PacketCacheConfig& limits) {
  Times times{};
  std::map<std::pair<Bytes, uint16_t>, uint32_t> lowest;  // of an RRset with its signatures
  uint32_t lifetime_s = 0xffff'ffff;
  const auto capped = [&](const ReadRecord& record) {
    uint32_t ttl_s = std::min(record.ttl, limits.ttl_s_max);
    if (answer.cacheable && answer.negative && record.type == kTypeSoa) {
      const uint32_t minimum_s = get32(record.rdata, record.rdata.size() - 4);
      ttl_s = std::min({ttl_s, minimum_s, limits.negative_ttl_s_max});
    }
    return ttl_s;
  };
  for (const ReadRecord& record : answer.message.records) {
    if (record.type == kTypeOpt) continue;
    const auto group = std::make_pair(folded(record.owner), covered_type(record));
    const auto [known, is_new] = lowest.emplace(group, capped(record));
    if (!is_new) known->second = std::min(known->second, capped(record));
    lifetime_s = std::min(lifetime_s, capped(record));
  }
  for (const ReadRecord& record : answer.message.records) {
    const auto found = lowest.find({folded(record.owner), covered_type(record)});
    times.base_s.push_back(found == lowest.end() ? 0 : found->second);
  }
  const uint32_t cap_s =
      answer.negative ? std::min(limits.negative_ttl_s_max, limits.ttl_s_max) : limits.ttl_s_max;
  lifetime_s = std::min(lifetime_s, cap_s);
  if (!answer.cacheable || lifetime_s == 0 || lifetime_s < limits.ttl_s_min_cacheable) return times;
  times.lifetime_s = std::min(std::max(lifetime_s, limits.ttl_s_min), cap_s);
  for (const ReadRecord& record : answer.message.records) {
    if (record.type != kTypeRrsig) continue;  // none stands behind an OPT
    const auto left_s =
        static_cast<int32_t>(get32(record.rdata, 8) - unix_s_at(answer.seen_ns));
    times.lifetime_s = std::min(times.lifetime_s, static_cast<uint32_t>(std::max(left_s, 0)));
  }
  return times;
}

}  // namespace millrace::sim
