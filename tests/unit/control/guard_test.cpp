// SPDX-License-Identifier: Apache-2.0
// What the daemon does when somebody, or something, takes away what it stands on.

#include "control/daemon/line_writer.hpp"
#include "control/daemon/namespace_lock.hpp"
#include "tests/unit/control/daemon_fixture.hpp"

#include <fcntl.h>

namespace millrace::ctl {
namespace {

TEST(NamespaceLockTest, SecondMillracedIsNamedTheFirst) {
  const std::string name = "millraced-test-" + std::to_string(::getpid());
  std::optional<Result<UniqueFd>> first = lock_network_namespace(name);
  ASSERT_TRUE(first->ok()) << first->status().message();
  const auto second = lock_network_namespace(name);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::error);
  EXPECT_NE(second.status().message().find("(pid " + std::to_string(::getpid()) + ")"),
            std::string::npos)
      << second.status().message();
  first.reset();
  EXPECT_TRUE(lock_network_namespace(name).ok());
}

TEST_F(DaemonFixture, FirstStartThatFailsLeavesThePrefilterThatWasThere) {
  prefilter.found = {"va"};
  tell_fake("exit-at-start");
  ASSERT_TRUE(start().ok());
  ASSERT_TRUE(wait([&] { return prefilter.removed; }));
  EXPECT_EQ(prefilter.used, std::vector<std::string>{"va"});
}

TEST_F(DaemonFixture, PrefilterThatIsDetachedComesBackWithRulesAndANewDataPlane) {
  start_and_wait();
  const pid_t pid = data_plane_pid();
  const uint32_t rules_set = prefilter.rules_set;
  prefilter.lost = "va";
  EXPECT_EQ(ask({{"verb", "status"}}).data["ports"][0]["xdp"], "the prefilter on va was detached");
  ASSERT_TRUE(wait([&] { return is_up() && data_plane_pid() != pid; })) << log();
  EXPECT_EQ(prefilter.uses.size(), 2u);
  EXPECT_GT(prefilter.rules_set, rules_set);
  EXPECT_EQ(ask({{"verb", "status"}}).data["ports"][0]["xdp"], "native");
  // The new one gets routes as well.
  ASSERT_TRUE(wait([&] { return log().find("routes 2 for 1 usable 1\n") != std::string::npos; }))
      << log();
}

TEST_F(DaemonFixture, InterfaceThatIsGoneIsWaitedFor) {
  start_and_wait();
  const pid_t pid = data_plane_pid();
  prefilter.absent = "va";
  ASSERT_TRUE(wait([&] { return !daemon->port_fault().empty(); }));
  EXPECT_EQ(ask({{"verb", "status"}}).data["ports"][0]["xdp"], "interface va does not exist");
  EXPECT_EQ(data_plane_pid(), pid) << "its other ports serve";
  prefilter.absent.clear();
  prefilter.lost = "va";
  ASSERT_TRUE(wait([&] { return is_up() && data_plane_pid() != pid; })) << log();
}

TEST_F(DaemonFixture, NoDataPlaneStartsOnAPortWithoutPrefilter) {
  start_and_wait();
  const std::string before = log();
  prefilter.absent = "va";
  kill_process(data_plane_pid());
  ASSERT_TRUE(wait([&] { return daemon->supervisor().restarts() >= 3; }));
  EXPECT_EQ(log(), before) << "none was started";
  prefilter.absent.clear();
  prefilter.lost = "va";
  ASSERT_TRUE(wait([&] { return is_up(); }));
  EXPECT_EQ(prefilter.lost, "") << "attached again first";
}

TEST_F(DaemonFixture, DataPlaneThatHangsIsToldOfKilledAndStartedAgain) {
  heartbeat_period = Milliseconds(60);
  start_and_wait();
  const pid_t pid = data_plane_pid();
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  ASSERT_TRUE(wait([&] { return !daemon->supervisor().responds(); }));
  EXPECT_EQ(ask({{"verb", "status"}}).data["dataplane"]["state"], "not responding");
  ASSERT_TRUE(wait([&] { return is_up() && data_plane_pid() != pid; })) << log();
  EXPECT_FALSE(alive(pid));
  EXPECT_EQ(daemon->supervisor().restarts(), 1u);
  EXPECT_EQ(ask({{"verb", "status"}}).data["dataplane"]["state"], "up");
}

TEST_F(DaemonFixture, OneCoreThatHangsIsEnough) {
  heartbeat_period = Milliseconds(60);
  start_and_wait();
  const pid_t pid = data_plane_pid();
  tell_fake("silent-core-0");
  ASSERT_TRUE(wait([&] { return data_plane_pid() != pid; }));
  tell_fake("");
  ASSERT_TRUE(wait([&] { return is_up(); }));
}

TEST(LineWriterTest, LosesLinesAndCountsThemInsteadOfWaiting) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd out(ends[0]);
  const UniqueFd in(ends[1]);
  log::LineWriter writer(in.get());
  const std::string line = std::string(99, 'x') + "\n";
  for (int i = 0; i < 5000; ++i)
    writer.write(line);
  EXPECT_EQ(::fcntl(in.get(), F_GETFL) & O_NONBLOCK, 0) << "others have it open, too";
  std::string got(1 << 20, '\0');
  got.resize(
      static_cast<std::size_t>(std::max<ssize_t>(0, ::read(out.get(), got.data(), 1 << 20))));
  const std::size_t whole = got.size() / line.size();
  EXPECT_GT(whole, 0u);
  EXPECT_LT(whole, 5000u);
  writer.write("end\n");
  std::string rest(4096, '\0');
  rest.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(out.get(), rest.data(), 4096))));
  EXPECT_EQ(rest, std::to_string(5000 - whole) + " lines lost: nobody read them\nend\n");
}

TEST(HeartbeatTest, LateChecksDoNotCount) {
  using std::chrono::seconds;
  auto area = std::make_unique<abi::StatsArea>();
  area->workers = 2;
  Heartbeat heartbeat(seconds(1));
  Heartbeat::Clock::time_point now{};
  for (uint32_t i = 0; i < 4; ++i) {
    area->cores[0].sequence.fetch_add(2);
    heartbeat.check(*area, now += seconds(1));
    EXPECT_EQ(heartbeat.silent_checks(), i);
  }
  EXPECT_EQ(heartbeat.silent_core(), 1u);
  heartbeat.check(*area, now += seconds(10));
  EXPECT_EQ(heartbeat.silent_checks(), 0u) << "we were stopped ourselves";
  heartbeat.check(*area, now += seconds(1));
  EXPECT_EQ(heartbeat.silent_checks(), 1u);
  area->cores[0].sequence.fetch_add(2);
  area->cores[1].sequence.fetch_add(2);
  heartbeat.check(*area, now += seconds(1));
  EXPECT_EQ(heartbeat.silent_checks(), 0u);
}

TEST_F(DaemonFixture, PortThatIsGoneCanBeAppliedAway) {
  start_and_wait();
  prefilter.absent = "va";
  std::string yaml = config_yaml();
  yaml.replace(yaml.find("interface: va"), 13, "interface: vb");
  const auto answer = ask({{"verb", "config-apply"}, {"yaml", yaml}, {"allow_restart", true}});
  EXPECT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_EQ(prefilter.used, std::vector<std::string>{"vb"});
}

}  // namespace
}  // namespace millrace::ctl
