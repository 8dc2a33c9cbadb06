// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which questions failed a moment ago, so that whoever asks them again gets the answer past its
// time at once and upstream is left alone (RFC 8767 section 5, failure recheck timer).
//
// A failure that meets such an answer is not stored in the cache, where it would take the place of
// the answer; it is noted here.
//
//   hash of the key ──▶ slot { hash, until_ms }
//
// Threads: private to the worker that owns the keys. Memory: fixed. Cost: one line.
// Limits: one question to a slot. A newcomer takes the slot, and the other question is asked a
// little earlier than it had to be.

#include <cstdint>
#include <memory>

namespace millrace::dp {

class Recheck {
 public:
  static constexpr uint32_t kSlots = 8192;

  Recheck() : slots_(new Slot[kSlots]()) {}

  // Not to be asked before then.
  void note(uint64_t hash, uint64_t until_ms) noexcept { slot(hash) = {hash, until_ms}; }
  void forget(uint64_t hash) noexcept {
    if (slot(hash).hash == hash) slot(hash) = {};
  }
  bool holds(uint64_t hash, uint64_t now_ms) const noexcept {
    return slot(hash).hash == hash && now_ms < slot(hash).until_ms;
  }

 private:
  struct Slot {
    uint64_t hash;
    uint64_t until_ms;
  };
  Slot& slot(uint64_t hash) const noexcept { return slots_[hash % kSlots]; }

  std::unique_ptr<Slot[]> slots_;
};

}  // namespace millrace::dp
