// SPDX-License-Identifier: Apache-2.0
#pragma once
// What waits for readers: objects that no slot names any more, until their grace period has passed.
//
//   open    retired since the last close(); no token yet
//   waiting up to kLimboBatches closed batches, oldest first, one token each
//
// One token stands for a whole batch, taken after the last of its objects was unlinked. While the
// ring of batches is full the open batch goes on growing, so the limbo needs no memory of its own
// however long readers take: the lists run through the records.
//
// Threads: the owner's. Cost: put O(1); close one GracePeriod::start; take_passed one
// GracePeriod::passed for each call.
// Failure: readers that never pass keep the objects; Shard then reports no_memory.

#include "dataplane/base/grace.hpp"
#include "dataplane/cache/region_layout.hpp"

#include <cstdint>

namespace millrace::cache {

inline constexpr uint32_t kLimboBatches = 8;

struct LimboBatch {
  uint64_t token;
  Ref first;
  uint32_t reserved;
};

struct LimboState {
  LimboBatch waiting[kLimboBatches];
  uint32_t oldest;
  uint32_t batches;
  Ref open_first;
  uint32_t reserved;
};

class Limbo {
 public:
  Limbo(const Region& region, LimboState& state) noexcept : region_(region), state_(state) {}

  void put(Ref ref) noexcept {
    region_.record(ref).queue_next = state_.open_first;
    state_.open_first = ref;
  }

  void close(const GracePeriod& grace) noexcept {
    if (state_.open_first == kNoRef || state_.batches == kLimboBatches) return;
    LimboBatch& batch = state_.waiting[(state_.oldest + state_.batches) % kLimboBatches];
    batch = LimboBatch{grace.start(grace.context), state_.open_first, 0};
    state_.open_first = kNoRef;
    ++state_.batches;
  }

  // Calls free(ref) for at most `objects_max` objects whose grace period has passed.
  template <class Free>
  void take_passed(const GracePeriod& grace, uint32_t objects_max, Free&& free) noexcept {
    while (state_.batches > 0 && objects_max > 0) {
      LimboBatch& batch = state_.waiting[state_.oldest];
      if (!grace.passed(grace.context, batch.token)) return;
      for (; batch.first != kNoRef && objects_max > 0; --objects_max)
        take(batch.first, free);
      if (batch.first != kNoRef) return;
      state_.oldest = (state_.oldest + 1) % kLimboBatches;
      --state_.batches;
    }
  }

  // Everything, for a region that nobody reads.
  template <class Free>
  void take_all(Free&& free) noexcept {
    for (; state_.batches > 0; --state_.batches) {
      LimboBatch& batch = state_.waiting[state_.oldest];
      while (batch.first != kNoRef)
        take(batch.first, free);
      state_.oldest = (state_.oldest + 1) % kLimboBatches;
    }
    while (state_.open_first != kNoRef)
      take(state_.open_first, free);
  }

 private:
  template <class Free>
  void take(Ref& first, Free&& free) noexcept {
    const Ref ref = first;
    first = region_.record(ref).queue_next;  // before free() uses the link for its own list
    free(ref);
  }

  const Region& region_;
  LimboState& state_;
};

}  // namespace millrace::cache
