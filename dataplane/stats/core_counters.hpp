// SPDX-License-Identifier: Apache-2.0
#pragma once
// What one core counts, and how it shows that to others.
//
// Counting is an add to a plain integer of the core's own. Now and then, between two bursts, the
// core copies all of it into its page of the statistics area under a sequence lock, so that every
// copy which a reader accepts is the state between two bursts, in which
//     rx_packets = sum of outcome[]
// holds (docs of abi/stats_page.hpp; the reader is stats/stats_page_reader.hpp).
//
// Threads: one core per object and per page. Readers may be in another process and may only read.
// Cost: count() one add; publish() 200 plain stores on x86-64, a few hundred times a second at
// most.

#include "dataplane/abi/outcomes.hpp"
#include "dataplane/abi/stats_page.hpp"
#include "dataplane/base/cache_line.hpp"

#include <cstddef>
#include <cstdint>
#include <numeric>

namespace millrace::stats {

struct alignas(kWriterSpacingBytes) CoreCounters {
  uint64_t rx_packets = 0;
  uint64_t waiters = 0;  // gauges, as in abi::CorePage
  uint64_t inflight = 0;
  uint64_t entries = 0;
  uint64_t memory_used = 0;
  uint64_t memory_total = 0;
  uint64_t memory_retired = 0;
  uint64_t outcome[abi::kOutcomeCnt] = {};
  uint64_t event[abi::kEventCnt] = {};

  void count(abi::Outcome which) noexcept { ++outcome[static_cast<std::size_t>(which)]; }
  void count(abi::Event which, uint64_t n = 1) noexcept {
    event[static_cast<std::size_t>(which)] += n;
  }

  uint64_t of(abi::Outcome which) const noexcept {
    return outcome[static_cast<std::size_t>(which)];
  }
  uint64_t of(abi::Event which) const noexcept { return event[static_cast<std::size_t>(which)]; }

  // Equal to rx_packets whenever no burst is in work.
  uint64_t outcome_sum() const noexcept {
    return std::accumulate(outcome, outcome + abi::kOutcomeCnt, uint64_t{0});
  }
};

// Copies `from` into `page`. `generation`: of the config this core runs; 0 = none yet.
// `Page` is abi::CorePage, or the same fields over modelled memory in a test.
template <class Page>
void publish(const CoreCounters& from, uint64_t generation, Page& page) noexcept {
  constexpr auto release = std::memory_order_release;
  // Relaxed: we are the only writer of this word.
  const uint64_t before = page.sequence.load(std::memory_order_relaxed);
  // Relaxed: each release below carries it. Whoever reads one new payload word (acquire, in
  // read_page) therefore finds the sequence odd, or later, on its second look.
  page.sequence.store(before + 1, std::memory_order_relaxed);
  page.generation.store(generation, release);
  page.rx_packets.store(from.rx_packets, release);
  page.waiters.store(from.waiters, release);
  page.inflight.store(from.inflight, release);
  page.entries.store(from.entries, release);
  page.memory_used.store(from.memory_used, release);
  page.memory_total.store(from.memory_total, release);
  page.memory_retired.store(from.memory_retired, release);
  for (std::size_t i = 0; i < std::size(page.outcomes) && i < abi::kOutcomeCnt; ++i) {
    page.outcomes[i].store(from.outcome[i], release);
  }
  for (std::size_t i = 0; i < std::size(page.events) && i < abi::kEventCnt; ++i) {
    page.events[i].store(from.event[i], release);
  }
  // Release pairs with the first acquire of sequence in read_page: an even value promises a whole
  // copy.
  page.sequence.store(before + 2, release);
}

}  // namespace millrace::stats
