// SPDX-License-Identifier: Apache-2.0
#pragma once
// What each figure of `millrace stats` counts, in the words of the lists that it comes from.
//
// All of it is in the program: no file and no daemon is asked.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "control/base/status.hpp"

namespace millrace::cli {

struct Explanation {
  std::string_view kind;  // "outcome", "event", "gauge", "backend" or "prefilter"
  std::string_view name;  // as in `millrace stats --json`
  std::string_view term;  // of the sum that is rx; of outcomes only
  std::string_view text;
};

// Figures of a core that rise and fall, in the order in which they are shown.
struct Gauge {
  const char* name;
  const char* text;
};
inline constexpr std::array<Gauge, 6> kGauges{{
    {"waiters", "missed queries that wait for an answer from upstream"},
    {"inflight", "questions asked upstream that have no answer yet"},
    {"entries", "answers in the cache"},
    {"memory_used", "bytes of cache memory in use"},
    {"memory_total", "bytes of cache memory"},
    {"memory_retired", "bytes of memory_used that wait until no core can be reading them"},
}};

// Those whose name or term is one of `words`; where none is, those whose name has the word in it.
// No words: all. A word that nothing has is an error of usage.
ctl::Result<std::vector<Explanation>> explain(const std::vector<std::string>& words);

}  // namespace millrace::cli
