// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/control_endpoint.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "dataplane/port/eal.hpp"

namespace millrace::dp {
namespace {

constexpr int kWatchPeriodMs = kStallCheckPeriodNs / 1'000'000;

// What a request may be.
union Packet {
  abi::Request request;
  abi::CacheQuery query;
  abi::SocketsRequest sockets;
  abi::ClockRequest clock;
};

// A request with the descriptors that came with it, which are closed unless they are taken out.
struct Received {
  ssize_t bytes = 0;
  std::vector<int> fds;
  bool excess = false;  // more descriptors, or more bytes, than any request has

  Received() = default;
  Received(Received&&) = default;
  ~Received() {
    for (const int fd : fds) close(fd);
  }
  int fd() const { return fds.size() == 1 ? fds.front() : -1; }
};

Received receive(int socket, void* to, std::size_t room) {
  Received got;
  iovec piece{to, room};
  alignas(cmsghdr) char control[CMSG_SPACE((abi::kBindsMax + 1) * sizeof(int))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  got.bytes = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got.bytes <= 0) return got;
  got.excess = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < fds; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      got.fds.push_back(fd);
    }
  }
  return got;
}

std::size_t bytes_of(abi::Op op) {
  switch (op) {
    case abi::Op::cache_lookup:
    case abi::Op::cache_flush:
      return sizeof(abi::CacheQuery);
    case abi::Op::install_sockets:
      return sizeof(abi::SocketsRequest);
    case abi::Op::advance_clock:
      return sizeof(abi::ClockRequest);
    default:
      return sizeof(abi::Request);
  }
}

void fill(abi::Reply& reply, const abi::Request& request, const ControlResult& result) {
  reply.abi_version = abi::kAbiVersion;
  reply.code = result.code;
  reply.sequence = request.sequence;
  std::strncpy(reply.text, result.text.c_str(), sizeof reply.text - 1);
}

bool valid(const abi::CacheQuery& query) {
  if (query.match == abi::NameMatch::all) return query.name_bytes == 0;
  if (query.match != abi::NameMatch::exact && query.match != abi::NameMatch::suffix) return false;
  // A name in wire form, whole, in lower case as the keys are.
  std::size_t at = 0;
  while (at < query.name_bytes && query.name[at] != 0) {
    if (query.name[at] > 63) return false;
    at += 1u + query.name[at];
  }
  return query.name_bytes != 0 && at + 1u == query.name_bytes;
}

void fold(abi::CacheQuery& query) {
  for (uint8_t& byte : query.name) {
    if (byte >= 'A' && byte <= 'Z') byte = static_cast<uint8_t>(byte + ('a' - 'A'));
  }
}

}  // namespace

ControlEndpoint::ControlEndpoint(const std::string& run_dir, Appliance& appliance)
    : path_(run_dir + "/dataplane.sock"), appliance_(appliance) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) throw Failed("run directory too long: " + run_dir);
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
  listen_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  unlink(path_.c_str());
  const mode_t mask = umask(0177);
  const bool bound =
      listen_ >= 0 &&
      bind(listen_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      listen(listen_, 4) == 0;
  umask(mask);
  if (!bound) throw Failed("cannot listen on " + path_ + ": " + std::strerror(errno));
}

ControlEndpoint::~ControlEndpoint() {
  if (peer_ >= 0) close(peer_);
  if (listen_ >= 0) close(listen_);
  unlink(path_.c_str());
}

void ControlEndpoint::serve(int signal_fd) {
  for (;;) {
    pollfd fds[3] = {{signal_fd, POLLIN, 0}, {listen_, POLLIN, 0}, {peer_, POLLIN, 0}};
    if (poll(fds, 3, kWatchPeriodMs) < 0 && errno != EINTR) return;
    appliance_.watch_workers();
    if (fds[0].revents != 0) return;
    if (fds[2].revents != 0 && !serve_one()) return;
    if (fds[1].revents != 0) accept_one();
  }
}

void ControlEndpoint::accept_one() {
  const int fd = accept4(listen_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  // Replies may not block the main core for ever if the peer stops reading.
  const timeval limit{2, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (peer_ >= 0) close(peer_);
  peer_ = fd;
}

bool ControlEndpoint::serve_one() {
  Packet packet;
  std::memset(&packet, 0, sizeof packet);
  Received got = receive(peer_, &packet, sizeof packet);
  if (got.bytes < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got.bytes <= 0) {
    close(peer_);
    peer_ = -1;
    return true;
  }
  const abi::Request& request = packet.request;
  const auto bytes = static_cast<std::size_t>(got.bytes);
  ControlResult result{abi::ReplyCode::bad_request, "malformed request, or another ABI version"};
  bool go_on = true;
  const bool sockets = request.op == abi::Op::install_sockets;
  if (!got.excess && (sockets || got.fds.size() <= 1) &&
      request.abi_version == abi::kAbiVersion && bytes == bytes_of(request.op)) {
    switch (request.op) {
      case abi::Op::hello: {
        abi::HelloReply reply{};
        fill(reply.reply, request, {});
        reply.pid = static_cast<uint32_t>(getpid());
        reply.workers = appliance_.workers();
        reply.config_generation = appliance_.config_generation();
        reply.routes_generation = appliance_.routes_generation();
        reply.boot_checksum = appliance_.boot_checksum();
        send_reply(&reply, sizeof reply, appliance_.stats_fd());
        return true;
      }
      case abi::Op::cache_lookup:
      case abi::Op::cache_flush: {
        if (!valid(packet.query)) break;
        fold(packet.query);
        const auto reply = std::make_unique<abi::CacheReply>();
        fill(reply->reply, request,
             appliance_.walk_cache(packet.query, request.op == abi::Op::cache_flush, *reply));
        send_reply(reply.get(), sizeof *reply);
        return true;
      }
      case abi::Op::install_config:
        if (got.fd() >= 0) result = appliance_.install_config(got.fd());
        break;
      case abi::Op::install_routes:
        if (got.fd() >= 0) result = appliance_.install_routes(got.fd());
        break;
      case abi::Op::install_sockets: {
        if (packet.sockets.cnt != got.fds.size() || packet.sockets.cnt > abi::kBindsMax) break;
        std::vector<slow::Listener> listeners;
        for (uint32_t i = 0; i < packet.sockets.cnt; ++i) {
          listeners.push_back({got.fds[i], packet.sockets.address[i]});
        }
        got.fds.clear();
        appliance_.install_sockets(std::move(listeners));
        result = {};
        break;
      }
      case abi::Op::advance_clock:
        result = appliance_.advance_clock(packet.clock.by_ns);
        break;
      case abi::Op::stop:
        result = {};
        go_on = false;
        break;
    }
  }
  abi::Reply reply{};
  fill(reply, request, result);
  send_reply(&reply, sizeof reply);
  return go_on;
}

void ControlEndpoint::send_reply(const void* bytes, size_t len, int fd) {
  iovec piece{const_cast<void*>(bytes), len};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  if (sendmsg(peer_, &message, MSG_NOSIGNAL) < 0) {
    close(peer_);
    peer_ = -1;
  }
}

}  // namespace millrace::dp
