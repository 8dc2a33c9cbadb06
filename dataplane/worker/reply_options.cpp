// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/reply_options.hpp"

#include <algorithm>
#include <cstring>

namespace millrace::dp {
namespace {

static_assert(abi::kCookieSecretBytes == kSipKeyBytes);
static_assert(HashSecret::kSpareAt + kSipKeyBytes <= HashSecret::kBytes);

uint8_t* add_head(uint8_t* to, uint16_t code, uint32_t bytes) noexcept {
  store_be16(to, code);
  store_be16(to + 2, static_cast<uint16_t>(bytes));
  return to + wire::kOptionHeadBytes;
}

// The client's own, unless it is none.
uint8_t* add_subnet(uint8_t* to, const wire::ClientOptions& asked, uint8_t scope) noexcept {
  wire::Subnet told;
  if (asked.subnet == nullptr || !wire::read_subnet(asked.subnet, asked.subnet_bytes, told)) {
    return to;
  }
  to = add_head(to, wire::kOptionSubnet, asked.subnet_bytes);
  std::memcpy(to, asked.subnet, asked.subnet_bytes);
  to[3] = scope;
  return to + asked.subnet_bytes;
}

}  // namespace

void ReplyOptions::load(const abi::ServiceSection& service, const HashSecret& secret) noexcept {
  config_ = service.local;
  secret_cnt_ = config_.cookie_secrets;
  if (secret_cnt_ == 0) {
    std::memcpy(config_.cookie_secret[0], secret.bytes + HashSecret::kSpareAt, kSipKeyBytes);
    secret_cnt_ = 1;
  }
  subnets_ = std::any_of(service.pool, service.pool + service.pools,
                         [](const abi::PoolConfig& pool) { return pool.subnet_variants != 0; });
  nsid_bytes_ = static_cast<uint16_t>(strnlen(config_.nsid, sizeof config_.nsid));
  keepalive_ = static_cast<uint16_t>(std::min<uint32_t>(service.tcp.idle_ms / 100, 0xffff));
}

CookieState ReplyOptions::judge(const wire::ClientOptions& asked,
                                const Asker& asker) const noexcept {
  // Shorter only if cookies were off when the query came, so that nobody looked at its length.
  if (!cookies() || asked.cookie_bytes < wire::kClientCookieBytes) return CookieState::none;
  if (asked.cookie_bytes == wire::kClientCookieBytes) return CookieState::fresh;
  if (asked.cookie_bytes != wire::kCookieBytes) return CookieState::bad;
  for (uint32_t i = 0; i < secret_cnt_; ++i) {
    if (wire::is_good_cookie(asked.cookie, asker.client, asker.unix_s, config_.cookie_secret[i])) {
      return CookieState::good;
    }
  }
  return CookieState::bad;
}

CookieState ReplyOptions::judge(const uint8_t* msg, const wire::Query& query,
                                const Asker& asker) const noexcept {
  return judge(wire::read_options(msg, query.options_at), asker);
}

uint8_t* ReplyOptions::add_cookie(uint8_t* to, const wire::ClientOptions& asked, const Asker& asker,
                                  CookieState state) const noexcept {
  to = add_head(to, wire::kOptionCookie, wire::kCookieBytes);
  const uint8_t* const secret = config_.cookie_secret[0];
  const bool keep = state == CookieState::good &&
                    wire::cookie_age_s(asked.cookie, asker.unix_s) <= wire::kCookieRenewAgeS &&
                    wire::is_good_cookie(asked.cookie, asker.client, asker.unix_s, secret);
  std::memcpy(to, asked.cookie, keep ? wire::kCookieBytes : wire::kClientCookieBytes);
  if (!keep) wire::write_cookie(to, asker.client, asker.unix_s, secret);
  return to + wire::kCookieBytes;
}

CookieState ReplyOptions::add(const uint8_t* msg, const wire::Query& query, const Asker& asker,
                              wire::ReplyLimits& limits) noexcept {
  const wire::ClientOptions asked = wire::read_options(msg, query.options_at);
  const CookieState state = judge(asked, asker);
  uint8_t* to = bytes_;
  if (state != CookieState::none) to = add_cookie(to, asked, asker, state);
  if (asker.by_subnet) to = add_subnet(to, asked, asker.scope);
  limits.cookie_bytes = static_cast<uint16_t>(to - bytes_);
  if (asked.nsid && nsid_bytes_ != 0) {
    to = add_head(to, wire::kOptionNsid, nsid_bytes_);
    std::memcpy(to, config_.nsid, nsid_bytes_);
    to += nsid_bytes_;
  }
  if (asked.keepalive && limits.stream) {
    to = add_head(to, wire::kOptionKeepalive, 2);
    store_be16(to, keepalive_);
    to += 2;
  }
  limits.options = bytes_;
  limits.options_bytes = static_cast<uint16_t>(to - bytes_);
  return state;
}

}  // namespace millrace::dp
