// SPDX-License-Identifier: Apache-2.0
#pragma once
// How cold code says that something went wrong.
//
// A Status is either ok or a kind with a message for a person: what, where, what is allowed, what
// to do. A Result<T> is a value or such a Status. Neither is ever used on the packet path. The
// kinds are the exit codes of the programs (README, "Exit codes").

#include <optional>
#include <string>
#include <utility>

namespace millrace::ctl {

enum class Code : int {
  ok = 0,
  error = 1,
  usage = 2,
  unreachable = 3,  // the daemon does not answer
  rejected = 4,     // refused by validation; nothing changed
  timed_out = 5,
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::ok; }
  Code code() const { return code_; }
  int exit_code() const { return static_cast<int>(code_); }
  const std::string& message() const { return message_; }

  // The same failure seen from further out: "cannot start: <message>".
  Status in(const std::string& context) const {
    return ok() ? Status() : Status(code_, context + ": " + message_);
  }

 private:
  Code code_ = Code::ok;
  std::string message_;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}            // NOLINT: a value is a result
  Result(Status status) : status_(std::move(status)) {}    // NOLINT: so is a failure

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace millrace::ctl
