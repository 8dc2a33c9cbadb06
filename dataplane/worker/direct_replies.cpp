// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/direct_replies.hpp"

namespace millrace::dp {

using abi::Outcome;

void DirectReplies::load(const abi::ServiceSection& service, const HashSecret& secret) noexcept {
  local_.load(service);
  options_.load(service, secret);
}

ReplyOptions::Asker DirectReplies::asker_of(const Frame& frame,
                                            const wire::Query& query) const noexcept {
  return {client_of(frame, query), unix_s(), settings_.by_subnet(query.pool)};
}

uint32_t DirectReplies::unix_s() const noexcept {
  const uint64_t now_s = now_ns_ / 1'000'000'000;
  return wall_ == nullptr ? static_cast<uint32_t>(now_s) : wall_->unix_s(now_s);
}

CookieState DirectReplies::cookie_of(const Frame& frame, const wire::Query& query) const noexcept {
  return options_.judge(frame.data + query.packet.dns_off, query, asker_of(frame, query));
}

wire::ReplyLimits DirectReplies::limits_of(const Frame& frame, const wire::Query& query,
                                           uint8_t scope) noexcept {
  wire::ReplyLimits limits{.udp_bytes_max = settings_.service().edns_udp_bytes,
                           .room = static_cast<uint16_t>(frame.room - query.packet.dns_off),
                           .stream = is_slow(frame)};
  if (query.options_at != 0) [[unlikely]] {
    ReplyOptions::Asker asker = asker_of(frame, query);
    asker.scope = scope;
    count_cookie(counters_,
                 options_.add(frame.data + query.packet.dns_off, query, asker, limits));
  }
  return limits;
}

Outcome DirectReplies::conclude(const Frame& frame, const wire::Query& query, Outcome outcome,
                                AnswerView& local) noexcept {
  if (outcome == Outcome::refused_class &&
      local_.find_identity(frame.data + query.packet.dns_off, query, local)) {
    return Outcome::local_identity;
  }
  if (outcome == Outcome::cookie_only && cookie_of(frame, query) == CookieState::bad) {
    return Outcome::bad_cookie;
  }
  return outcome;
}

wire::Reply DirectReplies::write_local(const Frame& frame, const wire::Query& query,
                                       const AnswerView& answer) noexcept {
  return wire::write_reply(frame.data + query.packet.dns_off, query, answer, 0,
                           limits_of(frame, query));
}

wire::Reply DirectReplies::write_error(const Frame& frame, const wire::Query& query,
                                       Outcome outcome) noexcept {
  uint8_t* const msg = frame.data + query.packet.dns_off;
  const wire::ReplyLimits limits = limits_of(frame, query);
  return outcome == Outcome::rrl_slip ? wire::write_truncated(msg, query, limits)
                                      : wire::write_error(msg, query, outcome, limits);
}

bool DirectReplies::gets_a_reply(Outcome outcome) noexcept {
  switch (abi::kOutcomes[static_cast<std::size_t>(outcome)].cls) {
    case abi::OutcomeClass::error:
    case abi::OutcomeClass::refused:
      return true;
    case abi::OutcomeClass::limited:
      return outcome != Outcome::limited && outcome != Outcome::rrl_drop;
    default:
      return outcome == Outcome::cookie_only;
  }
}

}  // namespace millrace::dp
