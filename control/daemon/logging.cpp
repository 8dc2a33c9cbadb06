// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/logging.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace millrace::ctl::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>(
        "millraced", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %n %l: %v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

}  // namespace

void set_level(Level level) { logger().set_level(to_spdlog(level)); }

void debug(std::string_view line) { logger().debug("{}", line); }
void info(std::string_view line) { logger().info("{}", line); }
void warning(std::string_view line) { logger().warn("{}", line); }
void error(std::string_view line) { logger().error("{}", line); }

bool Limit::admit(std::string& line, Clock::time_point now) {
  if (now - period_start_ >= period_) {
    period_start_ = now;
    written_ = 0;
  }
  if (written_ >= burst_) {
    ++left_out_;
    return false;
  }
  ++written_;
  if (left_out_ != 0) line += " (" + std::to_string(left_out_) + " like it left out)";
  left_out_ = 0;
  return true;
}

}  // namespace millrace::ctl::log
