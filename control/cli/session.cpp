// SPDX-License-Identifier: Apache-2.0
#include "control/cli/session.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "control/daemon/diagnostics_json.hpp"
#include "control/daemon/dns_text.hpp"
#include "control/daemon/unix_socket.hpp"

namespace millrace::cli {
namespace {

using Clock = std::chrono::steady_clock;
using ctl::Code;
using ctl::Status;

constexpr std::size_t kReplyBytesMax = 64 << 20;

// Waits until the socket is ready or the time is up.
bool wait_for(int fd, short events, Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd poll{fd, events, 0};
    const int ready = ::poll(&poll, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

Status too_slow() { return {Code::timed_out, "millraced did not answer in time; see --timeout"}; }

Status send_all(int fd, const std::string& line, Clock::time_point deadline) {
  std::size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t now = ::send(fd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (now > 0) {
      sent += static_cast<std::size_t>(now);
    } else if (now < 0 && errno == EAGAIN) {
      if (!wait_for(fd, POLLOUT, deadline)) return too_slow();
    } else if (now < 0 && errno == EPIPE) {
      return {};  // it has answered already: read why
    } else if (now < 0 && errno != EINTR) {
      return {Code::unreachable, std::string("millraced: ") + std::strerror(errno)};
    }
  }
  return {};
}

ctl::Result<std::string> read_line(int fd, Clock::time_point deadline) {
  std::string line;
  std::array<char, 65536> buffer;
  while (line.size() < kReplyBytesMax) {
    if (!wait_for(fd, POLLIN, deadline)) return too_slow();
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return Status(Code::unreachable, "millraced closed the connection");
    line.append(buffer.data(), static_cast<std::size_t>(got));
    if (line.back() == '\n') return line;
  }
  return Status(Code::error, "millraced sent an endless reply");
}

Reply parse_reply(const std::string& line) {
  Reply reply;
  const Json parsed = Json::parse(line, nullptr, false);
  const bool whole = parsed.is_object() && parsed.contains("code") &&
                     parsed["code"].is_number_integer() && parsed.contains("message") &&
                     parsed["message"].is_string();
  const int code = whole ? parsed["code"].get<int>() : -1;
  if (code < 0 || code > static_cast<int>(Code::timed_out)) {
    reply.status = {Code::error, "millraced sent a reply that is not understood"};
    return reply;
  }
  reply.message = parsed["message"].get<std::string>();
  reply.data = parsed.value("data", Json::object());
  if (code != 0) reply.status = {static_cast<Code>(code), reply.message};
  return reply;
}

Clock::time_point deadline_of(const Session& session) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(session.timeout_s));
}

Reply exchange(const Session& session, const Json& request, Clock::time_point deadline) {
  const std::string path = session.run_dir + "/millraced.sock";
  auto connected = ctl::connect_unix(path, SOCK_STREAM);
  if (!connected.ok()) {
    return {{Code::unreachable, connected.status().message() +
                                    "; is millraced running, and is this its --run-dir?"},
            {},
            Json::object()};
  }
  const int fd = connected.value().get();
  const std::string line =
      request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (auto sent = send_all(fd, line, deadline); !sent.ok()) return {sent, {}, Json::object(), true};
  auto answer = read_line(fd, deadline);
  if (!answer.ok()) return {answer.status(), {}, Json::object(), true};
  return parse_reply(answer.value());
}

}  // namespace

Reply Session::call(const Json& request) const {
  return exchange(*this, request, deadline_of(*this));
}

Reply Session::change(Json request, const std::string& open) const {
  const auto deadline = deadline_of(*this);
  // CLOCK_MONOTONIC on both sides.
  request["deadline_ms"] =
      std::chrono::floor<std::chrono::milliseconds>(deadline.time_since_epoch()).count();
  Reply reply = exchange(*this, request, deadline);
  if (reply.unanswered) reply.status = {reply.status.code(), reply.status.message() + "; " + open};
  return reply;
}

void Session::fail(const Reply& reply) {
  exit_code = reply.status.exit_code();
  const char* who = reply.data.contains("diagnostics") ? "" : "millrace: ";
  std::fprintf(stderr, "%s%s\n", who, reply.status.message().c_str());
  if (json) {
    print_json({{"code", exit_code}, {"message", reply.status.message()}, {"data", reply.data}});
  }
}

void Session::fail(const Status& status) { fail(Reply{status, {}, Json::object()}); }

void Session::fail(const ctl::LoadResult& refused) {
  fail(Reply{{Code::rejected, refused.text()},
             {},
             {{"diagnostics", ctl::diagnostics_json(refused.diagnostics)}}});
}

void Session::print_json(const Json& value) const {
  const std::string text = value.dump(2, ' ', false, Json::error_handler_t::replace);
  std::fprintf(stdout, "%s\n", text.c_str());
}

Status check_question(const std::string& name, const std::string& type) {
  if (!type.empty()) {
    const auto known = ctl::record_type(type);
    if (!known.ok()) return {Code::usage, known.status().message()};
  }
  if (name.empty()) return {};
  const auto wire = ctl::wire_name(name);
  return wire.ok() ? Status() : Status(Code::usage, wire.status().message());
}

CLI::Validator seconds_in(double lo, double hi) {
  char range[64];
  std::snprintf(range, sizeof range, "%.10g to %.10g", lo, hi);
  // The library's own check takes "nan" and hexadecimal numbers.
  const auto check = [lo, hi, wanted = std::string(range)](const std::string& text) {
    double seconds = 0;
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, seconds);
    const bool fits = read.ec == std::errc() && read.ptr == end && seconds >= lo && seconds <= hi;
    return fits ? std::string() : "\"" + text + "\" is not a number of seconds from " + wanted;
  };
  return CLI::Validator(check, range);
}

CLI::Validator not_empty() {
  const auto check = [](const std::string& text) {
    return std::string(text.empty() ? "is empty: give a value, or leave it out" : "");
  };
  return CLI::Validator(check, "");
}

void add_common_options(CLI::App& app, Session& session) {
  app.add_flag("--json", session.json, "print JSON");
  app.add_option("--run-dir", session.run_dir, "where millraced.sock is")
      ->type_name("DIR")
      ->envname("MILLRACE_RUN_DIR")
      ->check(not_empty())
      ->capture_default_str();
  app.add_option("--timeout", session.timeout_s,
                 "give up after this many seconds (exit code 5; default 10, config apply 80)")
      ->type_name("SECONDS")
      ->check(seconds_in(0.001, 3600))
      ->each([&session](const std::string&) { session.timeout_given = true; });
  // Every verb inherits it: a verb's help names its own options only.
  app.footer(
      "With every verb: --json, --run-dir DIR, --timeout SECONDS (default 10, config apply 80); "
      "see `millrace --help`.");
}

}  // namespace millrace::cli
