// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many hits no policy can exceed, not even one that knows the future.
//
// With entries of different sizes that expire, Belady's rule (evict what is used last) is neither
// best nor a bound. This is one: PFOO-L (Berger, Beckmann, Harchol-Balter, "Practical Bounds on
// Optimal Caching with Variable Object Sizes", SIGMETRICS 2018), extended to TTLs:
//   - a hit needs its entry in memory since the query before it for the same name: it costs
//     bytes x time. The cache has capacity x time to give. Taking the cheapest hits first, without
//     asking whether they fit at every moment, gives at least as many as any policy gets.
//   - two queries further apart than the TTL cannot be fetch and hit.
//   - a name that is asked n times needs at least as many fetches as intervals of one TTL that
//     cover its queries, the first fetch as late as may be; never more hits than the rest.
//
// Cost: sorts the hits; O(queries log queries).
#include "tests/sim/cache/policies.hpp"
#include "tests/sim/cache/trace.hpp"

#include <cstdint>

namespace millrace::cachesim {

// Hits among the counted queries.
uint64_t hits_bound(const Trace& trace, const Bounds& bounds);

}  // namespace millrace::cachesim
