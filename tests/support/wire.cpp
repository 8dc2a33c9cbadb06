// SPDX-License-Identifier: Apache-2.0
#include "tests/support/wire.hpp"

#include "tests/sim/violation.hpp"

#include <cerrno>

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace millrace::test {

Wire::Wire() {
  const int made = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds_);
  sim::demand(made == 0, "simulator", "no more descriptors");
}

Wire::~Wire() {
  hang_up();
  if (fds_[1] >= 0) close(fds_[1]);
}

int Wire::give_end() {
  const int fd = fds_[1];
  fds_[1] = -1;
  return fd;
}

void Wire::send(const Bytes& bytes) {
  if (gone || shut || bytes.empty()) return;
  const ssize_t cnt = ::send(fds_[0], bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (cnt > 0) sent.insert(sent.end(), bytes.begin(), bytes.begin() + cnt);
}

void Wire::read() {
  if (gone) return;
  uint8_t buffer[4096];
  ssize_t got;
  while ((got = recv(fds_[0], buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
    come.insert(come.end(), buffer, buffer + got);
  closed |= got == 0 || (got < 0 && errno != EAGAIN);
}

void Wire::shut_down() {
  if (!gone) shutdown(fds_[0], SHUT_WR);
  shut = true;
}

void Wire::hang_up() {
  if (!gone) close(fds_[0]);
  gone = true;
}

bool Wire::all_read() const {
  int unread = 0;
  return gone || ioctl(fds_[0], SIOCOUTQ, &unread) != 0 || unread == 0;
}

}  // namespace millrace::test
