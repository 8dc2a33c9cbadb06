// SPDX-License-Identifier: Apache-2.0
#include "control/config/local_zones.hpp"

#include <algorithm>

namespace millrace::ctl {
namespace {

using abi::LocalKind;

std::vector<BuiltinZone> make_zones() {
  std::vector<BuiltinZone> zones = {
      {"localhost", "", LocalKind::loopback},
      {"invalid", "", LocalKind::nxdomain},
      {"test", "", LocalKind::nxdomain},
      {"onion", "", LocalKind::nxdomain},
      {"alt", "", LocalKind::nxdomain},
      {"home.arpa", "", LocalKind::empty},
      {"resolver.arpa", "", LocalKind::nodata},
  };
  const auto reverse = [&zones](const std::string& name, const std::string& prefix) {
    zones.push_back({name, prefix, LocalKind::empty});
  };
  const auto v4 = [&reverse](const std::string& labels, const std::string& prefix) {
    reverse(labels + ".in-addr.arpa", prefix);
  };
  const auto v6 = [&reverse](const std::string& labels, const std::string& prefix) {
    reverse(labels + ".ip6.arpa", prefix);
  };
  v4("10", "10.0.0.0/8");
  for (int i = 16; i < 32; ++i)
    v4(std::to_string(i) + ".172", "172.16.0.0/12");
  v4("168.192", "192.168.0.0/16");
  for (int i = 64; i < 128; ++i)
    v4(std::to_string(i) + ".100", "100.64.0.0/10");
  v4("0", "0.0.0.0/8");
  v4("127", "127.0.0.0/8");
  v4("254.169", "169.254.0.0/16");
  v4("2.0.192", "192.0.2.0/24");
  v4("100.51.198", "198.51.100.0/24");
  v4("113.0.203", "203.0.113.0/24");
  v4("255.255.255.255", "255.255.255.255/32");
  std::string zeros;
  for (int i = 0; i < 31; ++i)
    zeros += ".0";
  v6("0" + zeros, "::/128");
  v6("1" + zeros, "::1/128");
  v6("d.f", "fd00::/8");
  for (const char* nibble : {"8", "9", "a", "b"})
    v6(std::string(nibble) + ".e.f", "fe80::/10");
  v6("8.b.d.0.1.0.0.2", "2001:db8::/32");
  return zones;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool is_label_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// `wire`, empty for the root, which is no part of any zone, and the names below it.
void leave_out(const std::string& wire, std::vector<ZoneName>& served) {
  if (wire.empty()) return;
  bool below = false;
  for (ZoneName& zone : served) {
    if (zone.wire == wire) {
      zone.kind = LocalKind::elsewhere;
      return;
    }
    for (std::size_t at = 0; wire.size() - at > zone.wire.size(); ) {
      at += 1 + static_cast<std::size_t>(wire[at]);
      below = below || wire.compare(at, std::string::npos, zone.wire) == 0;
    }
  }
  if (below) served.push_back({wire, LocalKind::elsewhere});
}

}  // namespace

const std::vector<BuiltinZone>& builtin_zones() {
  static const std::vector<BuiltinZone> zones = make_zones();
  return zones;
}

std::string wire_of(std::string_view name) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  std::string wire;
  std::size_t begin = 0;
  while (begin <= name.size()) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    std::string label(name.substr(begin, end - begin));
    std::transform(label.begin(), label.end(), label.begin(), lower);
    if (label.empty() || label.size() > 63 ||
        !std::all_of(label.begin(), label.end(), is_label_byte)) {
      return "";
    }
    wire += static_cast<char>(label.size()) + label;
    begin = end + 1;
  }
  wire += '\0';
  return wire.size() <= 255 ? wire : "";
}

std::vector<ZoneName> zones_served(const LocalZones& zones,
                                   const std::vector<ForwardRule>& forward) {
  std::vector<ZoneName> served;
  const auto is_listed = [&zones](const std::string& wire, const std::string& prefix) {
    return std::any_of(zones.except.begin(), zones.except.end(), [&](const std::string& text) {
      return (!prefix.empty() && text == prefix) || wire_of(text) == wire;
    });
  };
  const auto is_served = [&served](const std::string& wire) {
    return std::any_of(served.begin(), served.end(),
                       [&](const ZoneName& zone) { return zone.wire == wire; });
  };
  for (const std::string& name : zones.also) {
    const std::string wire = wire_of(name);
    if (!is_served(wire)) served.push_back({wire, LocalKind::nxdomain});
  }
  for (const BuiltinZone& zone : builtin_zones()) {
    const std::string wire = wire_of(zone.name);
    if (zones.builtin && !is_listed(wire, zone.prefix) && !is_served(wire)) {
      served.push_back({wire, zone.kind});
    }
  }
  for (const ForwardRule& rule : forward) {
    for (const std::string& suffix : rule.suffixes)
      leave_out(wire_of(suffix), served);
  }
  return served;
}

}  // namespace millrace::ctl
