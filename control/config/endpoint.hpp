// SPDX-License-Identifier: Apache-2.0
#pragma once
// An IP address with a port, as written in the config and as carried in an image.
//
// Text forms: "198.18.0.53:53", "198.18.0.53", "[fd00:18::53]:53", "[fd00:18::53]", "fd00:18::53";
// the port is 53 when left out. No host names: a DNS cache cannot depend on DNS to start.
// Failure: parse_endpoint names what is wrong with the text.

#include "control/base/status.hpp"
#include "dataplane/abi/abi_base.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::ctl {

inline constexpr uint16_t kDnsPort = 53;

struct Endpoint {
  std::array<uint8_t, 16> bytes{};  // wire order; IPv4 in the first four, the rest zero
  uint8_t family = 0;               // 4 or 6; 0: none
  uint16_t port = kDnsPort;         // host order

  bool operator==(const Endpoint&) const = default;

  // The canonical form, always with the port; parse_endpoint gives the same endpoint back.
  std::string text() const;
  std::string ip_text() const;  // the address alone, without brackets
  abi::Address to_abi() const;

  bool is_unspecified() const;  // 0.0.0.0, ::
  bool is_loopback() const;     // 127.0.0.0/8, ::1
  bool is_link_local() const;   // 169.254.0.0/16, fe80::/10
  bool is_multicast() const;    // 224.0.0.0/4, ff00::/8, and 255.255.255.255
  bool is_v4_mapped() const;    // ::ffff:0:0/96
};

Result<Endpoint> parse_endpoint(std::string_view text);

// What was meant if the last group of an IPv6 address is its port: "[fd00::1]:53" for fd00::1:53.
// Empty: it can be none.
std::string with_brackets(std::string_view ip);

}  // namespace millrace::ctl
