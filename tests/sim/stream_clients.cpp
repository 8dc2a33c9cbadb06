// SPDX-License-Identifier: Apache-2.0
// Clients that come over TCP.
#include "tests/sim/streams.hpp"

#include <algorithm>

#include <sys/socket.h>

namespace millrace::sim {

using namespace millrace::test;

namespace {

constexpr std::size_t kClientsMax = 5;
constexpr std::size_t kUnsentMax = 8192;
constexpr int kLittleRoom = 4096;  // of a socket: replies then wait for their reader

}  // namespace

void Streams::connect(uint64_t now_ns) {
  auto client = std::make_unique<Client>();
  client->serial = ++serial_;
  client->bind = static_cast<uint8_t>(random_.below(kBinds));
  const bool v6 = is_v6(kBind[client->bind].text);
  const uint32_t who = random_.below(kClients / 2) + (v6 ? kClients / 2 : 0);
  client->address = address_of(kClient[who], static_cast<uint16_t>(random_.between(1024, 65535)));
  client->whole_ns = now_ns;
  const int fd = client->wire.give_end();
  if (random_.chance(300)) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kLittleRoom, sizeof kLittleRoom);
  }
  trace_.event("connect", client->serial);
  plane_.slow().adopt(fd, client->address,
                      address_of(kBind[client->bind].text, kBind[client->bind].port), now_ns);
  clients_.push_back(std::move(client));
}

void Streams::ask(Client& client, const std::vector<Bytes>& names) {
  const bool known = random_.chance(600);
  const Bytes name = known ? names[random_.below(static_cast<uint32_t>(names.size()))]
                           : makes_.fresh_name(makes_.draw_shape());
  Query query = makes_.good_for(name, random_.chance(600) ? kTypeA : kTypeTxt, client.bind);
  query.stream = client.serial;
  query.client = client.address;
  makes_.choose_key(query);
  const uint16_t id = client.next_id++;
  query.payload[0] = static_cast<uint8_t>(id >> 8);
  query.payload[1] = static_cast<uint8_t>(id);
  const Bytes payload = query.payload;
  const uint32_t index = oracle_.add(std::move(query));
  trace_.event("stream query", index, [&] {
    return std::to_string(index) + " on connection " + std::to_string(client.serial) + ": " +
           oracle_.tell(oracle_.query(index));
  });
  client.unsent.push_back(static_cast<uint8_t>(payload.size() >> 8));
  client.unsent.push_back(static_cast<uint8_t>(payload.size()));
  client.unsent.insert(client.unsent.end(), payload.begin(), payload.end());
  client.queued += 2 + payload.size();
  client.marks.push_back({index, client.queued});
  client.open[id] = index;
}

void Streams::clients_act(uint64_t now_ns, const std::vector<Bytes>& names) {
  if (clients_.size() < kClientsMax && random_.chance(clients_.empty() ? 100 : 10)) {
    connect(now_ns);
  }
  if (!clients_.empty() && random_.chance(plan_.query_per_mille / 6)) {
    Client& client = *random_.pick(clients_);
    const uint32_t cnt = random_.chance(100) ? 1 + random_.below(40) : 1;
    for (uint32_t i = 0; i < cnt && !client.shuts && client.unsent.size() < kUnsentMax; ++i)
      ask(client, names);
  }
  for (const auto& client : clients_) {
    if (random_.chance(2)) client->shuts = true;
    if (random_.chance(10)) client->reads_ns = now_ns + random_.below(plan_.give_up_ms / 2) * kMs;
    if (random_.below(100'000) < plan_.tcp_trouble) {
      trace_.event("hang up", client->serial);
      abandon(*client);
      client->wire.hang_up();
    }
  }
  std::erase_if(clients_, [](const auto& client) { return client->wire.gone; });
}

void Streams::write(Client& client, uint64_t now_ns, bool all) {
  std::size_t bytes = client.unsent.size();
  if (!all && random_.chance(300)) bytes = std::min<std::size_t>(bytes, random_.below(60));
  const std::size_t before = client.wire.sent.size();
  client.wire.send(Bytes(client.unsent.begin(),
                         client.unsent.begin() + static_cast<std::ptrdiff_t>(bytes)));
  const std::size_t sent = client.wire.sent.size() - before;
  client.unsent.erase(client.unsent.begin(),
                      client.unsent.begin() + static_cast<std::ptrdiff_t>(sent));
  while (!client.marks.empty() && client.marks.front().end <= client.wire.sent.size()) {
    oracle_.stream_seen(client.marks.front().number, now_ns);
    client.marks.pop_front();
    client.whole_ns = now_ns;
  }
  if (client.shuts && client.unsent.empty() && !client.wire.shut) {
    trace_.event("shut down", client.serial);
    client.wire.shut_down();
  }
}

void Streams::read(Client& client, uint64_t now_ns) {
  if (!settling_ && (now_ns < client.reads_ns || random_.chance(500))) {
    client.late = true;
    return;
  }
  client.wire.read();
  const Bytes& come = client.wire.come;
  while (come.size() - client.taken >= 2) {
    const std::size_t bytes = come[client.taken] * 256u + come[client.taken + 1];
    if (come.size() - client.taken - 2 < bytes) break;
    const auto from = come.begin() + static_cast<std::ptrdiff_t>(client.taken + 2);
    const Bytes message(from, from + static_cast<std::ptrdiff_t>(bytes));
    client.taken += 2 + bytes;
    trace_.bytes(message);
    demand(bytes >= 12, "reply", "shorter than a header", message);
    const auto found = client.open.find(static_cast<uint16_t>(message[0] << 8 | message[1]));
    demand(found != client.open.end(), "A1", "a reply to no query of this connection", message);
    const uint32_t index = found->second;
    client.open.erase(found);
    oracle_.stream_reply(index, message, now_ns);
  }
  if (client.wire.closed) check_end(client, now_ns);
  client.late = false;
}

// Nobody hangs up on a client that waits for something, unless it does not read what it gets.
void Streams::check_end(const Client& client, uint64_t now_ns) {
  trace_.event("closed", client.serial);
  const bool is_idle = now_ns >= client.whole_ns + kTcpIdleMs * kMs;
  if (is_idle && client.late) return abandon(client);
  demand(client.taken == client.wire.come.size(), "A101", "half a reply");
  for (const auto& [id, index] : client.open) {
    const bool left = std::none_of(client.marks.begin(), client.marks.end(),
                                   [index](const Mark& mark) { return mark.number == index; });
    if (left) violate("A102", "closed with a question open: " + oracle_.tell(oracle_.query(index)));
  }
  demand(client.wire.shut || is_idle, "A104", "closed without a reason");
}

void Streams::abandon(const Client& client) {
  for (const auto& [id, index] : client.open)
    oracle_.stream_abandoned(index);
}

}  // namespace millrace::sim
