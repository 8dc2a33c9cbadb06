// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/rule_overlap.hpp"

#include <algorithm>
#include <cstring>

namespace millrace::ctl {
namespace {

// Between a core's last query as before and the word that all cores have changed, and back.
constexpr RuleOverlap::Milliseconds kMargin{1000};

bool same(const std::vector<abi::Address>& a, const std::vector<abi::Address>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const abi::Address& one, const abi::Address& other) {
                      return std::memcmp(&one, &other, sizeof one) == 0;
                    });
}

bool same(const AnswerRules& a, const AnswerRules& b) {
  return a.port_first == b.port_first && a.port_end == b.port_end &&
         same(a.backends, b.backends) && same(a.sources, b.sources);
}

}  // namespace

void RuleOverlap::expect(AnswerRules next, Milliseconds give_up, Time now) {
  retire(now);
  if (next.sources.empty()) return;
  give_up_ = std::max(give_up_, give_up);
  expected_ = std::move(next);
}

void RuleOverlap::retire(Time now) {
  if (expected_) keep(std::move(*expected_), now);
  expected_.reset();
}

void RuleOverlap::ask(const AnswerRules& running, Milliseconds give_up, Time now) {
  if (now >= until_) former_.clear();
  const bool longer = give_up > give_up_;
  give_up_ = std::max(give_up_, give_up);
  if (running_ && !same(*running_, running)) keep(std::move(*running_), now);
  std::erase_if(former_, [&](const AnswerRules& one) { return same(one, running); });
  running_ = running;
  // A question's time is that of the config that it ends under.
  if (longer && !former_.empty()) until_ = std::max(until_, now + give_up_ + kMargin);
  if (former_.empty() && !expected_) give_up_ = give_up;
}

void RuleOverlap::keep(AnswerRules rules, Time now) {
  if (rules.sources.empty()) return;  // without a route nothing was asked
  std::erase_if(former_, [&](const AnswerRules& one) { return same(one, rules); });
  former_.push_front(std::move(rules));
  if (former_.size() > kFormerMax) former_.pop_back();
  until_ = std::max(until_, now + give_up_ + kMargin);
}

std::vector<AnswerRules> RuleOverlap::also(Time now) {
  if (now >= until_) former_.clear();
  std::vector<AnswerRules> all;
  if (expected_) all.push_back(*expected_);
  all.insert(all.end(), former_.begin(), former_.end());
  return all;
}

std::optional<RuleOverlap::Time> RuleOverlap::until() const {
  if (former_.empty()) return std::nullopt;
  return until_;
}

}  // namespace millrace::ctl
