// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads one core's page of the statistics area without stopping the core.
//
// The other half of the sequence lock in stats/core_counters.hpp. Used by the control plane over a
// read-only mapping, by the tests and by the simulator.
//
// Threads: any number of readers. Cost: a copy of about 1.5 KiB, repeated when the core published
// meanwhile. A core publishes at most a few hundred times a second and is inside for well under a
// microsecond, so a second try almost always does.
// Failure: false after kReadTries, which means that the writer died inside (the sequence stays
// odd); `out` is then not to be used.

#include "dataplane/abi/outcomes.hpp"
#include "dataplane/abi/stats_page.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>

namespace millrace::stats {

inline constexpr uint32_t kReadTries = 1000;

struct CoreSnapshot {
  uint64_t publications;  // how often the core has published; unchanged = the core did not turn
  uint64_t generation;
  uint64_t rx_packets;
  uint64_t waiters;
  uint64_t inflight;
  uint64_t entries;
  uint64_t memory_used;
  uint64_t memory_total;
  uint64_t memory_retired;
  uint64_t outcome[abi::kOutcomeCnt];
  uint64_t event[abi::kEventCnt];
};

// True: `out` is one whole publication of that core.
template <class Page>
bool read_page(const Page& page, CoreSnapshot& out, uint32_t tries = kReadTries) noexcept {
  constexpr auto acquire = std::memory_order_acquire;
  for (uint32_t i = 0; i < tries; ++i) {
    // Acquire pairs with the last release of publish(): what it promises is there.
    const uint64_t before = page.sequence.load(acquire);
    if ((before & 1) != 0) continue;
    // Acquire on every word pairs with its release in publish(): a word of a later publication
    // brings the odd sequence with it, and nothing below moves above these loads.
    out.generation = page.generation.load(acquire);
    out.rx_packets = page.rx_packets.load(acquire);
    out.waiters = page.waiters.load(acquire);
    out.inflight = page.inflight.load(acquire);
    out.entries = page.entries.load(acquire);
    out.memory_used = page.memory_used.load(acquire);
    out.memory_total = page.memory_total.load(acquire);
    out.memory_retired = page.memory_retired.load(acquire);
    for (std::size_t k = 0; k < std::size(page.outcomes) && k < abi::kOutcomeCnt; ++k) {
      out.outcome[k] = page.outcomes[k].load(acquire);
    }
    for (std::size_t k = 0; k < std::size(page.events) && k < abi::kEventCnt; ++k) {
      out.event[k] = page.events[k].load(acquire);
    }
    // Relaxed: the acquires above keep it last.
    if (page.sequence.load(std::memory_order_relaxed) == before) {
      out.publications = before / 2;
      return true;
    }
  }
  return false;
}

}  // namespace millrace::stats
