// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/frame_world.hpp"

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/checksum.hpp"
#include "tests/fuzz/stream_oracle.hpp"

#include <cstring>

namespace millrace::test {
namespace {

constexpr uint32_t kActsMax = 120;
constexpr std::size_t kPayloadBytesMax = 1400;

constexpr const char* kNames[] = {
    "www.example",   "WWW.Example", "a.example", "b.a.example",           "fwd.example",
    "x.Fwd.Example", "localhost",   "x.invalid", "1.2.3.10.in-addr.arpa", "resolver.arpa",
    "version.bind",  "id.server",   ".",         "nofwd.example",         "long.\\000.\\255"};
constexpr uint16_t kTypes[] = {kTypeA,   kTypeA,    kTypeA,    kTypeA, kTypeAaaa, kTypeTxt,
                               kTypeAny, kTypeAxfr, kTypeIxfr, 43,     65280,     0};
constexpr const char* kSources[] = {"198.18.0.9", "198.18.0.10", "198.18.2.9",  "198.18.3.9",
                                    "198.18.4.9", "fd00:18::9",  "fd00:18:3::9"};
constexpr uint16_t kSourcePorts[] = {40'000, 40'001, 40'002, 53, 1024, 19, 0};

slow::TcpUpstreams::Dial dial_of(Choices& from) {
  if (!from.flag()) return nullptr;
  return [](const abi::Address&) { return -1; };
}

void store_sum(uint8_t* at, uint64_t sum) {
  const auto checksum = static_cast<uint16_t>(~sum_fold(sum));
  std::memcpy(at, &checksum, sizeof checksum);
}

}  // namespace

bool mend_sums(Bytes& frame) {
  if (frame.size() < 62) return false;
  uint8_t* const ip = frame.data() + 14;
  const bool v6 = load_be16(frame.data() + 12) == 0x86dd;
  if (!v6 && load_be16(frame.data() + 12) != 0x0800) return false;
  const std::size_t head_bytes = v6 ? 40 : (ip[0] & 0xfu) * 4;
  const std::size_t room = frame.size() - 14;
  if (head_bytes < 20 || head_bytes + 8 > room) return false;
  if (!v6) {
    ip[10] = ip[11] = 0;
    store_sum(ip + 10, sum_bytes(ip, static_cast<uint32_t>(head_bytes)));
  }
  uint8_t* const udp = ip + head_bytes;
  const uint32_t udp_bytes = load_be16(udp + 4);
  if (udp_bytes < 8 || head_bytes + udp_bytes > room) return true;
  udp[6] = udp[7] = 0;
  uint64_t sum = sum_bytes(ip + (v6 ? 8 : 12), v6 ? 32 : 8);
  const uint8_t pseudo[4] = {0, 17, udp[4], udp[5]};
  sum = sum_add(sum, sum_bytes(pseudo, sizeof pseudo));
  store_sum(udp + 6, sum_add(sum, sum_bytes(udp, udp_bytes)));
  return true;
}

// Braces: in this order. With a slow path, no upstream can be reached over TCP.
FrameWorld::FrameWorld(Choices& from)
    : from_(from), bench_{1 + from.below(2), 1 + from.below(4), dial_of(from)} {
  bench_.on_sent = [this](uint32_t worker, const sim::Cargo& cargo, const Bytes& bytes,
                          uint8_t port) { sent(worker, cargo, bytes, port); };
  configure();
}

void FrameWorld::configure() {
  abi::ServiceSection& service = bench_.service();
  configure_pools();
  configure_names();
  const uint8_t features = from_.octet();
  service.answer_rd0 = features & 1;
  service.local.cookies = features >> 1 & 1;
  service.local.any_over_udp = features >> 2 & 1;
  if ((features & 8) != 0) std::memcpy(service.local.nsid, "nsid", 4);
  if ((features & 16) != 0) std::memcpy(service.local.version, "one", 3);
  if ((features & 32) != 0) service.packet_cache[0].entry_bytes_max = 300;
  if ((features & 64) != 0) service.edns_udp_bytes = 600;
  service.packet_cache[0].unrelated = abi::UnrelatedRecords{uint32_t{features} % 3};
  service.vlan[3] = 1u << 4;  // 100, see the queries
  service.prefetch.left_percent = from_.below(3) * 25;
  service.prefetch.lifetime_s_min = 1;
  service.stale.client_timer_ms = from_.below(3) * 100;
  has_rules_ = from_.flag();
  if (has_rules_) {
    add_rule(service, abi::RuleAction::refuse, {"198.18.2.0/24"});
    add_rule(service, abi::RuleAction::drop, {"198.18.3.0/24", "fd00:18:3::/48"});
    add_rule(service, abi::RuleAction::allow, {"198.18.4.0/24"},
             static_cast<uint8_t>(service.pools - 1));
  }
  tries_max_ = service.upstream_tries_max = 1 + from_.below(4);
  reconfigure();
}

// The first backend alone, or all but the last in one pool and all but the first in another, with a
// packet cache of its own.
void FrameWorld::configure_pools() {
  abi::ServiceSection& service = bench_.service();
  for (uint32_t b = 0; b < service.backends; ++b)
    service.backend[b].weight = static_cast<uint16_t>(b + 1);
  if (service.backends < 2) return;
  service.packet_caches = 1 + from_.below(2);
  service.packet_cache[1] = service.packet_cache[0];
  service.pools = 2;
  service.pool[1] = service.pool[0];
  service.pool[0].backends = (1u << (service.backends - 1)) - 1;
  service.pool[1].backends = (1u << service.backends) - 2;
  service.pool[1].packet_cache = service.packet_caches - 1;
  service.bind[1].pool = from_.below(2);
}

void FrameWorld::configure_names() {
  abi::ServiceSection& service = bench_.service();
  has_forward_ = from_.flag();
  if (has_forward_) {
    const Bytes name = Name("fwd.example").bytes();
    service.forwards = 1;
    service.forward[0] = {static_cast<uint16_t>((1u << service.pools) - 1),
                          static_cast<uint8_t>(service.pools - 1),
                          static_cast<uint8_t>(name.size())};
    std::memcpy(service.forward_name, name.data(), name.size());
    service.forward_bytes = static_cast<uint32_t>(name.size());
  }
  has_local_ = from_.flag();
  if (has_local_) {
    add_zone(service, "localhost", abi::LocalKind::loopback);
    add_zone(service, "invalid", abi::LocalKind::nxdomain);
    add_zone(service, "resolver.arpa", abi::LocalKind::nodata);
    add_zone(service, "10.in-addr.arpa", abi::LocalKind::empty);
  }
}

// What may change while queries are under way.
void FrameWorld::reconfigure() {
  abi::ServiceSection& service = bench_.service();
  for (uint32_t p = 0; p < service.pools; ++p)
    service.pool[p].policy = static_cast<abi::PoolPolicy>(from_.below(5));
  for (uint32_t b = 0; b < service.backends; ++b)
    service.backend[b].in_flight_max = static_cast<uint16_t>(from_.below(3));
  service.stale.kept_s = from_.below(3) * 1800;
  kept_s_max_ = std::max(kept_s_max_, service.stale.kept_s);
  service.upstream_hedge_ms = from_.below(3) * 10;
  service.down_after = 1 + from_.below(3);
  bench_.publish(from_.below(4) == 3 ? from_.octet() : 0xff);
}

OptFields FrameWorld::opt(bool flag_do) {
  static constexpr uint16_t kCodes[] = {3, 8, 10, 10, 11, 12, 65001};
  static constexpr uint8_t kLast = 255;  // the cookie that was got last
  static constexpr uint8_t kSizes[] = {0, 8, 24, 5, 40, kLast};
  OptFields opt{.flag_do = flag_do};
  opt.version = from_.below(16) == 15 ? 1 : 0;
  opt.udp_bytes = static_cast<uint16_t>(from_.octet() * 8);
  for (uint32_t n = from_.below(4); n > 0; --n) {
    const uint16_t code = from_.pick(kCodes);
    const uint8_t size = from_.pick(kSizes);
    opt.options.push_back({code, size == kLast ? cookie_ : from_.bytes(size)});
  }
  return opt;
}

Bytes FrameWorld::message() {
  const uint32_t kind = from_.below(8);
  DnsBuilder query;
  query.id(from_.octet()).flags(kind == 0 ? from_.word() : kFlagRd);
  const char* const name = from_.pick(kNames);
  const uint16_t type = from_.pick(kTypes);
  if (kind != 5) query.question(name, type, kind == 1 ? kClassCh : kClassIn);
  if (kind == 2) query.question(name, kTypeA);
  if (kind == 3) query.additional(name, kTypeTsig, 0, Bytes(20, 0));
  if (kind >= 5) query.opt(opt(kind == 7));
  Bytes bytes = query.build();
  from_.edit(bytes);
  if (bytes.size() > kPayloadBytesMax) bytes.resize(kPayloadBytesMax);
  return bytes;
}

void FrameWorld::ask() {
  const Bytes payload = message();
  const char* const source = from_.pick(kSources);
  const uint16_t port = from_.pick(kSourcePorts);
  FrameBuilder frame;
  frame.from(source, port).to(std::strchr(source, ':') ? kServiceV6 : kServiceV4, 53);
  const uint32_t shape = from_.below(16);
  if (shape == 15) frame.vlan(0x2064);
  if (shape == 14) frame.pad_to(200);
  Bytes bytes = frame.payload(payload).build();
  const Bytes before = bytes;
  if (shape == 13) {
    from_.edit(bytes);
    if (from_.flag()) mend_sums(bytes);
  }
  const bool served = rule_of(address_of(source)) != Rule::drop && (port >= 1024 || port == 53);
  arrive(bytes, served && bytes == before && !is_ignored(payload));
}

void FrameWorld::arrive(const Bytes& frame, bool must_answer) {
  const auto read = read_frame(frame);
  if (read) {
    note_name(read->payload);
  } else {
    has_unreadable_ = true;
  }
  const uint8_t port = static_cast<uint8_t>(from_.below(2));
  const auto worker = from_.below(bench_.plan.workers);
  const auto index = static_cast<uint32_t>(arrived_.size());
  if (!bench_.arrive(worker, frame, port, {sim::Cargo::Kind::query, index})) return;
  arrived_.push_back({frame, port, must_answer});
}

void FrameWorld::send_raw() {
  Bytes frame = from_.bytes(from_.word() % 1500);
  if (from_.flag()) mend_sums(frame);
  arrive(frame, false);
}

// The data of an answer says which answer it is.
Bytes FrameWorld::numbered(const ReadQuestion& question, uint32_t ttl_s, bool forged) {
  const auto number = static_cast<uint32_t>(answers_.size());
  answers_.push_back({folded(question.name), question.type, ttl_s, bench_.now_ns / kMs, forged});
  return {100, static_cast<uint8_t>(number >> 16), static_cast<uint8_t>(number >> 8),
          static_cast<uint8_t>(number)};
}

void FrameWorld::write_answer(DnsBuilder& message, const ReadQuestion& question, bool forged) {
  const uint8_t octet = from_.octet();
  const uint32_t ttl_s = octet < 240 ? octet : 0x7fff'ff80u + octet * 4u;
  const Name target("b.a.example");
  switch (from_.below(12)) {
    case 0:
      message.answer(Name::pointer(12), kTypeCname, ttl_s, rdata_name(target));
      message.answer(target, question.type, ttl_s, numbered(question, ttl_s, forged));
      break;
    case 1:
      message.rcode(3);
      [[fallthrough]];
    case 2:
      message.authority(Name("."), kTypeSoa, ttl_s, rdata_soa({.minimum = from_.octet()}));
      break;
    case 3:
      message.rcode(2);
      break;
    case 4:
      message.rcode(static_cast<uint8_t>(from_.below(16)));
      break;
    case 5:
      message.add_flags(kFlagTc);
      break;
    case 6:
      message.answer(Name::pointer(12), question.type, ttl_s, numbered(question, ttl_s, forged));
      message.opt({.extended_rcode = static_cast<uint8_t>(from_.below(4)),
                   .options = {{10, from_.bytes(16)}}});
      break;
    case 7:
      for (uint32_t n = 1 + from_.below(40); n > 0; --n)
        message.answer(Name::pointer(12), question.type, ttl_s, numbered(question, ttl_s, forged));
      break;
    case 8:
      message.answer(Name::pointer(12), question.type, ttl_s, numbered(question, ttl_s, forged));
      message.authority(target, kTypeNs, ttl_s, rdata_name(target));
      message.additional(target, kTypeA, ttl_s, rdata_a("198.18.66.66"));
      break;
    case 9:
      message.raw(from_.bytes(from_.octet()));
      break;
    default:
      message.answer(Name::pointer(12), question.type, ttl_s, numbered(question, ttl_s, forged));
      break;
  }
}

// One field of what must match may be wrong: then it must change nothing.
void FrameWorld::answer() {
  if (asked_.empty()) return;
  const auto at = asked_.begin() + from_.below(static_cast<uint32_t>(asked_.size()));
  const Asked asked = *at;
  const uint32_t wrong = from_.below(16);
  const bool forged = wrong < 6;
  if (!forged && wrong != 15) asked_.erase(at);
  const ReadQuestion& question = asked.message.questions.at(0);
  DnsBuilder message;
  message.id(static_cast<uint16_t>(asked.message.id ^ (wrong == 0 ? 1 : 0))).response().rd();
  message.add_flags(kFlagAd);
  if (wrong != 5)
    message.question(wrong == 1 ? Name("other.example") : Name::wire(question.name), question.type);
  write_answer(message, question, forged);
  Bytes payload = message.build();
  const Bytes before = payload;
  if (!forged) from_.edit(payload);
  has_edited_ |= payload != before;
  if (payload.size() > kPayloadBytesMax) payload.resize(kPayloadBytesMax);

  const uint32_t host = asked.frame.target.bytes[3] ^ (wrong == 2 ? 1u : 0u);
  const uint16_t port_be = asked.frame.source.port_be;
  FrameBuilder frame;
  frame.from("198.18.1." + std::to_string(host), wrong == 3 ? 54 : 53)
      .to(kSourceV4, __builtin_bswap16(port_be));
  const auto in_by = static_cast<uint8_t>(asked.port ^ (wrong == 4 ? 1 : 0));
  const uint32_t worker = from_.below(bench_.plan.workers);
  bench_.arrive(worker, frame.payload(payload).build(), in_by, {sim::Cargo::Kind::answer, 0});
}

void FrameWorld::pass_time() {
  static constexpr uint64_t kMost[] = {
      1, 20, 50, 100, 400, 1000, 30'000, 300'000, 3'600'000, 86'400'000, 1800'000, 864'000'000};
  // What came is looked at when it came.
  bench_.turn();
  bench_.turn();
  const uint64_t ms = from_.pick(kMost);
  bench_.pass_ms(ms * (1 + from_.below(4)));
  if (from_.below(8) == 7) bench_.plane.wall().set(int64_t{from_.word()} << 16, 0);
}

void FrameWorld::flush() {
  dp::Mailbox& mail = bench_.plane.core(from_.below(bench_.plan.workers)).mailbox;
  if (mail.answered.load() != mail.asked.load()) return;
  mail.query = {};
  mail.query.packet_cache = 0xff;
  mail.query.match = static_cast<abi::NameMatch>(from_.below(3));
  mail.query.negative_only = from_.flag() ? 1 : 0;
  const Bytes name = Name("a.example").bytes();
  mail.query.name_bytes = static_cast<uint8_t>(name.size());
  std::memcpy(mail.query.name, name.data(), name.size());
  mail.remove = from_.flag();
  mail.asked.store(++mails_);
}

void FrameWorld::act() {
  switch (from_.below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
      ask();
      break;
    case 4:
    case 5:
    case 6:
      answer();
      break;
    case 7:
      send_raw();
      break;
    case 8:
    case 9:
      pass_time();
      break;
    case 10:
      reconfigure();
      break;
    case 11:
      flush();
      break;
    case 12:
      bench_.stock = from_.below(9);
      break;
    default:
      bench_.turn();
      break;
  }
}

void FrameWorld::run() {
  for (uint32_t i = 0; i < kActsMax && !from_.empty(); ++i)
    act();
  bench_.settle();
  check_end();
}

}  // namespace millrace::test
