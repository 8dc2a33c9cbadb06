// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whose answers the prefilter lets through while one config follows another: those of the old one
// and of the new one, from before the first query that is asked as the new one says, until the last
// one asked as the old one said has had its time.
//
//     apply ──expect──▶ { running, next } ──ask(next)──▶ { next, former } ──until()──▶ { next }
//                          └─ refused: forget()
//
// The same holds for source addresses that change with the kernel's routes. What comes faster than
// questions end adds up, to kFormerMax; all of it ends together.
//
// Without a source address no backend can be reached, so nothing is asked, or to be kept.
//
// Only the process knows: the next `millraced` begins with the rules of its config alone.
//
// Threads: one. Time comes from the caller.

#include <chrono>
#include <deque>
#include <optional>
#include <vector>

#include "control/xdp/prefilter.hpp"

namespace millrace::ctl {

class RuleOverlap {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Milliseconds = std::chrono::milliseconds;
  static constexpr std::size_t kFormerMax = 16;

  // Some cores may ask like this from now on; at most one more way than what runs. `give_up`: how
  // long one of their questions may take.
  void expect(AnswerRules next, Milliseconds give_up, Time now);
  // None does, nor will.
  void forget() { expected_.reset(); }
  // None does any more.
  void retire(Time now);

  // All cores ask like this, if nothing is expected.
  void ask(const AnswerRules& running, Milliseconds give_up, Time now);

  // What holds beside what runs; newest first.
  std::vector<AnswerRules> also(Time now);
  // When also() gets shorter by itself.
  std::optional<Time> until() const;

 private:
  void keep(AnswerRules rules, Time now);

  std::optional<AnswerRules> running_;
  std::optional<AnswerRules> expected_;
  std::deque<AnswerRules> former_;
  Milliseconds give_up_{};  // the longest that anything outstanding was or is asked under
  Time until_{};
};

}  // namespace millrace::ctl
