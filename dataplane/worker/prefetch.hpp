// SPDX-License-Identifier: Apache-2.0
#pragma once
// When is a hit the reason to ask for its answer again, ahead of the end of it?
//
// When little of its lifetime is left, it was hit before (so a name that is asked for once never
// is), it was not asked for again yet, and the core has not had its number of these this second.
// The lookup says which hits are near their end (cache/lookup.hpp); this decides about those.
//
// A failed refresh leaves entry and mark as they are, so there is one refresh in the life of an
// entry. Only if the owner, looking for a victim, took the mark back can there be a second one.
//
// Threads: as the entry's mark; a Prefetch belongs to one core. Cost: none for a hit that is not
// near its end.

#include "dataplane/abi/config_image.hpp"
#include "dataplane/cache/entry.hpp"
#include "dataplane/ring/work_item.hpp"
#include "dataplane/wire/query.hpp"

#include <algorithm>
#include <cstdint>

namespace millrace::dp {

// For finish_lookups.
constexpr uint32_t ageing_ms_per_s(const abi::PrefetchConfig& config) noexcept {
  return 1000 - 10 * config.left_percent;
}

class Prefetch {
 public:
  enum class Verdict : uint8_t { no, yes, limited };

  // Of a hit that is near its end, before touch(). `yes` takes one of this second's.
  Verdict judge(const cache::Entry& entry, const wire::Query& query,
                const abi::PrefetchConfig& config, uint64_t now_ms) noexcept {
    // Who does not want recursion may not cause any.
    if (!query.flag_rd || cache::mark_of(entry) != cache::Mark::hit ||
        cache::kind_of(entry) == cache::Kind::failure ||
        cache::lifetime_s_of(entry) < config.lifetime_s_min) {
      return Verdict::no;
    }
    // Thousandths; never more than a second's worth.
    const uint64_t most = uint64_t{config.per_second_max} * 1000;
    const uint64_t passed_ms = std::min<uint64_t>(now_ms - last_ms_, 1000);
    credit_ = std::min(most, credit_ + passed_ms * config.per_second_max);
    last_ms_ = now_ms;
    if (credit_ < 1000) return Verdict::limited;
    credit_ -= 1000;
    return Verdict::yes;
  }

 private:
  uint64_t credit_ = 0;
  uint64_t last_ms_ = 0;
};

// The access record for the owner of the entry.
inline ring::WorkItem refresh_item(const cache::Entry& entry, uint64_t hash, uint8_t pool,
                                   const wire::Subnet& subnet, uint64_t generation) noexcept {
  ring::WorkItem item{};
  item.refresh = {&entry, subnet};
  item.query.pool = pool;
  item.hash = hash;
  item.generation = static_cast<uint32_t>(generation);
  item.kind = ring::ItemKind::refresh;
  return item;
}

}  // namespace millrace::dp
