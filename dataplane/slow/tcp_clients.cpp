// SPDX-License-Identifier: Apache-2.0
#include "dataplane/slow/tcp_clients.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace millrace::slow {

using abi::Event;

namespace {

constexpr uint32_t kIdleBudget = 256;  // connections closed in one turn
constexpr uint32_t kBusySkip = 16;  // that many with work are passed over in search of an idle one

}  // namespace

TcpClients::TcpClients(int epoll, stats::CoreCounters& counters, Take take)
    : epoll_(epoll),
      counters_(counters),
      take_(std::move(take)),
      buffer_(new uint8_t[kReadBytes]) {}

TcpClients::~TcpClients() {
  for (const auto& connection : connections_) {
    if (connection->fd >= 0) ::close(connection->fd);
  }
}

TcpClients::SourceKey TcpClients::source_of(const abi::Address& client) noexcept {
  SourceKey key{0, client.family};
  std::memcpy(&key.bits, client.bytes, sizeof key.bits);  // of IPv4 the second half is zero
  return key;
}

uint32_t TcpClients::slot_of(ClientId id) const noexcept {
  const auto slot = static_cast<uint32_t>(id);
  if (slot >= connections_.size() || connections_[slot]->fd < 0 || id_of(slot) != id) {
    return kNobody;
  }
  return slot;
}

ClientInfo TcpClients::info_of(uint32_t slot, bool late) const noexcept {
  const Connection& connection = *connections_[slot];
  return {id_of(slot), connection.client, connection.service, late};
}

// --- the two orders

void TcpClients::append(List& list, Which which, uint32_t slot) noexcept {
  Link& link = connections_[slot]->link[which];
  link = {list.last, kNobody};
  (list.last == kNobody ? list.first : connections_[list.last]->link[which].after) = slot;
  list.last = slot;
  list.cnt += 1;
}

void TcpClients::remove(List& list, Which which, uint32_t slot) noexcept {
  const Link link = connections_[slot]->link[which];
  (link.before == kNobody ? list.first : connections_[link.before]->link[which].after) = link.after;
  (link.after == kNobody ? list.last : connections_[link.after]->link[which].before) = link.before;
  list.cnt -= 1;
}

void TcpClients::touch(uint32_t slot, uint64_t now_ns) noexcept {
  Connection& connection = *connections_[slot];
  connection.active_ns = now_ns;
  List& own = sources_.find(connection.source)->second;
  remove(all_, kOfAll, slot);
  append(all_, kOfAll, slot);
  remove(own, kOfSource, slot);
  append(own, kOfSource, slot);
}

uint32_t TcpClients::longest_idle(const List& list, Which which) const noexcept {
  uint32_t slot = list.first;
  for (uint32_t i = 0; i < kBusySkip && slot != kNobody; ++i) {
    if (connections_[slot]->in_work == 0) return slot;
    slot = connections_[slot]->link[which].after;
  }
  return list.first;
}

// --- coming and going

void TcpClients::make_room(List& among, Which which) {
  counters_.count(Event::tcp_closed_limit);
  close(longest_idle(among, which));
}

uint32_t TcpClients::take_slot() {
  if (free_slots_.empty()) {
    connections_.push_back(std::make_unique<Connection>());
    return static_cast<uint32_t>(connections_.size() - 1);
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void TcpClients::adopt(int fd, const abi::Address& client, const abi::Address& service,
                       uint64_t now_ns) {
  if (limits_.connections_max == 0) {
    ::close(fd);
    return;
  }
  const SourceKey source = source_of(client);
  for (auto own = sources_.find(source);
       own != sources_.end() && own->second.cnt >= limits_.connections_per_source_max;
       own = sources_.find(source)) {
    make_room(own->second, kOfSource);
  }
  while (cnt_ >= limits_.connections_max)
    make_room(all_, kOfAll);

  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const uint32_t slot = take_slot();
  Connection& connection = *connections_[slot];
  connection.fd = fd;
  connection.serial += 1;
  connection.client = client;
  connection.service = service;
  connection.source = source;
  connection.active_ns = now_ns;
  connection.watched = EPOLLIN;
  epoll_event event{EPOLLIN, {.u64 = id_of(slot)}};
  append(all_, kOfAll, slot);
  append(sources_[source], kOfSource, slot);
  cnt_ += 1;
  counters_.count(Event::tcp_accepted);
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) close(slot);
}

void TcpClients::close(uint32_t slot) {
  Connection& connection = *connections_[slot];
  ::close(connection.fd);  // epoll forgets it
  remove(all_, kOfAll, slot);
  const auto own = sources_.find(connection.source);
  remove(own->second, kOfSource, slot);
  if (own->second.cnt == 0) sources_.erase(own);
  weigh(slot, 0);
  const uint32_t serial = connection.serial;
  connection = Connection{};
  connection.serial = serial;
  free_slots_.push_back(slot);
  cnt_ -= 1;
}

void TcpClients::close_longest_idle() {
  if (cnt_ != 0) make_room(all_, kOfAll);
}

void TcpClients::close_idle(uint64_t now_ns) {
  const uint64_t idle_ns = uint64_t{limits_.idle_ms} * 1'000'000;
  for (uint32_t i = 0; i < kIdleBudget && all_.first != kNobody; ++i) {
    const uint32_t slot = all_.first;
    if (now_ns - connections_[slot]->active_ns < idle_ns) return;
    const Connection& connection = *connections_[slot];
    if (connection.in_work != 0 || (connection.held && may_take(connection))) {
      touch(slot, now_ns);
      continue;
    }
    if (!connection.lingers) counters_.count(Event::tcp_closed_idle);
    close(slot);
  }
}

uint64_t TcpClients::next_due_ns() const noexcept {
  if (all_.first == kNobody) return kNothingDue;
  uint64_t next_ns = connections_[all_.first]->active_ns + uint64_t{limits_.idle_ms} * 1'000'000;
  for (const ClientId id : waiting_) {
    const uint32_t slot = slot_of(id);
    if (slot != kNobody) next_ns = std::min(next_ns, connections_[slot]->held_ns + patience_ns_);
  }
  return next_ns;
}

// --- what comes

void TcpClients::on_event(uint64_t data, uint32_t events, uint64_t now_ns) {
  const uint32_t slot = slot_of(data);
  if (slot == kNobody) return;  // closed earlier in this turn
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    close(slot);
    return;
  }
  if ((events & EPOLLIN) != 0) read(slot, now_ns);
  settle(slot);
}

void TcpClients::read(uint32_t slot, uint64_t now_ns) {
  Connection& connection = *connections_[slot];
  if (connection.held || (connection.ended && !connection.lingers)) return;
  const ssize_t got = recv(connection.fd, buffer_.get(), kReadBytes, MSG_DONTWAIT);
  if (connection.lingers) {
    connection.broken = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
  } else if (got > 0) {
    take_messages(slot, {buffer_.get(), static_cast<std::size_t>(got)}, now_ns);
  } else if (got == 0) {
    connection.ended = true;
  } else if (errno != EAGAIN && errno != EINTR) {
    connection.broken = true;
  }
}

// Its sender reads what it gets.
bool TcpClients::may_take(const Connection& connection) noexcept {
  return connection.unsent.size() - connection.unsent_at <= kUnsentStopBytes;
}

void TcpClients::take_messages(uint32_t slot, std::span<const uint8_t> bytes, uint64_t now_ns) {
  Connection& connection = *connections_[slot];
  const bool late = connection.held && now_ns - connection.held_ns >= patience_ns_;
  if (!connection.held) connection.held_ns = now_ns;
  bool counted = connection.held;  // the message in front
  connection.held = false;
  connection.reader.feed(bytes, [&](std::span<const uint8_t> message) {
    if (connection.broken) return false;
    const bool has_place = late || connection.in_work < limits_.queries_per_connection_max;
    const bool may = has_place && may_take(connection);
    const Took took = may ? take_(info_of(slot, late), message) : Took::later;
    if (took == Took::later) {
      if (!counted) counters_.count(Event::tcp_waited);
      connection.held = true;
      return false;
    }
    counted = false;
    if (took == Took::close) {
      counters_.count(Event::tcp_closed_error);
      connection.ended = connection.refused = true;
      return false;
    }
    touch(slot, now_ns);
    return true;
  });
}

void TcpClients::resume(uint32_t connections, uint64_t now_ns) {
  for (std::size_t n = std::min<std::size_t>(connections, waiting_.size()); n > 0; --n) {
    const uint32_t slot = slot_of(waiting_.front());
    waiting_.pop_front();
    if (slot == kNobody) continue;
    connections_[slot]->in_waiting = false;
    take_messages(slot, {}, now_ns);
    settle(slot);
  }
}

// --- what goes

void TcpClients::begin_work(ClientId id) noexcept {
  connections_[slot_of(id)]->in_work += 1;
}

void TcpClients::reply(ClientId id, std::span<const uint8_t> message) {
  Connection& connection = *connections_[slot_of(id)];
  if (connection.unsent_at > kUnsentStopBytes) {
    connection.unsent.erase(
        connection.unsent.begin(),
        connection.unsent.begin() + static_cast<std::ptrdiff_t>(connection.unsent_at));
    connection.unsent_at = 0;
  }
  const uint8_t length[kLengthBytes] = {static_cast<uint8_t>(message.size() >> 8),
                                        static_cast<uint8_t>(message.size())};
  connection.unsent.insert(connection.unsent.end(), length, length + kLengthBytes);
  connection.unsent.insert(connection.unsent.end(), message.begin(), message.end());
}

void TcpClients::end_work(ClientId id, std::span<const uint8_t> message) {
  const uint32_t slot = slot_of(id);
  if (slot == kNobody) return;
  connections_[slot]->in_work -= 1;
  if (!message.empty()) reply(id, message);
  settle(slot);
}

void TcpClients::flush(Connection& connection) noexcept {
  while (connection.unsent_at < connection.unsent.size()) {
    const ssize_t sent =
        send(connection.fd, connection.unsent.data() + connection.unsent_at,
             connection.unsent.size() - connection.unsent_at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN && errno != EINTR) connection.broken = true;
      return;
    }
    connection.unsent_at += static_cast<std::size_t>(sent);
  }
  std::vector<uint8_t>().swap(connection.unsent);  // an idle connection holds no memory
  connection.unsent_at = 0;
}

// That much of it is in memory from here on. Most have nothing there, and cost nothing here.
void TcpClients::weigh(uint32_t slot, std::size_t bytes) {
  Connection& connection = *connections_[slot];
  if (bytes == connection.bytes) return;
  if (connection.bytes != 0) weights_.erase({connection.bytes, slot});
  if (bytes != 0) weights_.insert({bytes, slot});
  bytes_ += bytes - connection.bytes;
  connection.bytes = bytes;
}

void TcpClients::close_largest() {
  counters_.count(Event::tcp_closed_error);
  close(weights_.rbegin()->second);
}

void TcpClients::settle(uint32_t slot) {
  Connection& connection = *connections_[slot];
  if (!connection.broken) flush(connection);
  if (connection.refused) connection.reader = StreamReader();
  weigh(slot, connection.reader.kept_bytes() + connection.unsent.size());
  const bool unsent = !connection.unsent.empty();
  const bool finished =
      connection.ended && !connection.held && connection.in_work == 0 && !unsent;
  if (connection.broken || (finished && !connection.refused)) {
    close(slot);
    return;
  }
  if (finished && !connection.lingers) {
    shutdown(connection.fd, SHUT_WR);
    connection.lingers = true;
  }
  watch(slot);
  while (bytes_ > kBytesMax) close_largest();
}

void TcpClients::watch(uint32_t slot) {
  Connection& connection = *connections_[slot];
  const bool room = may_take(connection);
  const bool reads = connection.lingers || (!connection.ended && !connection.held && room);
  const uint32_t wanted = (reads ? uint32_t{EPOLLIN} : 0) |
                          (connection.unsent.empty() ? 0 : uint32_t{EPOLLOUT});
  if (wanted != connection.watched) {
    epoll_event event{wanted, {.u64 = id_of(slot)}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
    connection.watched = wanted;
  }
  // A message that waits is tried again each turn, and so found to be late in time, unless it is
  // its sender who keeps it waiting.
  if (connection.held && room && !connection.in_waiting) {
    connection.in_waiting = true;
    waiting_.push_back(id_of(slot));
  }
}

}  // namespace millrace::slow
