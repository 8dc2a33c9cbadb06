// SPDX-License-Identifier: Apache-2.0
#pragma once
// What one core says to another: exactly one cache line.
//
// The item owns the frame it carries: whoever pops it must send, keep or free that frame.

#include "dataplane/base/cache_line.hpp"
#include "dataplane/base/frame.hpp"
#include "dataplane/wire/query.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::ring {

enum class ItemKind : uint8_t {
  none = 0,
  miss = 1,      // a client's query for a key that the receiver owns
  upstream = 2,  // a packet for an upstream port that the receiver owns
};

struct alignas(kCacheLineBytes) WorkItem {
  Frame frame;          // 24
  wire::Query query;    // 24; `upstream` uses query.packet only
  uint64_t hash;        // of the key (`miss`), so that the receiver need not hash again
  uint32_t generation;  // low bits of the config that the indices are of (`miss`)
  ItemKind kind;
  uint8_t packet_cache;  // index, of the key (`miss`)
  uint8_t reserved;
  uint8_t ring_mark;  // the ring's own (spsc_ring.hpp)
};
static_assert(offsetof(WorkItem, ring_mark) == sizeof(WorkItem) - 1);
static_assert(sizeof(WorkItem) == kCacheLineBytes && std::is_trivially_copyable_v<WorkItem>);

}  // namespace millrace::ring
