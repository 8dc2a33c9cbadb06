// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/backend_set.hpp"

#include "tests/unit/worker/images.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::dp {
namespace {

using test::kMs;
constexpr uint64_t kNow = 50'000 * kMs;

class BackendSetTest : public testing::Test {
 protected:
  BackendSetTest() : stats_(new abi::StatsArea{}) { run(3); }

  // Every worker runs a config with this many backends, all reachable.
  void run(uint32_t backends) {
    config_ = test::make_config(backends);
    routes_ = test::make_routes(*config_);
    const Remap remap = settings_.apply(*config_);
    settings_.apply(*routes_);
    for (BackendSet* set : {&first_, &second_}) {
      set->apply(remap, backends);
      set->begin_turn(kNow);
    }
  }
  void take_down(BackendSet& set, uint32_t backend) {
    for (int i = 0; i < 2; ++i)
      set.on_timeout(backend, 2);
    set.on_silent_probe(backend, kNow);
  }
  uint8_t choose(uint32_t tried = 0, const std::string& name = "www.example") {
    Key key{};
    const test::Bytes bytes = test::Name(name).bytes();
    std::copy(bytes.begin(), bytes.end(), key.bytes + kKeyHeadBytes);
    key.len = static_cast<uint16_t>(kKeyHeadBytes + bytes.size());
    return first_.choose(settings_, {0, members_, tried, key}, random_);
  }
  // The config as it stands, with this policy.
  void follow(abi::PoolPolicy policy) {
    config_->service.pool[0].policy = policy;
    apply();
  }
  void apply() {
    config_->header.generation += 1;
    first_.apply(settings_.apply(*config_), config_->service.backends);
    routes_ = test::make_routes(*config_, config_->header.generation);
    settings_.apply(*routes_);
  }

  uint32_t members_ = 0b111;
  static constexpr uint8_t kSeed[Csprng::kSeedBytes] = {7};
  Csprng random_{kSeed};
  std::unique_ptr<abi::StatsArea> stats_;
  std::unique_ptr<abi::ConfigImage> config_;
  std::unique_ptr<abi::RoutesImage> routes_;
  Settings settings_;
  BackendSet first_{0, 2, stats_->backends};
  BackendSet second_{1, 2, stats_->backends};
};

TEST_F(BackendSetTest, IdleBackendsAreChosenAtRandom) {
  uint32_t chosen[3] = {};
  for (int i = 0; i < 3000; ++i)
    chosen[choose()] += 1;
  for (const uint32_t n : chosen)
    EXPECT_NEAR(n, 1000, 150);
}

TEST_F(BackendSetTest, TheLeastLoadedIsChosen) {
  first_.on_sent(0);
  first_.on_sent(0);
  first_.on_sent(1);
  first_.on_sent(2);
  first_.on_sent(2);
  EXPECT_EQ(choose(), 1);
  first_.on_answer(0, kMs, false);
  first_.on_abandoned(0);
  EXPECT_EQ(choose(), 0) << "answered and abandoned queries are not outstanding";
}

TEST_F(BackendSetTest, ThoseNotYetAskedComeFirst) {
  for (int i = 0; i < 5; ++i)
    first_.on_sent(2);
  EXPECT_EQ(choose(0b011), 2) << "loaded, but not yet asked";
  std::set<uint8_t> again;
  for (int i = 0; i < 100; ++i)
    again.insert(choose(0b111));
  EXPECT_EQ(again, (std::set<uint8_t>{0, 1})) << "all were asked: any that is up, by load";
}

TEST_F(BackendSetTest, WithoutARouteABackendIsNotChosen) {
  routes_->header.generation = 2;
  routes_->hop[0].usable = routes_->hop[2].usable = 0;
  settings_.apply(*routes_);
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(choose(), 1);
  EXPECT_EQ(choose(0b010), 1);
}

TEST_F(BackendSetTest, TimeoutsInARowMakeItSuspectAndItStaysInUse) {
  first_.on_timeout(0, 2);
  EXPECT_EQ(first_.take_probe(settings_, kNow), Remap::kGone);
  first_.on_answer(0, kMs, false);
  first_.on_timeout(0, 2);
  EXPECT_EQ(first_.take_probe(settings_, kNow), Remap::kGone) << "an answer between the two";
  first_.on_timeout(0, 2);
  EXPECT_EQ(first_.take_probe(settings_, kNow), 0) << "at once";
  EXPECT_TRUE(first_.up(0));
  EXPECT_EQ(stats_->backends[0][0].up.load(), 1u);
  for (int i = 0; i < 10; ++i)
    first_.on_timeout(0, 2);
  EXPECT_TRUE(first_.up(0)) << "however many";
}

TEST_F(BackendSetTest, ASilentProbeTakesTheSuspectDownAndAnAnswerBringsItBack) {
  take_down(first_, 1);
  EXPECT_FALSE(first_.up(1));
  EXPECT_EQ(stats_->backends[0][1].up.load(), 0u);
  for (int i = 0; i < 50; ++i)
    EXPECT_NE(choose(), 1);
  EXPECT_TRUE(second_.up(1)) << "another worker has its own opinion";
  first_.on_answer(1, kMs, false);
  EXPECT_TRUE(first_.up(1));
}

TEST_F(BackendSetTest, AnAnsweredProbeClearsTheSuspicion) {
  first_.on_timeout(0, 2);
  first_.on_timeout(0, 2);
  EXPECT_EQ(first_.take_probe(settings_, kNow), 0);
  first_.on_sent(0);
  first_.on_answer(0, kMs, true);
  EXPECT_EQ(first_.take_probe(settings_, kNow + 5000 * kMs), Remap::kGone);
  first_.on_silent_probe(0, kNow);
  EXPECT_TRUE(first_.up(0)) << "has answered";
}

TEST_F(BackendSetTest, ASignOfLifeSavesTheSuspectWhoseProbeIsLost) {
  first_.on_timeout(0, 2);
  first_.on_timeout(0, 2);
  first_.on_sent(0);
  first_.begin_turn(kNow + 10 * kMs);
  first_.on_sign_of_life(0, false);
  first_.begin_turn(kNow + 800 * kMs);
  first_.on_silent_probe(0, kNow);
  EXPECT_TRUE(first_.up(0));
}

// What the home finds out counts for the others, too.
TEST_F(BackendSetTest, ASilentProbeTakesItDownOnAllWorkers) {
  first_.on_timeout(1, 2);
  first_.on_timeout(1, 2);
  ASSERT_EQ(second_.take_probe(settings_, kNow), 1);
  second_.on_sent(1);
  first_.share();
  EXPECT_TRUE(first_.up(1));
  second_.begin_turn(kNow + 800 * kMs);
  second_.on_silent_probe(1, kNow);
  EXPECT_FALSE(second_.up(1)) << "nothing else has come here, either";
  first_.share();
  EXPECT_FALSE(first_.up(1));
}

// One whose clients ask for other names need not find out by their questions.
TEST_F(BackendSetTest, A64_a_worker_that_has_asked_nothing_learns_that_a_backend_is_down) {
  first_.on_timeout(0, 2);
  first_.on_timeout(0, 2);
  ASSERT_EQ(first_.take_probe(settings_, kNow), 0);
  first_.on_silent_probe(0, kNow);
  second_.share();
  EXPECT_FALSE(second_.up(0));
  first_.on_answer(0, kMs, true);
  second_.share();
  EXPECT_TRUE(second_.up(0));
}

TEST_F(BackendSetTest, WhoHeardFromItSinceTheProbeWasSentKeepsIt) {
  first_.on_timeout(0, 2);
  first_.on_timeout(0, 2);
  ASSERT_EQ(first_.take_probe(settings_, kNow), 0);
  second_.begin_turn(kNow + kMs);
  second_.on_sent(0);
  second_.on_answer(0, kMs, false);
  first_.begin_turn(kNow + 800 * kMs);
  first_.on_silent_probe(0, kNow);
  second_.begin_turn(kNow + 900 * kMs);
  second_.share();
  EXPECT_TRUE(second_.up(0));
  EXPECT_FALSE(first_.up(0));
}

TEST_F(BackendSetTest, ABurstThatIsAnsweredLateIsNoOutage) {
  const auto suspect = [this] { return stats_->backends[0][1].reserved[1].load() == 1; };
  for (int i = 0; i < 10; ++i)
    first_.on_sent(1);
  first_.begin_turn(kNow + 400 * kMs);
  for (int i = 0; i < 10; ++i)
    first_.on_timeout(1, 2);
  EXPECT_FALSE(suspect()) << "silent for 400 ms only";
  first_.on_answer(1, 400 * kMs, false);
  first_.begin_turn(kNow + 1300 * kMs);
  for (int i = 0; i < 9; ++i)
    first_.on_timeout(1, 2);
  EXPECT_FALSE(suspect()) << "silent for 900 ms only";
  first_.begin_turn(kNow + 1400 * kMs);
  first_.on_timeout(1, 2);
  EXPECT_TRUE(suspect());
}

TEST_F(BackendSetTest, WithAllOfThemDownThereIsNothingToChoose) {
  for (uint32_t b = 0; b < 3; ++b)
    take_down(first_, b);
  EXPECT_EQ(choose(), Remap::kGone);
}

TEST_F(BackendSetTest, OnlyItsHomeProbesOncePerInterval) {
  take_down(first_, 1);
  EXPECT_EQ(first_.take_probe(settings_, kNow), Remap::kGone) << "backend 1 is at home at worker 1";
  EXPECT_EQ(second_.take_probe(settings_, kNow), 1);
  EXPECT_EQ(second_.take_probe(settings_, kNow + 999 * kMs), Remap::kGone);
  EXPECT_EQ(second_.take_probe(settings_, kNow + 1000 * kMs), 1);
}

TEST_F(BackendSetTest, A64_an_interval_that_a_config_shortens_holds_for_the_next_probe) {
  config_->service.probe_interval_ms = 60'000;
  apply();
  take_down(first_, 0);
  ASSERT_EQ(first_.take_probe(settings_, kNow), 0);
  config_->service.probe_interval_ms = 500;
  apply();
  EXPECT_EQ(first_.take_probe(settings_, kNow + 499 * kMs), Remap::kGone);
  EXPECT_EQ(first_.take_probe(settings_, kNow + 500 * kMs), 0);
}

TEST_F(BackendSetTest, NoProbeForWhatIsUpOrUnreachable) {
  EXPECT_EQ(first_.take_probe(settings_, kNow), Remap::kGone);
  take_down(first_, 0);
  routes_->header.generation = 2;
  routes_->hop[0].usable = 0;
  settings_.apply(*routes_);
  EXPECT_EQ(first_.take_probe(settings_, kNow), Remap::kGone);
}

// The home sends a probe for another worker and then finds the backend down itself.
TEST_F(BackendSetTest, GoingDownDoesNotShortenTheInterval) {
  take_down(second_, 0);
  EXPECT_EQ(first_.take_probe(settings_, kNow), 0);
  take_down(first_, 0);
  EXPECT_EQ(first_.take_probe(settings_, kNow + 20 * kMs), Remap::kGone);
  EXPECT_EQ(first_.take_probe(settings_, kNow + 1000 * kMs), 0);
}

// However short the interval is: a dead backend does not keep the probes from the others.
TEST_F(BackendSetTest, ProbesGoToTheOneThatIsDueForLongest) {
  config_->service.probe_interval_ms = 100;
  settings_.apply(*config_);
  settings_.apply(*routes_);
  take_down(first_, 0);
  take_down(first_, 2);
  std::set<uint8_t> probed;
  for (uint64_t i = 0; i < 4; ++i)
    probed.insert(first_.take_probe(settings_, kNow + i * 100 * kMs));
  EXPECT_EQ(probed, (std::set<uint8_t>{0, 2}));
}

TEST_F(BackendSetTest, RecoveryIsToldToTheOthers) {
  take_down(first_, 1);
  take_down(second_, 1);
  ASSERT_EQ(second_.take_probe(settings_, kNow), 1);
  second_.on_sent(1);
  first_.share();
  EXPECT_FALSE(first_.up(1));
  second_.on_answer(1, kMs, true);
  EXPECT_TRUE(second_.up(1));
  first_.share();
  EXPECT_TRUE(first_.up(1));
  EXPECT_EQ(second_.take_probe(settings_, kNow + 5000 * kMs), Remap::kGone) << "nobody wants one";
}

// The home never noticed that the backend was down: its probe's answer must still help the other.
TEST_F(BackendSetTest, AProbeForAnotherWorkerIsToldEvenIfItWasNeverDownHere) {
  take_down(first_, 1);
  ASSERT_EQ(second_.take_probe(settings_, kNow), 1);
  second_.on_sent(1);
  second_.on_answer(1, kMs, true);
  first_.share();
  EXPECT_TRUE(first_.up(1));
}

TEST_F(BackendSetTest, HealthAndLoadMoveAlongWithTheBackend) {
  take_down(first_, 0);
  first_.on_sent(2);
  config_->service.backends = 0;
  for (const uint32_t b : {2u, 0u, 7u})
    test::add_backend(config_->service, b);
  config_->header.generation = 2;
  const Remap remap = settings_.apply(*config_);
  first_.apply(remap, 3);
  EXPECT_TRUE(first_.up(0));
  EXPECT_FALSE(first_.up(1));
  EXPECT_TRUE(first_.up(2)) << "a new one begins in use";
  routes_ = test::make_routes(*config_, 2);
  settings_.apply(*routes_);
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(choose(), 2) << "0 carries a query, 1 is down";
  EXPECT_EQ(stats_->backends[0][1].up.load(), 0u);
  EXPECT_EQ(stats_->backends[0][0].up.load(), 1u);
}

// Counters begin at 0 when the data plane starts and at no other time.
TEST_F(BackendSetTest, CountsMoveAlongWithTheBackend) {
  for (int i = 0; i < 3; ++i)
    first_.on_sent(2);
  first_.on_answer(2, kMs, false);
  first_.on_failure(2);
  first_.on_timeout(2, 5);
  first_.on_sent(1);
  config_->service.backends = 0;
  for (const uint32_t b : {2u, 7u, 0u})
    test::add_backend(config_->service, b);
  config_->header.generation = 2;
  first_.apply(settings_.apply(*config_), 3);
  const abi::BackendCell* const cells = stats_->backends[0];
  EXPECT_EQ(cells[0].sent.load(), 3u);
  EXPECT_EQ(cells[0].answered.load(), 1u);
  EXPECT_EQ(cells[0].failures.load(), 1u);
  EXPECT_EQ(cells[0].timeouts.load(), 1u);
  EXPECT_EQ(cells[1].sent.load(), 0u) << "a new one, where one was that is gone";
  EXPECT_EQ(cells[2].sent.load(), 0u) << "not what stood in its row before";
}

TEST_F(BackendSetTest, CountsGoIntoItsOwnCells) {
  first_.on_sent(2);
  first_.on_answer(2, 8000 * 1000, false);
  first_.on_failure(2);
  first_.on_timeout(2, 5);
  const abi::BackendCell& cell = stats_->backends[0][2];
  EXPECT_EQ(cell.sent.load(), 1u);
  EXPECT_EQ(cell.answered.load(), 1u);
  EXPECT_EQ(cell.failures.load(), 1u);
  EXPECT_EQ(cell.timeouts.load(), 1u);
  EXPECT_EQ(cell.rtt_us.load(), 8000u);
  EXPECT_EQ(stats_->backends[1][2].sent.load(), 0u);
}

TEST_F(BackendSetTest, RoundRobinTakesEachInTurn) {
  follow(abi::PoolPolicy::round_robin);
  for (int round = 0; round < 3; ++round) {
    for (const uint32_t expected : {0u, 1u, 2u})
      EXPECT_EQ(choose(), expected);
  }
  EXPECT_EQ(choose(0b001), 1) << "0 was tried";
  take_down(first_, 2);
  EXPECT_EQ(choose(), 0);
  EXPECT_EQ(choose(), 1);
  EXPECT_EQ(choose(), 0) << "2 is down";
}

TEST_F(BackendSetTest, WeightsAreShares) {
  config_->service.backend[0].weight = 1;
  config_->service.backend[1].weight = 3;
  config_->service.backend[2].weight = 6;
  follow(abi::PoolPolicy::weighted);
  uint32_t chosen[3] = {};
  for (int i = 0; i < 10'000; ++i)
    chosen[choose()] += 1;
  EXPECT_NEAR(chosen[0], 1000, 150);
  EXPECT_NEAR(chosen[1], 3000, 250);
  EXPECT_NEAR(chosen[2], 6000, 250);
  for (int i = 0; i < 100; ++i)
    EXPECT_NE(choose(0b100), 2);
}

TEST_F(BackendSetTest, TheFirstAvailableGetsAll) {
  follow(abi::PoolPolicy::first_available);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(choose(), 0);
    first_.on_sent(0);
  }
  EXPECT_EQ(choose(0b001), 1);
  first_.begin_turn(kNow + 2000 * kMs);
  take_down(first_, 0);
  EXPECT_EQ(choose(), 1);
  first_.on_answer(0, kMs, false);
  EXPECT_EQ(choose(), 0);
}

TEST_F(BackendSetTest, ConsistentHashMovesTheShareOfTheNewOneAndNothingElse) {
  constexpr int kNames = 6000;
  follow(abi::PoolPolicy::consistent_hash);
  std::vector<uint8_t> before;
  uint32_t chosen[4] = {};
  for (int i = 0; i < kNames; ++i) {
    before.push_back(choose(0, "n" + std::to_string(i) + ".example"));
    chosen[before.back()] += 1;
  }
  for (int b = 0; b < 3; ++b)
    EXPECT_NEAR(chosen[b], kNames / 3, 200);
  EXPECT_EQ(choose(0, "n7.example"), before[7]) << "always the same";

  test::add_backend(config_->service, 7);
  members_ = 0b1111;
  apply();
  int moved = 0;
  for (int i = 0; i < kNames; ++i) {
    const uint8_t now = choose(0, "n" + std::to_string(i) + ".example");
    if (now == before[i]) continue;
    moved += 1;
    EXPECT_EQ(now, 3);
  }
  EXPECT_NEAR(moved, kNames / 4, 150);

  // Another order is no other choice.
  std::swap(config_->service.backend[0], config_->service.backend[3]);
  apply();
  for (int i = 0; i < kNames; ++i) {
    if (before[i] != 1) continue;
    const uint8_t now = choose(0, "n" + std::to_string(i) + ".example");
    EXPECT_TRUE(now == 1 || now == 0);
  }
}

TEST_F(BackendSetTest, WhoIsDownLosesItsNamesAndTheOthersKeepTheirs) {
  follow(abi::PoolPolicy::consistent_hash);
  std::vector<uint8_t> before;
  for (int i = 0; i < 300; ++i)
    before.push_back(choose(0, std::to_string(i)));
  take_down(first_, 1);
  for (int i = 0; i < 300; ++i) {
    const uint8_t now = choose(0, std::to_string(i));
    EXPECT_TRUE(before[i] == 1 ? now != 1 : now == before[i]);
  }
}

TEST_F(BackendSetTest, LimitsInFlightAreDividedAmongTheWorkers) {
  config_->service.backend[0].in_flight_max = 5;  // of two workers
  follow(abi::PoolPolicy::first_available);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(choose(), 0);
    first_.on_sent(0);
  }
  EXPECT_EQ(choose(), 1);
  EXPECT_TRUE(first_.any_full(settings_, 0b001));
  EXPECT_FALSE(first_.any_full(settings_, 0b110));
  first_.on_answer(0, kMs, false);
  EXPECT_EQ(choose(), 0);
}

TEST_F(BackendSetTest, A63_a_try_waits_for_the_round_trip_and_its_variation) {
  constexpr uint64_t kFirst = 400 * kMs;
  EXPECT_EQ(first_.try_wait_ns(0, kFirst), kFirst) << "nothing known";
  first_.on_answer(0, 30 * kMs, false);
  EXPECT_EQ(first_.try_wait_ns(0, kFirst), 90 * kMs);
  for (int i = 0; i < 100; ++i)
    first_.on_answer(0, 30 * kMs, false);
  EXPECT_EQ(first_.try_wait_ns(0, kFirst), 50 * kMs) << "not less";
  first_.on_answer(0, 190 * kMs, false);
  EXPECT_NEAR(static_cast<double>(first_.try_wait_ns(0, kFirst)), 210e6, 1e6);
  EXPECT_EQ(first_.try_wait_ns(0, 20 * kMs), 20 * kMs) << "not more";
  for (int i = 0; i < 100; ++i)
    first_.on_answer(0, 30 * kMs, false);
  for (const uint64_t ms : {60u, 120u, 240u, 400u, 400u}) {
    first_.on_timeout(0, 100);
    EXPECT_NEAR(static_cast<double>(first_.try_wait_ns(0, kFirst)), static_cast<double>(ms * kMs),
                1e6)
        << "twice as long after each timeout";
  }
  first_.on_answer(0, 30 * kMs, false);
  EXPECT_EQ(first_.try_wait_ns(0, kFirst), 50 * kMs);
}

// With hedging, a dead backend may never get the time to time out.
TEST_F(BackendSetTest, A63_overtaken_tries_make_a_silent_backend_suspect) {
  first_.on_sent(0);
  first_.on_overtaken(0, 2);
  first_.begin_turn(kNow + 900 * kMs);
  first_.on_sent(0);
  first_.on_overtaken(0, 2);
  EXPECT_EQ(first_.take_probe(settings_, kNow), Remap::kGone);
  first_.begin_turn(kNow + 1000 * kMs);
  first_.on_sent(0);
  first_.on_overtaken(0, 2);
  EXPECT_EQ(first_.take_probe(settings_, kNow + 1000 * kMs), 0);
  EXPECT_EQ(stats_->backends[0][0].timeouts.load(), 0u);
}

}  // namespace
}  // namespace millrace::dp
