// SPDX-License-Identifier: Apache-2.0
#pragma once
// From what the kernel knows to what the data plane writes into a frame.
//
//     backend address ── route ──▶ output interface, gateway, source address
//                        output interface ──▶ one of our ports, perhaps through a VLAN interface
//                        gateway or backend ── neighbour ──▶ MAC address
//
// Pure: KernelView answers the questions, so tests need no kernel. What stands in the way is said
// in `why`, for `millrace status` and the log.
//
// Limits: one VLAN tag (802.1Q). Bonds, bridges, tunnels and macvlans above a port are refused with
// their name: frames would have to be built as those drivers would.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "dataplane/abi/routes_image.hpp"

namespace millrace::ctl {

struct IpAddress {
  std::array<uint8_t, 16> bytes{};  // wire order; IPv4 in the first four, the rest zero
  uint8_t family = 0;               // 4 or 6; 0: none

  bool operator==(const IpAddress&) const = default;
  auto operator<=>(const IpAddress&) const = default;
  std::size_t size() const { return family == 4 ? 4 : 16; }
  std::string text() const;
};

IpAddress ip_address(const abi::Address& address);  // without the port
std::string mac_text(std::span<const uint8_t, 6> mac);

struct KernelLink {
  int index = 0;
  std::string name;
  bool up = false;  // by the administrator and by the carrier
  bool ethernet = false;
  std::array<uint8_t, 6> mac{};
  uint32_t mtu = 0;
  std::string kind;  // "vlan", "veth", "bond", ...; empty: a plain device
  // Only if kind is "vlan":
  int lower_index = 0;
  uint16_t vlan_id = 0;
  uint16_t vlan_protocol = 0;  // host order, 0x8100 or 0x88a8
};

enum class RouteKind : uint8_t { unicast, local, refusing, other };

struct KernelRoute {
  RouteKind kind = RouteKind::unicast;
  int out_index = 0;
  IpAddress gateway;  // family 0: the destination is on the link; may differ in family from it
  IpAddress source;
  uint32_t mtu = 0;  // 0: the interface's
};

struct KernelNeighbour {
  uint16_t state = 0;  // NUD_*
  bool managed = false;  // the kernel keeps it resolved by itself
  std::optional<std::array<uint8_t, 6>> mac;

  bool usable() const;     // has a MAC that the kernel would send to
  bool immutable() const;  // set by hand (or needs no resolution): not to be touched
};

class KernelView {
 public:
  virtual ~KernelView() = default;
  virtual std::optional<KernelRoute> route(const IpAddress& to) = 0;
  virtual std::optional<KernelLink> link(int index) = 0;
  virtual std::optional<KernelNeighbour> neighbour(int link_index, const IpAddress& of) = 0;
};

struct Resolution {
  abi::NextHop hop{};  // all zero but for what is known; usable = 0 when `why` is not empty
  std::string why;     // empty: usable
  bool awaits_neighbour = false;  // not usable, but the neighbour may yet answer
  bool neighbour_silent = false;  // not usable, because the neighbour was asked and did not answer
  // Whose MAC it needs, known as soon as there is a route by one of our ports.
  int link_index = 0;
  IpAddress neighbour;
  std::string interface;

  bool usable() const { return hop.usable != 0; }
};

// `port_interfaces`: the interface of each port of the config, by index; empty for a port without.
Resolution resolve_next_hop(KernelView& kernel, const IpAddress& backend,
                            std::span<const std::string> port_interfaces);

}  // namespace millrace::ctl
