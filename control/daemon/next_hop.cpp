// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/next_hop.hpp"

#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace millrace::ctl {
namespace {

constexpr uint16_t kEtherType8021q = 0x8100;
constexpr uint32_t kMtuMin = 576;  // below, the data plane refuses the image (RFC 791)

std::string joined(std::span<const std::string> names) {
  std::string text;
  for (const auto& name : names) {
    if (name.empty()) continue;
    text += (text.empty() ? "" : ", ") + name;
  }
  return text.empty() ? "none" : text;
}

abi::Address abi_address(const IpAddress& ip) {
  abi::Address address{};
  std::memcpy(address.bytes, ip.bytes.data(), ip.bytes.size());
  address.family = ip.family;
  return address;
}

std::string state_text(uint16_t state) {
  if (state & NUD_INCOMPLETE) return "asked, no answer yet";
  if (state & NUD_FAILED) return "does not answer";
  return "not asked yet";
}

std::optional<std::size_t> port_named(std::span<const std::string> interfaces,
                                      const std::string& name) {
  const auto found = std::find(interfaces.begin(), interfaces.end(), name);
  if (found == interfaces.end() || name.empty()) return std::nullopt;
  return static_cast<std::size_t>(found - interfaces.begin());
}

// Which port a frame for `out` leaves by, and the tag it carries; or why none.
std::string find_port(KernelView& kernel, const KernelLink& out,
                      std::span<const std::string> interfaces, abi::NextHop& hop) {
  auto port = port_named(interfaces, out.name);
  if (!port && out.kind == "vlan") {
    const auto lower = kernel.link(out.lower_index);
    if (lower) port = port_named(interfaces, lower->name);
    if (port && out.vlan_protocol != kEtherType8021q) {
      return "route leaves by " + out.name + ", whose tag is not 802.1Q";
    }
    if (port && !lower->up) return "interface " + lower->name + " is down";
    hop.vlan_tci_be = htons(out.vlan_id);
  }
  if (!port) {
    hop.vlan_tci_be = 0;
    return "route leaves by " + out.name + ", which is no port of this config (ports: " +
           joined(interfaces) + ")";
  }
  hop.port = static_cast<uint8_t>(*port);
  return {};
}

// Everything but the neighbour.
std::string fill_from_route(KernelView& kernel, const IpAddress& backend,
                            std::span<const std::string> interfaces, Resolution& result) {
  const auto route = kernel.route(backend);
  if (!route || route->kind == RouteKind::refusing) {
    return "no route to " + backend.text() + "; see `ip route get " + backend.text() + "`";
  }
  if (route->kind == RouteKind::local) return backend.text() + " is an address of this host";
  if (route->kind != RouteKind::unicast) return backend.text() + " is not a unicast address";
  const auto out = kernel.link(route->out_index);
  if (!out) return "route to " + backend.text() + " leaves by an interface that is gone";
  if (auto why = find_port(kernel, *out, interfaces, result.hop); !why.empty()) return why;
  result.interface = out->name;
  result.link_index = out->index;
  result.neighbour = route->gateway.family != 0 ? route->gateway : backend;
  if (!out->up) return "interface " + out->name + " is down";
  if (!out->ethernet) return "interface " + out->name + " is not Ethernet";
  if (route->source.family != backend.family) {
    return "no source address for " + backend.text() + " on " + out->name;
  }
  result.hop.source = abi_address(route->source);
  std::memcpy(result.hop.source_mac, out->mac.data(), out->mac.size());
  result.hop.mtu = route->mtu != 0 ? std::min(route->mtu, out->mtu) : out->mtu;
  if (result.hop.mtu < kMtuMin) {
    return "MTU of " + out->name + " is " + std::to_string(result.hop.mtu) + ", needed: " +
           std::to_string(kMtuMin);
  }
  return {};
}

}  // namespace

std::string IpAddress::text() const {
  char out[INET6_ADDRSTRLEN] = "?";
  if (family != 0) {
    ::inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes.data(), out, sizeof out);
  }
  return out;
}

IpAddress ip_address(const abi::Address& address) {
  IpAddress ip;
  ip.family = address.family;
  std::memcpy(ip.bytes.data(), address.bytes, ip.size());
  return ip;
}

std::string mac_text(std::span<const uint8_t, 6> mac) {
  char out[18];
  std::snprintf(out, sizeof out, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                mac[4], mac[5]);
  return out;
}

bool KernelNeighbour::usable() const {
  constexpr uint16_t kValid = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE |
                              NUD_DELAY;
  return (state & kValid) != 0 && mac.has_value();
}

bool KernelNeighbour::immutable() const { return (state & (NUD_PERMANENT | NUD_NOARP)) != 0; }

Resolution resolve_next_hop(KernelView& kernel, const IpAddress& backend,
                            std::span<const std::string> port_interfaces) {
  Resolution result;
  result.why = fill_from_route(kernel, backend, port_interfaces, result);
  if (!result.why.empty()) return result;
  const auto neighbour = kernel.neighbour(result.link_index, result.neighbour);
  if (!neighbour || !neighbour->usable()) {
    result.why = "neighbour " + result.neighbour.text() + " on " + result.interface + ": " +
                 state_text(neighbour ? neighbour->state : 0);
    result.neighbour_silent = neighbour && (neighbour->state & NUD_FAILED) != 0;
    result.awaits_neighbour = !result.neighbour_silent;
    return result;
  }
  std::memcpy(result.hop.target_mac, neighbour->mac->data(), neighbour->mac->size());
  result.hop.usable = 1;
  return result;
}

}  // namespace millrace::ctl
