// SPDX-License-Identifier: Apache-2.0
// Statistics pages: what is published is what is read, whole or not at all, under every value that
// the memory model lets a reader see and under real threads.
#include "dataplane/stats/core_counters.hpp"
#include "dataplane/stats/stats_page_reader.hpp"
#include "tests/support/interleave.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace millrace::stats {
namespace {

using abi::CorePage;
using abi::Event;
using abi::Outcome;
using test::explore;
using test::Explored;
using test::Keep;
using test::ModelAtomicsWith;
using test::Trial;

TEST(CoreCounters, CountsWhatItIsTold) {
  CoreCounters counters;
  counters.rx_packets += 3;
  counters.count(Outcome::hit);
  counters.count(Outcome::hit);
  counters.count(Outcome::drop_qr);
  counters.count(Event::rx_bytes, 1500);
  counters.count(Event::steps);
  EXPECT_EQ(counters.of(Outcome::hit), 2u);
  EXPECT_EQ(counters.of(Outcome::drop_qr), 1u);
  EXPECT_EQ(counters.of(Outcome::miss), 0u);
  EXPECT_EQ(counters.of(Event::rx_bytes), 1500u);
  EXPECT_EQ(counters.of(Event::steps), 1u);
  EXPECT_EQ(counters.outcome_sum(), counters.rx_packets);
}

CoreCounters distinct_counters() {
  CoreCounters counters;
  counters.rx_packets = 1;
  counters.waiters = 2;
  counters.inflight = 3;
  counters.entries = 4;
  counters.memory_used = 5;
  counters.memory_total = 6;
  counters.memory_retired = 7;
  for (std::size_t i = 0; i < abi::kOutcomeCnt; ++i)
    counters.outcome[i] = 1000 + i;
  for (std::size_t i = 0; i < abi::kEventCnt; ++i)
    counters.event[i] = 2000 + i;
  return counters;
}

TEST(StatsPage, EveryFieldArrives) {
  auto page = std::make_unique<CorePage>();
  const CoreCounters counters = distinct_counters();
  publish(counters, 77, *page);
  publish(counters, 78, *page);
  CoreSnapshot read{};
  ASSERT_TRUE(read_page(*page, read));
  EXPECT_EQ(read.publications, 2u);
  EXPECT_EQ(read.generation, 78u);
  EXPECT_EQ(read.rx_packets, 1u);
  EXPECT_EQ(read.waiters, 2u);
  EXPECT_EQ(read.inflight, 3u);
  EXPECT_EQ(read.entries, 4u);
  EXPECT_EQ(read.memory_used, 5u);
  EXPECT_EQ(read.memory_total, 6u);
  EXPECT_EQ(read.memory_retired, 7u);
  for (std::size_t i = 0; i < abi::kOutcomeCnt; ++i)
    EXPECT_EQ(read.outcome[i], 1000 + i);
  for (std::size_t i = 0; i < abi::kEventCnt; ++i)
    EXPECT_EQ(read.event[i], 2000 + i);
}

TEST(StatsPage, APageNeverPublishedReadsAsZeroes) {
  const auto page = std::make_unique<CorePage>();
  CoreSnapshot read{};
  read.rx_packets = 9;
  ASSERT_TRUE(read_page(*page, read));
  EXPECT_EQ(read.publications, 0u);
  EXPECT_EQ(read.rx_packets, 0u);
}

TEST(StatsPage, AWriterThatDiedInsideIsReported) {
  auto page = std::make_unique<CorePage>();
  publish(distinct_counters(), 1, *page);
  page->sequence.fetch_add(1);
  CoreSnapshot read{};
  EXPECT_FALSE(read_page(*page, read));
}

// The page with few enough words to try every value of each.
template <class Atomics>
struct SmallPage {
  using Word = typename Atomics::template Atomic<uint64_t>;
  Word sequence, generation, rx_packets, waiters, inflight, entries, memory_used, memory_total;
  Word memory_retired;
  Word outcomes[1], events[1];
};

// The reader never influences the writer, so running the writer first and then letting each load
// return any store that the model allows covers every interleaving of the two.
template <Keep kKept>
Explored explore_page(uint64_t publications, uint32_t stale_reads_max, uint64_t& accepted) {
  using Atomics = ModelAtomicsWith<kKept>;
  return explore({.preemptions_max = 0, .stale_reads_max = stale_reads_max}, [&](Trial& trial) {
    SmallPage<Atomics> page;
    bool good = false;
    CoreSnapshot read{};
    trial.threads({[&] {
                     for (uint64_t n = 1; n <= publications; ++n) {
                       CoreCounters counters;
                       counters.rx_packets = counters.waiters = counters.inflight = n;
                       counters.entries = counters.memory_used = counters.memory_total = n;
                       counters.memory_retired = n;
                       counters.outcome[0] = counters.event[0] = n;
                       publish(counters, n, page);
                     }
                   },
                   [&] { good = read_page(page, read, 2); }});
    if (!good) return;
    ++accepted;
    const uint64_t n = read.generation;
    trial.check(read.publications == n, "the sequence belongs to the copy");
    trial.check(read.rx_packets == n && read.waiters == n && read.inflight == n &&
                    read.entries == n && read.memory_used == n && read.memory_total == n &&
                    read.memory_retired == n &&
                    read.outcome[0] == n && read.event[0] == n,
                "one publication");
  });
}

TEST(StatsPageModel, WhatIsAcceptedIsOnePublication) {
  uint64_t accepted = 0;
  const Explored result = explore_page<Keep::all>(2, 10, accepted);
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_GT(accepted, 100u);
  std::printf("%llu runs, %llu copies accepted\n", static_cast<unsigned long long>(result.runs),
              static_cast<unsigned long long>(accepted));
}

TEST(StatsPageModel, TheOrdersAreNeeded) {
  uint64_t accepted = 0;
  for (const Explored& result : {explore_page<Keep::no_acquire>(2, 6, accepted),
                                 explore_page<Keep::no_release>(2, 6, accepted)}) {
    EXPECT_EQ(result.failure.rfind("one publication", 0), 0u) << result.failure;
  }
}

TEST(StatsPageStress, EveryAcceptedCopyKeepsTheSumRule) {
  auto page = std::make_unique<CorePage>();
  std::atomic<bool> stop(false);
  std::thread writer([&] {
    CoreCounters counters;
    uint64_t n = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      ++n;
      counters.count(static_cast<Outcome>(n % abi::kOutcomeCnt));
      counters.count(static_cast<Outcome>(n * 7 % abi::kOutcomeCnt));
      counters.rx_packets += 2;
      counters.memory_used = n;
      for (uint64_t& event : counters.event)
        event = n;
      publish(counters, n, *page);
      if (n % 64 == 0) std::this_thread::yield();
    }
  });
  CoreSnapshot read{};
  uint64_t newest = 0;
  uint64_t changes = 0;
  // On a busy machine a second is not enough to see the writer often.
  const auto start = std::chrono::steady_clock::now();
  while (changes < 3000) {
    const auto passed = std::chrono::steady_clock::now() - start;
    if (passed > std::chrono::seconds(changes > 20 ? 1 : 60)) break;
    if (!read_page(*page, read)) continue;
    changes += read.publications != newest ? 1 : 0;
    ASSERT_GE(read.publications, newest);
    newest = read.publications;
    uint64_t sum = 0;
    for (uint64_t outcome : read.outcome)
      sum += outcome;
    ASSERT_EQ(sum, read.rx_packets);
    ASSERT_EQ(read.rx_packets, 2 * read.publications);
    ASSERT_EQ(read.memory_used, read.publications);
    ASSERT_EQ(read.generation, read.publications);
    for (uint64_t event : read.event)
      ASSERT_EQ(event, read.publications);
  }
  stop.store(true, std::memory_order_relaxed);
  writer.join();
  EXPECT_GT(changes, 20u) << "the writer hardly ran";
}

}  // namespace
}  // namespace millrace::stats
