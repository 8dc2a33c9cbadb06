// SPDX-License-Identifier: Apache-2.0
#pragma once
// The other end of a TCP connection, in the test's own thread: a socket pair, and framing of its
// own.

#include "tests/support/packet_builder.hpp"

#include <cerrno>
#include <optional>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace millrace::test {

class Peer {
 public:
  Peer() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds_), 0); }
  ~Peer() {
    hang_up();
    if (fds_[1] >= 0) close(fds_[1]);
  }
  Peer(const Peer&) = delete;

  // The product's end, which it closes.
  int give_end() {
    const int fd = fds_[1];
    fds_[1] = -1;
    return fd;
  }

  static Bytes framed(const Bytes& message) {
    Bytes bytes{static_cast<uint8_t>(message.size() >> 8), static_cast<uint8_t>(message.size())};
    bytes.insert(bytes.end(), message.begin(), message.end());
    return bytes;
  }
  void send_bytes(const Bytes& bytes) {
    ASSERT_EQ(send(fds_[0], bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // All or nothing, by the look of it; false: the other side does not read.
  bool try_send(const Bytes& bytes) {
    std::size_t at = 0;
    while (at < bytes.size()) {
      const ssize_t sent = send(fds_[0], bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent < 0 && at == 0) return false;
      if (sent < 0) {
        unsent_.assign(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end());
        return true;
      }
      at += static_cast<std::size_t>(sent);
    }
    return true;
  }
  void send_message(const Bytes& message) { send_bytes(framed(message)); }

  // What has come: whole messages, in order.
  std::vector<Bytes> messages() {
    read_all();
    std::vector<Bytes> all;
    while (come_.size() >= 2) {
      const std::size_t bytes = come_[0] * 256u + come_[1];
      if (come_.size() < 2 + bytes) break;
      const auto end = come_.begin() + 2 + static_cast<std::ptrdiff_t>(bytes);
      all.emplace_back(come_.begin() + 2, end);
      come_.erase(come_.begin(), end);
    }
    return all;
  }
  bool closed() {
    read_all();
    return closed_;
  }
  void shut_down() { shutdown(fds_[0], SHUT_WR); }
  void hang_up() {
    if (fds_[0] >= 0) close(fds_[0]);
    fds_[0] = -1;
  }

 private:
  void read_all() {
    if (!unsent_.empty()) {
      const ssize_t sent = send(fds_[0], unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
      if (sent > 0) unsent_.erase(unsent_.begin(), unsent_.begin() + sent);
    }
    uint8_t buffer[65536];
    ssize_t got;
    while ((got = recv(fds_[0], buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
      come_.insert(come_.end(), buffer, buffer + got);
    }
    closed_ |= got == 0 || (got < 0 && errno != EAGAIN);
  }

  int fds_[2] = {-1, -1};
  Bytes come_;
  Bytes unsent_;  // the rest of a try_send
  bool closed_ = false;
};

}  // namespace millrace::test
