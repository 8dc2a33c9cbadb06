// SPDX-License-Identifier: Apache-2.0
#pragma once
// Asks for a cache line that will be wanted soon.
//
// Not the compiler's builtin: to GCC 12 a function that does nothing but __builtin_prefetch has no
// effect, and it drops the calls of one that it has not inlined by then; of lookup.cpp it dropped
// every prefetch of an entry, which made a hit in memory cost half as much again. Nor does the
// builtin know how to ask for a line to write without -mprfchw. So the instruction itself is here,
// and tests/tidy allows the builtin nowhere else in the data plane.
//
// Threads: any. Cost: one instruction, and one of the ten or so misses that a core has under way.
// Failure: none; an address that is not mapped is ignored.

namespace millrace {

inline void prefetch(const void* line) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(line)));
#else
  __builtin_prefetch(line);
#endif
}

// As its future owner: no other core keeps a copy. CPUs that lack the instruction do nothing.
inline void prefetch_for_write(const void* line) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(line)));
#else
  __builtin_prefetch(line, 1);
#endif
}

}  // namespace millrace
