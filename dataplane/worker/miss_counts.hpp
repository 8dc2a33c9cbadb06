// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many misses of each domain, and of each client, are in flight at one worker, so that no one
// of them takes the room that the others' misses need (B46, B56).
//
//   name without its first label ──keyed hash──▶ two counters   +1 while a question is in flight
//   client's address (IPv6: /56) ──keyed hash──▶ two counters   +1 while a query of it waits
//
// A flood of names that nobody has asked for yet has random first labels: what they have in common
// is the rest. Many random labels evade that, and are held by what one client may have waiting.
// An IPv4 address is one client, or those behind one translator; in IPv6 whoever has an address has
// all of a /56, which is what a site gets (RFC 6177, RIPE-690).
//
// Who was counted where is a Mark that is kept with the question and with the waiting query
// (inflight.hpp): each is taken back once, whatever the config says by then, and counts are right
// from the moment that a limit is set.
//
// Threads: private to its worker. Memory: 16 KiB each, whoever asks for what.
// Cost: a hash of up to 254 octets, and four counters; on a miss only.
// Limits: a count is never too low. It is too high for those who share both their counters with
// others: while n domains or clients are at their limit, 1 in (kSlots / n) squared of the rest is
// taken for one of them. n is at most what fits in flight divided by the limit: with the default
// limits 2 domains and 2 clients, so 1 in 4 million.

#include "dataplane/abi/abi_base.hpp"
#include "dataplane/base/check.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/base/key_hash.hpp"

#include <algorithm>
#include <cstdint>

namespace millrace::dp {

class MissCounts {
 public:
  static constexpr uint32_t kSlots = 4096;  // a power of two; of each row

  struct Mark {
    uint16_t slot[2];  // of each row; kSlots: none
    bool operator==(const Mark&) const = default;
  };
  static constexpr Mark kUncounted{{kSlots, kSlots}};

  static Mark mark_of(uint64_t hash) noexcept {
    return {{static_cast<uint16_t>(hash % kSlots), static_cast<uint16_t>((hash >> 32) % kSlots)}};
  }

  uint32_t count_of(Mark mark) const noexcept {
    return std::min(cnt_[0][mark.slot[0]], cnt_[1][mark.slot[1]]);
  }
  // `limit` 0: there is none.
  bool is_full(Mark mark, uint32_t limit) const noexcept {
    return limit != 0 && count_of(mark) >= limit;
  }
  uint32_t total() const noexcept { return total_; }

  void raise(Mark mark) noexcept {
    if (mark.slot[0] == kSlots) return;
    cnt_[0][mark.slot[0]] += 1;
    cnt_[1][mark.slot[1]] += 1;
    total_ += 1;
  }
  // Once for each raise().
  void lower(Mark mark) noexcept {
    if (mark.slot[0] == kSlots) return;
    MR_DCHECK(cnt_[0][mark.slot[0]] > 0 && cnt_[1][mark.slot[1]] > 0 && total_ > 0);
    cnt_[0][mark.slot[0]] -= 1;
    cnt_[1][mark.slot[1]] -= 1;
    total_ -= 1;
  }

 private:
  uint16_t cnt_[2][kSlots] = {};
  uint32_t total_ = 0;
};

// By the name without its first label; the root by itself.
MissCounts::Mark mark_of_domain(const HashSecret& secret, const Key& key) noexcept;

// By the address, or its /56; the port does not matter.
MissCounts::Mark mark_of_client(const HashSecret& secret, const abi::Address& client) noexcept;

}  // namespace millrace::dp
