// SPDX-License-Identifier: Apache-2.0
#include "control/config/endpoint.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <arpa/inet.h>

namespace millrace::ctl {
namespace {

constexpr std::size_t kTextMax = 64;

Status refused(std::string why) {
  return Status(Code::rejected, std::move(why));
}

bool parse_port(std::string_view text, uint16_t& port) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > 65535) {
    return false;
  }
  port = static_cast<uint16_t>(value);
  return true;
}

bool parse_ip(std::string_view text, Endpoint& endpoint) {
  const std::string copy(text);
  const bool is_v6 = copy.find(':') != std::string::npos;
  endpoint.family = is_v6 ? 6 : 4;
  return inet_pton(is_v6 ? AF_INET6 : AF_INET, copy.c_str(), endpoint.bytes.data()) == 1;
}

}  // namespace

std::string Endpoint::ip_text() const {
  char host[INET6_ADDRSTRLEN] = "";
  inet_ntop(family == 6 ? AF_INET6 : AF_INET, bytes.data(), host, sizeof host);
  return host;
}

std::string Endpoint::text() const {
  const std::string ip = ip_text();
  return (family == 6 ? "[" + ip + "]" : ip) + ":" + std::to_string(port);
}

abi::Address Endpoint::to_abi() const {
  abi::Address address{};
  std::memcpy(address.bytes, bytes.data(), bytes.size());
  address.family = family;
  address.port_be = htons(port);
  return address;
}

bool Endpoint::is_unspecified() const {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

bool Endpoint::is_loopback() const {
  if (family == 4) return bytes[0] == 127;
  return std::all_of(bytes.begin(), bytes.end() - 1, [](uint8_t byte) { return byte == 0; }) &&
         bytes[15] == 1;
}

bool Endpoint::is_link_local() const {
  if (family == 4) return bytes[0] == 169 && bytes[1] == 254;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

bool Endpoint::is_multicast() const {
  if (family == 6) return bytes[0] == 0xff;
  const bool broadcast =
      std::all_of(bytes.begin(), bytes.begin() + 4, [](uint8_t byte) { return byte == 255; });
  return (bytes[0] & 0xf0) == 0xe0 || broadcast;
}

bool Endpoint::is_v4_mapped() const {
  return family == 6 &&
         std::all_of(bytes.begin(), bytes.begin() + 10, [](uint8_t byte) { return byte == 0; }) &&
         bytes[10] == 0xff && bytes[11] == 0xff;
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  if (text.empty() || text.size() > kTextMax || text.find('\0') != text.npos) {
    return refused("not an IP address");
  }
  Endpoint endpoint;
  std::string_view ip = text;
  std::string_view port;
  bool has_port = false;
  const std::size_t colon = text.find(':');
  if (text.front() == '[') {
    const std::size_t bracket = text.find(']');
    if (bracket == text.npos) return refused("the bracket is not closed");
    ip = text.substr(1, bracket - 1);
    if (ip.find(':') == ip.npos) return refused("brackets are for IPv6 addresses");
    const std::string_view rest = text.substr(bracket + 1);
    if (!rest.empty() && rest.front() != ':') return refused("after the bracket comes \":port\"");
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else if (colon != text.npos && text.find(':', colon + 1) == text.npos) {
    ip = text.substr(0, colon);
    has_port = true;
    port = text.substr(colon + 1);
  }
  if (ip.find('%') != ip.npos) return refused("an address with a zone (%) is not supported");
  if (!parse_ip(ip, endpoint)) {
    const std::string meant = has_port ? "" : with_brackets(ip);
    return refused("not an IP address" + (meant.empty() ? "" : "; with a port: \"" + meant + "\""));
  }
  if (has_port && !parse_port(port, endpoint.port)) {
    return refused("the port must be a number from 1 to 65535");
  }
  return endpoint;
}

std::string with_brackets(std::string_view ip) {
  const std::size_t colon = std::min(ip.rfind(':'), ip.size());
  const std::string_view host = ip.substr(0, colon);
  Endpoint endpoint;
  const bool is_meant = parse_ip(host, endpoint) && endpoint.family == 6 &&
                        parse_port(ip.substr(colon + 1), endpoint.port);
  return is_meant ? endpoint.text() : "";
}

}  // namespace millrace::ctl
