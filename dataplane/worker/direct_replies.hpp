// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a query gets without an answer from cache or upstream: errors, what is answered here, and
// the options that any reply carries. Workers and the slow path do not differ in that; a message
// of the slow path has a SlowHead in front of it (slow_frame.hpp), and so tells who asks.
//
// Threads: private to its core. Memory: that of its members. Cost: none for a query that is hit and
// asks for no options. Failure: none. Sources: local_answers.hpp, reply_options.hpp.

#include "dataplane/abi/config_image.hpp"
#include "dataplane/base/frame.hpp"
#include "dataplane/base/wall_clock.hpp"
#include "dataplane/stats/core_counters.hpp"
#include "dataplane/wire/packet.hpp"
#include "dataplane/wire/query.hpp"
#include "dataplane/wire/reply.hpp"
#include "dataplane/worker/local_answers.hpp"
#include "dataplane/worker/reply_options.hpp"
#include "dataplane/worker/settings.hpp"
#include "dataplane/worker/slow_frame.hpp"

#include <cstdint>

namespace millrace::dp {

// Who asked what stands in this frame.
inline abi::Address client_of(const Frame& frame, const wire::Query& query) noexcept {
  return is_slow(frame) ? slow_head(frame).client : wire::source_of(frame, query.packet);
}

class DirectReplies {
 public:
  // All of it outlives this object. `wall`: as in Connections; `now_ns`: of the turn.
  DirectReplies(const Settings& settings, const WallClock* wall, const uint64_t& now_ns,
                stats::CoreCounters& counters) noexcept
      : settings_(settings), wall_(wall), now_ns_(now_ns), counters_(counters) {}

  // Takes over what a verified config says; `settings` has it already.
  void load(const abi::ServiceSection& service, const HashSecret& secret) noexcept;

  // Whether these options mean anything; for parse_query().
  bool cookies() const noexcept { return options_.cookies(); }
  bool subnets() const noexcept { return options_.subnets(); }
  LocalAnswers& local() noexcept { return local_; }

  // The time that cookies are of, and that signatures are held against.
  uint32_t unix_s() const noexcept;

  // Of a query whose options_at is not 0.
  CookieState cookie_of(const Frame& frame, const wire::Query& query) const noexcept;

  // Of the one reply that is written next: options are made here, and counted.
  wire::ReplyLimits limits_of(const Frame& frame, const wire::Query& query,
                              uint8_t scope = 0) noexcept;

  // How a query ends that is not looked up and ended with `outcome` so far. local_identity:
  // `local` is its answer.
  abi::Outcome conclude(const Frame& frame, const wire::Query& query, abi::Outcome outcome,
                        AnswerView& local) noexcept;

  // These write over the query. An error is for whoever gets_a_reply().
  wire::Reply write_local(const Frame& frame, const wire::Query& query,
                          const AnswerView& answer) noexcept;
  wire::Reply write_error(const Frame& frame, const wire::Query& query,
                          abi::Outcome outcome) noexcept;

  // Everybody else is dropped in silence.
  static bool gets_a_reply(abi::Outcome outcome) noexcept;

 private:
  ReplyOptions::Asker asker_of(const Frame& frame, const wire::Query& query) const noexcept;

  const Settings& settings_;
  const WallClock* wall_;
  const uint64_t& now_ns_;
  stats::CoreCounters& counters_;
  LocalAnswers local_;
  ReplyOptions options_;
};

}  // namespace millrace::dp
