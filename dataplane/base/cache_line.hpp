// SPDX-License-Identifier: Apache-2.0
#pragma once
// Sizes that decide where a field may live.
//
// A line is the unit of coherence: two cores that write one line stall each other even if they
// never touch the same byte. Intel fetches lines in pairs, so writers that are independent are
// kept two lines apart.

#include <cstddef>

namespace millrace {

inline constexpr std::size_t kCacheLineBytes = 64;
inline constexpr std::size_t kWriterSpacingBytes = 2 * kCacheLineBytes;

}  // namespace millrace
