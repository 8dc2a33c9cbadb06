// SPDX-License-Identifier: Apache-2.0
#pragma once
// What one core says to another: exactly one cache line.
//
// The item owns the frame it carries: whoever pops it must send, keep or free that frame.

#include "dataplane/base/cache_line.hpp"
#include "dataplane/base/frame.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/wire/query.hpp"
#include "dataplane/wire/subnet.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::ring {

enum class ItemKind : uint8_t {
  none = 0,
  miss = 1,      // a client's query for a key that the receiver owns
  upstream = 2,  // a packet for an upstream port that the receiver owns
  // Between a worker and the slow path; worker/slow_frame.hpp says what the frames look like.
  reply = 3,          // to the slow path: the frame of its `miss`, with the reply; len 0: no reply
  ask_stream = 4,     // to the slow path: a question to be asked over TCP
  stream_answer = 5,  // to the worker: what came of `ask_stream`; len 0: nothing
  give_back = 6,      // a frame, to the side that it belongs to
  // An access record: nothing waits for it, and it may be dropped.
  refresh = 7,  // `entry`, which the receiver owns, is near its end and was hit
  icmp = 8,     // an ICMP error about a query that left by an upstream port of the receiver
};

struct Refresh {
  const void* entry;    // the cache's
  wire::Subnet subnet;  // to ask for; family 0: none
};

struct alignas(kCacheLineBytes) WorkItem {
  union {
    Frame frame;      // 24
    Refresh refresh;  // of `refresh`, which has no frame
  };
  wire::Query query;    // 24; `upstream` and `icmp` use query.packet only, `refresh` query.pool
  uint64_t hash;        // of the key (`miss`, `refresh`): the receiver need not hash again; of
                        // `ask_stream` and `stream_answer`: which question of the worker
  uint32_t generation;  // low bits of the config that the indices are of (`miss`, `refresh`)
  ItemKind kind;
  uint8_t packet_cache;  // index, of the key (`miss`)
  uint8_t reserved;
  uint8_t ring_mark;  // the ring's own (spsc_ring.hpp)
};
static_assert(offsetof(WorkItem, ring_mark) == sizeof(WorkItem) - 1);
static_assert(sizeof(WorkItem) == kCacheLineBytes && std::is_trivially_copyable_v<WorkItem>);

// The query in the frame, for the owner of its key; indices are of this config.
inline WorkItem miss_item(const Frame& frame, const wire::Query& query, const Key& key,
                          uint64_t generation) noexcept {
  WorkItem item{};
  item.frame = frame;
  item.query = query;
  item.hash = key.hash;
  item.generation = static_cast<uint32_t>(generation);
  item.kind = ItemKind::miss;
  item.packet_cache = key.bytes[3];
  return item;
}

}  // namespace millrace::ring
