// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an answer from upstream must have besides the right address, ports and id: the spelling of
// our question (wire/spelling.hpp), and the cookies of RFC 7873.
//
//   try ─▶ arm: a random spelling, a cookie ─▶ packet ─▶ answer ─▶ judge ─▶ good: learn its cookie
//                                                                     └─▶ lacks one of them: it is
//                                                         dropped, and the question asked over TCP
//
// Our cookie for an upstream is a hash of both addresses under a secret; the upstream's own comes
// with its answers and is sent along for kCookieNs after the last one. As long as that is, an
// answer without a cookie is none of that upstream's. An answer with a cookie that is not made of
// ours never is.
//
// Upstreams that do not keep to this must not be shut out for it: there are some that change the
// letter case, and one may lose its cookies with a new config. Nobody but the upstream can answer
// over TCP. So kBreachesMax questions in a row whose answer over TCP, too, lacked what it lacked
// over UDP (or that got none there: without TCP there is nobody else to ask) have it asked without
// spelling, or without cookies, for kOffNs. An upstream at another address starts anew, and all do
// when the config switches one of the two off.
//
// Both are on by default: it is resolvers that are asked, and they keep the case and ignore options
// that they do not know. What servers of zones do with either is theirs to cope with; so no type is
// exempt.
//
// Threads: private to its worker: each learns cookies for itself. Memory: fixed. Cost: two random
// words per packet sent; a hash of 40 octets for each packet and each answer with a cookie.
// Sources: draft-vixie-dnsext-dns0x20; RFC 7873, section 5; RFC 9018, section 3.

#include "dataplane/abi/config_image.hpp"
#include "dataplane/base/csprng.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/base/key_hash.hpp"
#include "dataplane/wire/cookie.hpp"
#include "dataplane/wire/upstream.hpp"
#include "dataplane/worker/inflight.hpp"
#include "dataplane/worker/settings.hpp"

#include <array>
#include <cstdint>

namespace millrace::dp {

class AnswerGuards {
 public:
  static constexpr uint32_t kBreachesMax = 3;
  static constexpr uint64_t kOffNs = 600'000'000'000;
  static constexpr uint64_t kCookieNs = 3'600'000'000'000;
  static constexpr uint32_t kServerCookieBytesMin = 8;
  static constexpr uint32_t kServerCookieBytesMax = 32;

  explicit AnswerGuards(const HashSecret& secret) noexcept;

  // What is known of an upstream that stays moves along with it.
  void apply(const Remap& remap, const abi::ServiceSection& service) noexcept;
  // The time of everything until the next call.
  void begin_turn(uint64_t now_ns) noexcept { now_ns_ = now_ns; }

  // Of a packet that is to be sent; everything else about the try is known.
  void arm(Try& entry, Csprng& random) const noexcept;
  // Puts that into the query, of `len` octets; answers its new length, up to 44 octets more.
  uint16_t dress(uint8_t* msg, uint16_t len, const Key& key, const Try& entry) const noexcept;

  // What an answer to the try lacks. `msg` and `parsed` as parse_answer() left them; the verdict is
  // answer, failure or truncated (which has no options).
  Guard judge(const Try& entry, const Key& key, const uint8_t* msg, wire::Verdict verdict,
              const wire::ParsedAnswer& parsed) const noexcept;
  // Such an answer that lacks nothing.
  void on_good(const Try& entry, wire::Verdict verdict, const wire::ParsedAnswer& parsed) noexcept;
  // The upstream itself does not keep to it. True: from now on it is asked without.
  bool on_breach(uint32_t backend, Guard guard) noexcept;

 private:
  // What an upstream makes of one of the two.
  struct Habit {
    uint32_t breaches = 0;  // in a row
    uint64_t off_until_ns = 0;
  };
  struct State {
    Habit spelling;
    Habit cookie;
    uint64_t client_cookie = 0;  // that the rest goes with
    uint64_t expected_until_ns = 0;
    uint8_t server_cookie_bytes = 0;
    uint8_t server_cookie[kServerCookieBytesMax];
  };

  uint64_t client_cookie(const Try& entry) const noexcept;
  // Whether this upstream has shown a cookie of late, in answers to where the try went from.
  bool expects_cookie(const Try& entry, uint64_t client_cookie) const noexcept;

  uint8_t secret_[kSipKeyBytes];
  bool spells_ = false;
  bool cookies_ = false;
  uint64_t now_ns_ = 0;
  std::array<State, abi::kBackendsMax> state_{};
};

}  // namespace millrace::dp
