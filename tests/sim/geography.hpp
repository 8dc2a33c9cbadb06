// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who has which address in the simulated world.
//
//   view 0:  binds 198.18.0.53, fd00:18::53    pool "near"   backends 0..3
//   view 1:  binds 198.18.0.54, fd00:18::54    pool "far"    backends 4, 5
//
// The two views give different answers to the same question, so an answer that ends up in the wrong
// pool or cache is seen by the client who gets it.

#include "dataplane/abi/abi_base.hpp"
#include "tests/support/packet_builder.hpp"

#include <cstdint>
#include <cstring>
#include <string>

namespace millrace::sim {

struct Place {
  const char* text;
  uint16_t port;
  uint8_t view;
};

inline constexpr uint32_t kViews = 2;
inline constexpr uint32_t kBinds = 4;
inline constexpr Place kBind[kBinds] = {
    {"198.18.0.53", 53, 0}, {"fd00:18::53", 53, 0}, {"198.18.0.54", 53, 1}, {"fd00:18::54", 53, 1}};

// Two share an address and differ in the port only.
inline constexpr uint32_t kBackends = 6;
inline constexpr Place kBackend[kBackends] = {{"198.18.1.10", 53, 0},   {"198.18.1.10", 5353, 0},
                                              {"fd00:18:1::12", 53, 0}, {"198.18.1.13", 53, 0},
                                              {"198.18.1.20", 53, 1},   {"fd00:18:1::21", 53, 1}};

// In some worlds, one of each view does not know EDNS.
inline bool is_old(uint32_t backend) {
  return backend == 1 || backend == 5;
}

// Who knows cookies; the others ignore them, as one may.
inline bool has_cookies(uint32_t backend) {
  return backend == 0 || backend == 2 || backend == 4;
}

// The wall clock.
inline uint32_t unix_s_at(uint64_t now_ns) {
  return static_cast<uint32_t>(1'800'000'000 + now_ns / 1'000'000'000);
}

// The port of ours that leads to a backend.
inline uint8_t port_to(uint32_t backend) {
  return static_cast<uint8_t>(backend % 2);
}

// Our addresses towards the backends.
inline constexpr const char* kSourceV4 = "198.18.1.2";
inline constexpr const char* kSourceV6 = "fd00:18:1::2";

inline constexpr uint32_t kClients = 6;
inline constexpr const char* kClient[kClients] = {"198.18.0.9", "198.18.0.10", "198.18.2.200",
                                                  "fd00:18::9", "fd00:18::a",  "fd00:18:2::200"};
inline constexpr uint16_t kClientTag[kClients] = {0, 0, 0x2064, 0, 0, 0x0007};  // VLAN; 0: none

inline constexpr uint16_t kUpstreamPortFirst = 20000;
inline constexpr uint16_t kUpstreamPorts = 259;  // not a multiple of any number of workers

inline bool is_v6(const char* text) {
  return std::strchr(text, ':') != nullptr;
}

inline std::string octets(const abi::Address& address) {
  return std::string(reinterpret_cast<const char*>(&address), sizeof address);
}

inline uint16_t port_of(const abi::Address& address) {
  return static_cast<uint16_t>(address.port_be >> 8 | address.port_be << 8);
}

}  // namespace millrace::sim
