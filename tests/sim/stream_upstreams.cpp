// SPDX-License-Identifier: Apache-2.0
// Upstreams over TCP, and the slow path's turns.
#include "tests/sim/streams.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace millrace::test;

Streams::Streams(const Plan& plan, Plane& plane, Oracle& oracle, Zone& zone, Upstreams& upstreams,
                 Trace& trace, Random random)
    : plan_(plan),
      plane_(plane),
      oracle_(oracle),
      zone_(zone),
      upstreams_(upstreams),
      trace_(trace),
      random_(random.fork()),
      makes_(plan, random.fork()) {}

int Streams::dial(const abi::Address& to) {
  uint32_t backend = 0;
  while (backend < kBackends &&
         octets(address_of(kBackend[backend].text, kBackend[backend].port)) != octets(to)) {
    ++backend;
  }
  demand(backend < kBackends, "law 5", "connects to an address of nobody");
  trace_.event("dial", backend);
  if (!settling_ && random_.chance(plan_.tcp_trouble)) return -1;
  backends_.push_back(std::make_unique<Upstream>());
  backends_.back()->backend = backend;
  return backends_.back()->wire.give_end();
}

void Streams::act(uint64_t now_ns, const std::vector<Bytes>& names) {
  // Without a config there is no service.
  if (plane_.slow().generation() != 0) clients_act(now_ns, names);
  for (const auto& client : clients_)
    write(*client, now_ns, false);
  upstreams_act(now_ns, false);
  if (random_.below(100'000) < plan_.stall) {
    stalled_until_ns_ = now_ns + random_.between(10, 300) * plan_.turn_ns;
  }
  if (now_ns < stalled_until_ns_) {
    oracle_.time_was_lost(now_ns);
    return;
  }
  if (random_.chance(300)) turn(now_ns);
}

void Streams::settle(uint64_t now_ns) {
  settling_ = true;
  for (const auto& client : clients_)
    write(*client, now_ns, true);
  upstreams_act(now_ns, true);
  turn(now_ns);
}

void Streams::turn(uint64_t now_ns) {
  plane_.slow_turn(now_ns);
  for (std::size_t i = 0; i < backends_.size(); ++i)
    read(*backends_[i], now_ns);
  for (const auto& client : clients_)
    read(*client, now_ns);
  std::erase_if(backends_, [](const auto& upstream) { return upstream->wire.closed; });
  std::erase_if(clients_, [](const auto& client) { return client->wire.closed; });
  oracle_.after_slow_turn();
}

bool Streams::at_rest() const {
  const auto has_work = [](const auto& client) {
    return !client->unsent.empty() || !client->open.empty() || client->wire.shut;
  };
  return std::none_of(clients_.begin(), clients_.end(), has_work) &&
         plane_.slow().asking_cnt() == 0;
}

void Streams::check_quiet() const {
  demand(plane_.slow().frames_out() == 0, "frames", "frames of the slow path were lost");
  demand(plane_.slow().client_cnt() == clients_.size(), "A103",
         "connections that their clients do not know of");
}

void Streams::upstreams_act(uint64_t now_ns, bool all) {
  for (const auto& one : backends_) {
    Upstream& upstream = *one;
    while (!upstream.due.empty() && upstream.due.begin()->first <= now_ns) {
      auto& [number, bytes] = upstream.due.begin()->second;
      upstream.unsent.insert(upstream.unsent.end(), bytes.begin(), bytes.end());
      upstream.queued += bytes.size();
      upstream.marks.push_back({number, upstream.queued});
      upstream.due.erase(upstream.due.begin());
    }
    std::size_t bytes = upstream.unsent.size();
    if (!all && random_.chance(300)) bytes = std::min<std::size_t>(bytes, random_.below(60));
    const std::size_t before = upstream.wire.sent.size();
    if (has_large(upstream)) {
      const std::size_t end = upstream.unread.empty() ? upstream.marks.front().end : before;
      bytes = std::min(bytes, end - before);
    }
    upstream.wire.send(Bytes(upstream.unsent.begin(),
                             upstream.unsent.begin() + static_cast<std::ptrdiff_t>(bytes)));
    const std::size_t sent = upstream.wire.sent.size() - before;
    upstream.unsent.erase(upstream.unsent.begin(),
                          upstream.unsent.begin() + static_cast<std::ptrdiff_t>(sent));
    while (!upstream.marks.empty() && upstream.marks.front().end <= upstream.wire.sent.size()) {
      upstream.unread.push_back(upstream.marks.front().number);
      upstream.marks.pop_front();
    }
    if (!settling_ && random_.below(10'000) < plan_.tcp_trouble) upstream.shuts = true;
    if (upstream.shuts && !upstream.wire.shut) upstream.wire.shut_down();
  }
}

// So large that the slow path may leave some of it for its next turn. It is alone on its way, or it
// would not be certain what was read.
bool Streams::has_large(const Upstream& upstream) const {
  constexpr std::size_t kLarge = 4096;
  const auto is_large = [this](uint32_t number) { return zone_.at(number).body_bytes > kLarge; };
  return std::any_of(upstream.unread.begin(), upstream.unread.end(), is_large) ||
         std::any_of(upstream.marks.begin(), upstream.marks.end(),
                     [&](const Mark& mark) { return is_large(mark.number); });
}

// After a turn of the slow path: what it asks, and which answers it has taken.
void Streams::read(Upstream& upstream, uint64_t now_ns) {
  if (!upstream.unread.empty() && upstream.wire.all_read()) {
    for (const uint32_t number : upstream.unread)
      oracle_.stream_answer_passed(number);
    upstream.unread.clear();
  }
  if (!settling_ && random_.chance(600)) return;
  upstream.wire.read();
  while (upstream.wire.come.size() - upstream.taken >= 2) {
    const Bytes& come = upstream.wire.come;
    const std::size_t bytes = come[upstream.taken] * 256u + come[upstream.taken + 1];
    if (come.size() - upstream.taken - 2 < bytes) break;
    const auto from = come.begin() + static_cast<std::ptrdiff_t>(upstream.taken + 2);
    upstream.taken += 2 + bytes;
    asked(upstream, Bytes(from, from + static_cast<std::ptrdiff_t>(bytes)), now_ns);
  }
}

void Streams::asked(Upstream& upstream, const Bytes& message, uint64_t now_ns) {
  trace_.bytes(message);
  Ask ask = oracle_.stream_asked(upstream.backend, message, now_ns);
  if (upstream.shuts) return;
  const bool ends = !settling_ && random_.chance(plan_.tcp_trouble);
  const uint32_t how = random_.below(4);
  if (!upstreams_.heard(upstream.backend) || (ends && how == 0)) return;
  if (ends && how == 1) {
    upstream.shuts = true;
    return;
  }
  MadeAnswer made;
  if (ends && how == 2) {
    ask.name = make_name("bank", Shape::plain);
    made = zone_.forge(ask);
  } else {
    made = zone_.answer(ask, {.knows_edns = !plan_.old_backends || !is_old(upstream.backend),
                              .knows_cookies = has_cookies(upstream.backend),
                              .stream = true,
                              .keeps_opt = by_subnet(plan_, ask.view)});
  }
  trace_.event("stream answer", made.number);
  Bytes framed{static_cast<uint8_t>(made.message.size() >> 8),
               static_cast<uint8_t>(made.message.size())};
  framed.insert(framed.end(), made.message.begin(), made.message.end());
  const uint64_t delay_ns =
      std::min(random_.between(0, 40) * plan_.turn_ns, plan_.give_up_ms * kMs / 8);
  upstream.due.emplace(now_ns + delay_ns, std::pair(made.number, std::move(framed)));
}

}  // namespace millrace::sim
