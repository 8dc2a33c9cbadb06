// SPDX-License-Identifier: Apache-2.0
#pragma once
// The TTL answer cache: table of contents.
//
//   shard.hpp          class Shard: what the owner does (insert, remove, expire, reclaim, walk)
//   lookup.hpp         lookup_burst: what readers do
//   entry.hpp          an entry's bytes; view_of, key_of, touch
//   slot.hpp           a bucket of the index; the packed slot; the vector compare
//   region_layout.hpp  where things lie in a region; size classes; Ref and Record
//   slab.hpp           objects out of pages
//   timer_wheel.hpp    what is due when
//   sieve.hpp          what goes when memory is short
//   limbo.hpp          what waits for readers
//   shard_state.hpp    the owner's state in the region
//
// Needs base/ only. Include this file for all that a user of the cache calls.

#include "dataplane/cache/lookup.hpp"
#include "dataplane/cache/shard.hpp"
