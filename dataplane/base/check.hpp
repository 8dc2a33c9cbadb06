// SPDX-License-Identifier: Apache-2.0
#pragma once
// What to do when our own code is wrong.
//
// MR_CHECK guards an invariant of ours in cold code, or once a burst: a failure is a bug of
// millrace, so it says where and ends the process. MR_DCHECK is the same per packet, and only in
// builds with MR_DEBUG_CHECKS, which those with sanitizers are. Neither may ever depend on what a
// packet or an operator says: bad input is answered or counted, never checked.

#include <cstdio>
#include <cstdlib>

#define MR_CHECK(condition)                                                                  \
  do {                                                                                       \
    if (__builtin_expect(!(condition), 0)) {                                                 \
      std::fprintf(stderr, "millrace: broken invariant: %s at %s:%d\n", #condition, __FILE__, \
                   __LINE__);                                                                \
      std::abort();                                                                          \
    }                                                                                        \
  } while (0)

#ifdef MR_DEBUG_CHECKS
#define MR_DCHECK(condition) MR_CHECK(condition)
#else
#define MR_DCHECK(condition) static_cast<void>(0)
#endif
