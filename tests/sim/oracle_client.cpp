// SPDX-License-Identifier: Apache-2.0
// What clients may get.
#include "tests/sim/oracle.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace millrace::test;
using abi::Event;

namespace {

constexpr uint64_t kSlackNs = 40 * kMs;   // two turns of the deadline list and then some
constexpr uint64_t kStepsToAnswer = 100;  // what a backlog and full rings may cost

std::string tuple_of(const abi::Address& client, const abi::Address& service, uint16_t id) {
  return octets(client) + octets(service) + static_cast<char>(id >> 8) +
         static_cast<char>(id & 0xff);
}

bool must_answer(Expect expect) {
  return expect != Expect::silence && expect != Expect::anything;
}

uint64_t ms(uint64_t ns) {
  return ns / kMs;
}

std::vector<const ReadRecord*> records_of(const ReadMessage& message, Section section) {
  std::vector<const ReadRecord*> records;
  for (const ReadRecord& record : message.records) {
    if (record.section == section && record.type != kTypeOpt) records.push_back(&record);
  }
  return records;
}

// The answer's records of a section, up to its OPT: what stood behind that is cut.
std::vector<const ReadRecord*> kept_of(const ReadMessage& message, Section section) {
  std::vector<const ReadRecord*> records;
  for (const ReadRecord& record : message.records) {
    if (record.type == kTypeOpt) break;
    if (record.section == section) records.push_back(&record);
  }
  return records;
}

bool same_record(const ReadRecord& a, const ReadRecord& b) {
  return a.type == b.type && a.cls == b.cls && a.rdata == b.rdata &&
         folded(a.owner) == folded(b.owner);
}

}  // namespace

std::string Oracle::tell(const Query& query) const {
  return text_of(query.name) + " type " + std::to_string(query.type) +
         (query.flag_do ? " DO" : "") + (query.flag_cd ? " CD" : "") + " at bind " +
         std::to_string(query.bind) + text_of_subnet(query.told);
}

uint32_t Oracle::add(Query query) {
  const auto index = static_cast<uint32_t>(queries_.size());
  const uint16_t id = query.payload.size() < 2
                          ? 0
                          : static_cast<uint16_t>(query.payload[0] << 8 | query.payload[1]);
  const bool is_new = query.stream != 0 ||
                      by_tuple_.emplace(tuple_of(query.client, query.service, id), index).second;
  if (!is_new) return kNoNumber;  // taken: the caller chooses another port or id
  queries_.push_back(std::move(query));
  return index;
}

void Oracle::query_seen(uint32_t index, uint64_t now_ns) {
  Query& query = queries_[index];
  if (query.seen_cnt == 0) query.first_seen_ns = now_ns;
  query.last_seen_ns = now_ns;
  query.seen_cnt += 1;
  // Without a config there is no service address to answer from.
  if (plane_.config().load() == nullptr) query.expect = Expect::anything;
  for (const std::string& key : may_ask(query))
    keys_[key].open.push_back(index);
  if (must_answer(query.expect)) waiting_.push_back({index, query.seen_cnt, now_ns});
}

// The keys that this packet may make a core ask for.
std::vector<std::string> Oracle::may_ask(const Query& query) const {
  if (query.expect == Expect::data) return keys_of(query);
  if (query.expect != Expect::anything) return {};
  // A mutated query may be a good one for another name; whether it still has DO is not looked into.
  const Bytes& message = query.payload;
  Bytes name;
  std::size_t at = 12;
  while (at < message.size() && message[at] != 0 && message[at] < 64)
    at += 1u + message[at];
  if (at + 5 > message.size() || message[at] != 0) return {};
  name.assign(message.begin() + 12, message.begin() + static_cast<std::ptrdiff_t>(at + 1));
  const auto type = static_cast<uint16_t>(message[at + 1] << 8 | message[at + 2]);
  const bool flag_cd = (message[3] & 0x10) != 0;
  const uint8_t view = kBind[query.bind].view;
  std::vector<Bytes> subnets{{}};
  if (by_subnet(plan_, view)) {
    subnets.push_back(asker_of(plan_, query.client, query.told).asked);
  }
  std::vector<std::string> keys;
  for (const Bytes& subnet : subnets) {
    for (const bool flag_do : {false, true})
      keys.push_back(key_text(name, type, flag_do, flag_cd, view, subnet));
  }
  return keys;
}

void Oracle::close(Query& query, uint32_t index) {
  query.reply_cnt += 1;
  for (const std::string& key : may_ask(query)) {
    std::vector<uint32_t>& open = keys_[key].open;
    const auto found = std::find(open.begin(), open.end(), index);
    if (found != open.end()) open.erase(found);
    // Ahead of need it may be in flight even so.
    const bool asks_alone = plan_.prefetch_percent != 0 || plan_.stale_kept_s != 0;
    if (open.empty() && !asks_alone) keys_[key].opened_ns = 0;
  }
}

void Oracle::reply(uint32_t worker, const Bytes& frame, const ReadFrame& read, uint8_t port,
                   uint64_t now_ns) {
  const uint32_t index = asked_by(frame, read);
  trace_.event("reply", index, [&] {
    return "to query " + std::to_string(index) + " from worker " + std::to_string(worker) +
           ", RCODE " + std::to_string(read.payload[3] & 0xf);
  });
  demand(queries_[index].expect != Expect::silence, "table B",
         "an answer to what is dropped in silence", frame);
  check_frame(queries_[index], frame, read, port);
  check_message(index, read.payload, frame, now_ns);
}

// What holds over UDP and TCP alike; `packet`: where the message stands at the end.
void Oracle::check_message(uint32_t index, const Bytes& payload, const Bytes& packet,
                           uint64_t now_ns) {
  Query& query = queries_[index];
  close(query, index);
  demand(query.reply_cnt <= query.seen_cnt, "A130", "two answers to one query", packet);
  std::string why;
  const auto message = read_message(payload, &why);
  if (!message.has_value()) violate("reply", "malformed: " + why, packet);
  demand(message->end == payload.size(), "reply", "octets behind the message", packet);
  check_header(query, *message, packet);
  check_opt(query, *message, packet);
  if (is_slip(query, *message)) {
    slip_cnt_ += 1;
    return;
  }
  const uint8_t rcode = message->rcode();
  const bool with_data = rcode == 0 || rcode == 3;
  const bool badvers = message->opt() != nullptr && message->opt()->ttl >> 24 != 0;
  if (with_data && !badvers) {
    check_data(query, *message, packet, now_ns);
  } else {
    check_error(query, *message, payload.size(), packet);
    if (query.expect == Expect::data) {
      for (const std::string& key : keys_of(query)) keys_[key].failed_ns = now_ns;
    }
  }
}

uint32_t Oracle::asked_by(const Bytes& frame, const ReadFrame& read) const {
  demand(read.payload.size() >= 12, "reply", "shorter than a header", frame);
  const auto id = static_cast<uint16_t>(read.payload[0] << 8 | read.payload[1]);
  // From our service address to the client that asked, with its id: A1.
  const auto found = by_tuple_.find(tuple_of(read.target, read.source, id));
  demand(found != by_tuple_.end(), "A1", "a reply to nobody's query", frame);
  return found->second;
}

// How large a reply may be.
std::size_t Oracle::limit_of(const Query& query) const {
  return query.stream != 0 ? 65'535
                           : std::min<std::size_t>(std::max<uint16_t>(query.udp_bytes, 512),
                                                   plan_.edns_udp_bytes);
}

void Oracle::check_frame(const Query& query, const Bytes& frame, const ReadFrame& read,
                         uint8_t port) const {
  demand(read.udp_checksum_present, "A93", "no UDP checksum", frame);
  demand(read.hops == 64, "A99", "hop limit", frame);
  if (read.source.family == 4) demand(read.fragment == 0x4000, "A94", "DF is not set", frame);
  if (query.expect == Expect::anything) return;
  demand(port == query.port, "A99", "left by another port than the query came by", frame);
  demand(std::equal(read.destination_mac, read.destination_mac + 6, query.frame.begin() + 6) &&
             std::equal(read.source_mac, read.source_mac + 6, query.frame.begin()),
         "A99", "Ethernet addresses", frame);
  const bool tag_kept =
      query.tag == 0 ? read.tags.empty() : read.tags.size() == 1 && read.tags[0] == query.tag;
  demand(tag_kept, "A99", "VLAN tag", frame);
  demand(read.payload.size() <= limit_of(query), "A90", "larger than the client takes", frame);
}

void Oracle::check_header(const Query& query, const ReadMessage& message,
                          const Bytes& frame) const {
  demand(message.has(kFlagQr) && message.has(kFlagRa), "A7", "QR or RA is 0", frame);
  demand(!message.has(kFlagAa), "A10", "AA is set", frame);
  demand(!message.has(kFlagZ), "A7", "the reserved bit is set", frame);
  demand(!message.has(kFlagAd), "A8", "AD from an upstream that is not trusted", frame);
  if (query.expect == Expect::anything) return;
  demand(message.has(kFlagRd) == query.flag_rd && message.has(kFlagCd) == query.flag_cd, "A7",
         "RD or CD is not the query's", frame);
  if (query.expect != Expect::data && query.expect != Expect::cached) return;
  const std::size_t question = query.name.size() + 4;
  demand(message.counts[0] == 1 && frame.size() >= question, "A2", "no question", frame);
  const Bytes& sent = query.payload;
  const std::size_t at = frame.size() - message.end;
  demand(std::equal(sent.begin() + 12, sent.begin() + 12 + static_cast<std::ptrdiff_t>(question),
                    frame.begin() + static_cast<std::ptrdiff_t>(at + 12)),
         "A2", "the question is not the client's, octet for octet", frame);
}

void Oracle::check_opt(const Query& query, const ReadMessage& message, const Bytes& frame) const {
  const ReadRecord* opt = message.opt();
  if (opt != nullptr) {
    demand(opt->owner == Bytes{0} && (opt->ttl >> 16 & 0xff) == 0 && (opt->ttl & 0x7fff) == 0,
           "A73", "OPT owner, version or flags", frame);
    demand(opt->cls == plan_.edns_udp_bytes, "A73", "OPT size is not ours", frame);
    const auto opts = std::count_if(message.records.begin(), message.records.end(),
                                    [](const ReadRecord& r) { return r.type == kTypeOpt; });
    demand(opts == 1, "A73", "two OPT records", frame);
  }
  if (query.expect != Expect::data && query.expect != Expect::cached) return;
  demand((opt != nullptr) == query.has_opt, "A72", "OPT in the answer unlike in the query", frame);
  if (opt != nullptr) demand((opt->ttl >> 15 & 1) == query.flag_do, "A12", "DO bit", frame);
}

void Oracle::check_error(const Query& query, const ReadMessage& message, std::size_t bytes,
                         const Bytes& frame) const {
  demand(message.count(Section::answer) == 0 && message.count(Section::authority) == 0, "table B",
         "an error with records", frame);
  // 6 for an EXTENDED-DNS-ERROR, and what a server adds to the cookie of a client.
  const bool is_short = query.cookie_bytes == 8 || query.expect == Expect::anything;
  const std::size_t added = query.cookie_bytes != 0 && is_short ? 16 : 0;
  demand(bytes <= query.payload.size() + 6 + added, "table B", "an error larger than its query",
         frame);
  demand(!message.has(kFlagTc), "A9", "an error with TC", frame);
  const bool badvers = message.opt() != nullptr && message.opt()->ttl >> 24 == 1;
  const uint8_t rcode = message.rcode();
  switch (query.expect) {
    case Expect::data:
      check_servfail(query, frame);
      demand(rcode == 2, "A54", "RCODE", frame);
      return;
    case Expect::cached:
      demand(rcode == 5 || rcode == 2, "A111", "RCODE", frame);
      return;
    case Expect::formerr:
      demand(rcode == 1, "table B", "not FORMERR", frame);
      return;
    case Expect::notimp:
      demand(rcode == 4, "table B", "not NOTIMP", frame);
      return;
    case Expect::refused:
      demand(rcode == 5, "table B", "not REFUSED", frame);
      return;
    case Expect::badvers:
      demand(badvers && rcode == 0, "A74", "not BADVERS", frame);
      return;
    case Expect::silence:
    case Expect::anything:
      return;
  }
}

void Oracle::check_servfail(const Query& query, const Bytes& frame) const {
  if (!plan_.calm || fails(shape_of(query.name))) return;
  violate("calm", "SERVFAIL though every upstream is up and nothing was lost: " + tell(query),
          frame);
}

void Oracle::check_data(Query& query, const ReadMessage& message, const Bytes& frame,
                        uint64_t now_ns) {
  if (query.expect == Expect::anything) {
    // A mutated query may still be a good one: for another name, most likely.
    for (const ReadRecord& record : message.records) {
      const uint32_t number = zone_.number_of(record);
      demand(number == kNoNumber || !zone_.at(number).forged, "law 6", "forged data", frame);
    }
    return;
  }
  demand(query.expect == Expect::data || query.expect == Expect::cached, "table B",
         "data instead of an error", frame);
  data_cnt_ += 1;
  uint32_t number = kNoNumber;
  for (const ReadRecord& record : message.records) {
    const uint32_t here = zone_.number_of(record);
    if (here == kNoNumber) continue;
    demand(number == kNoNumber || number == here, "A6", "data of two answers in one", frame);
    number = here;
  }
  if (number == kNoNumber) {
    check_empty(query, message, frame);
    return;
  }
  demand(!message.has(kFlagTc), "A90", "TC with records", frame);
  const bool stale = is_stale(query, zone_.at(number), message, now_ns);
  check_origin(query, number, frame, now_ns, stale);
  if (stale) check_stale(query, number, message, frame, now_ns);
  check_subnet(query, zone_.at(number), message, frame);
  check_sections(query, zone_.at(number), message, frame, now_ns, stale);
  zone_.at(number).served = true;
}

// A reply without a record that tells where it is from: only certain answers look so, and none of
// them may have been stored.
void Oracle::check_empty(const Query& query, const ReadMessage& message, const Bytes& frame) {
  uint64_t truncated_until = 0, bare_ns = 0;
  for (const std::string& key : keys_of(query)) {
    const KeyState& state = keys_[key];
    bare_ns = std::max(bare_ns, state.bare_ns);
    if (state.truncated_ns == 0) continue;
    truncated_until = std::max(truncated_until, truncated_until_ns(state));
  }
  if (message.has(kFlagTc)) {
    demand(query.stream == 0, "A92", "TC over TCP", frame);
    const std::size_t subnet = query.told.empty() ? 0 : 4 + query.told.size();
    const std::size_t opt =
        (query.has_opt ? 11 : 0) + (query.cookie_bytes == 0 ? 0 : 28) + subnet;
    const std::size_t bytes_max = questions_[question_of(query.key)].bytes_max;
    const bool too_large = bytes_max + opt > limit_of(query);
    const bool is_had = plan_.calm && plan_.tcp && plane_.event(Event::up_stream_full) == 0;
    const bool was_truncated = !is_had && truncated_until >= query.first_seen_ns;
    demand(too_large || was_truncated, "A92", "TC without need", frame);
    demand(records_of(message, Section::answer).empty() &&
               records_of(message, Section::authority).empty(),
           "A90", "TC with records", frame);
    return;
  }
  demand(bare_ns >= query.first_seen_ns, "A46",
         "an answer without records, but no upstream said so just now", frame);
}

// Is it, or may it be, what a client is told whose prefix gets too much (B44)?
bool Oracle::is_slip(const Query& query, const ReadMessage& message) const {
  return plan_.responses_per_second != 0 && query.stream == 0 && message.has(kFlagTc) &&
         message.rcode() == 0 && message.count(Section::answer) == 0 &&
         message.count(Section::authority) == 0;
}

// Is it meant as an answer past its time (A122)? It is over, and it says so.
bool Oracle::is_stale(const Query& query, const Answer& answer, const ReadMessage& message,
                      uint64_t now_ns) const {
  const Times times = times_of(answer, answer.limits);
  const uint64_t end_ms = ms(answer.seen_ns) + uint64_t{times.lifetime_s} * 1000;
  if (plan_.stale_kept_s == 0 || times.lifetime_s == 0 || ms(now_ns) < end_ms) return false;
  // A reply over TCP may be older than now, and of its time.
  const bool is_marked = !query.has_opt || !message.extended_errors().empty();
  if (query.stream != 0 && ms(query.first_seen_ns) < end_ms && !is_marked) return false;
  return std::all_of(message.records.begin(), message.records.end(), [](const ReadRecord& record) {
    return record.type == kTypeOpt || record.ttl == kStaleTtlS;
  });
}

void Oracle::check_stale(const Query& query, uint32_t number, const ReadMessage& message,
                         const Bytes& frame, uint64_t now_ns) {
  stale_cnt_ += 1;
  const Answer& answer = zone_.at(number);
  demand(query.flag_rd, "A122", "stale without RD", frame);
  // From the moment it was written it may have waited for room to be sent.
  const uint64_t end_ms = ms(answer.seen_by_ns) + 1000 * (uint64_t{plan_.stale_kept_s} +
                                                       times_of(answer, answer.limits).lifetime_s);
  // And over TCP it may have been written at any moment since it was asked for.
  const uint64_t asked_ns =
      query.stream != 0 ? query.first_seen_ns : std::max(query.last_seen_ns, awake_ns_);
  demand(ms(asked_ns) < end_ms + 2 * plan_.give_up_ms, "A122",
         "staler than allowed", frame);
  const std::vector<uint16_t> errors = message.extended_errors();
  const std::vector<uint16_t> wanted{static_cast<uint16_t>(message.rcode() == 3 ? 19 : 3)};
  const bool no_room = errors.empty() && (!query.has_opt || message.end + 6 > limit_of(query));
  demand(errors == wanted || no_room, "A122", "EXTENDED-DNS-ERROR", frame);
  // What came later and was served was stored in its place, or took it away.
  const KeyState& state = keys_[query.key];
  const bool all_stored = flushes_.empty() && plane_.evicted() == 0 &&
                          plane_.event(Event::cache_no_memory) == 0 &&
                          plane_.event(Event::adm_reject) == 0;
  // A reply over TCP may have waited for its reader.
  const uint64_t written_ns = query.stream != 0 ? query.first_seen_ns : now_ns;
  if (by_subnet(plan_, kBind[query.bind].view)) return;  // what is newer may hold for others
  demand(!all_stored || state.newest == number || !zone_.at(state.newest).served ||
             zone_.at(state.newest).seen_by_ns > written_ns,
         "A122", "stale data, but there is newer", frame);
}

// Is the data the right question's, true, and of its time?
void Oracle::check_origin(const Query& query, uint32_t number, const Bytes& frame, uint64_t now_ns,
                          bool stale) {
  const Answer& answer = zone_.at(number);
  const std::string what = tell(query) + ", answer " + std::to_string(number) +
                           text_of_subnet(answer.subnet) + ", SCOPE " +
                           std::to_string(answer.scope);
  if (answer.forged) violate("law 6", "forged data: " + what, frame);
  if (!may_have(query, answer)) violate("A5", "another question's data: " + what, frame);
  if (answer.failure || answer.truncated) violate("A23", "data of a refusal: " + what, frame);
  if (answer.seen_ns == 0) violate("law 6", "data that never arrived: " + what, frame);
  if (flushed(query, answer, keys_[answer.key])) violate("A125", "flushed data: " + what, frame);
  if (stale || query.first_seen_ns <= answer.seen_by_ns) return;  // it waited
  const Times times = times_of(answer, answer.limits);
  if (times.lifetime_s == 0) violate("A21", "served from the cache: " + what, frame);
  if (ms(query.first_seen_ns) >= ms(answer.seen_by_ns) + uint64_t{times.lifetime_s} * 1000) {
    violate("law 4", "served past its time: " + what + ", now " + std::to_string(now_ns), frame);
  }
}

void Oracle::check_sections(const Query& query, const Answer& answer, const ReadMessage& message,
                            const Bytes& frame, uint64_t now_ns, bool stale) const {
  demand(message.rcode() == answer.message.rcode(), "A16", "RCODE", frame);
  // A client that waited may be told the TTLs of the moment the answer came, if its reply had to
  // wait for room; a hit is written and sent in one turn.
  const bool waited = query.first_seen_ns <= answer.seen_by_ns;
  const uint64_t youngest_s = waited ? 0 : (ms(query.first_seen_ns) - ms(answer.seen_by_ns)) / 1000;
  const uint64_t oldest_s = (ms(now_ns) - ms(answer.seen_ns)) / 1000;
  const Times times = times_of(answer, answer.limits);
  for (const Section section : {Section::answer, Section::authority, Section::additional}) {
    const auto shown = records_of(message, section);
    const auto stored = kept_of(answer.message, section);
    const bool whole = section == Section::answer || answer.negative;
    demand(shown.size() == stored.size() || (!whole && shown.empty()), "A19",
           "records are missing or too many", frame);
    for (std::size_t i = 0; i < shown.size(); ++i) {
      demand(same_record(*shown[i], *stored[i]), "A17", "a record was changed", frame);
      const Bytes& owner = shown[i]->owner;
      const bool is_asked = folded(owner) == folded(query.name);
      demand(!is_asked || owner == query.name || owner == folded(owner), "A67",
             "a name as it was spelt upstream", frame);
      if (stale) continue;
      const auto which = static_cast<std::size_t>(stored[i] - answer.message.records.data());
      const uint64_t base_s = times.base_s[which];
      const uint64_t most_s = base_s > youngest_s ? base_s - youngest_s : 0;
      const uint64_t least_s = base_s > oldest_s ? base_s - oldest_s : 0;
      demand(shown[i]->ttl <= most_s, "law 4", "a TTL that is too high", frame);
      demand(shown[i]->ttl >= least_s, "law 4", "a TTL that is too low", frame);
    }
  }
}

void Oracle::check_silence(uint64_t now_ns) {
  check_waiting(waiting_, plan_.give_up_ms, now_ns);
  // To be read, for a place, for an answer; and for a client that reads late.
  check_waiting(stream_waiting_, 4ull * plan_.give_up_ms, now_ns);
}

void Oracle::check_waiting(std::deque<Waiting>& waiting, uint64_t time_ms, uint64_t now_ns) {
  while (!waiting.empty()) {
    Waiting& first = waiting.front();
    const Query& query = queries_[first.query];
    if (query.reply_cnt >= first.nth) {
      waiting.pop_front();
      continue;
    }
    const uint64_t from_ns = std::max(first.seen_ns, awake_ns_);
    if (now_ns < from_ns + time_ms * kMs + kSlackNs) {
      first.overdue = false;
      return;
    }
    if (!first.overdue) {
      first.overdue = true;
      for (uint32_t w = 0; w < plane_.worker_cnt(); ++w)
        first.steps[w] = plane_.core(w).steps;
      first.slow_steps = slow_steps_;
    }
    if (query.stream != 0 && slow_steps_ < first.slow_steps + kStepsToAnswer) return;
    for (uint32_t w = 0; w < plane_.worker_cnt(); ++w) {
      if (plane_.core(w).steps < first.steps[w] + kStepsToAnswer) return;
    }
    violate("A64", "silence: " + tell(query) + ", asked at " + std::to_string(first.seen_ns),
            query.frame);
  }
}

void Oracle::given_back(uint32_t worker, const Cargo& cargo, uint64_t now_ns) {
  switch (cargo.kind) {
    case Cargo::Kind::query: {
      Query& query = queries_[cargo.index];
      trace_.event("dropped", cargo.index);
      if (!must_answer(query.expect)) return;
      if (plan_.responses_per_second == 0)
        violate("A64", "dropped in silence: " + tell(query), query.frame);
      limited_cnt_ += 1;
      close(query, cargo.index);
      return;
    }
    case Cargo::Kind::answer:
      answer_seen(worker, cargo, now_ns);
      return;
    case Cargo::Kind::none:
    case Cargo::Kind::noise:
      return;
  }
}

}  // namespace millrace::sim
