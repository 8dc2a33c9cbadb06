// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/settings.hpp"

#include <cstring>

namespace millrace::dp {
namespace {

bool same_address(const abi::Address& a, const abi::Address& b) noexcept {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

bool same_name(const abi::BackendConfig& a, const abi::BackendConfig& b) noexcept {
  return std::strncmp(a.name, b.name, sizeof a.name) == 0;
}

}  // namespace

Remap Settings::apply(const abi::ConfigImage& image) noexcept {
  const abi::ServiceSection& next = image.service;
  Remap remap;
  remap.backend.fill(Remap::kGone);
  remap.pool.fill(Remap::kGone);
  std::array<abi::NextHop, abi::kBackendsMax> hops{};
  // A backend is its address. Where two have one, their names tell them apart.
  uint32_t placed = 0;
  for (const bool renamed : {false, true}) {
    for (uint32_t n = 0; n < next.backends; ++n) {
      for (uint32_t o = 0; o < service_.backends && (placed >> n & 1) == 0; ++o) {
        const abi::BackendConfig& old = service_.backend[o];
        const bool same = same_address(next.backend[n].address, old.address) &&
                          (renamed || same_name(next.backend[n], old));
        if (!same || remap.backend[o] != Remap::kGone) continue;
        remap.backend[o] = static_cast<uint8_t>(n);
        hops[n] = hop_[o];
        placed |= uint32_t{1} << n;
      }
    }
  }
  for (uint32_t n = 0; n < next.pools; ++n) {
    for (uint32_t o = 0; o < service_.pools; ++o) {
      if (std::strncmp(next.pool[n].name, service_.pool[o].name, abi::kNameMax) == 0) {
        remap.pool[o] = static_cast<uint8_t>(n);
      }
    }
  }
  service_ = next;
  hop_ = hops;
  generation_ = image.header.generation;
  derive_endpoints();
  return remap;
}

bool Settings::apply(const abi::RoutesImage& image) noexcept {
  if (image.config_generation != generation_) return false;
  routes_generation_ = image.header.generation;
  routes_config_ = image.config_generation;
  for (uint32_t i = 0; i < image.backends; ++i) hop_[i] = image.hop[i];
  derive_endpoints();
  return true;
}

uint32_t Settings::service_at(const abi::Address& address) const noexcept {
  for (uint32_t i = 0; i < service_.binds; ++i) {
    if (same_address(service_.bind[i].address, address)) return i;
  }
  return abi::kBindsMax;
}

void Settings::derive_endpoints() noexcept {
  endpoints_ = {};
  upstream_ports_ = 0;
  for (uint32_t i = 0; i < service_.binds; ++i) {
    endpoints_.service[i] = {.address = service_.bind[i].address,
                             .pool = static_cast<uint8_t>(service_.bind[i].pool),
                             .packet_cache = cache_idx_of_pool(service_.bind[i].pool)};
  }
  endpoints_.service_cnt = service_.binds;
  endpoints_.upstream_port_first = service_.upstream_port_first;
  endpoints_.upstream_port_end = service_.upstream_port_end;
  std::memcpy(endpoints_.vlan, service_.vlan, sizeof endpoints_.vlan);
  for (uint32_t i = 0; i < service_.backends; ++i) {
    if (hop_[i].usable == 0) continue;
    upstream_ports_ |= uint32_t{1} << hop_[i].port;
    // Answers come by the VLAN that their queries left by.
    if (hop_[i].vlan_tci_be != 0) endpoints_.add_vlan(__builtin_bswap16(hop_[i].vlan_tci_be));
    bool known = false;
    for (uint32_t k = 0; k < endpoints_.source_cnt; ++k) {
      known = known || same_address(endpoints_.source[k], hop_[i].source);
    }
    if (!known) endpoints_.source[endpoints_.source_cnt++] = hop_[i].source;
  }
  endpoints_.index();
}

}  // namespace millrace::dp
