// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/unix_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace millrace::ctl {
namespace {

Status failure(const std::string& what, const std::string& path, int error) {
  const bool nobody = error == ENOENT || error == ECONNREFUSED;
  return {nobody ? Code::unreachable : Code::error,
          what + " " + path + ": " + std::strerror(error)};
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Status(Code::error, "socket path " + path + ": length must be 1.." +
                                   std::to_string(sizeof address.sun_path - 1) +
                                   " bytes; choose a shorter --run-dir");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

UniqueFd make_socket(int type) {
  return UniqueFd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

}  // namespace

Result<UniqueFd> connect_unix(const std::string& path, int type) {
  auto address = address_of(path);
  if (!address.ok()) return address.status();
  UniqueFd fd = make_socket(type);
  if (!fd.valid()) return failure("cannot make a socket for", path, errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.value()),
                sizeof(sockaddr_un)) != 0) {
    return failure("cannot connect to", path, errno);
  }
  return fd;
}

Result<UniqueFd> listen_unix(const std::string& path, int type, mode_t mode, int backlog) {
  auto address = address_of(path);
  if (!address.ok()) return address.status();
  UniqueFd fd = make_socket(type);
  if (!fd.valid()) return failure("cannot make a socket for", path, errno);
  ::unlink(path.c_str());
  // Nobody may connect before listen(), so the mode is set in time.
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.value()),
             sizeof(sockaddr_un)) != 0) {
    return failure("cannot bind", path, errno);
  }
  if (::chmod(path.c_str(), mode) != 0) return failure("cannot set the mode of", path, errno);
  if (::listen(fd.get(), backlog) != 0) return failure("cannot listen on", path, errno);
  return fd;
}

}  // namespace millrace::ctl
