// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/stream_world.hpp"

#include "tests/fuzz/reply_oracle.hpp"

#include <algorithm>

namespace millrace::test {

using sim::demand;

namespace {

constexpr uint32_t kTalkActsMax = 200;
constexpr uint32_t kClientsMax = 6;
constexpr uint32_t kAskedMax = 64;
constexpr uint32_t kIdleMs = 600'000;
constexpr const char* kAskedNames[] = {"www.example", "WWW.example", "a.example", "b.example",
                                       "c.example",   "localhost",   "d.example", "."};
constexpr uint16_t kAskedTypes[] = {kTypeA,   kTypeA,    kTypeAaaa, kTypeTxt,
                                    kTypeAny, kTypeAxfr, 0,         64};
constexpr const char* kPeers[] = {"198.18.0.9", "198.18.0.9", "198.18.0.10", "fd00:18::9"};

// What the upstreams say of a name: an octet of it is in the address.
Bytes address_for(const Bytes& name) {
  uint8_t sum = 0;
  for (const uint8_t octet : folded(name))
    sum = static_cast<uint8_t>(sum * 31 + octet);
  return {198, 18, 7, sum};
}

Bytes framed(const Bytes& message) {
  Bytes bytes{static_cast<uint8_t>(message.size() >> 8), static_cast<uint8_t>(message.size())};
  bytes.insert(bytes.end(), message.begin(), message.end());
  return bytes;
}

}  // namespace

StreamWorld::StreamWorld(Choices& from)
    : from_(from), bench_(1, 1, [this](const abi::Address&) { return dial(); }) {
  bench_.on_sent = [this](uint32_t, const sim::Cargo&, const Bytes& bytes, uint8_t) {
    const auto frame = read_frame(bytes);
    const auto query = frame ? read_message(frame->payload) : std::nullopt;
    demand(query && query->questions.size() == 1, "A79", "a malformed query of ours", bytes);
    if (asked_.size() == kAskedMax) asked_.erase(asked_.begin());
    asked_.push_back({frame->source, frame->target, query->id, query->questions[0]});
  };
  configure();
}

void StreamWorld::configure() {
  static constexpr abi::TcpConfig kLimits[] = {{1000, 100, 100, kIdleMs}, {1000, 100, 1, kIdleMs},
                                               {1000, 100, 3, kIdleMs},   {2, 2, 100, kIdleMs},
                                               {100, 1, 2, kIdleMs},      {0, 0, 1, kIdleMs},
                                               {1000, 100, 2, 300}};
  abi::ServiceSection& service = bench_.service();
  service.tcp = from_.pick(kLimits);
  const uint8_t features = from_.octet();
  service.answer_rd0 = features & 1;
  service.local.cookies = features >> 1 & 1;
  service.local.any_over_udp = features >> 2 & 1;
  if ((features & 8) != 0) service.stale.kept_s = 3600;
  if ((features & 16) != 0) std::memcpy(service.local.nsid, "nsid", 4);
  has_rules_ = (features & 32) != 0;
  if (has_rules_) add_rule(service, abi::RuleAction::refuse, {"198.18.0.10/32"});
  if ((features & 64) != 0) add_zone(service, "localhost", abi::LocalKind::loopback);
  bench_.publish();
  bench_.turn();
}

int StreamWorld::dial() {
  if (!reachable_) return -1;
  upstreams_.push_back(std::make_unique<Upstream>());
  return upstreams_.back()->wire.give_end();
}

void StreamWorld::connect() {
  const char* const source = from_.pick(kPeers);
  if (clients_.size() == kClientsMax) return;
  clients_.push_back(std::make_unique<Client>());
  clients_.back()->is_refused = has_rules_ && source == kPeers[2];
  const abi::Address service = address_of(std::strchr(source, ':') ? kServiceV6 : kServiceV4, 53);
  bench_.plane.slow().adopt(clients_.back()->wire.give_end(), address_of(source, 40'000), service,
                            bench_.now_ns);
  // Whom it makes room for is not ours to know.
  const abi::TcpConfig& limits = bench_.service().tcp;
  if (clients_.size() > std::min(limits.connections_max, limits.connections_per_source_max)) {
    for (const auto& client : clients_)
      client->may_be_closed = true;
  }
}

Bytes StreamWorld::message() {
  const uint32_t kind = from_.below(8);
  if (kind == 0) return from_.bytes(from_.octet());
  const uint16_t flags = kind == 1 ? from_.word() : kFlagRd;
  DnsBuilder query;
  query.id(from_.octet()).flags(flags);
  const char* const name = from_.pick(kAskedNames);
  query.question(name, from_.pick(kAskedTypes));
  if (kind >= 5) {
    OptFields opt{.flag_do = kind == 6};
    for (uint32_t n = from_.below(4); n > 0; --n) {
      static constexpr uint16_t kCodes[] = {3, 10, 11, 12};
      const uint16_t code = from_.pick(kCodes);
      static constexpr uint8_t kSizes[] = {0, 2, 8, 24};
      opt.options.push_back({code, from_.bytes(from_.pick(kSizes))});
    }
    query.opt(opt);
  }
  Bytes bytes = query.build();
  from_.edit(bytes);
  return bytes;
}

void StreamWorld::write_message(Client& client) {
  // Now and then what has no frame around it.
  const Bytes bytes = from_.below(16) == 15 ? from_.bytes(from_.octet()) : framed(message());
  client.unsent.insert(client.unsent.end(), bytes.begin(), bytes.end());
}

Bytes StreamWorld::answer_to(uint16_t id, const ReadQuestion& question) {
  DnsBuilder answer;
  answer.id(id).response().rd().add_flags(kFlagAd).question(Name::wire(question.name),
                                                            question.type);
  switch (from_.below(8)) {
    case 0:
      answer.rcode(2);
      break;
    case 1:
      answer.add_flags(kFlagTc);
      break;
    case 2:
      answer.rcode(1);
      break;
    case 3: {
      // 4 KiB, or as much as a message can have at the most, but for a few octets.
      const std::size_t most = from_.below(4) == 3 ? 65'535u - from_.octet() : 4096u;
      constexpr std::size_t kHeadBytes = 13;  // of a record, and of its text
      const bool is_address = question.type == kTypeA;
      while (answer.offset() + kHeadBytes + 4 <= most) {
        const std::size_t text = std::min<std::size_t>(200, most - answer.offset() - kHeadBytes);
        answer.answer(Name::pointer(12), question.type, 300,
                      is_address ? address_for(question.name) : rdata_txt(std::string(text, 'x')));
      }
      break;
    }
    default:
      answer.answer(Name::pointer(12), kTypeA, from_.octet() * 4u, address_for(question.name));
      break;
  }
  Bytes bytes = answer.build();
  const Bytes before = bytes;
  from_.edit(bytes);
  has_edited_ |= bytes != before;
  return bytes;
}

void StreamWorld::answer_over_udp() {
  if (asked_.empty()) return;
  const auto at = asked_.begin() + from_.below(static_cast<uint32_t>(asked_.size()));
  const Asked asked = *at;
  asked_.erase(at);
  Bytes payload = answer_to(asked.id, asked.question);
  if (payload.size() > 1400) payload.resize(1400);
  FrameBuilder frame;
  frame.from("198.18.1.10", 53).to(kSourceV4, __builtin_bswap16(asked.source.port_be));
  bench_.arrive(0, frame.payload(payload).build(), 0, {});
}

void StreamWorld::answer_over_tcp() {
  if (upstreams_.empty()) return;
  Upstream& upstream = *upstreams_[from_.below(static_cast<uint32_t>(upstreams_.size()))];
  upstream.wire.read();
  const Cut questions = cut_stream(upstream.wire.come);
  demand(upstream.wire.gone || questions.rest == 0, "A105", "half a question");
  const uint32_t what = from_.below(8);
  if (what == 0) upstream.wire.hang_up();
  if (what == 1) upstream.wire.send(from_.bytes(from_.octet()));
  if (upstream.answered == questions.messages.size()) return;
  const auto query = read_message(questions.messages[upstream.answered++]);
  demand(query && query->questions.size() == 1, "A79", "a malformed query of ours");
  Bytes bytes = framed(answer_to(query->id, query->questions[0]));
  if (what == 2) bytes.resize(bytes.size() / 2);
  upstream.wire.send(bytes);
}

void StreamWorld::turn() {
  bench_.turn();
  demand(bench_.plane.slow().client_cnt() <= bench_.service().tcp.connections_max, "A103",
         "more connections than there may be");
  for (const auto& client : clients_)
    client->wire.read();
}

void StreamWorld::act() {
  const uint32_t what = from_.below(12);
  if (what == 0 || clients_.empty()) {
    connect();
    return;
  }
  Client& client = *clients_[from_.below(static_cast<uint32_t>(clients_.size()))];
  switch (what) {
    case 1:
    case 2:
    case 3:
      write_message(client);
      break;
    case 4:
    case 5: {
      const std::size_t bytes = std::min<std::size_t>(client.unsent.size(), from_.octet());
      const auto end = client.unsent.begin() + static_cast<std::ptrdiff_t>(bytes);
      client.wire.send(Bytes(client.unsent.begin(), end));
      client.unsent.erase(client.unsent.begin(), end);
      break;
    }
    case 6:
      turn();
      break;
    case 7:
      answer_over_udp();
      break;
    case 8:
      answer_over_tcp();
      break;
    case 9:
      bench_.pass_ms(from_.octet() * 4u);
      break;
    case 10:
      reachable_ = from_.flag();
      bench_.publish();
      break;
    default:
      client.wire.send(client.unsent);
      client.unsent.clear();
      turn();
      if (from_.below(4) == 0) client.wire.shut_down();
      if (from_.below(16) == 15) client.wire.hang_up();
      break;
  }
}

void StreamWorld::run() {
  for (uint32_t i = 0; i < kTalkActsMax && !from_.empty(); ++i)
    act();
  bench_.settle();
  // A socket holds less than a long answer.
  for (std::size_t come = 0, before = 1; come != before;) {
    before = come;
    turn();
    come = 0;
    for (const auto& client : clients_)
      come += client->wire.come.size();
  }
  for (const auto& client : clients_)
    judge(*client);
}

// Each answer to a query of its own; and what is missing has a reason.
void StreamWorld::judge(Client& client) {
  const Cut queries = cut_stream(client.wire.sent);
  const auto end = std::ranges::find_if(queries.messages, ends_connection);
  const bool is_ended = end != queries.messages.end();
  const std::vector<Bytes> taken(queries.messages.begin(), end);
  const Cut replies = cut_stream(client.wire.come);
  demand(replies.rest == 0, "A101", "half a reply");
  const ReplyRules rules{.stream = true};
  const std::vector<bool> has_reply = match_replies(taken, replies.messages, rules);
  for (const Bytes& reply : replies.messages)
    check_data(client, reply);

  if (client.wire.gone || client.may_be_closed || bench_.service().tcp.idle_ms != kIdleMs) return;
  for (std::size_t i = 0; i < taken.size(); ++i)
    demand(has_reply[i], "A102", "a query without an answer", taken[i]);
  demand(client.wire.closed == (is_ended || client.wire.shut), "A104",
         "closed without a reason, or not with one");
}

void StreamWorld::check_data(const Client& client, const Bytes& reply) const {
  const auto read = read_message(reply);
  if (!read) return;
  demand(!client.is_refused || read->rcode() == 5, "A112", "whom a rule refuses gets more", reply);
  for (const ReadRecord& record : read->records) {
    demand(has_edited_ || record.type != kTypeA || record.rdata == Bytes{127, 0, 0, 1} ||
               record.rdata == address_for(read->questions.at(0).name),
           "A6", "the answer to another question", reply);
  }
}

void check_slow_path(Choices& from) {
  StreamWorld(from).run();
}

}  // namespace millrace::test
