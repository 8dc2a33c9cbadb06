// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/listen_sockets.hpp"

#include "dataplane/base/socket_address.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace millrace::ctl {
namespace {

constexpr int kBacklog = 4096;  // connections that wait while no data plane takes them
constexpr int kFastOpens = 256;  // of them, those whose address is not proven yet

bool same(const abi::Address& a, const abi::Address& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

void set(int fd, int level, int option) {
  const int on = 1;
  ::setsockopt(fd, level, option, &on, sizeof on);
}

// -1: errno says why.
int open_listener(const abi::Address& address) {
  const bool v4 = address.family == 4;
  UniqueFd fd(::socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return -1;
  set(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  // A data plane that outlived our predecessor listens there until it gets ours.
  set(fd.get(), SOL_SOCKET, SO_REUSEPORT);
  if (!v4) set(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  set(fd.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_FREEBIND : IPV6_FREEBIND);
  // RFC 7413, where the host's net.ipv4.tcp_fastopen lets servers.
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_FASTOPEN, &kFastOpens, sizeof kFastOpens);
  const SocketAddress at(address);
  if (::bind(fd.get(), at.get(), at.bytes()) != 0 || ::listen(fd.get(), kBacklog) != 0) return -1;
  return fd.release();
}

}  // namespace

std::vector<std::string> ListenSockets::use(const Config& config) {
  std::vector<std::string> faults;
  std::vector<Socket> next;
  for (const Bind& bind : config.binds) {
    if (config.tcp.connections == 0) break;
    const abi::Address address = bind.listen_address.to_abi();
    const auto known = std::find_if(sockets_.begin(), sockets_.end(), [&](const Socket& socket) {
      return same(socket.address, address);
    });
    if (known != sockets_.end()) {
      next.push_back(std::move(*known));
      sockets_.erase(known);
      continue;
    }
    const int fd = open_listener(address);
    if (fd >= 0) {
      next.push_back({address, UniqueFd(fd)});
      continue;
    }
    faults.push_back("binds[" + bind.name + "].listen_address: nobody can connect to " +
                     bind.listen_address.text() + " over TCP: " + std::strerror(errno) +
                     (errno == EADDRINUSE ? "; another program listens there" : ""));
  }
  sockets_ = std::move(next);
  return faults;
}

ListenSockets::Handout ListenSockets::hand_out() const {
  Handout out;
  for (const Socket& socket : sockets_) {
    UniqueFd copy(::fcntl(socket.fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy.valid()) continue;
    out.request.address[out.request.cnt++] = socket.address;
    out.copies.push_back(std::move(copy));
  }
  return out;
}

}  // namespace millrace::ctl
