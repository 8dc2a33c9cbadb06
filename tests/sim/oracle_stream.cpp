// SPDX-License-Identifier: Apache-2.0
// What goes over TCP: clients' queries and replies, our questions and their answers.
#include "tests/sim/oracle.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace millrace::test;
using abi::Event;

namespace {

constexpr uint64_t kRingBudget = 64;  // items that a worker takes in a turn at most
constexpr uint64_t kDeadlineTickNs = 8 * kMs;

}  // namespace

// Its last octet has left; when it is read is for the slow path to say.
void Oracle::stream_seen(uint32_t index, uint64_t now_ns) {
  Query& query = queries_[index];
  query.seen_cnt = 1;
  query.first_seen_ns = query.last_seen_ns = now_ns;
  for (const std::string& key : may_ask(query))
    keys_[key].open.push_back(index);
  stream_waiting_.push_back({index, 1, now_ns});
}

void Oracle::stream_reply(uint32_t index, const Bytes& message, uint64_t now_ns) {
  trace_.event("stream reply", index, [&] {
    return "to query " + std::to_string(index) + ", RCODE " + std::to_string(message[3] & 0xf);
  });
  check_message(index, message, message, now_ns);
}

// It may still be asked for: so it stays open.
void Oracle::stream_abandoned(uint32_t index) {
  queries_[index].reply_cnt = queries_[index].seen_cnt;
}

Ask Oracle::stream_asked(uint32_t backend, const Bytes& bytes, uint64_t now_ns) {
  const auto message = read_message(bytes);
  demand(message.has_value() && message->questions.size() == 1, "A79",
         "a malformed query of ours over TCP", bytes);
  const bool has_opt = message->opt() != nullptr;
  demand(message->records.size() == (has_opt ? 1 : 0), "A79", "more than an OPT", bytes);
  demand((message->flags & ~kFlagCd) == (kFlagRd | kFlagAd), "A15", "flags", bytes);
  const ReadQuestion& question = message->questions[0];
  Sent sent;
  sent.backend = backend;
  sent.ask = {.id = message->id,
              .name = question.name,
              .type = question.type,
              .flag_do = has_opt && (message->opt()->ttl & 0x8000) != 0,
              .flag_cd = message->has(kFlagCd),
              .has_opt = has_opt,
              .cookie = {},
              .subnet = {},
              .view = kBackend[backend].view,
              .backend = static_cast<uint8_t>(backend),
              .sent_ns = now_ns};
  read_options(sent, *message, bytes);
  trace_.event("stream ask", backend, [&] {
    return "backend " + std::to_string(backend) + " " + text_of(question.name) + " " +
           std::to_string(question.type);
  });
  const auto state = keys_.find(key_text(question.name, question.type, sent.ask.flag_do,
                                         sent.ask.flag_cd, sent.ask.view, sent.ask.subnet));
  demand(state != keys_.end() && state->second.sent_ns != 0, "A66",
         "asked over TCP what was not asked over UDP", bytes);
  sent.ask.opened_ns = state->second.opened_ns;
  return sent.ask;
}

// The slow path has taken it: it is on its way to the worker whose question it was, or dropped.
void Oracle::stream_answer_passed(uint32_t number) {
  stream_answers_.push_back(number);
}

// After a turn of that worker. In which turn it takes an answer is certain only if nothing was left
// in its rings.
void Oracle::take_stream_answers(uint32_t worker, uint64_t now_ns) {
  const uint64_t received = plane_.core(worker).worker->counters().of(Event::ring_received);
  const bool all = received - received_[worker] < kRingBudget;
  received_[worker] = received;
  std::erase_if(stream_answers_, [&](uint32_t number) {
    Answer& answer = zone_.at(number);
    const auto state = keys_.find(answer.key);
    if (state == keys_.end()) return true;  // to a question that was not asked
    if (state->second.worker != worker) return false;
    if (answer.seen_ns == 0) note_answer(worker, number, now_ns);
    answer.seen_by_ns = all ? now_ns : UINT64_MAX;
    return all;
  });
}

// Who asks later cannot have joined a question that was answered with TC. While that is asked over
// TCP others join it, until its core takes it for over: in the first turn after its time and a tick
// of the deadline list, or, as each turn ends so many questions, in one of those behind it.
uint64_t Oracle::truncated_until_ns(const KeyState& state) const {
  if (!plan_.tcp) return state.truncated_ns;
  const std::vector<uint64_t>& turns = turns_ns_[state.worker];
  const uint64_t over_ns = state.truncated_ns + plan_.give_up_ms * kMs + kDeadlineTickNs;
  const auto first = std::lower_bound(turns.begin(), turns.end(), over_ns);
  const auto left = static_cast<std::size_t>(turns.end() - first);
  const std::size_t behind = (plan_.pendings - 1) / dp::Worker::kDeadlineBudget;
  return left > behind ? *(first + static_cast<std::ptrdiff_t>(behind)) : UINT64_MAX;
}

void Oracle::after_slow_turn() {
  slow_steps_ += 1;
  const stats::CoreCounters& counters = plane_.slow().counters();
  demand(counters.rx_packets == counters.outcome_sum(), "law 3",
         "messages over TCP are not the sum of outcomes");
}

}  // namespace millrace::sim
