// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/reply_oracle.hpp"

#include "tests/support/packet_reader.hpp"

#include <algorithm>

namespace millrace::test {
namespace {

using sim::demand;

constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kErrorGain = 6;    // an extended error
constexpr std::size_t kCookieGain = 16;  // a server cookie, for who sent one of the client
constexpr uint32_t kTtlSMax = 86'400;

const ReadRecord* any_opt(const ReadMessage& message) {
  const auto found = std::find_if(message.records.begin(), message.records.end(),
                                  [](const ReadRecord& one) { return one.type == kTypeOpt; });
  return found == message.records.end() ? nullptr : &*found;
}

void check_header(const Bytes& query, const ReadMessage& reply, const Bytes& bytes) {
  demand((query[2] & 0x80) == 0, "B25", "a reply to a response", bytes);
  demand(std::equal(bytes.begin(), bytes.begin() + 2, query.begin()), "A1", "another id", bytes);
  demand(reply.has(kFlagQr), "A7", "QR is not set", bytes);
  demand(((bytes[2] ^ query[2]) & 0x79) == 0, "A7", "opcode or RD is not the query's", bytes);
  demand(!reply.has(kFlagZ), "A7", "Z is set", bytes);
}

void check_question(const Bytes& query, const ReadMessage& reply, const Bytes& bytes) {
  demand(reply.questions.size() <= 1, "A2", "several questions", bytes);
  if (reply.questions.empty()) {
    const bool bare = std::all_of(reply.records.begin(), reply.records.end(),
                                  [](const ReadRecord& one) { return one.type == kTypeOpt; });
    demand(bare, "A2", "records without a question", bytes);
    return;
  }
  const std::size_t end = kHeaderBytes + reply.questions[0].name.size() + 4;
  demand(query.size() >= end && std::equal(bytes.begin() + kHeaderBytes,
                                           bytes.begin() + static_cast<std::ptrdiff_t>(end),
                                           query.begin() + kHeaderBytes),
         "A2", "another question", bytes);
}

void check_opt(const std::optional<ReadMessage>& query, const ReadMessage& reply,
               const Bytes& bytes) {
  const ReadRecord* const opt = any_opt(reply);
  if (opt != nullptr) {
    const auto cnt = std::count_if(reply.records.begin(), reply.records.end(),
                                   [](const ReadRecord& one) { return one.type == kTypeOpt; });
    demand(cnt == 1 && reply.opt() == opt && opt->owner == Bytes{0}, "A73", "OPT out of place",
           bytes);
    demand((opt->ttl & 0x00ff'7fff) == 0 && opt->ttl >> 24 <= 1, "A73",
           "OPT with a version, flags or an RCODE that are none of ours", bytes);
  }
  if (!query) return;
  const ReadRecord* const asked = any_opt(*query);
  demand(opt == nullptr || asked != nullptr, "A72", "OPT for a query without", bytes);
  const bool in_order = query->opcode() == 0 && query->questions.size() == 1;
  demand(!in_order || asked == nullptr || opt != nullptr, "A72", "no OPT for a query with", bytes);
  const auto cnt = std::count_if(query->records.begin(), query->records.end(),
                                 [](const ReadRecord& one) { return one.type == kTypeOpt; });
  if (opt != nullptr && cnt == 1) {
    demand(((opt->ttl ^ asked->ttl) & 0x8000) == 0, "A12", "DO is not the query's", bytes);
  }
}

std::size_t bytes_max_of(const std::optional<ReadMessage>& query, const ReplyRules& rules) {
  if (rules.stream) return 65'535;
  std::size_t most = 512;
  for (const ReadRecord& one : query ? query->records : std::vector<ReadRecord>{}) {
    if (one.type == kTypeOpt) most = std::max<std::size_t>(most, one.cls);
  }
  return query ? std::min(most, rules.udp_bytes_max) : rules.udp_bytes_max;
}

void check_size(const Bytes& query, const std::optional<ReadMessage>& read,
                const ReadMessage& reply, const Bytes& bytes, const ReplyRules& rules) {
  const ReadRecord* const opt = any_opt(reply);
  const bool bare = reply.records.size() == (opt != nullptr ? 1u : 0u);
  demand(bytes.size() <= bytes_max_of(read, rules), "A90", "a reply too large", bytes);
  demand(!reply.has(kFlagTc) || (bare && !rules.stream), "A90", "TC, and not all of it is left out",
         bytes);
  const bool error =
      (reply.rcode() != 0 && reply.rcode() != 3) || (opt != nullptr && opt->ttl >> 24 != 0);
  if (!error) return;
  const std::size_t gain = opt == nullptr ? 0 : kErrorGain + kCookieGain;
  demand(bytes.size() <= query.size() + gain, "B", "an error larger than what provoked it", bytes);
}

// Queries with the same id may have replies that answer several of them, so what was given to one
// reply is given to another where the first can have a different one (augmenting paths).
class Matching {
 public:
  explicit Matching(std::size_t queries) : owner_(queries, kNobody) {}

  // The queries that a further reply could be to. False: there is none left for it.
  bool add(std::vector<std::size_t> fits) {
    fits_.push_back(std::move(fits));
    std::vector<bool> seen(owner_.size(), false);
    return place(fits_.size() - 1, seen);
  }
  bool has_reply(std::size_t query) const { return owner_[query] != kNobody; }

 private:
  static constexpr std::size_t kNobody = SIZE_MAX;

  bool place(std::size_t reply, std::vector<bool>& seen) {
    for (const std::size_t query : fits_[reply]) {
      if (seen[query]) continue;
      seen[query] = true;
      if (owner_[query] != kNobody && !place(owner_[query], seen)) continue;
      owner_[query] = reply;
      return true;
    }
    return false;
  }

  std::vector<std::vector<std::size_t>> fits_;  // by reply
  std::vector<std::size_t> owner_;              // by query: a reply
};

}  // namespace

std::vector<bool> match_replies(const std::vector<Bytes>& queries,
                                const std::vector<Bytes>& replies, const ReplyRules& rules) {
  Matching matching(queries.size());
  for (const Bytes& reply : replies) {
    demand(reply.size() >= kHeaderBytes, "reply", "shorter than a header", reply);
    std::vector<std::size_t> fits;
    std::optional<sim::Violation> why;
    for (std::size_t i = 0; i < queries.size(); ++i) {
      if (!std::equal(reply.begin(), reply.begin() + 2, queries[i].begin())) continue;
      try {
        check_reply(queries[i], reply, rules);
        fits.push_back(i);
      } catch (const sim::Violation& violation) {
        why = violation;
      }
    }
    if (fits.empty() && why) throw *why;
    demand(matching.add(std::move(fits)), "A130", "a reply to nobody's query, or the second to one",
           reply);
  }
  std::vector<bool> has_reply;
  for (std::size_t i = 0; i < queries.size(); ++i)
    has_reply.push_back(matching.has_reply(i));
  return has_reply;
}

void check_reply(const Bytes& query, const Bytes& reply, const ReplyRules& rules) {
  demand(reply.size() >= kHeaderBytes, "reply", "shorter than a header", reply);
  demand(query.size() >= kHeaderBytes, "B33", "a reply to less than a header", reply);
  demand((reply[3] & 0x20) == 0, "A8", "AD of somebody who is not trusted", reply);
  std::string why;
  const auto read = read_message(reply, &why);
  if (!read) sim::violate("reply", "cannot be read: " + why, reply);
  demand(read->end == reply.size(), "reply", "octets behind it", reply);
  check_header(query, *read, reply);
  check_question(query, *read, reply);
  const auto asked = read_message(query);
  check_opt(asked, *read, reply);
  check_size(query, asked, *read, reply, rules);
  for (const ReadRecord& one : read->records)
    demand(one.type == kTypeOpt || one.ttl <= kTtlSMax, "A38", "TTL above the cap", reply);
  demand(!asked || read->has(kFlagCd) == asked->has(kFlagCd), "A7", "CD is not the query's", reply);
}

}  // namespace millrace::test
