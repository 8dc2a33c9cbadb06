// SPDX-License-Identifier: Apache-2.0
// What the log says of backends that go and come: once each, and nothing that nobody has found out.

#include "control/daemon/backend_watch.hpp"

#include <gmock/gmock.h>

#include <memory>

#include "tests/unit/control/daemon_fixture.hpp"

namespace millrace::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two backends in pool "public", the second in "spare" as well, two workers.
class BackendWatchTest : public ::testing::Test {
 protected:
  BackendWatchTest() {
    config.pools = {{.name = "public"}, {.name = "spare"}, {.name = "unused"}};
    config.backends = {{.name = "a", .address = parse_endpoint("198.18.1.1").value()},
                       {.name = "b", .address = parse_endpoint("198.18.1.2").value()}};
    config.backends[0].pools = {"public"};
    config.backends[1].pools = {"public", "spare"};
    for (auto& one : resolutions) one.hop.usable = 1;
    start_data_plane(1);
  }

  // As one that has asked nobody.
  void start_data_plane(uint64_t boot_ns) {
    area = std::make_unique<abi::StatsArea>();
    area->workers = 2;
    area->started_boot_ns = boot_ns;
    set(0, true);
    set(1, true);
  }

  void set(std::size_t backend, bool up) {
    for (std::size_t core = 0; core < area->workers; ++core) area->backends[core][backend].up = up;
  }

  // What is logged `seconds` later.
  std::string look(int seconds = 1) {
    now += std::chrono::seconds(seconds);
    ::testing::internal::CaptureStderr();
    watch.look(config, resolutions, *area, now);
    return ::testing::internal::GetCapturedStderr();
  }

  Config config;
  std::vector<Resolution> resolutions{2};
  std::unique_ptr<abi::StatsArea> area;
  BackendWatch watch;
  BackendWatch::Clock::time_point now{};
};

TEST_F(BackendWatchTest, ABackendThatGoesAndComesIsToldOnce) {
  EXPECT_THAT(look(), IsEmpty()) << "nobody has asked it";
  set(0, false);
  const std::string went = look();
  EXPECT_THAT(went, HasSubstr("warning: backend a: down: no answers from 198.18.1.1:53\n"));
  EXPECT_EQ(went.find("pool"), went.npos) << went;
  EXPECT_THAT(look(33), IsEmpty());
  set(0, true);
  EXPECT_THAT(look(), HasSubstr("info: backend a: up again after 34 s\n"));
  EXPECT_THAT(look(), IsEmpty());
}

TEST_F(BackendWatchTest, OneWorkerThatStillAsksItIsEnough) {
  area->backends[0][0].up = 0;
  EXPECT_THAT(look(), IsEmpty());
}

TEST_F(BackendWatchTest, APoolWithoutABackendIsAnError) {
  set(1, false);
  const std::string went = look();
  EXPECT_THAT(went, HasSubstr("error: pool spare: no backend is up"));
  EXPECT_EQ(went.find("pool public"), went.npos) << went;
  EXPECT_EQ(went.find("pool unused"), went.npos) << went;
  set(0, false);
  const std::string all = look();
  EXPECT_THAT(all, HasSubstr("error: pool public: no backend is up"));
  EXPECT_EQ(all.find("pool spare"), all.npos) << "said already";
  set(1, true);
  const std::string back = look(9);
  EXPECT_THAT(back, HasSubstr("info: pool public: a backend is up again after 9 s\n"));
  EXPECT_THAT(back, HasSubstr("info: pool spare: a backend is up again after 10 s\n"));
}

TEST_F(BackendWatchTest, WhatCannotBeReachedIsNoHelpToAPool) {
  resolutions[0].hop.usable = resolutions[1].hop.usable = 0;
  resolutions[1].awaits_neighbour = true;
  EXPECT_THAT(look(), IsEmpty()) << "the neighbour may yet answer";
  resolutions[1].awaits_neighbour = false;
  EXPECT_THAT(look(), HasSubstr("error: pool public: no backend is up"));
  resolutions[0].hop.usable = 1;
  EXPECT_THAT(look(), HasSubstr("info: pool public: a backend is up again"));
}

TEST_F(BackendWatchTest, ANewDataPlaneKnowsNothingOfThoseThatWereDown) {
  set(0, false);
  look();
  start_data_plane(2);
  EXPECT_THAT(look(), IsEmpty()) << "it has not asked";
  set(0, false);
  EXPECT_THAT(look(), IsEmpty()) << "said already";
  set(0, true);
  EXPECT_THAT(look(), HasSubstr("backend a: up again after 3 s\n")) << "it has asked";
  set(0, false);
  look();
  start_data_plane(3);
  area->backends[1][0].answered = 1;
  EXPECT_THAT(look(), HasSubstr("backend a: up again after 1 s\n"));
}

TEST_F(BackendWatchTest, AnotherAddressIsAnotherBackend) {
  set(0, false);
  look();
  config.backends[0].address = parse_endpoint("198.18.1.3").value();
  set(0, true);
  EXPECT_THAT(look(), IsEmpty());
  set(0, false);
  EXPECT_THAT(look(), HasSubstr("backend a: down: no answers from 198.18.1.3:53\n"));
}

struct WatchingDaemon : DaemonFixture {
  // Whether these words are logged, in much longer than the daemon's period of looking.
  bool logs(const std::string& words) {
    ::testing::internal::CaptureStderr();
    wait([] { return false; }, Milliseconds(400));
    logged = ::testing::internal::GetCapturedStderr();
    return logged.find(words) != logged.npos;
  }

  std::string logged;
};

// Its rows may be those of other backends.
TEST_F(WatchingDaemon, ADataPlaneThatRunsAnotherConfigSaysNothingOfBackends) {
  start_and_wait();
  tell_fake("silent-backend-0 between-configs");
  EXPECT_FALSE(logs("backend r1")) << logged;
  tell_fake("silent-backend-0");
  EXPECT_TRUE(logs("backend r1: down")) << logged;
}

TEST_F(WatchingDaemon, TheLogSaysThatABackendWentAndCame) {
  start_and_wait();
  EXPECT_FALSE(logs("backend r1")) << logged;
  tell_fake("silent-backend-0");
  EXPECT_TRUE(logs("backend r1: down: no answers from 198.18.1.1:53\n")) << logged;
  EXPECT_THAT(logged, HasSubstr("pool default: no backend is up"));
  // It starts again with the same to say, which is no news.
  kill_process(data_plane_pid());
  EXPECT_FALSE(logs("backend r1")) << logged;
  tell_fake("");
  EXPECT_TRUE(logs("backend r1: up again after ")) << logged;
}

}  // namespace
}  // namespace millrace::ctl
