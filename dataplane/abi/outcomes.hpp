// SPDX-License-Identifier: Apache-2.0
#pragma once
// Names of everything a worker counts, for both processes.
//
// outcomes.def and events.def are the single lists; enums, texts, statistics and documents are
// expanded from them.

#include <array>
#include <cstdint>
#include <string_view>

namespace millrace::abi {

enum class Outcome : uint8_t {
#define MR_OUTCOME(name, cls, text) name,
#include "dataplane/abi/outcomes.def"
#undef MR_OUTCOME
  count_
};

enum class OutcomeClass : uint8_t {
  hit, stale, local, miss, refused, error, limited, dropped, passed, upstream, control, count_
};

enum class Event : uint8_t {
#define MR_EVENT(name, text) name,
#include "dataplane/abi/events.def"
#undef MR_EVENT
  count_
};

inline constexpr std::size_t kOutcomeCnt = static_cast<std::size_t>(Outcome::count_);
inline constexpr std::size_t kOutcomeClassCnt = static_cast<std::size_t>(OutcomeClass::count_);
inline constexpr std::size_t kEventCnt = static_cast<std::size_t>(Event::count_);

struct OutcomeInfo {
  std::string_view name;
  OutcomeClass cls;
  std::string_view text;
};

struct EventInfo {
  std::string_view name;
  std::string_view text;
};

inline constexpr std::array<OutcomeInfo, kOutcomeCnt> kOutcomes{{
#define MR_OUTCOME(name, cls, text) {#name, OutcomeClass::cls, text},
#include "dataplane/abi/outcomes.def"
#undef MR_OUTCOME
}};

inline constexpr std::array<EventInfo, kEventCnt> kEvents{{
#define MR_EVENT(name, text) {#name, text},
#include "dataplane/abi/events.def"
#undef MR_EVENT
}};

inline constexpr std::array<std::string_view, kOutcomeClassCnt> kOutcomeClasses{
    "hit",     "stale",   "local",  "miss",     "refused", "error",
    "limited", "dropped", "passed", "upstream", "control"};

}  // namespace millrace::abi
