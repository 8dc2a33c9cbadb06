// SPDX-License-Identifier: Apache-2.0
#pragma once
// abi::Address as the socket calls have it, and back.

#include "dataplane/abi/abi_base.hpp"

#include <cstring>

#include <netinet/in.h>
#include <sys/socket.h>

namespace millrace {

class SocketAddress {
 public:
  SocketAddress() = default;
  explicit SocketAddress(const abi::Address& from) noexcept {
    if (from.family == 4) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(storage_);
      v4.sin_family = AF_INET;
      v4.sin_port = from.port_be;
      std::memcpy(&v4.sin_addr, from.bytes, sizeof v4.sin_addr);
      bytes_ = sizeof v4;
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(storage_);
      v6.sin6_family = AF_INET6;
      v6.sin6_port = from.port_be;
      std::memcpy(&v6.sin6_addr, from.bytes, sizeof v6.sin6_addr);
      bytes_ = sizeof v6;
    }
  }

  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage_); }
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t bytes() const noexcept { return bytes_; }
  // For calls that fill it.
  socklen_t* room() noexcept {
    bytes_ = sizeof storage_;
    return &bytes_;
  }

  // Family 0: neither IPv4 nor IPv6.
  abi::Address to_abi() const noexcept {
    abi::Address to{};
    if (storage_.ss_family == AF_INET) {
      const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage_);
      to.family = 4;
      to.port_be = v4.sin_port;
      std::memcpy(to.bytes, &v4.sin_addr, sizeof v4.sin_addr);
    } else if (storage_.ss_family == AF_INET6) {
      const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage_);
      to.family = 6;
      to.port_be = v6.sin6_port;
      std::memcpy(to.bytes, &v6.sin6_addr, sizeof v6.sin6_addr);
    }
    return to;
  }

 private:
  sockaddr_storage storage_{};
  socklen_t bytes_ = 0;
};

}  // namespace millrace
