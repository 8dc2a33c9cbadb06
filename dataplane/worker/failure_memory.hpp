// SPDX-License-Identifier: Apache-2.0
#pragma once
// How often questions have failed in a row: each further failure of one is remembered twice as long
// as the one before (A51; RFC 9520, section 3.2).
//
// The failures themselves lie in the cache and are gone when their time is over; what is needed
// after that, the last length and when it was, is kept here. A failure is one more in a row if it
// comes within `max_s` after the time of the last one was over, and no answer came between.
//
// Threads: private to its worker. Memory: kSlots of 16 bytes; a question has one slot that it can
// be in, and takes it from whoever is there. So a flood of failing names makes others begin anew
// and nothing worse, and grows nothing.
// Cost: one line.

#include <algorithm>
#include <array>
#include <cstdint>

namespace millrace::dp {

class FailureMemory {
 public:
  static constexpr uint32_t kSlots = 4096;

  // The question with this key's hash has failed: for how many seconds that is to be remembered.
  uint32_t on_failure(uint64_t hash, uint64_t now_ms, uint32_t min_s, uint32_t max_s) noexcept {
    Slot& slot = slot_of(hash);
    const auto now_s = static_cast<uint32_t>(now_ms / 1000);
    const bool again = slot.lasts_s != 0 && slot.hash == hash &&
                       now_s - slot.failed_s <= uint64_t{slot.lasts_s} + max_s;
    slot.lasts_s = again ? std::clamp(2 * slot.lasts_s, min_s, std::max(min_s, max_s)) : min_s;
    slot.hash = hash;
    slot.failed_s = now_s;
    return slot.lasts_s;
  }

  // It was answered.
  void on_answer(uint64_t hash) noexcept {
    Slot& slot = slot_of(hash);
    if (slot.hash == hash) slot.lasts_s = 0;
  }

 private:
  struct Slot {
    uint64_t hash;
    uint32_t failed_s;
    uint32_t lasts_s;  // 0: free
  };

  // The upper bits choose the shard, and the owner of a key has few shards.
  Slot& slot_of(uint64_t hash) noexcept { return slot_[static_cast<uint32_t>(hash) % kSlots]; }

  std::array<Slot, kSlots> slot_{};
};

}  // namespace millrace::dp
