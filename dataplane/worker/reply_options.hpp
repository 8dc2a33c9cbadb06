// SPDX-License-Identifier: Apache-2.0
#pragma once
// The EDNS options of our replies, for queries that ask for any (Query::options_at is not 0).
//
//     COOKIE, CLIENT-SUBNET      NSID                        TCP KEEPALIVE
//     answers and errors;        answers; if the config      answers, over TCP
//     if they are on             has something to say
//
// Every reply to a query with a client cookie carries a server cookie (RFC 7873 section 5.2); one
// of ours that is less than half an hour old is sent back as it came. A server cookie that is old
// or none of ours counts as if it were not there. Cookies are made of the client's address, a
// secret and the time, and nothing of them is kept, nor does anything else depend on them. A client
// subnet comes back as it came, with the SCOPE of the answer (RFC 7871 section 7.2.2). Further
// options (padding, report channel, ...) are ignored and never sent back.
//
// Threads: private to its core. Cost: nothing for queries that ask for nothing; else one pass over
// the options, and a hash or two of 20 or 32 octets for the cookie. Failure: none.
// Sources: RFC 5001, 7828, 7871, 7873, 9018.

#include "dataplane/abi/config_image.hpp"
#include "dataplane/base/key_hash.hpp"
#include "dataplane/stats/core_counters.hpp"
#include "dataplane/wire/cookie.hpp"
#include "dataplane/wire/edns.hpp"
#include "dataplane/wire/query.hpp"
#include "dataplane/wire/reply.hpp"
#include "dataplane/wire/subnet.hpp"

#include <cstdint>

namespace millrace::dp {

// What the client's cookie was.
enum class CookieState : uint8_t { none, fresh, good, bad };

inline void count_cookie(stats::CoreCounters& counters, CookieState state) noexcept {
  if (state == CookieState::good) counters.count(abi::Event::cookie_good);
  if (state == CookieState::fresh) counters.count(abi::Event::cookie_new);
  if (state == CookieState::bad) counters.count(abi::Event::cookie_bad);
}

class ReplyOptions {
 public:
  // Who asks, when, and for whom the answer is.
  struct Asker {
    abi::Address client;
    uint32_t unix_s;
    bool by_subnet = false;  // CLIENT-SUBNET is on
    uint8_t scope = 0;
  };

  // Takes over what a verified config says. Without secrets in it the cookies are made with what is
  // in `secret`: all cores have the same, and the next process another one.
  void load(const abi::ServiceSection& service, const HashSecret& secret) noexcept;

  bool cookies() const noexcept { return config_.cookies != 0; }
  // Some pool asks by subnet.
  bool subnets() const noexcept { return subnets_; }

  // `msg` as parse_query() saw it; query.options_at is not 0.
  CookieState judge(const uint8_t* msg, const wire::Query& query,
                    const Asker& asker) const noexcept;

  // The same, and gives `limits` what the reply is to carry; it holds until the next call.
  CookieState add(const uint8_t* msg, const wire::Query& query, const Asker& asker,
                  wire::ReplyLimits& limits) noexcept;

 private:
  static constexpr uint32_t kBytesMax = wire::kOptionHeadBytes + wire::kCookieBytes +
                                        wire::kSubnetBytesMax + wire::kOptionHeadBytes +
                                        abi::kNameMax +
                                        wire::kOptionHeadBytes + 2;

  CookieState judge(const wire::ClientOptions& asked, const Asker& asker) const noexcept;
  uint8_t* add_cookie(uint8_t* to, const wire::ClientOptions& asked, const Asker& asker,
                      CookieState state) const noexcept;

  abi::LocalConfig config_{};
  uint32_t secret_cnt_ = 0;
  bool subnets_ = false;
  uint16_t nsid_bytes_ = 0;
  uint16_t keepalive_ = 0;  // in units of 100 ms
  uint8_t bytes_[kBytesMax];
};

}  // namespace millrace::dp
