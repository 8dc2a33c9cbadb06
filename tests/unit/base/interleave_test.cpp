// SPDX-License-Identifier: Apache-2.0
// The explorer itself against the litmus tests of the memory model: what is allowed must turn up,
// and what is forbidden must not. The other model tests are worth what these are worth.
#include "tests/support/interleave.hpp"

#include <set>
#include <utility>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

using Int = ModelAtomics::Atomic<int>;
using Outcomes = std::set<std::pair<int, int>>;

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto acq_rel = std::memory_order_acq_rel;

// Message passing: data then flag; the reader reads flag then data.
Outcomes message_passing(std::memory_order store_order, std::memory_order load_order) {
  Outcomes seen;
  const Explored result = explore({}, [&](Trial& trial) {
    Int data;
    Int flag;
    int flag_read = 0;
    int data_read = 0;
    trial.threads({[&] {
                     data.store(1, relaxed);
                     flag.store(1, store_order);
                   },
                   [&] {
                     flag_read = flag.load(load_order);
                     data_read = data.load(relaxed);
                   }});
    seen.insert({flag_read, data_read});
  });
  EXPECT_TRUE(result.passed()) << result.failure;
  return seen;
}

TEST(Interleave, ReleaseAndAcquirePassAMessage) {
  EXPECT_EQ(message_passing(release, acquire), (Outcomes{{0, 0}, {0, 1}, {1, 1}}));
}

TEST(Interleave, AMessageIsLostWithoutRelease) {
  EXPECT_TRUE(message_passing(relaxed, acquire).contains({1, 0}));
}

TEST(Interleave, AMessageIsLostWithoutAcquire) {
  EXPECT_TRUE(message_passing(release, relaxed).contains({1, 0}));
}

TEST(Interleave, StoreBufferingIsAllowedUnderReleaseAndAcquire) {
  Outcomes seen;
  const Explored result = explore({}, [&](Trial& trial) {
    Int x;
    Int y;
    int a = 0;
    int b = 0;
    trial.threads({[&] {
                     x.store(1, release);
                     a = y.load(acquire);
                   },
                   [&] {
                     y.store(1, release);
                     b = x.load(acquire);
                   }});
    seen.insert({a, b});
  });
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_EQ(seen, (Outcomes{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
}

TEST(Interleave, AReadModifyWriteOnOneWordForbidsStoreBuffering) {
  Outcomes seen;
  const Explored result = explore({}, [&](Trial& trial) {
    Int x;
    Int y;
    Int both;
    int a = 0;
    int b = 0;
    trial.threads({[&] {
                     x.store(1, relaxed);
                     both.fetch_add(0, acq_rel);
                     a = y.load(relaxed);
                   },
                   [&] {
                     y.store(1, relaxed);
                     both.fetch_add(0, acq_rel);
                     b = x.load(relaxed);
                   }});
    seen.insert({a, b});
  });
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_EQ(seen, (Outcomes{{0, 1}, {1, 0}, {1, 1}}));
}

TEST(Interleave, LoadsOfOneWordNeverGoBackwards) {
  Outcomes seen;
  const Explored result = explore({}, [&](Trial& trial) {
    Int x;
    int first = 0;
    int second = 0;
    trial.threads({[&] {
                     x.store(1, relaxed);
                     x.store(2, relaxed);
                   },
                   [&] {
                     first = x.load(relaxed);
                     second = x.load(relaxed);
                   }});
    seen.insert({first, second});
  });
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_EQ(seen, (Outcomes{{0, 0}, {0, 1}, {0, 2}, {1, 1}, {1, 2}, {2, 2}}));
}

TEST(Interleave, ReadModifyWritesLoseNothing) {
  const Explored result = explore({}, [](Trial& trial) {
    Int x;
    const auto twice = [&] {
      x.fetch_add(1, relaxed);
      x.fetch_add(1, relaxed);
    };
    trial.threads({twice, twice, twice});
    trial.check(x.load(relaxed) == 6, "six additions");
  });
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_EQ(result.runs, 90u) << "6! / (2! 2! 2!) schedules";
}

TEST(Interleave, LoadThenStoreLosesUpdates) {
  const Explored result = explore({}, [](Trial& trial) {
    Int x;
    const auto add = [&] { x.store(x.load(relaxed) + 1, relaxed); };
    trial.threads({add, add});
    trial.check(x.load(relaxed) == 2, "two additions");
  });
  EXPECT_NE(result.failure.find("two additions"), std::string::npos) << result.failure;
}

TEST(Interleave, AReleaseSequenceGoesThroughAReadModifyWrite) {
  Outcomes seen;
  const Explored result = explore({}, [&](Trial& trial) {
    Int data;
    Int flag;
    int flag_read = 0;
    int data_read = 0;
    trial.threads({[&] {
                     data.store(1, relaxed);
                     flag.store(1, release);
                   },
                   [&] { flag.fetch_add(10, relaxed); },
                   [&] {
                     flag_read = flag.load(acquire);
                     data_read = data.load(relaxed);
                   }});
    seen.insert({flag_read, data_read});
  });
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_TRUE(seen.contains({11, 1}));
  EXPECT_FALSE(seen.contains({11, 0}));
  EXPECT_TRUE(seen.contains({10, 0})) << "the addition alone releases nothing";
}

// Plain memory handed over by a flag; `handed` is false when the flag is ignored.
Explored hand_over(std::memory_order store_order, std::memory_order load_order, bool wait) {
  return explore({}, [=](Trial& trial) {
    ModelAtomics::Plain<int> data;
    Int flag;
    trial.threads({[&] {
                     data = 1;
                     flag.store(1, store_order);
                   },
                   [&] {
                     if (flag.load(load_order) == 1 || !wait) trial.check(data == 1, "whole");
                   }});
  });
}

TEST(Interleave, PlainMemoryMayBeHandedOver) {
  EXPECT_TRUE(hand_over(release, acquire, true).passed());
}

TEST(Interleave, PlainMemoryThatRacesIsReported) {
  for (const Explored& result :
       {hand_over(relaxed, acquire, true), hand_over(release, relaxed, true),
        hand_over(release, acquire, false)}) {
    EXPECT_NE(result.failure.find("data race"), std::string::npos) << result.failure;
  }
}

TEST(Interleave, APlainWriteAfterTheReleaseIsNotCovered) {
  const Explored result = explore({}, [](Trial& trial) {
    ModelAtomics::Plain<int> data;
    Int flag;
    trial.threads({[&] {
                     flag.store(1, release);
                     data = 1;
                   },
                   [&] {
                     if (flag.load(acquire) == 1) trial.check(data <= 1, "either");
                   }});
  });
  EXPECT_NE(result.failure.find("data race"), std::string::npos) << result.failure;
}

TEST(Interleave, LimitsAreReportedAsIncomplete) {
  const Explored result = explore({.runs_max = 3}, [](Trial& trial) {
    Int x;
    const auto add = [&] {
      x.fetch_add(1, relaxed);
      x.fetch_add(1, relaxed);
    };
    trial.threads({add, add});
  });
  EXPECT_FALSE(result.complete);
  EXPECT_FALSE(result.passed());
}

TEST(Interleave, PreemptionsAreBoundedAsAsked) {
  const auto runs_with = [](uint32_t preemptions) {
    return explore({.preemptions_max = preemptions},
                   [](Trial& trial) {
                     Int x;
                     const auto add = [&] {
                       for (int i = 0; i < 3; ++i)
                         x.fetch_add(1, relaxed);
                     };
                     trial.threads({add, add});
                   })
        .runs;
  };
  EXPECT_EQ(runs_with(0), 2u);     // either thread first
  EXPECT_EQ(runs_with(100), 20u);  // 6 over 3
}

}  // namespace
}  // namespace millrace::test
