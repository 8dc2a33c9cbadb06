// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/oracles.hpp"

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/cache_line.hpp"
#include "dataplane/base/check.hpp"
#include "dataplane/base/checksum.hpp"
#include "dataplane/wire/edns.hpp"
#include "dataplane/wire/packet.hpp"
#include "dataplane/wire/plain_query.hpp"
#include "dataplane/wire/query.hpp"
#include "dataplane/wire/reply.hpp"
#include "dataplane/wire/subnet.hpp"
#include "dataplane/wire/upstream.hpp"
#include "dataplane/worker/plain_reply.hpp"
#include "tests/support/packet_builder.hpp"
#include "tests/support/packet_reader.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

namespace millrace::test {
namespace {

using wire::kGoOn;

constexpr uint16_t kRoom = 1500;

// The body of one A record at the question's name, as a cache would hold it.
constexpr uint8_t kBody[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 198, 18, 2, 1};
constexpr uint16_t kBodyTtls[1] = {6};

AnswerView small_answer() {
  AnswerView view{};
  view.body = kBody;
  view.ttl_offsets = kBodyTtls;
  view.body_bytes = view.an_end = view.ns_end = sizeof kBody;
  view.ttl_cnt = view.an_cnt = 1;
  view.lifetime_s = 300;
  return view;
}

bool is_dropped(abi::Outcome outcome) {
  return abi::kOutcomes[static_cast<std::size_t>(outcome)].cls == abi::OutcomeClass::dropped;
}

// The key that a slow reader makes of a query.
Bytes reference_key(const ReadMessage& message) {
  const ReadQuestion& question = message.questions.at(0);
  const ReadRecord* opt = message.opt();
  const bool flag_do = opt != nullptr && (opt->ttl & 0x8000) != 0;
  Bytes key = {static_cast<uint8_t>(question.type >> 8), static_cast<uint8_t>(question.type),
               static_cast<uint8_t>((flag_do ? 1 : 0) | (message.has(kFlagCd) ? 2 : 0)), 0};
  const Bytes name = folded(question.name);
  key.insert(key.end(), name.begin(), name.end());
  return key;
}

std::string check_key(const Bytes& query, const Key& key) {
  const auto read = read_message(query);
  if (!read) return "accepted a query that the reference reader rejects";
  if (read->questions.size() != 1) return "accepted a query without exactly one question";
  Bytes expected = reference_key(*read);
  if (key.len != expected.size()) return "key of the wrong length";
  expected.resize((expected.size() + 31) / 32 * 32, 0);
  return std::equal(expected.begin(), expected.end(), key.bytes) ? "" : "wrong key";
}

bool sum_agrees(const wire::Reply& reply, const uint8_t* msg) {
  return sum_fold(reply.sum) == sum_fold(sum_bytes(msg, reply.len));
}

std::string check_reply(const Bytes& query, const Bytes& reply, std::size_t bytes_max) {
  if (reply.size() < 12) return "reply shorter than a header";
  if (reply.size() > bytes_max) return "reply too large";
  if (!std::equal(query.begin(), query.begin() + 2, reply.begin())) return "another id";
  if ((reply[2] & 0x80) == 0) return "QR not set";
  if (((reply[2] ^ query[2]) & 0x79) != 0) return "opcode or RD differ from the query's";
  if ((reply[2] & 0x04) != 0 || (reply[3] & 0x60) != 0) return "AA, Z or AD set";
  std::string why;
  const auto read = read_message(reply, &why);
  if (!read) return "reply cannot be read: " + why;
  if (read->end != reply.size()) return "octets behind the reply";
  if (!read->questions.empty() &&
      !std::equal(reply.begin() + 12, reply.begin() + 16, query.begin() + 12)) {
    return "another question";
  }
  return "";
}

// Options as a worker would add them: a cookie, and something behind it.
constexpr uint8_t kOptions[36] = {0, 10, 0, 24, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 9, 9,
                                  9, 9,  8, 8,  8, 8, 7, 7, 7, 7, 0, 3, 0, 4, 1, 2, 3, 4};
constexpr uint16_t kCookieBytes = 28;

std::string check_answers_to(const Bytes& query, const wire::Query& parsed,
                             abi::Outcome outcome) {
  wire::ReplyLimits limits{.udp_bytes_max = 1232, .room = kRoom};
  if (parsed.options_at != 0) {
    limits.options = kOptions;
    limits.options_bytes = sizeof kOptions;
    limits.cookie_bytes = kCookieBytes;
  }
  const auto reply_with = [&](auto&& write, std::size_t bytes_max) -> std::string {
    const auto block = std::make_unique<uint8_t[]>(kRoom);
    std::copy_n(query.begin(), std::min<std::size_t>(kRoom, query.size()), block.get());
    const wire::Reply reply = write(block.get());
    if (reply.len > kRoom) return "reply beyond its room";
    if (!sum_agrees(reply, block.get())) return "wrong sum of a reply";
    return check_reply(query, Bytes(block.get(), block.get() + reply.len), bytes_max);
  };
  if (outcome != kGoOn) {
    // An error is never larger than the query and an extended error; or a cookie, if it asks for
    // options.
    return reply_with([&](uint8_t* msg) { return wire::write_error(msg, parsed, outcome, limits); },
                      query.size() + (parsed.options_at != 0 ? 6 + kCookieBytes
                                      : parsed.has_opt       ? 6
                                                             : 0));
  }
  const std::size_t bytes_max = std::min<std::size_t>(1232, parsed.udp_bytes_max);
  std::string wrong = reply_with(
      [&](uint8_t* msg) { return wire::write_reply(msg, parsed, small_answer(), 7, limits); },
      bytes_max);
  if (!wrong.empty()) return wrong;
  wrong = reply_with(
      [&](uint8_t* msg) {
        return wire::write_stale_reply(msg, parsed, small_answer(), 30, limits);
      },
      bytes_max);
  if (!wrong.empty()) return wrong;
  return reply_with([&](uint8_t* msg) { return wire::write_truncated(msg, parsed, limits); },
                    bytes_max);
}

// Options that are noted can be read, within the message.
std::string check_options(const ExactCopy& message, const wire::Query& parsed) {
  if (parsed.options_at == 0) return "";
  if (!parsed.has_opt) return "options without an OPT";
  const wire::ClientOptions asked = wire::read_options(message.data(), parsed.options_at);
  if (!asked.nsid && !asked.keepalive && asked.cookie_bytes == 0 && asked.subnet == nullptr) {
    return "options of no interest";
  }
  wire::Subnet told;
  if (asked.subnet != nullptr && wire::read_subnet(asked.subnet, asked.subnet_bytes, told) &&
      (told.family == 0 || told.bits > wire::kSubnetBitsMax ||
       (told.prefix & ~wire::subnet_mask(told.bits)) != 0)) {
    return "a subnet that cannot be";
  }
  const bool legal = asked.cookie_bytes == 0 || asked.cookie_bytes == 8 ||
                     (asked.cookie_bytes >= 16 && asked.cookie_bytes <= 40 &&
                      asked.cookie + asked.cookie_bytes <= message.data() + message.size());
  return legal ? "" : "a cookie of an illegal length";
}

// The SCOPE of anything that came; of what has no OPT it is 0.
std::string check_scope(const ExactCopy& message, const ReadMessage* accepted) {
  const wire::Subnet asked{uint64_t{0xc612'05} << 40, wire::kSubnetIpv4, 24};
  uint8_t scope = 0;
  const bool ours = wire::read_scope(message.data(), message.len(), asked, scope);
  if (ours && scope > 32) return "a SCOPE longer than the address";
  if (accepted == nullptr || accepted->opt() != nullptr) return "";
  return ours && scope == 0 ? "" : "a SCOPE without an OPT";
}

std::string check_levels(const ReadMessage& reply, const abi::PacketCacheConfig& limits) {
  std::map<std::pair<Bytes, uint16_t>, uint32_t> levels;
  for (const ReadRecord& record : reply.records) {
    if (record.type == kTypeOpt) return "OPT in a body";
    if (record.ttl > limits.ttl_s_max) return "TTL above the cap";
    const bool signature = record.type == kTypeRrsig || record.type == kTypeSig;
    const uint16_t type = signature && record.rdata.size() >= 2
                              ? load_be16(record.rdata.data())
                              : record.type;
    const auto [at, fresh] = levels.try_emplace({folded(record.owner), type}, record.ttl);
    if (!fresh && at->second != record.ttl) return "RRset with unequal TTLs";
  }
  return "";
}

std::string check_view(const AnswerView& view, const Bytes& query,
                       const abi::PacketCacheConfig& limits) {
  ExactCopy block([&] {
    Bytes copy = query;
    copy.resize(query.size() + view.body_bytes);
    return copy;
  }());
  Key key;
  wire::Query parsed{};
  if (wire::parse_query(block.data(), static_cast<uint16_t>(query.size()), parsed, key) != kGoOn) {
    return "";
  }
  parsed.udp_bytes_max = 65535;
  const wire::Reply reply = wire::write_reply(block.data(), parsed, view, 0,
                                              {.udp_bytes_max = 65535, .room = block.len()});
  if (reply.len == 0 || reply.truncated) return "an accepted answer does not fit";
  if (!sum_agrees(reply, block.data())) return "wrong sum of an accepted answer";
  std::string why;
  const auto read = read_message(Bytes(block.data(), block.data() + reply.len), &why);
  if (!read) return "an accepted answer cannot be read behind another question: " + why;
  if (read->end != reply.len) return "octets behind an accepted answer";
  const std::size_t body_at = reply.len - view.body_bytes;
  if (read->records.size() != view.ttl_cnt) return "another number of TTLs than of records";
  for (std::size_t i = 0; i < view.ttl_cnt; ++i) {
    if (read->records[i].ttl_offset != body_at + view.ttl_offsets[i]) return "wrong TTL offset";
    const Section section = read->records[i].section;
    const bool in_answer = read->records[i].offset < body_at + view.an_end;
    const bool before_additional = read->records[i].offset < body_at + view.ns_end;
    if (in_answer != (section == Section::answer)) return "wrong end of the answer section";
    if (before_additional != (section != Section::additional)) return "wrong end of authority";
  }
  return check_levels(*read, limits);
}

// Answers of several shapes for the short way of writing a reply: none, an odd body, a long one,
// one with an authority section, one that fits into no reply.
struct ReplyCase {
  uint16_t body_bytes;
  uint16_t record_cnt;
  bool negative;
  uint32_t age_s;
  uint16_t udp_bytes_max;
};
constexpr ReplyCase kReplyCases[] = {
    {16, 1, false, 0, 1232},  {16, 1, false, 7, 1232}, {28, 1, false, 3, 1232},
    {0, 0, true, 9, 1232},    {37, 2, true, 299, 512}, {32, 2, false, 100000, 512},
    {33, 2, false, 50, 1232}, {64, 3, false, 1, 1232}, {333, 9, false, 1, 1232},
    {1000, 4, false, 5, 1232}, {1200, 4, false, 5, 1232}};

// A narrow entry as the cache would hold it, in memory of its lines and no more.
class StoredAnswer {
 public:
  StoredAnswer(const Key& key, const ReplyCase& shape) {
    Bytes body(shape.body_bytes);
    for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<uint8_t>(i * 37 + 1);
    std::vector<uint16_t> ttl_offsets;
    for (uint16_t i = 0; i < shape.record_cnt; ++i) {
      const uint32_t at = static_cast<uint32_t>(i) * (shape.body_bytes - 4u) / shape.record_cnt;
      ttl_offsets.push_back(static_cast<uint16_t>(at));
      body[at] = body[at + 1] = 0;
    }
    AnswerView view{};
    view.body = body.data();
    view.ttl_offsets = ttl_offsets.data();
    view.body_bytes = view.ns_end = shape.body_bytes;
    view.ttl_cnt = shape.record_cnt;
    view.negative = shape.negative;
    (shape.negative ? view.ns_cnt : view.an_cnt) = shape.record_cnt;
    view.an_end = shape.negative ? uint16_t{0} : shape.body_bytes;
    view.rcode = shape.negative ? 3 : 0;
    view.authentic_data = shape.age_s != 7;
    view.lifetime_s = 300;
    const cache::EntryShape entry_shape = cache::shape_of(key, view);
    MR_CHECK(!entry_shape.wide);
    memory_.reset(static_cast<uint8_t*>(
        std::aligned_alloc(kCacheLineBytes, (entry_shape.bytes + 63u) & ~63u)));
    entry_ = cache::write_entry(memory_.get(), entry_shape, key, view, 0);
  }

  const cache::Entry& entry() const { return *entry_; }

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<uint8_t, Free> memory_;
  const cache::Entry* entry_;
};

std::string check_plain_reply(const Bytes& bytes, const wire::Query& query, const Key& key,
                              const ReplyCase& shape) {
  const StoredAnswer stored(key, shape);
  Bytes room = bytes;
  room.resize(bytes.size() + (shape.body_bytes == 1000 ? 400 : kRoom));
  const ExactCopy short_copy(room);
  const ExactCopy long_copy(room);
  Frame by_short{};
  by_short.data = short_copy.data();
  by_short.len = static_cast<uint16_t>(bytes.size());
  by_short.room = short_copy.len();
  Frame by_long = by_short;
  by_long.data = long_copy.data();
  const auto reply_by = query.packet.v6 ? dp::plain_reply<true> : dp::plain_reply<false>;
  const uint16_t plain_len = reply_by(by_short, query.packet.dns_len, stored.entry(), shape.age_s,
                                      shape.udp_bytes_max);
  if (plain_len == 0) {
    return Bytes(by_short.data, by_short.data + room.size()) == room ? "" : "declined too late";
  }
  const wire::ReplyLimits limits{
      .udp_bytes_max = shape.udp_bytes_max,
      .room = static_cast<uint16_t>(by_long.room - query.packet.dns_off)};
  const wire::Reply reply = wire::write_reply(by_long.data + query.packet.dns_off, query,
                                              cache::view_of(stored.entry()), shape.age_s, limits);
  if (reply.len == 0 || reply.truncated ||
      !wire::turn_around(by_long, query.packet, reply.len, reply.sum)) {
    return "the short way fits where the long one does not";
  }
  if (plain_len != by_long.len ||
      !std::equal(by_short.data, by_short.data + plain_len, by_long.data)) {
    return "the short way writes another reply";
  }
  return "";
}

// A run of labels that ends with the root where the octets end.
bool is_name(const uint8_t* octets, std::size_t bytes) {
  std::size_t at = 0;
  while (at < bytes && octets[at] != 0) {
    if (octets[at] > 63) return false;
    at += 1u + octets[at];
  }
  return at + 1 == bytes;
}

// The short way to a key declines or agrees, whatever lies behind the frame; and a guess that was
// wrong makes a key that no query has.
std::string check_plain(const Bytes& bytes, const wire::Endpoints& endpoints, uint8_t behind) {
  Bytes padded = bytes;
  padded.resize(bytes.size() + 400, behind);
  const ExactCopy copy(padded);
  const ExactCopy untouched(padded);
  Frame frame{};
  frame.data = copy.data();
  frame.len = static_cast<uint16_t>(bytes.size());
  frame.room = copy.len();
  wire::Packet by_short{};
  if (!wire::plain_packet(frame, endpoints, by_short)) return "";
  Key short_key;
  if (!wire::plain_query(frame, by_short, 5, short_key)) return "";
  const uint8_t* msg = frame.data + by_short.dns_off;
  if (std::memcmp(copy.data(), untouched.data(), by_short.dns_off + by_short.dns_len) != 0) {
    return "the packet was written to";
  }
  frame.data = untouched.data();
  wire::Packet by_long{};
  if (wire::classify(frame, endpoints, by_long).kind != wire::Kind::query) {
    return "plain, but no query";
  }
  if (std::memcmp(&by_short, &by_long, sizeof by_short) != 0) return "plain, but another packet";
  if ((msg[2] & 0x80) != 0) return "plain, but a response";
  wire::Query short_query{};
  wire::Query long_query{};
  Key long_key;
  const bool is_right = wire::finish_plain(msg, by_short.dns_len, short_key, short_query);
  if (is_right != is_name(short_key.bytes + kKeyHeadBytes, short_key.len - kKeyHeadBytes)) {
    return is_right ? "took a guess that was wrong" : "declined a guess that was right";
  }
  if (!is_right) return "";
  if (wire::parse_query(untouched.data() + by_short.dns_off, by_short.dns_len, long_query,
                        long_key) != kGoOn) {
    return "plain, but not in order";
  }
  long_key.bytes[3] = 5;
  constexpr std::size_t kFields = offsetof(wire::Query, trailing) + sizeof(wire::Query::trailing);
  if (std::memcmp(&short_query, &long_query, kFields) != 0) return "plain, but another query";
  if (short_key.len != long_key.len ||
      std::memcmp(short_key.bytes, long_key.bytes, (short_key.len + 31u) & ~31u) != 0) {
    return "plain, but another key";
  }
  short_query.packet = by_short;
  for (const ReplyCase& shape : kReplyCases) {
    const std::string wrong = check_plain_reply(bytes, short_query, short_key, shape);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

}  // namespace

std::string check_query(const uint8_t* data, std::size_t size) {
  if (size > 65535) return "";
  const Bytes query(data, data + size);
  const ExactCopy copy(query);
  Key key;
  wire::Query parsed{};
  const abi::Outcome outcome =
      wire::parse_query(copy.data(), copy.len(), parsed, key, true, true);
  if (outcome != kGoOn && is_dropped(outcome)) return "";
  if (size < 12 || (query[2] & 0x80) != 0) return "answers what must be dropped";
  if (outcome == kGoOn) {
    const std::string wrong = check_key(query, key);
    if (!wrong.empty()) return wrong;
  }
  if (const std::string wrong = check_options(copy, parsed); !wrong.empty()) return wrong;
  return check_answers_to(query, parsed, outcome);
}

// What becomes of records off the chain is the config's choice, and nothing else depends on it.
std::string check_choices(const ExactCopy& message, const Key& key,
                          abi::PacketCacheConfig limits, const wire::ParsedAnswer& relayed) {
  const auto scratch = std::make_unique_for_overwrite<wire::AnswerScratch>();
  for (const auto choice : {abi::UnrelatedRecords::strip, abi::UnrelatedRecords::refuse}) {
    limits.unrelated = choice;
    wire::ParsedAnswer parsed;
    const wire::Verdict verdict =
        wire::parse_answer(message.data(), message.len(), key, limits, *scratch, parsed);
    if (verdict == wire::Verdict::failure && parsed.skip == abi::Event::ins_skip_chain) {
      if (relayed.cacheable) return "refused for no reason";
      continue;
    }
    if (parsed.cacheable != relayed.cacheable || parsed.skip != relayed.skip) {
      return "kept or not by what becomes of unrelated records";
    }
    const AnswerView& view = parsed.view;
    if (verdict != wire::Verdict::answer || view.body_bytes > relayed.view.body_bytes ||
        std::memcmp(view.body, relayed.view.body, view.body_bytes) != 0) {
      return "not the beginning of the answer";
    }
    const bool is_whole = view.body_bytes == relayed.view.body_bytes;
    const bool may_lack = choice == abi::UnrelatedRecords::strip && !parsed.cacheable &&
                          view.an_cnt != 0 && view.ns_cnt + view.ar_cnt == 0;
    if (!is_whole && !may_lack) return "stripped of what belongs to it";
  }
  return "";
}

std::string check_answer(const uint8_t* data, std::size_t size) {
  if (size > 65535) return "";
  const Bytes message(data, data + size);
  const auto reference = read_message(message);
  // Ask what the message claims to answer, if it can be seen; else for something else.
  const bool known = reference && reference->questions.size() == 1;
  const Name name = known ? Name::wire(reference->questions[0].name) : Name("a.example");
  const Bytes query = DnsBuilder().question(name, known ? reference->questions[0].type : 1).build();
  wire::Query parsed_query{};
  Key key;
  if (wire::parse_query(query.data(), static_cast<uint16_t>(query.size()), parsed_query, key) !=
      kGoOn) {
    return "";
  }
  abi::PacketCacheConfig limits{};
  limits.ttl_s_max = 86400;
  limits.negative_ttl_s_max = 3600;
  limits.failure_ttl_s = 5;
  limits.entry_bytes_max = 4096;

  const ExactCopy copy(message);
  const auto scratch = std::make_unique_for_overwrite<wire::AnswerScratch>();
  wire::ParsedAnswer parsed;
  const wire::Verdict verdict =
      wire::parse_answer(copy.data(), copy.len(), key, limits, *scratch, parsed);
  const bool accepted = verdict == wire::Verdict::answer && reference;
  const std::string wrong = check_scope(copy, accepted ? &*reference : nullptr);
  if (!wrong.empty()) return wrong;
  if (verdict != wire::Verdict::answer) return parsed.cacheable ? "cacheable, but no answer" : "";
  if (!reference) return "accepted an answer that the reference reader rejects";
  if (!known || reference->has(kFlagTc) || !reference->has(kFlagQr)) return "accepted too much";
  uint32_t lowest_s = limits.ttl_s_max;
  for (const ReadRecord& record : reference->records) {
    const bool other = record.type == kTypeOpt || record.type == kTypeTsig;
    if (!other) lowest_s = std::min(lowest_s, record.ttl);
  }
  if (parsed.cacheable && (parsed.view.lifetime_s == 0 || parsed.view.lifetime_s > lowest_s)) {
    return "cached for longer than its lowest TTL";
  }
  const std::string differs = check_choices(copy, key, limits, parsed);
  return differs.empty() ? check_view(parsed.view, query, limits) : differs;
}

std::string check_frame(const uint8_t* data, std::size_t size) {
  if (size > 9000) return "";
  static const wire::Endpoints endpoints = [] {
    wire::Endpoints ours{};
    ours.service_cnt = 3;
    ours.service[0].address = address_of("198.18.0.54", 53);
    ours.service[1].address = address_of("198.18.0.53", 53);
    ours.service[2].address = address_of("fd00:18::53", 53);
    ours.source_cnt = 2;
    ours.source[0] = address_of("198.18.1.9");
    ours.source[1] = address_of("fd00:18:1::9");
    ours.upstream_port_first = 20000;
    ours.upstream_port_end = 30000;
    for (uint32_t& word : ours.vlan) word = 0x5555'5555;  // every other one
    ours.index();
    return ours;
  }();
  const Bytes bytes(data, data + size);
  for (const uint8_t behind : {uint8_t{0}, uint8_t{0xff}}) {
    const std::string wrong = check_plain(bytes, endpoints, behind);
    if (!wrong.empty()) return wrong;
  }
  const ExactCopy exact(bytes);
  Frame frame{};
  frame.data = exact.data();
  frame.len = frame.room = exact.len();
  wire::Packet packet;
  const wire::Classified classified = wire::classify(frame, endpoints, packet);
  if (classified.kind == wire::Kind::finished) {
    return classified.outcome == kGoOn ? "finished without an outcome" : "";
  }
  if (std::size_t{packet.dns_off} + packet.dns_len > size) return "payload outside the frame";
  const abi::Address client = wire::source_of(frame, packet);
  const abi::Address service = wire::destination_of(frame, packet);
  const uint64_t sum = sum_bytes(frame.data + packet.dns_off, packet.dns_len);
  if (!wire::turn_around(frame, packet, packet.dns_len, sum)) return "no room for an equal reply";
  std::string why;
  const auto reply = read_frame(Bytes(frame.data, frame.data + frame.len), &why);
  if (!reply) return "reply frame cannot be read: " + why;
  if (std::memcmp(&reply->target, &client, sizeof client) != 0 ||
      std::memcmp(&reply->source, &service, sizeof service) != 0) {
    return "reply between other ends";
  }
  const auto payload = bytes.begin() + packet.dns_off;
  return reply->payload == Bytes(payload, payload + packet.dns_len) ? "" : "payload changed";
}

}  // namespace millrace::test
