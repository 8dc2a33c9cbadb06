// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/line_writer.hpp"

#include <algorithm>
#include <cerrno>
#include <string>

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "control/base/counted.hpp"

namespace millrace::ctl::log {

void LineWriter::write(std::string_view line) {
  if (lost_ != 0) {
    const std::string told =
        (torn_ ? "\n" : "") + counted(lost_, "line", "lines") + " lost: nobody read them\n";
    if (!put(told)) {
      ++lost_;
      return;
    }
    lost_ = 0;
    torn_ = false;
  }
  if (!put(line)) ++lost_;
}

bool LineWriter::put(std::string_view text) {
  for (bool begun = false; !text.empty(); begun = true) {
    pollfd room{fd_, POLLOUT, 0};
    const bool fits = ::poll(&room, 1, 0) > 0 && (room.revents & POLLOUT) != 0;
    const ssize_t put =
        fits ? ::write(fd_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF)) : -1;
    if (put < 0 && fits && errno == EINTR) continue;
    if (put <= 0) {
      torn_ |= begun;
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

}  // namespace millrace::ctl::log
