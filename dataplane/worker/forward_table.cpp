// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/forward_table.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace millrace::dp {
namespace {

static_assert(abi::kForwardsMax < 255, "a slot holds a rule and one more");
static_assert(abi::kPoolsMax <= 16, "ForwardConfig::pools has one bit per pool");

}  // namespace

void ForwardTable::load(const abi::ServiceSection& service) noexcept {
  rule_cnt_ = service.forwards;
  lengths_.reset();
  std::fill_n(slot_, kSlots, uint8_t{0});
  std::memcpy(names_, service.forward_name, service.forward_bytes);
  uint16_t at = 0;
  for (uint32_t i = 0; i < rule_cnt_; ++i) {
    const abi::ForwardConfig& from = service.forward[i];
    rule_[i] = {at, from.pools, from.bytes, from.pool};
    lengths_.set(from.bytes);
    uint32_t slot = XXH3_64bits(names_ + at, from.bytes) % kSlots;
    while (slot_[slot] != 0) slot = (slot + 1) % kSlots;
    slot_[slot] = static_cast<uint8_t>(i + 1);
    at = static_cast<uint16_t>(at + from.bytes);
  }
}

uint8_t ForwardTable::pool_for(const uint8_t* name, uint32_t name_bytes,
                               uint8_t pool) const noexcept {
  // From the whole name on, so the first that matches is the longest. The last label is the root.
  for (uint32_t at = 0; at < name_bytes; at += 1u + name[at]) {
    const uint32_t bytes = name_bytes - at;
    if (!lengths_.test(bytes & 0xff)) continue;
    // Half of the slots are empty, so the walk ends.
    for (uint32_t slot = XXH3_64bits(name + at, bytes) % kSlots; slot_[slot] != 0;
         slot = (slot + 1) % kSlots) {
      const Rule& rule = rule_[slot_[slot] - 1u];
      if ((rule.pools >> pool & 1) != 0 && rule.bytes == bytes &&
          std::memcmp(names_ + rule.at, name + at, bytes) == 0) {
        return rule.pool;
      }
    }
  }
  return pool;
}

}  // namespace millrace::dp
