// SPDX-License-Identifier: Apache-2.0
#pragma once
// The second, small snapshot: how to reach each backend.
//
// The control plane reads routes and neighbours from the kernel (netlink) and publishes, for each
// backend of one config generation, the port to leave by and the headers to write. It travels like
// a config image (sealed memfd, verified whole, swapped by pointer) but far more often.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "dataplane/abi/config_image.hpp"

namespace millrace::abi {

inline constexpr uint64_t kRoutesMagic = 0x3154'554f'5252'4d00ULL;  // "\0MRROUT1"

struct NextHop {
  Address source;         // our address towards this backend; port_be = 0
  uint8_t source_mac[6];
  uint8_t target_mac[6];  // the backend's, or its gateway's
  uint8_t usable;         // 0: no route or no neighbour yet
  uint8_t port;           // index into BootSection::port
  uint16_t vlan_tci_be;   // 0: untagged
  uint32_t mtu;
  uint32_t reserved2;
};
static_assert(sizeof(NextHop) == 44);

struct RoutesImage {
  ImageHeader header;           // generation = a counter of its own
  uint64_t config_generation;   // the config whose backend indices these are
  uint32_t backends;
  uint32_t reserved;
  NextHop hop[kBackendsMax];
};
static_assert(std::has_unique_object_representations_v<RoutesImage>);

}  // namespace millrace::abi
