// SPDX-License-Identifier: Apache-2.0
// What the daemon does when somebody, or something, takes away what it stands on.

#include "control/daemon/line_writer.hpp"
#include "control/daemon/namespace_lock.hpp"
#include "tests/unit/control/daemon_fixture.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

namespace millrace::ctl {
namespace {

std::string lock_name() { return "millraced-test-" + std::to_string(::getpid()); }

TEST(NamespaceLockTest, SecondMillracedIsNamedTheFirst) {
  const std::string name = lock_name();
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

TEST(NamespaceLockTest, IsFreeAgainWhenItsHolderIsKilled) {
  const std::string name = lock_name();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd out(ends[0]);
  const UniqueFd in(ends[1]);
  const pid_t holder = ::fork();
  if (holder == 0) {
    const auto held = lock_network_namespace(name);
    static_cast<void>(!::write(in.get(), held.ok() ? "+" : "-", 1));
    for (;;) ::pause();
  }
  char told = 0;
  EXPECT_EQ(::read(out.get(), &told, 1), 1);
  EXPECT_EQ(told, '+');
  const auto second = lock_network_namespace(name);
  EXPECT_NE(second.status().message().find("(pid " + std::to_string(holder) + ")"),
            std::string::npos)
      << second.status().message();
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  EXPECT_TRUE(lock_network_namespace(name).ok());
}

TEST(NamespaceLockTest, AnotherNetworkNamespaceIsNotLocked) {
  const std::string name = lock_name();
  const auto first = lock_network_namespace(name);
  ASSERT_TRUE(first.ok());
  constexpr int kNoNamespace = 2;
  const pid_t other = ::fork();
  if (other == 0) {
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      ::_exit(kNoNamespace);
    }
    ::_exit(lock_network_namespace(name).ok() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(other, &status, 0), other);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoNamespace) GTEST_SKIP() << "may not make a network namespace";
  EXPECT_EQ(WEXITSTATUS(status), 0);
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
  heartbeat_period = Milliseconds(200);
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
  heartbeat_period = Milliseconds(200);
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

// A data plane of three cores, checked once a second.
class HeartbeatTest : public ::testing::Test {
 protected:
  HeartbeatTest() { area->workers = 3; }

  // The cores that publish, then a check.
  void check(std::initializer_list<uint32_t> alive, std::chrono::milliseconds later = kPeriod) {
    for (const uint32_t core : alive) area->cores[core].sequence.fetch_add(2);
    heartbeat.check(*area, now += later);
  }

  static constexpr std::chrono::milliseconds kPeriod{1000};
  std::unique_ptr<abi::StatsArea> area = std::make_unique<abi::StatsArea>();
  Heartbeat heartbeat{kPeriod};
  Heartbeat::Clock::time_point now{};
};

TEST_F(HeartbeatTest, CountsTheChecksThatFoundACoreSilent) {
  for (uint32_t i = 0; i < 4; ++i) {
    check({0, 2});
    EXPECT_EQ(heartbeat.silent_checks(), i) << "the first has nothing to compare with";
  }
  EXPECT_EQ(heartbeat.silent_core(), 1u);
  check({0, 1, 2});
  EXPECT_EQ(heartbeat.silent_checks(), 0u) << "it is alive again";
  check({0, 2});
  EXPECT_EQ(heartbeat.silent_checks(), 1u);
}

TEST_F(HeartbeatTest, NamesTheCoreThatIsSilentForLongest) {
  check({0, 1, 2});
  check({0, 1});
  check({1});
  EXPECT_EQ(heartbeat.silent_checks(), 2u);
  EXPECT_EQ(heartbeat.silent_core(), 2u);
  check({1, 2});
  EXPECT_EQ(heartbeat.silent_checks(), 2u);
  EXPECT_EQ(heartbeat.silent_core(), 0u);
}

TEST_F(HeartbeatTest, LateChecksDoNotCount) {
  check({0, 1, 2});
  check({});
  check({}, 2 * kPeriod);
  EXPECT_EQ(heartbeat.silent_checks(), 2u) << "a little late";
  check({}, 2 * kPeriod + std::chrono::milliseconds(1));
  EXPECT_EQ(heartbeat.silent_checks(), 0u) << "we were stopped ourselves";
  check({});
  EXPECT_EQ(heartbeat.silent_checks(), 1u) << "and count anew";
}

TEST_F(HeartbeatTest, TheNextDataPlaneIsJudgedByItsOwnCores) {
  check({});
  check({});
  check({});
  EXPECT_EQ(heartbeat.silent_checks(), 2u);
  heartbeat.forget();
  EXPECT_EQ(heartbeat.silent_checks(), 0u);
  check({});
  EXPECT_EQ(heartbeat.silent_checks(), 0u);
  check({});
  EXPECT_EQ(heartbeat.silent_checks(), 1u);
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
