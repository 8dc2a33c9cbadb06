// SPDX-License-Identifier: Apache-2.0
#pragma once
// The names that are answered here unless the config says otherwise, and those that it adds.

#include "control/config/model.hpp"
#include "dataplane/abi/config_image.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace millrace::ctl {

struct BuiltinZone {
  std::string name;    // "10.in-addr.arpa"
  std::string prefix;  // of addresses whose reverse names these are, "10.0.0.0/8"; may be empty,
                       // and several zones may share one
  abi::LocalKind kind;
};

// RFC 6303 section 4, RFC 7793 (100.64.0.0/10) and the special names of RFC 6761 (localhost,
// invalid, test), 7686 (onion), 8375 (home.arpa), 9462 (resolver.arpa) and 9476 (alt).
const std::vector<BuiltinZone>& builtin_zones();

struct ZoneName {
  std::string wire;  // lower case
  abi::LocalKind kind;
};

// A domain name of letters, digits, '-' and '_', other than the root, in wire form and lower case;
// empty: it is none.
std::string wire_of(std::string_view name);

// What is served of all this, in an order that depends on the config alone. The config is valid.
// A suffix that is forwarded is not answered here, nor is what is below it.
std::vector<ZoneName> zones_served(const LocalZones& zones,
                                   const std::vector<ForwardRule>& forward);

}  // namespace millrace::ctl
