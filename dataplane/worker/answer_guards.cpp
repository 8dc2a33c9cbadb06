// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/answer_guards.hpp"

#include <cstring>

#include "dataplane/wire/dns_format.hpp"
#include "dataplane/wire/spelling.hpp"

namespace millrace::dp {

AnswerGuards::AnswerGuards(const HashSecret& secret) noexcept {
  std::memcpy(secret_, secret.bytes + HashSecret::kSpareAt, sizeof secret_);
}

void AnswerGuards::apply(const Remap& remap, const abi::ServiceSection& service) noexcept {
  std::array<State, abi::kBackendsMax> next{};
  for (uint32_t o = 0; o < abi::kBackendsMax; ++o) {
    if (remap.backend[o] != Remap::kGone) next[remap.backend[o]] = state_[o];
  }
  state_ = next;
  spells_ = service.upstream_randomize_case != 0;
  cookies_ = service.upstream_cookies != 0;
  for (State& state : state_) {
    if (!spells_) state.spelling = {};
    if (!cookies_) {
      state.cookie = {};
      state.expected_until_ns = 0;
    }
  }
}

// The input is longer than that of any server cookie, which may be made with the same secret
// (wire/cookie.hpp), so neither tells of the other.
uint64_t AnswerGuards::client_cookie(const Try& entry) const noexcept {
  uint8_t ends[2 * sizeof(abi::Address)];
  std::memcpy(ends, &entry.source, sizeof(abi::Address));
  std::memcpy(ends + sizeof(abi::Address), &entry.target, sizeof(abi::Address));
  return siphash24(secret_, ends, sizeof ends);
}

bool AnswerGuards::expects_cookie(const Try& entry, uint64_t client_cookie) const noexcept {
  if (entry.backend == kNoBackend) return false;
  const State& state = state_[entry.backend];
  return now_ns_ < state.expected_until_ns && state.client_cookie == client_cookie;
}

void AnswerGuards::arm(Try& entry, Csprng& random) const noexcept {
  const State& state = state_[entry.backend];
  entry.spelling = 0;
  if (spells_ && now_ns_ >= state.spelling.off_until_ns) {
    entry.spelling = uint64_t{random.u32()} << 32 | random.u32();
  }
  entry.with_cookie = entry.with_edns && cookies_ && now_ns_ >= state.cookie.off_until_ns;
}

uint16_t AnswerGuards::dress(uint8_t* msg, uint16_t len, const Key& key,
                             const Try& entry) const noexcept {
  wire::spell_name(msg + wire::kDnsHeaderBytes, key.len - kKeyHeadBytes, entry.spelling);
  if (!entry.with_cookie) return len;
  uint8_t cookie[wire::kClientCookieBytes + kServerCookieBytesMax];
  const uint64_t client = client_cookie(entry);
  std::memcpy(cookie, &client, sizeof client);
  uint16_t bytes = sizeof client;
  if (expects_cookie(entry, client)) {
    const State& state = state_[entry.backend];
    std::memcpy(cookie + bytes, state.server_cookie, state.server_cookie_bytes);
    bytes = static_cast<uint16_t>(bytes + state.server_cookie_bytes);
  }
  return wire::add_option(msg, len, key, wire::kOptionCookie, cookie, bytes);
}

Guard AnswerGuards::judge(const Try& entry, const Key& key, const uint8_t* msg,
                          wire::Verdict verdict, const wire::ParsedAnswer& parsed) const noexcept {
  // A failure may come without the question.
  const bool has_question = load_be16(msg + wire::kDnsQdCountAt) != 0;
  if (entry.spelling != 0 && has_question &&
      !wire::is_spelt(msg + wire::kDnsHeaderBytes, key.bytes + kKeyHeadBytes,
                      key.len - kKeyHeadBytes, entry.spelling)) {
    return Guard::spelling;
  }
  if (!entry.with_cookie || verdict == wire::Verdict::truncated) return Guard::none;
  const uint64_t client = client_cookie(entry);
  if (parsed.cookie == nullptr) {
    return expects_cookie(entry, client) ? Guard::cookie : Guard::none;
  }
  constexpr uint32_t kBytesMin = sizeof client + kServerCookieBytesMin;
  const bool is_ours = parsed.cookie_bytes >= kBytesMin &&
                       parsed.cookie_bytes <= sizeof client + kServerCookieBytesMax &&
                       std::memcmp(parsed.cookie, &client, sizeof client) == 0;
  return is_ours ? Guard::none : Guard::cookie;
}

void AnswerGuards::on_good(const Try& entry, wire::Verdict verdict,
                           const wire::ParsedAnswer& parsed) noexcept {
  if (entry.backend == kNoBackend) return;
  State& state = state_[entry.backend];
  if (entry.spelling != 0) state.spelling.breaches = 0;
  if (!entry.with_cookie) return;
  if (verdict == wire::Verdict::answer) state.cookie.breaches = 0;
  if (parsed.cookie == nullptr) return;
  state.cookie.breaches = 0;
  state.client_cookie = client_cookie(entry);
  state.expected_until_ns = now_ns_ + kCookieNs;
  state.server_cookie_bytes =
      static_cast<uint8_t>(parsed.cookie_bytes - sizeof state.client_cookie);
  std::memcpy(state.server_cookie, parsed.cookie + sizeof state.client_cookie,
              state.server_cookie_bytes);
}

bool AnswerGuards::on_breach(uint32_t backend, Guard guard) noexcept {
  if (backend == kNoBackend) return false;
  State& state = state_[backend];
  Habit& habit = guard == Guard::spelling ? state.spelling : state.cookie;
  habit.breaches += 1;
  if (habit.breaches < kBreachesMax) return false;
  habit = {.breaches = 0, .off_until_ns = now_ns_ + kOffNs};
  if (guard == Guard::cookie) state.expected_until_ns = 0;
  return true;
}

}  // namespace millrace::dp
