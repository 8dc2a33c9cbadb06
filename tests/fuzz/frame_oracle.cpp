// SPDX-License-Identifier: Apache-2.0
// What workers may send (items A and B of docs/testing.md).
#include "dataplane/base/byte_order.hpp"
#include "tests/fuzz/frame_world.hpp"
#include "tests/fuzz/reply_oracle.hpp"

#include <algorithm>

namespace millrace::test {

using sim::demand;

namespace {

constexpr uint64_t kSlackMs = 1000;  // ages are whole seconds
constexpr uint16_t kTypeDs = 43;

bool same(const abi::Address& a, const abi::Address& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

bool is_below(const Bytes& name, const char* suffix) {
  const Bytes end = Name(suffix).bytes();
  for (std::size_t at = 0; at < name.size(); at += 1u + name[at]) {
    if (std::equal(name.begin() + static_cast<std::ptrdiff_t>(at), name.end(), end.begin(),
                   end.end())) {
      return true;
    }
  }
  return false;
}

uint16_t host_port(const abi::Address& address) {
  return __builtin_bswap16(address.port_be);
}

}  // namespace

FrameWorld::Rule FrameWorld::rule_of(const abi::Address& client) const {
  const uint8_t* const octets = client.bytes;
  if (!has_rules_) return Rule::serve;
  if (client.family == 6) {
    const uint8_t dropped[] = {0xfd, 0, 0, 0x18, 0, 3};
    return std::equal(dropped, dropped + sizeof dropped, octets) ? Rule::drop : Rule::serve;
  }
  if (octets[0] != 198 || octets[1] != 18) return Rule::serve;
  return octets[2] == 2 ? Rule::refuse : octets[2] == 3 ? Rule::drop : Rule::serve;
}

// Notes what a payload asks for, as far as anybody could see a question in it.
void FrameWorld::note_name(const Bytes& payload) {
  std::size_t at = 12;
  while (at < payload.size() && payload[at] != 0 && payload[at] < 64)
    at += 1u + payload[at];
  if (at >= payload.size() || payload[at] != 0) return;
  names_.insert(
      folded(Bytes(payload.begin() + 12, payload.begin() + static_cast<std::ptrdiff_t>(at + 1))));
}

void FrameWorld::sent(uint32_t worker, const sim::Cargo& cargo, const Bytes& bytes, uint8_t port) {
  demand(cargo.kind != sim::Cargo::Kind::answer, "B25", "sends what came from upstream", bytes);
  std::string why;
  const auto frame = read_frame(bytes, &why);
  if (!frame) sim::violate("A93", "a frame that cannot be read: " + why, bytes);
  demand(frame->udp_checksum_present, "A93", "no UDP checksum", bytes);
  if (cargo.kind == sim::Cargo::Kind::none) {
    const auto message = read_message(frame->payload, &why);
    if (!message) sim::violate("A79", "a malformed query of ours: " + why, bytes);
    asked_.push_back({worker, port, *frame, *message});
    check_asked(asked_.back(), bytes);
    if (asked_.size() > kAskedMax) asked_.erase(asked_.begin());
    return;
  }
  Arrived& to = arrived_.at(cargo.index);
  to.reply_cnt += 1;
  demand(to.reply_cnt == 1, "A130", "two replies", bytes);
  demand(port == to.port, "A99", "left by another port than the query came by", bytes);
  check_reply_frame(to, *frame, bytes);
  if (const auto message = read_message(frame->payload)) note_cookie(*message);
}

void FrameWorld::note_cookie(const ReadMessage& reply) {
  constexpr uint8_t kHead[] = {0, 10, 0, 24};
  if (reply.opt() == nullptr) return;
  const Bytes& options = reply.opt()->rdata;
  if (options.size() < 28 || !std::equal(kHead, kHead + 4, options.begin())) return;
  cookie_.assign(options.begin() + 4, options.begin() + 28);
}

void FrameWorld::check_asked(const Asked& asked, const Bytes& bytes) const {
  const ReadMessage& message = asked.message;
  demand(message.questions.size() == 1 && message.end == asked.frame.payload.size(), "A79",
         "not one question", bytes);
  const bool bare = message.records.size() == (message.opt() != nullptr ? 1u : 0u);
  demand(bare, "A79", "records in a query of ours", bytes);
  demand((message.flags & ~(kFlagRd | kFlagAd | kFlagCd)) == 0 && message.has(kFlagRd), "A15",
         "flags of a query of ours", bytes);
  const uint16_t port = host_port(asked.frame.source);
  const abi::ServiceSection& service = bench_.config->service;
  demand(port >= service.upstream_port_first && port < service.upstream_port_end &&
             port % bench_.plan.workers == asked.worker,
         "A56", "a source port that is not this core's", bytes);
  uint32_t backend = 0;
  while (backend < service.backends && !same(service.backend[backend].address, asked.frame.target))
    ++backend;
  demand(backend < service.backends, "law 5", "sent to what is no backend", bytes);

  const ReadQuestion& question = message.questions[0];
  demand(question.cls == kClassIn, "A22", "class", bytes);
  const Bytes name = folded(question.name);
  if (name.size() == 1) return;  // a probe, or somebody who asks for the same
  demand(has_unreadable_ || names_.contains(name), "A129", "asks for what no client asked for",
         bytes);
  const uint32_t forwarded = service.pool[service.pools - 1].backends;
  demand(!has_forward_ || !is_below(name, "fwd.example") || (forwarded >> backend & 1) != 0,
         "law 5", "a name is not forwarded where it should be", bytes);
  const bool local = is_below(name, "localhost") || is_below(name, "invalid") ||
                     is_below(name, "resolver.arpa") || is_below(name, "10.in-addr.arpa");
  demand(!has_local_ || !local || question.type == kTypeDs, "A118",
         "asks for a name that is answered here", bytes);
}

void FrameWorld::check_reply_frame(const Arrived& to, const ReadFrame& reply,
                                   const Bytes& bytes) const {
  demand(reply.hops == 64, "A99", "hop limit", bytes);
  const auto query = read_frame(to.frame);
  if (!query) return;  // with options or extension headers, which the reader does not know
  demand(same(query->source, reply.target) && same(query->target, reply.source), "A1",
         "a reply between other ends", bytes);
  demand(std::ranges::equal(query->source_mac, reply.destination_mac) &&
             std::ranges::equal(query->destination_mac, reply.source_mac) &&
             query->tags == reply.tags,
         "A99", "a reply to another neighbour", bytes);
  demand(host_port(reply.source) == 53, "B25", "a reply from where there is no service", bytes);
  check_reply(query->payload, reply.payload,
              {.udp_bytes_max = bench_.config->service.edns_udp_bytes});
  const auto message = read_message(reply.payload);
  const Rule rule = rule_of(query->source);
  demand(rule != Rule::drop, "A112", "a reply to whom a rule drops", bytes);
  demand(rule != Rule::refuse || message->rcode() == 5, "A112", "whom a rule refuses gets more",
         bytes);
  check_data(*message, bytes);
}

// Data are those of an answer to this question, which matched, and whose time is not over.
void FrameWorld::check_data(const ReadMessage& reply, const Bytes& bytes) const {
  if (has_edited_ || reply.questions.empty()) return;
  const uint64_t now_ms = bench_.now_ns / kMs;
  const abi::StaleConfig& stale = bench_.config->service.stale;
  for (const ReadRecord& record : reply.records) {
    if (record.type == kTypeOpt || record.rdata.size() != 4 || record.rdata[0] != 100) continue;
    const std::size_t number = load_be32(record.rdata.data()) & 0xff'ffff;
    demand(number < answers_.size(), "A55", "data of nobody", bytes);
    const Answer& answer = answers_[number];
    demand(!answer.forged, "A55", "data of an answer that does not match", bytes);
    demand(answer.name == folded(reply.questions[0].name) && answer.type == reply.questions[0].type,
           "A6", "the answer to another question", bytes);
    const uint64_t ttl_s = std::min(answer.ttl_s, bench_.config->service.packet_cache[0].ttl_s_max);
    const uint64_t end_ms = answer.given_ms + ttl_s * 1000 + kSlackMs;
    const bool fresh = now_ms + uint64_t{record.ttl} * 1000 <= end_ms;
    const bool past = now_ms <= end_ms + uint64_t{kept_s_max_} * 1000 && kept_s_max_ != 0 &&
                      record.ttl == stale.ttl_s;
    demand(fresh || past, "law 4", "data past their time", bytes);
  }
}

void FrameWorld::check_end() const {
  using abi::Event;
  const sim::Plane& plane = bench_.plane;
  for (const Arrived& one : arrived_) {
    demand(!one.must_answer || one.reply_cnt == 1 || plane.event(Event::tx_dropped) != 0, "A64",
           "a query without an answer", one.frame);
  }
  const uint64_t questions = plane.outcome(abi::Outcome::miss) + plane.event(Event::prefetch_sent);
  demand(plane.event(Event::up_sent) <= questions * (tries_max_ + 1), "A129",
         "more packets than the questions may have");
}

}  // namespace millrace::test
