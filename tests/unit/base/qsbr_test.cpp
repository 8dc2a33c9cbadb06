// SPDX-License-Identifier: Apache-2.0
// The grace period: what it says step by step, and that memory it gives back is nobody's, under
// every schedule of a reader and a writer.
#include "dataplane/base/qsbr.hpp"

#include "tests/support/interleave.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using test::explore;
using test::Explored;
using test::Keep;
using test::Limits;
using test::ModelAtomicsWith;
using test::Trial;

TEST(Qsbr, PassesAtOnceWithoutReaders) {
  Qsbr<4> qsbr;
  EXPECT_TRUE(qsbr.passed(qsbr.start()));
}

TEST(Qsbr, WaitsForEveryReaderThatIsOnline) {
  Qsbr<4> qsbr;
  qsbr.online(1);
  qsbr.online(3);
  const uint64_t token = qsbr.start();
  EXPECT_FALSE(qsbr.passed(token));
  EXPECT_EQ(qsbr.straggler(token), 1u);
  qsbr.quiescent(1);
  EXPECT_EQ(qsbr.straggler(token), 3u);
  qsbr.quiescent(3);
  EXPECT_TRUE(qsbr.passed(token));
}

TEST(Qsbr, AReportFromBeforeTheTokenDoesNotCount) {
  Qsbr<1> qsbr;
  qsbr.online(0);
  qsbr.quiescent(0);
  const uint64_t token = qsbr.start();
  EXPECT_FALSE(qsbr.passed(token));
  qsbr.quiescent(0);
  EXPECT_TRUE(qsbr.passed(token));
}

TEST(Qsbr, OneReportSettlesEveryTokenBeforeIt) {
  Qsbr<1> qsbr;
  qsbr.online(0);
  const uint64_t first = qsbr.start();
  const uint64_t second = qsbr.start();
  EXPECT_LT(first, second);
  qsbr.quiescent(0);
  const uint64_t third = qsbr.start();
  EXPECT_TRUE(qsbr.passed(first));
  EXPECT_TRUE(qsbr.passed(second));
  EXPECT_FALSE(qsbr.passed(third));
}

TEST(Qsbr, OfflineHoldsNobodyUp) {
  Qsbr<2> qsbr;
  qsbr.online(0);
  const uint64_t token = qsbr.start();
  qsbr.offline(0);
  EXPECT_TRUE(qsbr.passed(token));
  qsbr.online(0);
  EXPECT_TRUE(qsbr.passed(token)) << "came online after the token";
  EXPECT_FALSE(qsbr.passed(qsbr.start()));
}

TEST(Qsbr, WorksBehindTheInterface) {
  Qsbr<1> qsbr;
  const GracePeriod grace = qsbr.grace();
  qsbr.online(0);
  const uint64_t token = grace.start(grace.context);
  EXPECT_FALSE(grace.passed(grace.context, token));
  qsbr.quiescent(0);
  EXPECT_TRUE(grace.passed(grace.context, token));
}

// A writer replaces object 0 by object 1 and, if the grace period allows it, destroys object 0,
// which is a plain write. A reader that still reads it then races.
template <Keep kKept, class Reader>
Explored explore_reclaim(Reader reader) {
  using Atomics = ModelAtomicsWith<kKept>;
  return explore({}, [&](Trial& trial) {
    Qsbr<1, Atomics> qsbr;
    typename Atomics::template Plain<int> object[2];
    object[0] = 1;
    object[1] = 1;
    typename Atomics::template Atomic<int> current(0);
    trial.threads({[&] { reader(trial, qsbr, current, object); },
                   [&] {
                     current.store(1, std::memory_order_release);
                     const uint64_t token = qsbr.start();
                     for (int i = 0; i < 3; ++i) {
                       if (!qsbr.passed(token)) continue;
                       object[0] = 0;
                       break;
                     }
                   }});
    qsbr.offline(0);
    trial.check(qsbr.passed(qsbr.start()), "passes when nobody is online");
  });
}

constexpr auto use = [](Trial& trial, auto& current, auto& object) {
  const int which = current.load(std::memory_order_acquire);
  trial.check(object[which] == 1, "the object is alive");
};

constexpr auto two_bursts = [](Trial& trial, auto& qsbr, auto& current, auto& object) {
  qsbr.online(0);
  use(trial, current, object);
  qsbr.quiescent(0);
  use(trial, current, object);
  qsbr.offline(0);
};

constexpr auto sleeps_between = [](Trial& trial, auto& qsbr, auto& current, auto& object) {
  qsbr.online(0);
  use(trial, current, object);
  qsbr.offline(0);
  qsbr.online(0);
  use(trial, current, object);
};

constexpr auto reports_too_early = [](Trial& trial, auto& qsbr, auto& current, auto& object) {
  qsbr.online(0);
  const int which = current.load(std::memory_order_acquire);
  qsbr.quiescent(0);
  trial.check(object[which] == 1, "the object is alive");
};

TEST(QsbrModel, NothingIsReclaimedUnderAReader) {
  const Explored result = explore_reclaim<Keep::all>(two_bursts);
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_GT(result.runs, 100u);
}

TEST(QsbrModel, NothingIsReclaimedUnderAReaderThatWakes) {
  const Explored result = explore_reclaim<Keep::all>(sleeps_between);
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_GT(result.runs, 100u);
}

TEST(QsbrModel, AReaderThatReportsTooEarlyIsCaught) {
  const Explored result = explore_reclaim<Keep::all>(reports_too_early);
  EXPECT_NE(result.failure.find("race"), std::string::npos) << result.failure;
}

TEST(QsbrModel, TheOrdersAreNeeded) {
  EXPECT_NE(explore_reclaim<Keep::no_acquire>(two_bursts).failure.find("race"), std::string::npos);
  EXPECT_NE(explore_reclaim<Keep::no_release>(two_bursts).failure.find("race"), std::string::npos);
}

TEST(QsbrStress, ReclaimedMemoryIsNobodys) {
  constexpr uint32_t kReaders = 3;
  constexpr uint64_t kAlive = 0x616c'6976'65ULL;
  Qsbr<kReaders> qsbr;
  auto objects = std::make_unique<uint64_t[]>(2);  // plain: ThreadSanitizer sees a reuse too early
  objects[0] = kAlive;
  std::atomic<uint64_t*> current(&objects[0]);
  std::atomic<bool> stop(false);
  std::atomic<uint64_t> dead(0);
  std::atomic<uint32_t> started(0);
  std::vector<std::thread> readers;
  for (uint32_t r = 0; r < kReaders; ++r) {
    readers.emplace_back([&, r] {
      uint64_t turns = 0;
      qsbr.online(r);
      started.fetch_add(1, std::memory_order_relaxed);
      while (!stop.load(std::memory_order_relaxed)) {
        const uint64_t* object = current.load(std::memory_order_acquire);
        // Now and then the writer runs while we hold the object, even on a machine of one core.
        if (turns % 32 == 7) std::this_thread::yield();
        if (*object != kAlive) dead.fetch_add(1, std::memory_order_relaxed);
        qsbr.quiescent(r);
        if (++turns % 64 == r) {
          qsbr.offline(r);
          std::this_thread::yield();
          qsbr.online(r);
        }
      }
      qsbr.offline(r);
    });
  }
  while (started.load(std::memory_order_relaxed) < kReaders)
    std::this_thread::yield();
  uint64_t waits = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  for (uint64_t swap = 0; waits < 5000 && std::chrono::steady_clock::now() < deadline; ++swap) {
    uint64_t* next = &objects[(swap + 1) % 2];
    *next = kAlive;
    uint64_t* old = current.exchange(next, std::memory_order_acq_rel);
    const uint64_t token = qsbr.start();
    for (; !qsbr.passed(token); ++waits)
      std::this_thread::yield();
    *old = 0;
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& reader : readers)
    reader.join();
  EXPECT_EQ(dead.load(), 0u);
  EXPECT_GT(waits, 0u) << "no reader was ever in the way: the run proves nothing";
}

}  // namespace
}  // namespace millrace
