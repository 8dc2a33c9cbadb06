// SPDX-License-Identifier: Apache-2.0
#pragma once
// What millraced says on stderr, one line per event, without ever waiting for a reader. The only
// file that knows spdlog.
//
// Events that can repeat go through a Limit: the first ones of a period are written, the rest
// are counted and the count is written with the next one.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::ctl::log {

enum class Level { debug, info, warning, error };

void set_level(Level level);

void debug(std::string_view line);
void info(std::string_view line);
void warning(std::string_view line);
void error(std::string_view line);

class Limit {
 public:
  using Clock = std::chrono::steady_clock;

  Limit(uint32_t burst, std::chrono::milliseconds period) : burst_(burst), period_(period) {}

  // True when the event may be written; `line` then ends with the number left out before it.
  bool admit(std::string& line, Clock::time_point now = Clock::now());

 private:
  uint32_t burst_;
  std::chrono::milliseconds period_;
  Clock::time_point period_start_{};
  uint32_t written_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace millrace::ctl::log
