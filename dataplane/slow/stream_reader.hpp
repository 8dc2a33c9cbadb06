// SPDX-License-Identifier: Apache-2.0
#pragma once
// Cuts a TCP stream into DNS messages: two octets of length, then as many of message (RFC 1035
// section 4.2.2), in whatever pieces they come (RFC 7766 section 8).
//
// Threads: one. Memory: of a stream that stands between two messages none; else what has come of
// the next one, at most 64 KiB, and what came in the same read behind a message that had to wait.
// Cost: whole messages are not copied. Failure: none; every stream of octets is a stream of
// messages.

#include "dataplane/base/byte_order.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace millrace::slow {

inline constexpr std::size_t kLengthBytes = 2;
inline constexpr std::size_t kMessageBytesMax = 65'535;

class StreamReader {
 public:
  // Takes what was read. `take(message)` is called for each whole message, in order; false: not
  // now. That message, and what follows it, is then kept for the next call.
  template <class Take>
  void feed(std::span<const uint8_t> bytes, Take&& take) {
    std::span<const uint8_t> from = bytes;
    if (!kept_.empty()) {
      kept_.insert(kept_.end(), bytes.begin(), bytes.end());
      from = kept_;
    }
    std::size_t at = 0;
    while (from.size() - at >= kLengthBytes) {
      const std::size_t message_bytes = load_be16(from.data() + at);
      if (from.size() - at - kLengthBytes < message_bytes) break;
      if (!take(from.subspan(at + kLengthBytes, message_bytes))) break;
      at += kLengthBytes + message_bytes;
    }
    const auto used = static_cast<std::ptrdiff_t>(at);
    if (at == from.size()) {
      std::vector<uint8_t>().swap(kept_);  // an idle stream holds no memory
    } else if (kept_.empty()) {
      kept_.assign(from.begin() + used, from.end());
    } else if (at != 0) {
      kept_.erase(kept_.begin(), kept_.begin() + used);
    }
  }

  bool empty() const noexcept { return kept_.empty(); }
  std::size_t kept_bytes() const noexcept { return kept_.size(); }

 private:
  std::vector<uint8_t> kept_;  // begins with a length
};

}  // namespace millrace::slow
