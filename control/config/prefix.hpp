// SPDX-License-Identifier: Apache-2.0
#pragma once
// A prefix of IP addresses, as written in the config and as carried in an image.
//
// Text forms: "198.18.0.0/16", "fd00:18::/32", or an address by itself: a prefix of all its bits.
// Bits behind the length are kept as they were read; whether that is an error is the caller's to
// say.
// Failure: parse_prefix names what is wrong with the text.

#include "control/base/status.hpp"
#include "dataplane/abi/config_image.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::ctl {

struct Prefix {
  std::array<uint8_t, 16> bytes{};  // wire order; IPv4 in the first four, the rest zero
  uint8_t family = 0;               // 4 or 6
  uint8_t bits = 0;

  bool operator==(const Prefix&) const = default;

  // The canonical form, always with the length; parse_prefix gives the same prefix back.
  std::string text() const;
  abi::PrefixConfig to_abi() const;

  bool is_v4_mapped() const;  // in ::ffff:0:0/96
  // This prefix without the bits behind its length.
  Prefix cut() const;
};

Result<Prefix> parse_prefix(std::string_view text);

}  // namespace millrace::ctl
