// SPDX-License-Identifier: Apache-2.0
// Swapping snapshots under readers: every schedule of two swaps against a reader that follows the
// contract, and against readers that do not.
#include "dataplane/snapshot/board.hpp"

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

namespace millrace::snapshot {
namespace {

using test::explore;
using test::Explored;
using test::Keep;
using test::ModelAtomicsWith;
using test::Trial;

TEST(SnapshotBoard, ShowsTheNewestAndReturnsTheOld) {
  const int a = 1;
  const int b = 2;
  SnapshotBoard<int> board;
  EXPECT_EQ(board.load(), nullptr);
  EXPECT_EQ(board.publish(&a), nullptr);
  EXPECT_EQ(board.load(), &a);
  EXPECT_EQ(board.publish(&b), &a);
  EXPECT_EQ(board.load(), &b);
}

TEST(SnapshotBoard, TheOldImageWaitsForItsReaders) {
  const int a = 1;
  const int b = 2;
  SnapshotBoard<int> board(&a);
  Qsbr<2> qsbr;
  const GracePeriod grace = qsbr.grace();
  qsbr.online(0);
  const Retired<int> retired(board.publish(&b), grace);
  EXPECT_EQ(retired.image(), &a);
  EXPECT_FALSE(retired.may_free(grace));
  qsbr.quiescent(0);
  EXPECT_TRUE(retired.may_free(grace));
}

// An image whose two halves must agree; kFreed stands for memory that was given back.
constexpr int kFreed = -1;
template <class Atomics>
struct ModelImage {
  typename Atomics::template Plain<int> generation;
  typename Atomics::template Plain<int> echo;

  void write(int value) {
    generation = value;
    echo = value;
  }
};

// The writer publishes generations 2 and 3 over 1 and frees each old one when it may; the reader
// runs bursts. Depth: three preemptions by either side and three loads of old values.
template <Keep kKept, class Reader>
Explored explore_swaps(Reader reader) {
  using Atomics = ModelAtomicsWith<kKept>;
  using Image = ModelImage<Atomics>;
  return explore({.preemptions_max = 3, .stale_reads_max = 3}, [&](Trial& trial) {
    Image images[3];
    images[0].write(1);
    SnapshotBoard<Image, Atomics> board(&images[0]);
    Qsbr<1, Atomics> qsbr;
    const GracePeriod grace = qsbr.grace();
    trial.threads({[&] { reader(trial, board, qsbr); },
                   [&] {
                     for (int next = 1; next <= 2; ++next) {
                       images[next].write(next + 1);
                       const Image* old = board.publish(&images[next]);
                       trial.check(old == &images[next - 1], "publish returns what it replaced");
                       const Retired<Image> retired(old, grace);
                       if (retired.may_free(grace)) images[next - 1].write(kFreed);
                     }
                   }});
  });
}

constexpr auto burst = [](Trial& trial, const auto& board, int& newest) {
  const auto* image = board.load();
  const int generation = image->generation;
  trial.check(generation != kFreed, "the image is alive");
  trial.check(image->echo == generation, "one generation per burst");
  trial.check(generation >= newest, "generations never go back");
  newest = generation;
};

constexpr auto follows_the_contract = [](Trial& trial, auto& board, auto& qsbr) {
  int newest = 0;
  qsbr.online(0);
  for (int i = 0; i < 2; ++i) {
    burst(trial, board, newest);
    qsbr.quiescent(0);
  }
  qsbr.offline(0);
};

constexpr auto keeps_the_pointer = [](Trial& trial, auto& board, auto& qsbr) {
  qsbr.online(0);
  const auto* image = board.load();
  qsbr.quiescent(0);
  trial.check(image->generation != kFreed, "the image is alive");
};

constexpr auto never_comes_online = [](Trial& trial, auto& board, auto&) {
  trial.check(board.load()->generation != kFreed, "the image is alive");
};

TEST(SnapshotBoardModel, ReadersAlwaysSeeALiveWholeImage) {
  const Explored result = explore_swaps<Keep::all>(follows_the_contract);
  EXPECT_TRUE(result.passed()) << result.failure;
  EXPECT_GT(result.runs, 1000u);
}

TEST(SnapshotBoardModel, ReadersThatBreakTheContractAreCaught) {
  EXPECT_NE(explore_swaps<Keep::all>(keeps_the_pointer).failure, "");
  EXPECT_NE(explore_swaps<Keep::all>(never_comes_online).failure, "");
}

TEST(SnapshotBoardModel, TheOrdersAreNeeded) {
  EXPECT_NE(explore_swaps<Keep::no_acquire>(follows_the_contract).failure.find("race"),
            std::string::npos);
  EXPECT_NE(explore_swaps<Keep::no_release>(follows_the_contract).failure.find("race"),
            std::string::npos);
}

struct StressImage {
  uint64_t words[16];
};

TEST(SnapshotBoardStress, SwapsUnderReaders) {
  constexpr uint32_t kReaders = 2;
  auto images = std::make_unique<StressImage[]>(2);
  const auto write = [&](StressImage& image, uint64_t generation) {
    for (uint64_t& word : image.words)
      word = generation;
  };
  write(images[0], 1);
  SnapshotBoard<StressImage> board(&images[0]);
  Qsbr<kReaders> qsbr;
  const GracePeriod grace = qsbr.grace();
  std::atomic<bool> stop(false);
  std::atomic<uint64_t> broken(0);
  std::atomic<uint32_t> started(0);
  std::vector<std::thread> readers;
  for (uint32_t r = 0; r < kReaders; ++r) {
    readers.emplace_back([&, r] {
      qsbr.online(r);
      started.fetch_add(1);
      uint64_t newest = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        const StressImage* image = board.load();
        const uint64_t generation = image->words[0];
        bool whole = generation >= newest;
        if (generation % 4 == r) std::this_thread::yield();  // swaps while we hold the image
        for (uint64_t word : image->words)
          whole = whole && word == generation;
        if (!whole) broken.fetch_add(1, std::memory_order_relaxed);
        newest = generation;
        qsbr.quiescent(r);
      }
      qsbr.offline(r);
    });
  }
  while (started.load() < kReaders)
    std::this_thread::yield();
  const auto start = std::chrono::steady_clock::now();
  uint64_t generation = 2;
  for (; generation < 50'000; ++generation) {
    // On a busy machine each swap waits for readers that have no CPU.
    const auto passed = std::chrono::steady_clock::now() - start;
    if (passed > std::chrono::milliseconds(generation > 10 ? 500 : 60'000)) break;
    StressImage& next = images[(generation + 1) % 2];
    write(next, generation);
    const Retired<StressImage> retired(board.publish(&next), grace);
    while (!retired.may_free(grace))
      std::this_thread::yield();
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& reader : readers)
    reader.join();
  EXPECT_EQ(broken.load(), 0u);
  EXPECT_GT(generation, 10u) << "hardly a swap was made";
}

}  // namespace
}  // namespace millrace::snapshot
