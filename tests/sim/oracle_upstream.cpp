// SPDX-License-Identifier: Apache-2.0
// What upstreams may be asked.
#include "tests/sim/oracle.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace millrace::test;
using abi::Event;

// The backend that a packet goes to, if the config this worker runs and the routes allow it.
uint32_t Oracle::backend_at(uint32_t worker, const ReadFrame& read, const Bytes& frame) const {
  const dp::Worker& sender = *plane_.core(worker).worker;
  const abi::ServiceSection& service = configs_.at(sender.generation());
  uint32_t index = service.backends;
  for (uint32_t i = 0; i < service.backends; ++i) {
    if (octets(service.backend[i].address) == octets(read.target)) index = i;
  }
  demand(index < service.backends, "law 5", "sent to what is no backend of this generation", frame);
  const auto routes = routes_.find(sender.routes_generation());
  if (routes != routes_.end() && routes->second.config_generation == sender.generation()) {
    demand(routes->second.hop[index].usable != 0, "A64", "sent without a route", frame);
  }
  for (uint32_t b = 0; b < kBackends; ++b) {
    const std::string text = octets(address_of(kBackend[b].text, kBackend[b].port));
    if (text == octets(read.target)) {
      const uint8_t mac[6] = {0x02, 0, 0, 0, 1, static_cast<uint8_t>(b)};
      demand(std::equal(mac, mac + 6, read.destination_mac), "A99", "the wrong next hop", frame);
      return b;
    }
  }
  violate("law 5", "sent to an address of nobody", frame);
}

void Oracle::check_question(const ReadMessage& message, const Sent& sent,
                            const Bytes& frame) const {
  const bool has_opt = message.opt() != nullptr;
  demand(message.questions.size() == 1 && message.records.size() == (has_opt ? 1 : 0), "A79",
         "not one question and at most one OPT", frame);
  demand((message.flags & ~kFlagCd) == (kFlagRd | kFlagAd), "A15", "flags", frame);
  if (has_opt) {
    const ReadRecord& opt = *message.opt();
    std::size_t known = 0;  // octets of options that may be there
    for (const uint16_t code : {kOptionCookie, kOptionSubnet}) {
      const Bytes data = option_in(message, code);
      known += data.empty() ? 0 : 4 + data.size();
    }
    demand(opt.cls == 1232 && (opt.ttl & ~0x8000u) == 0 && opt.rdata.size() == known, "A96", "OPT",
           frame);
  }
  demand(message.questions[0].cls == kClassIn, "A22", "class", frame);
  const Bytes& name = message.questions[0].name;
  demand(plan_.randomize_case || name == folded(name), "A67", "capitals that nobody asked for",
         frame);
  const uint16_t port = port_of(sent.source);
  const abi::ServiceSection& service = configs_.at(plane_.core(sent.worker).worker->generation());
  demand(port >= service.upstream_port_first && port < service.upstream_port_end, "A56",
         "source port", frame);
  demand(port % plane_.worker_cnt() == sent.worker, "A56",
         "the port of another core", frame);
}

Sent Oracle::sent(uint32_t worker, const Bytes& frame, const ReadFrame& read, uint64_t now_ns) {
  Sent sent;
  sent.worker = worker;
  sent.backend = backend_at(worker, read, frame);
  sent.source = read.source;
  sent.frame = frame;
  const char* source = read.source.family == 4 ? kSourceV4 : kSourceV6;
  demand(octets(address_of(source, port_of(read.source))) == octets(read.source), "A55",
         "source address", frame);
  demand(read.udp_checksum_present, "A93", "no UDP checksum", frame);
  const auto message = read_message(read.payload);
  demand(message.has_value(), "A79", "a malformed query of ours", frame);
  check_question(*message, sent, frame);
  const ReadQuestion& question = message->questions[0];
  sent.ask = {.id = message->id,
              .name = question.name,
              .type = question.type,
              .flag_do = message->opt() != nullptr && (message->opt()->ttl & 0x8000) != 0,
              .flag_cd = message->has(kFlagCd),
              .has_opt = message->opt() != nullptr,
              .cookie = {},
              .subnet = {},
              .view = kBackend[sent.backend].view,
              .backend = static_cast<uint8_t>(sent.backend),
              .sent_ns = now_ns};
  sent.probe = question.name == Bytes{0};
  read_options(sent, *message, frame);
  trace_.event("ask", sent.backend, [&] {
    return "worker " + std::to_string(worker) + " asks backend " + std::to_string(sent.backend) +
           " " + text_of(question.name) + " " + std::to_string(question.type) +
           (sent.ask.flag_do ? " DO" : "") + (sent.ask.flag_cd ? " CD" : "") +
           text_of_subnet(sent.ask.subnet);
  });
  if (sent.probe) {
    check_probe(sent, frame, now_ns);
    return sent;
  }
  KeyState& state = keys_[key_text(question.name, question.type, sent.ask.flag_do, sent.ask.flag_cd,
                                   sent.ask.view, sent.ask.subnet)];
  const QuestionState& shared =
      questions_[key_text(question.name, question.type, sent.ask.flag_do, sent.ask.flag_cd,
                          sent.ask.view).substr(1)];
  check_edns(state, sent, frame);
  // What was asked for somebody goes on when he was given what is past its time.
  const bool begun = plan_.stale_kept_s != 0 && state.sent_ns != 0;
  demand(!state.open.empty() || begun || now_ns / kMs >= shared.ageing_ms, "A129",
         "asked what nobody waits for", frame);
  check_once(state, sent, frame, now_ns);
  check_not_known(state, frame, now_ns);
  sent.ask.opened_ns = state.opened_ns;
  return sent;
}

// One of ours for each upstream, and none but its own beside it.
void Oracle::check_cookie(const Sent& sent, const Bytes& frame) {
  demand(plan_.cookies, "A68", "a cookie though they are off", frame);
  const Bytes& cookie = sent.ask.cookie;
  const Bytes client(cookie.begin(), cookie.begin() + 8);
  Bytes& known = client_cookie_[sent.backend];
  demand(known.empty() || known == client, "A68", "another cookie for the same upstream", frame);
  known = client;
  for (uint32_t b = 0; b < kBackends; ++b) {
    demand(b == sent.backend || client_cookie_[b] != client, "A68",
           "the cookie of another upstream", frame);
  }
  if (cookie.size() == 8) return;
  const uint64_t made_s = cookie.size() < 16 ? 0
                                             : uint64_t{cookie[12]} << 24 | cookie[13] << 16 |
                                                   cookie[14] << 8 | cookie[15];
  demand(has_cookies(sent.backend) &&
             cookie == server_cookie(static_cast<uint8_t>(sent.backend), client, made_s),
         "A68", "a cookie that this upstream has not made", frame);
}

// Without EDNS only whoever is known not to take it is asked. (Asked without DO what was to be
// asked with it, a question has the key of another, and nobody waits for that.)
void Oracle::check_edns(const KeyState& state, const Sent& sent, const Bytes& frame) const {
  if (sent.ask.has_opt) return;
  const bool is_known = plan_.old_backends && is_old(sent.backend);
  demand(is_known || state.refused_edns[sent.backend], "A69", "asked without EDNS", frame);
}

uint64_t Oracle::failed_of(uint32_t worker) const {
  const stats::CoreCounters& counters = plane_.core(worker).worker->counters();
  return counters.of(Event::waiter_failed) + counters.of(Event::up_gave_up);
}

// One more, without EDNS or with a new cookie, for an upstream that wants it so.
uint32_t Oracle::packets_max(const KeyState& state) const {
  const bool has_refused = state.wanted_cookie || std::ranges::count(state.refused_edns, true) > 0;
  return plan_.tries_max + (has_refused ? 1 : 0);
}

// A question ended in this turn. What leaves in the same turn may have been sent before it did: up
// to as many packets as it had left are not counted as the next one's.
void Oracle::begin_anew(KeyState& state, uint64_t now_ns) const {
  const uint32_t most = packets_max(state);
  if (state.anew_ns != now_ns) {
    state.spare = most > state.sent_in_row ? most - state.sent_in_row : 0;
  }
  state.anew_ns = now_ns;
  state.sent_in_row = 0;
  state.sent_to = {};
}

// One question at a time, from one core; a packet more only when the one before failed or was given
// its time; and never more packets than a question may have. After a flush there may be two.
void Oracle::check_once(KeyState& state, const Sent& sent, const Bytes& frame, uint64_t now_ns) {
  const stats::CoreCounters& counters = plane_.core(sent.worker).worker->counters();
  const uint64_t alarms = counters.of(Event::up_spoof_alarm);
  const uint64_t streams =
      counters.of(Event::up_stream_failed) + counters.of(Event::up_stream_answered);
  const uint64_t failed = failed_of(sent.worker);
  if (state.sent_ns != 0) {
    demand(state.worker == sent.worker, "A57", "two cores ask one question", frame);
    const bool ended = failed != state.failed_then || state.failed_ns >= state.sent_ns;
    const bool answered = state.progress_ns >= state.sent_ns;
    // The shortest time that a try may have; a hedge need not wait even for that.
    uint64_t wait_ms = std::min<uint64_t>(plan_.try_ms, 50);
    if (plan_.hedge_ms != 0) wait_ms = std::min<uint64_t>(wait_ms, plan_.hedge_ms);
    const bool waited = now_ns >= state.sent_ns + wait_ms * kMs;
    const bool beside = beside_flushed(sent, now_ns);
    // A burst of guesses may raise more than one alarm in a turn.
    if (alarms != state.alarms_then) state.alarmed_ns = now_ns;
    const bool alarmed = state.alarmed_ns == now_ns;
    const bool streamed = streams != state.streams_then;
    demand(ended || answered || waited || beside || alarmed || streamed, "A57",
           "asked again while the question is outstanding", frame);
    const bool just_now = state.failed_then == failed_[sent.worker] && failed != state.failed_then;
    if (just_now) {
      begin_anew(state, now_ns);
    } else if (ended || beside) {
      state.sent_in_row = 0;
      state.sent_to = {};
    }
  }
  state.worker = sent.worker;
  state.sent_ns = now_ns;
  state.failed_then = failed;
  state.alarms_then = alarms;
  state.streams_then = streams;
  if (state.opened_ns == 0) state.opened_ns = now_ns;
  if (state.anew_ns == now_ns && state.spare != 0) {
    state.spare -= 1;
    return;
  }
  state.sent_in_row += 1;
  state.sent_to[sent.backend] += 1;
  demand(state.sent_in_row <= packets_max(state), "A129", "more packets than a question may have",
         frame);
  demand(state.sent_to[sent.backend] <= 3, "A62", "more than three packets to one address", frame);
}

// When an answer that was stored may be asked for again ahead of its end (A121).
uint64_t Oracle::ageing_ms_of(const Answer& answer) const {
  if (plan_.prefetch_percent == 0) return UINT64_MAX;
  const uint64_t lifetime_s = times_of(answer, answer.limits).lifetime_s;
  return answer.seen_ns / kMs + lifetime_s * (1000 - 10 * plan_.prefetch_percent);
}

// What was stored is served, not asked for again (as long as nothing had to give way).
void Oracle::check_not_known(const KeyState& state, const Bytes& frame, uint64_t now_ns) const {
  // For whom answers hold, and how many are kept, is not followed here.
  if (state.newest == kNoNumber) return;
  if (by_subnet(plan_, static_cast<uint8_t>(zone_.at(state.newest).key.back()))) return;
  const Answer& answer = zone_.at(state.newest);
  if (!answer.served || plane_.evicted() != 0 || plane_.event(Event::cache_no_memory) != 0 ||
      plane_.event(Event::adm_reject) != 0) {
    return;
  }
  if (now_ns / kMs >= ageing_ms_of(answer)) return;
  const Times times = times_of(answer, answer.limits);
  if (now_ns / kMs >= answer.seen_ns / kMs + uint64_t{times.lifetime_s} * 1000) return;
  for (const Flush& flush : flushes_) {
    if (flush.done_ns == 0 || flush.done_ns >= answer.opened_ns) return;
  }
  violate("A21", "asked for what is in the cache: answer " + std::to_string(state.newest), frame);
}

void Oracle::check_probe(const Sent& sent, const Bytes& frame, uint64_t now_ns) {
  Health& health = health_[sent.backend];
  const uint64_t interval_ns = plan_.probe_interval_ms * kMs;
  demand(health.probe_ns == 0 || now_ns >= health.probe_ns + interval_ns, "A64",
         "two probes in one interval", frame);
  health.probe_ns = now_ns;
}

void Oracle::answer_seen(uint32_t worker, const Cargo& cargo, uint64_t now_ns) {
  // A core that only passes the packet on does not look into it.
  if (cargo.port % plane_.worker_cnt() != worker) return;
  Answer& answer = zone_.at(cargo.index);
  if (answer.forged) return;
  trace_.event("answer", cargo.index, [&] { return "number " + std::to_string(cargo.index); });
  note_answer(worker, cargo.index, now_ns);
}

// The worker whose question it answers has looked at it, just now.
void Oracle::note_answer(uint32_t worker, uint32_t number, uint64_t now_ns) {
  Answer& answer = zone_.at(number);
  if (answer.seen_ns == 0) {
    answer.seen_ns = answer.seen_by_ns = now_ns;
    const abi::ServiceSection& service = configs_.at(plane_.core(worker).worker->generation());
    answer.limits = service.packet_cache[static_cast<uint8_t>(answer.key.back())];
  }
  KeyState& state = keys_[answer.key];
  state.progress_ns = now_ns;
  if (answer.no_edns) state.refused_edns[answer.backend] = true;
  state.wanted_cookie |= answer.bad_cookie;
  if (answer.failure) return;
  begin_anew(state, now_ns);  // perhaps: it may have come too late for its question
  state.newest = number;
  QuestionState& shared = questions_[question_of(answer.key)];
  shared.ageing_ms = std::min(shared.ageing_ms, ageing_ms_of(answer));
  shared.bytes_max = std::max(shared.bytes_max, answer.body_bytes);
  if (answer.truncated) state.truncated_ns = now_ns;
  if (answer.bare) state.bare_ns = now_ns;
}

}  // namespace millrace::sim
