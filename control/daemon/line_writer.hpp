// SPDX-License-Identifier: Apache-2.0
#pragma once
// Lines to a descriptor that others may have open as well, a pipe or a terminal, without ever
// waiting for whoever reads it: what does not fit is lost, counted, and the count is written when
// there is room again.
//
// The descriptor stays blocking, for its mode is shared with the shell that started us. Instead it
// is asked for room before each piece of at most PIPE_BUF bytes, which then goes in at once.
//
// Threads: one at a time.

#include <cstdint>
#include <string_view>

namespace millrace::ctl::log {

class LineWriter {
 public:
  explicit LineWriter(int fd) : fd_(fd) {}

  void write(std::string_view line);  // with its newline

 private:
  bool put(std::string_view text);

  int fd_;
  uint64_t lost_ = 0;
  bool torn_ = false;  // the last line that was begun has no end
};

}  // namespace millrace::ctl::log
