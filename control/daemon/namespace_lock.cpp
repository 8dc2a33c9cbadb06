// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/namespace_lock.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "dataplane/base/check.hpp"

namespace millrace::ctl {
namespace {

UniqueFd make_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Nobody accepts, and nobody needs to: the kernel knows who listens.
std::string holder_of(const sockaddr_un& address, socklen_t bytes) {
  const UniqueFd fd = make_socket();
  ucred peer{};
  socklen_t peer_bytes = sizeof peer;
  const bool known =
      fd.valid() && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), bytes) == 0 &&
      ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) == 0 && peer.pid > 0;
  return known ? std::to_string(peer.pid) : "unknown";
}

}  // namespace

Result<UniqueFd> lock_network_namespace(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  MR_CHECK(name.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto bytes =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  UniqueFd fd = make_socket();
  if (fd.valid() && ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), bytes) == 0 &&
      ::listen(fd.get(), SOMAXCONN) == 0) {
    return fd;
  }
  if (errno == EADDRINUSE) {
    return Status(Code::error, "another millraced (pid " + holder_of(address, bytes) +
                                   ") serves this network namespace; stop it first");
  }
  return Status(Code::error, "cannot lock this network namespace (abstract socket '" + name +
                                 "'): " + std::strerror(errno));
}

}  // namespace millrace::ctl
