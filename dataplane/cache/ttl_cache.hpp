// SPDX-License-Identifier: Apache-2.0
#pragma once
// The TTL answer cache: table of contents.
//
//   shard.hpp            class BasicShard: what the owner does (insert, remove, expire, walk)
//   lookup.hpp           ShardView and lookup_burst: what readers do
//   entry.hpp            an entry's bytes; view_of, key_of, touch
//   slot.hpp             a bucket of the index; the packed slot; the vector compare
//   region_layout.hpp    where things lie in a region; size classes; Ref and Record
//   slab.hpp             objects out of pages
//   timer_wheel.hpp      what is due when
//   eviction_policy.hpp  what goes when memory is short: the seam
//   sieve.hpp            one policy
//   s3_fifo.hpp          another
//   ghost.hpp            which keys left lately
//   limbo.hpp            what waits for readers
//   shard_state.hpp      the owner's state in the region
//
// Needs base/ only. Include this file for all that a user of the cache calls.

#include "dataplane/cache/lookup.hpp"
#include "dataplane/cache/shard.hpp"
