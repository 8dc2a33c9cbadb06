// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/oracles.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/packet.hpp"
#include "dataplane/wire/query.hpp"
#include "dataplane/wire/reply.hpp"
#include "dataplane/wire/upstream.hpp"
#include "tests/support/packet_builder.hpp"
#include "tests/support/packet_reader.hpp"

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

std::string check_answers_to(const Bytes& query, const wire::Query& parsed,
                             abi::Outcome outcome) {
  const wire::ReplyLimits limits{.udp_bytes_max = 1232, .room = kRoom};
  const auto reply_with = [&](auto&& write, std::size_t bytes_max) -> std::string {
    const auto block = std::make_unique<uint8_t[]>(kRoom);
    std::copy_n(query.begin(), std::min<std::size_t>(kRoom, query.size()), block.get());
    const wire::Reply reply = write(block.get());
    if (reply.len > kRoom) return "reply beyond its room";
    return check_reply(query, Bytes(block.get(), block.get() + reply.len), bytes_max);
  };
  if (outcome != kGoOn) {
    // An error is never larger than the query and an extended error.
    return reply_with(
        [&](uint8_t* msg) { return wire::write_error(msg, parsed, outcome, limits); },
        query.size() + (parsed.has_opt ? 6 : 0));
  }
  const std::size_t bytes_max = std::min<std::size_t>(1232, parsed.udp_bytes_max);
  std::string wrong = reply_with(
      [&](uint8_t* msg) { return wire::write_reply(msg, parsed, small_answer(), 7, limits); },
      bytes_max);
  if (!wrong.empty()) return wrong;
  return reply_with([&](uint8_t* msg) { return wire::write_truncated(msg, parsed, limits); },
                    bytes_max);
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
    copy.resize(5000);
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

}  // namespace

std::string check_query(const uint8_t* data, std::size_t size) {
  if (size > 65535) return "";
  const Bytes query(data, data + size);
  const ExactCopy copy(query);
  Key key;
  wire::Query parsed{};
  const abi::Outcome outcome = wire::parse_query(copy.data(), copy.len(), parsed, key);
  if (outcome != kGoOn && is_dropped(outcome)) return "";
  if (size < 12 || (query[2] & 0x80) != 0) return "answers what must be dropped";
  if (outcome == kGoOn) {
    const std::string wrong = check_key(query, key);
    if (!wrong.empty()) return wrong;
  }
  return check_answers_to(query, parsed, outcome);
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
  const auto scratch = std::make_unique<wire::AnswerScratch>();
  wire::ParsedAnswer parsed;
  const wire::Verdict verdict =
      wire::parse_answer(copy.data(), copy.len(), key, limits, *scratch, parsed);
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
  return check_view(parsed.view, query, limits);
}

std::string check_frame(const uint8_t* data, std::size_t size) {
  if (size > 9000) return "";
  static const wire::Endpoints endpoints = [] {
    wire::Endpoints ours{};
    ours.service_cnt = 2;
    ours.service[0].address = address_of("198.18.0.53", 53);
    ours.service[1].address = address_of("fd00:18::53", 53);
    ours.source_cnt = 1;
    ours.source[0] = address_of("198.18.1.9");
    ours.upstream_port_first = 20000;
    ours.upstream_port_end = 30000;
    return ours;
  }();
  const Bytes bytes(data, data + size);
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
  if (!wire::turn_around(frame, packet, packet.dns_len)) return "no room for an equal reply";
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
