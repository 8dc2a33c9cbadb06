// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every structure shared by the two processes is made of.

#include <cstdint>
#include <type_traits>

namespace millrace::abi {

// Raised whenever a structure in this folder changes; both sides refuse any other value.
inline constexpr uint32_t kAbiVersion = 6;

// An address as it stands in a packet: IPv4 in the first four bytes, the rest zero.
struct Address {
  uint8_t bytes[16];
  uint8_t family;  // 4 or 6
  uint8_t reserved;
  uint16_t port_be;
};
static_assert(sizeof(Address) == 20 && std::has_unique_object_representations_v<Address>);

}  // namespace millrace::abi
