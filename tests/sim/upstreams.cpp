// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/upstreams.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace millrace::sim {

using namespace millrace::test;

namespace {

// What an attacker gets wrong. Each of these alone must make an answer worthless (A55, B2-B8).
enum class Fault : uint8_t {
  id,
  port,
  address,
  source_port,
  spelling,
  cookie,
  subnet,
  name,
  type,
  query_bit,
  opcode,
  cut,
  pointer_loop,
  lying_length,
  lying_count,
  tiny,
  two_questions,
  wrong_side,
  count_
};

std::string text_of_place(const abi::Address& address) {
  for (const Place& place : kBackend) {
    if (std::equal(address.bytes, address.bytes + 16, address_of(place.text).bytes)) {
      return place.text;
    }
  }
  return address.family == 4 ? kSourceV4 : kSourceV6;
}

Fault pick_fault(const Plan& plan, const Sent& sent, Random& random) {
  const auto fault = static_cast<Fault>(random.below(static_cast<uint32_t>(Fault::count_)));
  if (fault == Fault::spelling && (!plan.randomize_case || sent.probe)) return Fault::id;
  if (fault == Fault::cookie && sent.ask.cookie.empty()) return Fault::id;
  if (fault == Fault::subnet && sent.ask.subnet.size() <= 4) return Fault::id;
  return fault;
}

// What the forger takes for the question and its cookie.
void spoil_question(Fault fault, Ask& ask, Random& random) {
  if (fault == Fault::id) ask.id = static_cast<uint16_t>(ask.id ^ (1u << random.below(16)));
  if (fault == Fault::name) ask.name = make_name("bank", Shape::plain);
  if (fault == Fault::type) ask.type = ask.type == kTypeA ? kTypeTxt : kTypeA;
  if (fault == Fault::subnet) ask.subnet[random.chance(300) ? 2 : 4] ^= 1;
  if (fault == Fault::spelling) {
    std::vector<uint32_t> letters;
    for (uint32_t at = 0; at < ask.name.size(); ++at) {
      if (std::isalpha(ask.name[at]) != 0) letters.push_back(at);
    }
    ask.name[random.pick(letters)] ^= 0x20;
  }
  if (fault == Fault::cookie) {
    ask.cookie = server_cookie(ask.backend, ask.cookie, second_of(ask.sent_ns));
    ask.cookie[random.below(8)] ^= 1;
  } else {
    ask.cookie.clear();
  }
}

}  // namespace

Upstreams::Upstreams(const Plan& plan, Zone& zone, Network& network, Trace& trace, Random random)
    : plan_(plan), zone_(zone), network_(network), trace_(trace), random_(random) {}

uint64_t Upstreams::delay_ns(Mood mood) {
  const uint64_t turns = random_.between(1, 60);
  const uint64_t usual = std::min(turns * plan_.turn_ns, plan_.try_ms * kMs / 5);
  return mood == Mood::slow ? usual + plan_.try_ms * kMs * random_.between(5, 30) / 10 : usual;
}

void Upstreams::sent(const Sent& sent, uint64_t now_ns) {
  note_sent(sent);
  if (random_.chance(plan_.forged)) forge(sent, now_ns);
  if (random_.chance(plan_.forged / 4)) tell_unreachable(sent, now_ns, true);
  if (!sent.probe && random_.chance(plan_.guessed)) guess(sent, now_ns);
  if (random_.chance(plan_.upstream_loss)) return;
  const uint32_t copies = random_.chance(plan_.upstream_duplicate) ? 2 : 1;
  for (uint32_t i = 0; i < copies; ++i) {
    network_.to_backend(now_ns + delay_ns(mood_[sent.backend]), sent);
  }
}

void Upstreams::arrived(const Sent& sent, uint64_t now_ns) {
  if (random_.chance(plan_.upstream_loss)) return;
  if (mood_[sent.backend] == Mood::dead) {
    if (random_.chance(plan_.unreachable)) tell_unreachable(sent, now_ns, false);
    return;
  }
  MadeAnswer made = zone_.answer(
      sent.ask, {.knows_edns = !plan_.old_backends || !is_old(sent.backend),
                 .knows_cookies = has_cookies(sent.backend),
                 .wants_cookie = plan_.wants_cookie,
                 .changes_case = plan_.changes_case,
                 .case_must_keep = plan_.randomize_case && guarded_,
                 .keeps_opt = by_subnet(plan_, sent.ask.view)});
  const Place& place = kBackend[sent.backend];
  const Cargo cargo{Cargo::Kind::answer, made.number, port_of(sent.source)};
  const uint32_t copies = random_.chance(plan_.upstream_duplicate) ? 2 : 1;
  for (uint32_t i = 0; i < copies; ++i) {
    deliver(now_ns + delay_ns(mood_[sent.backend]), cargo, address_of(place.text, place.port),
            sent.source, port_to(sent.backend), made.message);
  }
}

void Upstreams::deliver(uint64_t at_ns, Cargo cargo, const abi::Address& from,
                        const abi::Address& to, uint8_t in_by, Bytes message) {
  FrameBuilder frame;
  frame.from(text_of_place(from), port_of(from)).to(text_of_place(to), port_of(to));
  frame.payload(std::move(message));
  // Any core may get it: the hash of the port knows nothing of us.
  network_.to_core(at_ns, random_.below(plan_.workers), {cargo, frame.build(), in_by});
}

void Upstreams::forge(const Sent& sent, uint64_t now_ns) {
  const Place& place = kBackend[sent.backend];
  for (uint32_t i = random_.below(3) + 1; i-- > 0;) {
    Fault fault = pick_fault(plan_, sent, random_);
    if (!guarded_ && (fault == Fault::spelling || fault == Fault::cookie)) fault = Fault::id;
    abi::Address from = address_of(place.text, place.port);
    abi::Address to = sent.source;
    uint8_t in_by = port_to(sent.backend);
    Ask ask = sent.ask;
    spoil_question(fault, ask, random_);
    MadeAnswer made = zone_.forge(ask);
    Bytes& message = made.message;
    const std::size_t record_at = 12 + ask.name.size() + 4;
    switch (fault) {
      case Fault::port: {
        const auto other =
            static_cast<uint16_t>(port_of(to) + (random_.chance(500) ? 1 : plan_.workers));
        to = address_of(text_of_place(to), other);
        break;
      }
      case Fault::address:
        from = address_of(place.port == 53 && from.family == 4 ? "198.18.1.13" : place.text, 53);
        if (sent.backend == 3) from = address_of("198.18.1.20", 53);
        if (from.family == 6)
          from = address_of(sent.backend == 2 ? kBackend[5].text : kBackend[2].text, 53);
        if (place.port != 53) from = address_of(place.text, 53);
        break;
      case Fault::source_port:
        from = address_of(place.text, 5300);
        break;
      case Fault::query_bit:
        message[2] &= 0x7f;
        break;
      case Fault::opcode:
        message[2] |= 0x28;
        break;
      case Fault::cut:
        message.resize(record_at + 1 + random_.below(10));
        break;
      case Fault::pointer_loop:
        message[record_at] = static_cast<uint8_t>(0xc0 | record_at >> 8);
        message[record_at + 1] = static_cast<uint8_t>(record_at);
        break;
      case Fault::lying_length:
        message[record_at + 10] = 0x7f;
        break;
      case Fault::lying_count:
        message[6] = 0xff;
        break;
      case Fault::tiny:
        message.resize(random_.below(12));
        break;
      case Fault::two_questions:
        message[5] = 2;
        break;
      case Fault::wrong_side:
        in_by ^= 1;
        break;
      default:
        break;
    }
    trace_.event("forged", made.number,
                 [&] { return "fault " + std::to_string(static_cast<int>(fault)); });
    deliver(now_ns + random_.below(1000), {Cargo::Kind::answer, made.number, port_of(to)}, from, to,
            in_by, std::move(message));
  }
}

// Many ids at the right port, and the right one too late: by then nobody may listen there.
void Upstreams::guess(const Sent& sent, uint64_t now_ns) {
  const Place& place = kBackend[sent.backend];
  Ask ask = sent.ask;
  ask.cookie.clear();
  for (uint32_t i = 1; i <= 30; ++i) {
    ask.id = static_cast<uint16_t>(sent.ask.id + 30 - i);
    MadeAnswer made = zone_.forge(ask);
    trace_.event("guessed", made.number);
    network_.to_core(now_ns + 1000 * i, port_of(sent.source) % plan_.workers,
                     {{Cargo::Kind::answer, made.number, port_of(sent.source)},
                      FrameBuilder()
                          .from(place.text, place.port)
                          .to(text_of_place(sent.source), port_of(sent.source))
                          .payload(std::move(made.message))
                          .build(),
                      port_to(sent.backend)});
  }
}

void Upstreams::act() {
  if (random_.below(100'000) >= plan_.backend_trouble) return;
  Mood& mood = random_.pick(mood_);
  static constexpr Mood kMoods[] = {Mood::good, Mood::good, Mood::slow, Mood::dead, Mood::dead};
  if (random_.chance(50)) mood_.fill(Mood::dead);
  mood = random_.pick(kMoods);
  trace_.event("mood", static_cast<uint64_t>(&mood - mood_.data()), [&] {
    return std::to_string(&mood - mood_.data()) + " is now " +
           std::to_string(static_cast<int>(mood));
  });
}

void Upstreams::heal() {
  mood_.fill(Mood::good);
}

}  // namespace millrace::sim
