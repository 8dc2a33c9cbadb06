// SPDX-License-Identifier: Apache-2.0
#include "control/config/prefix.hpp"

#include "control/config/endpoint.hpp"

#include <charconv>
#include <cstring>

#include <arpa/inet.h>

namespace millrace::ctl {
namespace {

Status refused(std::string why) {
  return Status(Code::rejected, std::move(why));
}

}  // namespace

std::string Prefix::text() const {
  char host[INET6_ADDRSTRLEN] = "";
  inet_ntop(family == 6 ? AF_INET6 : AF_INET, bytes.data(), host, sizeof host);
  return std::string(host) + "/" + std::to_string(bits);
}

abi::PrefixConfig Prefix::to_abi() const {
  abi::PrefixConfig prefix{};
  std::memcpy(prefix.bytes, bytes.data(), bytes.size());
  prefix.family = family;
  prefix.bits = bits;
  return prefix;
}

Prefix Prefix::cut() const {
  Prefix prefix = *this;
  for (uint32_t bit = bits; bit < 128; ++bit) {
    prefix.bytes[bit / 8] = static_cast<uint8_t>(prefix.bytes[bit / 8] & ~(0x80u >> bit % 8));
  }
  return prefix;
}

bool Prefix::is_v4_mapped() const {
  return family == 6 && Endpoint{.bytes = bytes, .family = family}.is_v4_mapped();
}

Result<Prefix> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string ip(text.substr(0, slash));
  Prefix prefix;
  prefix.family = ip.find(':') != ip.npos ? 6 : 4;
  const bool is_ip = ip.find('\0') == ip.npos && inet_pton(prefix.family == 6 ? AF_INET6 : AF_INET,
                                                           ip.c_str(), prefix.bytes.data()) == 1;
  if (!is_ip) return refused("not an IP address");
  const unsigned bits_max = prefix.family == 4 ? 32 : 128;
  unsigned bits = bits_max;
  if (slash != text.npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (error != std::errc() || end != digits.data() + digits.size() || bits > bits_max) {
      return refused("the prefix length must be a number from 0 to " + std::to_string(bits_max));
    }
  }
  prefix.bits = static_cast<uint8_t>(bits);
  return prefix;
}

}  // namespace millrace::ctl
