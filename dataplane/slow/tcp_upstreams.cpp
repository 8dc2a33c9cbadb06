// SPDX-License-Identifier: Apache-2.0
#include "dataplane/slow/tcp_upstreams.hpp"

#include "dataplane/base/held_clock.hpp"
#include "dataplane/base/socket_address.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace millrace::slow {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kUnsentMax = 1024 * 1024;

bool same_address(const abi::Address& a, const abi::Address& b) noexcept {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace

int dial_tcp(const abi::Address& to) noexcept {
  const SocketAddress target(to);
  const int fd = socket(target.get()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (::connect(fd, target.get(), target.bytes()) == 0 || errno == EINPROGRESS) return fd;
  ::close(fd);
  return -1;
}

TcpUpstreams::TcpUpstreams(int epoll, Csprng& random, Dial dial, Done done)
    : epoll_(epoll),
      random_(random),
      dial_(std::move(dial)),
      done_(std::move(done)),
      connections_(new Connection[kConnectionsMax]),
      buffer_(new uint8_t[kReadBytes]) {}

TcpUpstreams::~TcpUpstreams() {
  for (uint32_t i = 0; i < kConnectionsMax; ++i) {
    if (connections_[i].fd >= 0) ::close(connections_[i].fd);
  }
}

uint64_t TcpUpstreams::data_of(const Connection& connection) const noexcept {
  return kTag | uint64_t{connection.serial & 0x3fff'ffff} << 32 |
         static_cast<uint64_t>(&connection - connections_.get());
}

uint32_t TcpUpstreams::connection_cnt() const noexcept {
  return static_cast<uint32_t>(std::count_if(connections_.get(),
                                             connections_.get() + kConnectionsMax,
                                             [](const Connection& c) { return c.fd >= 0; }));
}

void TcpUpstreams::ask(const Asker& asker, const abi::Address& to, std::span<const uint8_t> message,
                       uint64_t now_ns, uint64_t timeout_ns) {
  open_cnt_ += 1;
  place({asker, now_ns + timeout_ns, now_ns, 0, false, {message.begin(), message.end()}}, to,
        now_ns);
}

void TcpUpstreams::place(Ask ask, const abi::Address& to, uint64_t now_ns) {
  Connection* connection = choose(to);
  if (connection == nullptr) connection = connect(to, now_ns);
  if (connection == nullptr || connection->unsent.size() > kUnsentMax) {
    failed_.push_back(std::move(ask));
    return;
  }
  uint16_t id;
  do {
    id = random_.u16();
  } while (connection->asks.contains(id));
  store_be16(ask.message.data(), id);
  const auto bytes = static_cast<uint16_t>(ask.message.size());
  uint8_t length[kLengthBytes];
  store_be16(length, bytes);
  connection->unsent.insert(connection->unsent.end(), length, length + kLengthBytes);
  connection->unsent.insert(connection->unsent.end(), ask.message.begin(), ask.message.end());
  connection->used_ns = ask.sent_ns = now_ns;
  ask.answers_before = connection->answers;
  connection->asks.emplace(id, std::move(ask));
  // What goes wrong here shows as an event: nothing ends within ask().
  if (connection->connected) flush(*connection);
  watch(*connection);
}

// The least busy connection to that address; null: a new one is wanted and possible.
TcpUpstreams::Connection* TcpUpstreams::choose(const abi::Address& to) {
  Connection* best = nullptr;
  uint32_t cnt = 0;
  for (uint32_t i = 0; i < kConnectionsMax; ++i) {
    Connection& connection = connections_[i];
    if (connection.fd < 0 || !same_address(connection.to, to)) continue;
    cnt += 1;
    if (best == nullptr || connection.asks.size() < best->asks.size()) best = &connection;
  }
  return best != nullptr && (best->asks.size() < kAsksPerConnection || cnt >= kPerAddressMax)
             ? best
             : nullptr;
}

TcpUpstreams::Connection* TcpUpstreams::connect(const abi::Address& to, uint64_t now_ns) {
  Connection* const end = connections_.get() + kConnectionsMax;
  Connection* const free =
      std::find_if(connections_.get(), end, [](const Connection& c) { return c.fd < 0; });
  if (free == end) return nullptr;
  const int fd = dial_(to);
  if (fd < 0) return nullptr;
  free->fd = fd;
  free->serial += 1;
  free->to = to;
  free->used_ns = now_ns;
  free->watched = EPOLLIN | EPOLLOUT;
  epoll_event event{free->watched, {.u64 = data_of(*free)}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  return free;
}

void TcpUpstreams::on_event(uint64_t data, uint32_t events, uint64_t now_ns) {
  Connection& connection = connections_[static_cast<uint32_t>(data) % kConnectionsMax];
  if (connection.fd < 0 || data_of(connection) != data) return;
  if ((events & EPOLLERR) == 0) connection.connected = true;
  // A reset may come right behind an answer, from a server that closes with questions unread.
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    read(connection, now_ns);
    if (connection.fd < 0) return;
  }
  flush(connection);
  watch(connection);
}

void TcpUpstreams::read(Connection& connection, uint64_t now_ns) {
  const ssize_t got = recv(connection.fd, buffer_.get(), kReadBytes, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  bool broken = got <= 0;
  if (got > 0) {
    connection.connected = true;
    connection.used_ns = now_ns;
    connection.reader.feed({buffer_.get(), static_cast<std::size_t>(got)},
                           [&](std::span<const uint8_t> message) {
                             connection.heard_ns = now_ns;
                             if (message.size() < kLengthBytes) {
                               broken = true;
                               return true;
                             }
                             const auto found = connection.asks.find(load_be16(message.data()));
                             if (found == connection.asks.end()) return true;
                             const Asker asker = found->second.asker;
                             connection.asks.erase(found);
                             connection.answers += 1;
                             open_cnt_ -= 1;
                             done_(asker, message);
                             return true;
                           });
  }
  if (broken) close(connection, now_ns);
}

void TcpUpstreams::flush(Connection& connection) {
  if (connection.unsent.empty()) return;
  const ssize_t sent = send(connection.fd, connection.unsent.data(), connection.unsent.size(),
                            MSG_DONTWAIT | MSG_NOSIGNAL);
  // An error comes again as an event.
  if (sent > 0)
    connection.unsent.erase(connection.unsent.begin(), connection.unsent.begin() + sent);
}

void TcpUpstreams::watch(Connection& connection) {
  const uint32_t wanted = connection.connected && connection.unsent.empty()
                              ? uint32_t{EPOLLIN}
                              : uint32_t{EPOLLIN} | uint32_t{EPOLLOUT};
  if (wanted == connection.watched) return;
  epoll_event event{wanted, {.u64 = data_of(connection)}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
  connection.watched = wanted;
}

void TcpUpstreams::close(Connection& connection, uint64_t now_ns) {
  ::close(connection.fd);
  const bool was_connected = connection.connected;
  const uint64_t answers = connection.answers;
  const abi::Address to = connection.to;
  std::vector<Ask> asks;
  for (auto& [id, ask] : connection.asks) asks.push_back(std::move(ask));
  std::sort(asks.begin(), asks.end(),
            [](const Ask& a, const Ask& b) { return a.due_ns < b.due_ns; });
  const uint32_t serial = connection.serial;
  connection = Connection{};
  connection.serial = serial;
  for (Ask& ask : asks) {
    // Only if there was somebody: servers close connections that were idle (RFC 7766 section
    // 6.2.4). Once; but some servers close after each answer: where another question got one
    // meanwhile, that does not count, and each gets its own in its turn.
    const bool progress = answers != ask.answers_before;
    if (was_connected && (progress || !ask.again)) {
      ask.again = ask.again || !progress;
      place(std::move(ask), to, now_ns);
    } else {
      fail(std::move(ask));
    }
  }
}

void TcpUpstreams::fail(Ask ask) {
  open_cnt_ -= 1;
  done_(ask.asker, {});
}

void TcpUpstreams::run_timers(uint64_t now_ns) {
  std::vector<Ask> failed;
  failed.swap(failed_);
  for (Ask& ask : failed)
    fail(std::move(ask));
  for (uint32_t i = 0; i < kConnectionsMax; ++i) {
    Connection& connection = connections_[i];
    if (connection.fd < 0) continue;
    std::vector<Ask> late;
    for (auto ask = connection.asks.begin(); ask != connection.asks.end();) {
      if (now_ns < ask->second.due_ns) {
        ++ask;
        continue;
      }
      late.push_back(std::move(ask->second));
      ask = connection.asks.erase(ask);
    }
    // One that never got through, or on which no message came for all the time that a question had,
    // must not be chosen again.
    bool useless = connection.asks.empty() && !connection.connected;
    for (Ask& ask : late) {
      useless = useless || connection.heard_ns < ask.sent_ns;
      fail(std::move(ask));
    }
    if (useless || (connection.asks.empty() && now_ns - connection.used_ns >= kIdleNs)) {
      close(connection, now_ns);
    }
  }
}

uint64_t TcpUpstreams::next_due_ns() const noexcept {
  if (!failed_.empty()) return 0;
  uint64_t next_ns = kNothingDue;
  for (uint32_t i = 0; i < kConnectionsMax; ++i) {
    const Connection& connection = connections_[i];
    if (connection.fd < 0) continue;
    if (connection.asks.empty()) next_ns = std::min(next_ns, connection.used_ns + kIdleNs);
    for (const auto& [id, ask] : connection.asks) next_ns = std::min(next_ns, ask.due_ns);
  }
  return next_ns;
}

}  // namespace millrace::slow
