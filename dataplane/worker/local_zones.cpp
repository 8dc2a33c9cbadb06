// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/local_zones.hpp"

#include <algorithm>
#include <cstring>

namespace millrace::dp {
namespace {

constexpr uint32_t kLabelsMax = 127;
constexpr uint32_t kRootHash = 0x811c9dc5;

// FNV-1a, continued by one label and its length octet.
uint32_t hash_label(uint32_t hash, const uint8_t* label) noexcept {
  for (uint32_t i = 0; i <= label[0]; ++i) hash = (hash ^ label[i]) * 0x0100'0193;
  return hash;
}

// Where the labels of a name begin, the root's excepted; answers how many they are.
uint32_t label_starts(const uint8_t* name, uint8_t (&starts)[kLabelsMax]) noexcept {
  uint32_t cnt = 0;
  for (uint32_t at = 0; name[at] != 0; at += 1u + name[at]) {
    starts[cnt++] = static_cast<uint8_t>(at);
  }
  return cnt;
}

}  // namespace

void LocalZones::load(const abi::ServiceSection& service) noexcept {
  std::memcpy(names_, service.local_name, service.local_name_bytes);
  std::fill_n(slots_, kSlots, uint16_t{0});
  labels_max_ = 0;
  uint32_t name_at = 0;
  for (uint32_t i = 0; i < service.local_zones; ++i) {
    const abi::LocalZoneConfig& from = service.local_zone[i];
    uint8_t starts[kLabelsMax];
    const uint32_t labels = label_starts(names_ + name_at, starts);
    labels_max_ = std::max(labels_max_, labels);
    uint32_t hash = kRootHash;
    for (uint32_t k = labels; k-- > 0;) hash = hash_label(hash, names_ + name_at + starts[k]);
    zones_[i] = {hash, static_cast<uint16_t>(name_at), from.name_bytes, from.kind};
    // Half of the slots stay free, so there is always one.
    uint32_t slot = hash % kSlots;
    while (slots_[slot] != 0) slot = (slot + 1) % kSlots;
    slots_[slot] = static_cast<uint16_t>(i + 1);
    name_at += from.name_bytes;
  }
}

const LocalZones::Zone* LocalZones::zone_at(uint32_t hash, const uint8_t* name,
                                            uint32_t bytes) const noexcept {
  for (uint32_t slot = hash % kSlots; slots_[slot] != 0; slot = (slot + 1) % kSlots) {
    const Zone& zone = zones_[slots_[slot] - 1];
    if (zone.hash == hash && zone.name_bytes == bytes &&
        std::memcmp(names_ + zone.name_at, name, bytes) == 0) {
      return &zone;
    }
  }
  return nullptr;
}

bool LocalZones::find(const uint8_t* name, Match& match) const noexcept {
  if (labels_max_ == 0) return false;
  uint8_t starts[kLabelsMax];
  const uint32_t labels = label_starts(name, starts);
  if (labels == 0) return false;
  const uint32_t end = starts[labels - 1] + 1u + name[starts[labels - 1]] + 1u;
  const uint32_t depth = std::min(labels, labels_max_);
  uint32_t hash = kRootHash;
  bool found = false;
  for (uint32_t k = 1; k <= depth; ++k) {
    const uint8_t at = starts[labels - k];
    hash = hash_label(hash, name + at);
    if (const Zone* const zone = zone_at(hash, name + at, end - at); zone != nullptr) {
      match = {zone->kind, at};
      found = true;
    }
  }
  return found;
}

}  // namespace millrace::dp
