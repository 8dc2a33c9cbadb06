// SPDX-License-Identifier: Apache-2.0
#pragma once
// Names that are asked elsewhere: from the suffixes of the config to a pool.
//
// Of the rules that hold for the pool a query would be asked of, the one with the longest suffix of
// its name decides; a suffix begins where a label does, and is below itself.
//
// Threads: one, its owner. Memory: in the object. Cost: without rules whoever asks active(),
// nothing else; with them one bit for each label of the name, and a hash and a comparison for each
// of its suffixes that is as long as one of the rules.

#include "dataplane/abi/config_image.hpp"

#include <bitset>
#include <cstdint>

namespace millrace::dp {

class ForwardTable {
 public:
  // Takes the rules of a verified config over.
  void load(const abi::ServiceSection& service) noexcept;

  bool active() const noexcept { return rule_cnt_ != 0; }

  // The pool that a query is asked of which would be asked of `pool`. `name`: wire form, lower
  // case.
  uint8_t pool_for(const uint8_t* name, uint32_t name_bytes, uint8_t pool) const noexcept;

 private:
  static constexpr uint32_t kSlots = 2 * abi::kForwardsMax;

  struct Rule {
    uint16_t at;  // in names_
    uint16_t pools;
    uint8_t bytes;
    uint8_t pool;
  };

  uint32_t rule_cnt_ = 0;
  std::bitset<256> lengths_;     // of suffixes
  uint8_t slot_[kSlots] = {};    // rule + 1, by the hash of its suffix and what follows; 0: none
  Rule rule_[abi::kForwardsMax];
  uint8_t names_[abi::kForwardBytesMax];
};

}  // namespace millrace::dp
