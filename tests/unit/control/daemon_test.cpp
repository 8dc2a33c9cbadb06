// SPDX-License-Identifier: Apache-2.0
// The daemon over a fake data plane: start, adopt, die, restart, apply, roll back, stop.

#include "tests/unit/control/daemon_fixture.hpp"

namespace millrace::ctl {
namespace {

using nlohmann::json;

const std::string kLiveChange = "upstream:\n  tries: 2\n";
const std::string kRestartChange = "  buffers_per_worker: 8192\n";

TEST_F(DaemonFixture, StartsTheDataPlaneAndGivesItRoutesAndRules) {
  start_and_wait();
  EXPECT_EQ(log().substr(0, 14), "start 1\nhello\n");
  EXPECT_NE(log().find("routes 1 for 1 usable 1\n"), std::string::npos) << log();
  EXPECT_EQ(prefilter.used, std::vector<std::string>{"va"});
  ASSERT_EQ(prefilter.rules.services.size(), 1u);
  ASSERT_EQ(prefilter.rules.sources.size(), 1u);
  EXPECT_EQ(prefilter.rules.sources[0].bytes[3], 53);
  EXPECT_EQ(daemon->history().generations(), std::vector<uint64_t>{1});
}

TEST_F(DaemonFixture, StopLeavesNothingBehind) {
  start_and_wait();
  const pid_t pid = data_plane_pid();
  stop_daemon();
  EXPECT_FALSE(alive(pid));
  EXPECT_TRUE(prefilter.removed);
  EXPECT_TRUE(routes.released);
  for (const char* name : {"dataplane.sock", "millraced.sock", "dataplane.pid", "dataplane.log"}) {
    EXPECT_FALSE(std::filesystem::exists(dir / name)) << name;
  }
}

TEST_F(DaemonFixture, StubbornDataPlaneIsKilled) {
  tell_fake("stubborn");
  start_and_wait();
  const pid_t pid = data_plane_pid();
  stop_daemon();
  EXPECT_FALSE(alive(pid));
}

TEST_F(DaemonFixture, SuccessorAdoptsTheRunningDataPlane) {
  start_and_wait();
  const pid_t pid = data_plane_pid();
  abandon_daemon();
  ASSERT_TRUE(alive(pid)) << "the data plane outlives its control plane";
  start_and_wait();
  EXPECT_EQ(data_plane_pid(), pid);
  EXPECT_TRUE(daemon->supervisor().info()->adopted);
  // Its config is ours again, under a generation that has not been used.
  ASSERT_TRUE(wait([&] { return daemon->current().generation() > 1; }));
  ASSERT_TRUE(wait([&] { return log().find("config 2\n") != std::string::npos ||
                                log().find("config 3\n") != std::string::npos; }));
  EXPECT_EQ(log().find("start 2"), std::string::npos) << log();
}

TEST_F(DaemonFixture, SuccessorOfOneThatDiedBeforeItRecordedAConfigInstallsItsOwn) {
  start_and_wait();
  ASSERT_TRUE(ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}}).status.ok());
  abandon_daemon();
  ASSERT_TRUE(std::filesystem::remove(dir / "state/history/00000000000000000002.yaml"));
  start_and_wait();
  EXPECT_TRUE(daemon->supervisor().info()->adopted);
  ASSERT_TRUE(wait([&] { return log().find("config 3\n") != std::string::npos; })) << log();
  ASSERT_TRUE(wait([&] { return daemon->current().generation() == 3; }));
  EXPECT_NE(daemon->current().config.upstream.tries, 2u);
}

TEST_F(DaemonFixture, DataPlaneWithOtherMemoryIsReplaced) {
  start_and_wait();
  const pid_t pid = data_plane_pid();
  abandon_daemon();
  ASSERT_TRUE(start(config_yaml("", kRestartChange)).ok());
  ASSERT_TRUE(wait([&] { return is_up() && data_plane_pid() != pid; })) << log();
}

TEST_F(DaemonFixture, DataPlaneWhoseSocketsAreOutOfTheFilterIsRestarted) {
  start_and_wait();
  const pid_t pid = data_plane_pid();
  abandon_daemon();
  prefilter.adopts = false;
  ASSERT_TRUE(start().ok());
  ASSERT_TRUE(wait([&] { return is_up() && data_plane_pid() != pid; })) << log();
}

TEST_F(DaemonFixture, DeadDataPlaneIsStartedAgain) {
  start_and_wait();
  const pid_t pid = data_plane_pid();
  kill_process(pid);
  ASSERT_TRUE(wait([&] { return is_up() && data_plane_pid() != pid; }));
  EXPECT_EQ(daemon->supervisor().restarts(), 1u);
  // The new one gets routes as well.
  ASSERT_TRUE(wait([&] { return log().find("routes 2 for 1 usable 1\n") != std::string::npos; }))
      << log();
}

TEST_F(DaemonFixture, RepeatedDeathsBackOff) {
  start_and_wait();
  tell_fake("exit-at-start");
  const auto begin = EventLoop::Clock::now();
  kill_process(data_plane_pid());
  ASSERT_TRUE(wait([&] { return daemon->supervisor().restarts() >= 5; }));
  // 20 + 40 + 80 + 80 ms lie between the five deaths.
  EXPECT_GE(EventLoop::Clock::now() - begin, Milliseconds(220));
  tell_fake("");
  ASSERT_TRUE(wait([&] { return is_up(); }));
}

TEST_F(DaemonFixture, FirstDataPlaneThatDoesNotStartEndsTheDaemonWithItsWords) {
  tell_fake("exit-at-start");
  ASSERT_TRUE(start().ok());
  ASSERT_TRUE(wait([&] { return prefilter.removed; }));
  const std::string why = daemon->exit_status().message();
  EXPECT_NE(why.find("exit status 7"), std::string::npos) << why;
  EXPECT_NE(why.find("no such device: vx9"), std::string::npos) << why;
}

TEST_F(DaemonFixture, DataPlaneWithoutSocketIsGivenUp) {
  tell_fake("no-socket");
  write_file(dir / "millrace.yaml", config_yaml());
  auto quick = options();
  quick.supervisor.start_timeout = Milliseconds(200);
  auto loaded = load_config_text(config_yaml(), "test");
  daemon.emplace(loop, quick, prefilter, routes);
  ASSERT_TRUE(daemon->start(*loaded.config, config_yaml()).ok());
  ASSERT_TRUE(wait([&] { return prefilter.removed; }));
  EXPECT_FALSE(daemon->exit_status().ok());
}

TEST_F(DaemonFixture, ChangedRoutesArePublished) {
  start_and_wait();
  routes.usable = false;
  routes.change();
  ASSERT_TRUE(wait([&] { return log().find("routes 2 for 1 usable 0\n") != std::string::npos; }))
      << log();
  EXPECT_EQ(ask({{"verb", "status"}}).data["backends"][0]["why"], "no route");
}

TEST_F(DaemonFixture, LiveChangeRunsUnderANewGeneration) {
  start_and_wait();
  const auto answer = ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}});
  ASSERT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_EQ(answer.data["generation"], 2);
  EXPECT_EQ(answer.data["changes"][0]["key"], "upstream.tries");
  EXPECT_EQ(answer.data["changes"][0]["reload"], "live");
  EXPECT_EQ(daemon->current().config.upstream.tries, 2u);
  EXPECT_EQ(prefilter.rules.generation, 2u);
  EXPECT_EQ(daemon->history().generations(), (std::vector<uint64_t>{1, 2}));
  ASSERT_TRUE(wait([&] { return log().find(" for 2 usable 1\n") != std::string::npos; })) << log();
}

TEST_F(DaemonFixture, DryRunAndBadConfigChangeNothing) {
  start_and_wait();
  const auto dry =
      ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}, {"dry_run", true}});
  EXPECT_TRUE(dry.status.ok());
  EXPECT_EQ(dry.data["changes"].size(), 1u);
  const auto bad = ask({{"verb", "config-apply"}, {"yaml", config_yaml("nonsense: 1\n")}});
  EXPECT_EQ(bad.status.code(), Code::rejected);
  EXPECT_NE(bad.status.message().find("nonsense"), std::string::npos) << bad.status.message();
  EXPECT_EQ(daemon->current().generation(), 1u);
  EXPECT_EQ(log().find("config"), std::string::npos) << log();
}

TEST_F(DaemonFixture, RefusalByTheDataPlaneChangesNothing) {
  start_and_wait();
  tell_fake("reject");
  const auto answer = ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}});
  EXPECT_EQ(answer.status.code(), Code::rejected);
  EXPECT_EQ(daemon->current().generation(), 1u);
  EXPECT_EQ(daemon->current().config.upstream.tries, 3u);
  EXPECT_EQ(prefilter.rules.generation, 1u);
  // The number is used up all the same.
  tell_fake("");
  EXPECT_EQ(ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}}).data["generation"],
            3);
}

TEST_F(DaemonFixture, CoreThatDoesNotPassIsATimeOutAndIsTakenBack) {
  start_and_wait();
  tell_fake("config-timeout");
  const auto answer = ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}});
  EXPECT_EQ(answer.status.code(), Code::timed_out);
  EXPECT_NE(answer.status.message().find("core 1"), std::string::npos);
  ASSERT_TRUE(wait([&] { return log().find("config 3\n") != std::string::npos; })) << log();
  EXPECT_EQ(daemon->current().config.upstream.tries, 3u);
}

TEST_F(DaemonFixture, DataPlaneThatDoesNotAnswerIsATimeOut) {
  start_and_wait();
  tell_fake("mute");
  const auto answer = ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}});
  EXPECT_EQ(answer.status.code(), Code::timed_out);
}

TEST_F(DaemonFixture, OneApplyAtATime) {
  start_and_wait();
  tell_fake("mute");
  bool first_done = false;
  daemon->apply({.yaml = config_yaml(kLiveChange), .source = "a"},
                [&](const Status&, const ApplyOutcome&) { first_done = true; });
  const auto second = ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}});
  EXPECT_EQ(second.status.code(), Code::error);
  EXPECT_FALSE(first_done);
  EXPECT_TRUE(wait([&] { return first_done; }));
}

TEST_F(DaemonFixture, RestartClassNeedsLeaveAndThenRestarts) {
  start_and_wait();
  const pid_t pid = data_plane_pid();
  const json request{{"verb", "config-apply"}, {"yaml", config_yaml("", kRestartChange)}};
  const auto refused = ask(request);
  EXPECT_EQ(refused.status.code(), Code::rejected);
  EXPECT_NE(refused.status.message().find("buffers_per_worker"), std::string::npos);
  EXPECT_EQ(data_plane_pid(), pid);
  json allowed = request;
  allowed["allow_restart"] = true;
  const auto answer = ask(allowed);
  ASSERT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_NE(data_plane_pid(), pid);
  EXPECT_EQ(daemon->current().config.dataplane.buffers_per_worker, 8192u);
  EXPECT_EQ(daemon->supervisor().restarts(), 0u);
}

// 64 MiB by default, in steps of 2 MiB for each of the shards.
TEST_F(DaemonFixture, SizeThatComesToTheSameMemoryIsLive) {
  start_and_wait();
  const auto with_size = [this](const std::string& size) {
    const std::string caches = "packet_caches: [{name: default, size: " + size + "}]\n";
    return ask({{"verb", "config-apply"}, {"yaml", config_yaml(caches)}});
  };
  const auto same = with_size("63MiB");
  ASSERT_TRUE(same.status.ok()) << same.status.message();
  EXPECT_EQ(same.data["changes"][0]["key"], "packet_caches[default].size");
  EXPECT_EQ(same.data["changes"][0]["reload"], "live");
  EXPECT_EQ(with_size("65MiB").status.code(), Code::rejected);
}

TEST_F(DaemonFixture, RestartThatFailsIsAnsweredWhenTheOldConfigServesAgain) {
  start_and_wait();
  tell_fake("exit-with-8192-buffers");
  const auto answer = ask({{"verb", "config-apply"},
                           {"yaml", config_yaml("", kRestartChange)},
                           {"allow_restart", true}});
  EXPECT_EQ(answer.status.code(), Code::error);
  EXPECT_TRUE(is_up());
  EXPECT_NE(answer.status.message().find("vx9"), std::string::npos) << answer.status.message();
  EXPECT_NE(answer.status.message().find("generation 1 runs again"), std::string::npos)
      << answer.status.message();
  EXPECT_EQ(daemon->current().config.dataplane.buffers_per_worker, 16384u);
  EXPECT_EQ(daemon->history().generations(), std::vector<uint64_t>{1});
}

TEST_F(DaemonFixture, RestartAfterWhichNothingStartsSaysBothReasons) {
  start_and_wait();
  tell_fake("exit-at-start");
  const auto answer = ask({{"verb", "config-apply"},
                           {"yaml", config_yaml("", kRestartChange)},
                           {"allow_restart", true}});
  EXPECT_EQ(answer.status.code(), Code::error);
  EXPECT_NE(answer.status.message().find("generation 1 does not start again either"),
            std::string::npos)
      << answer.status.message();
  tell_fake("");
  ASSERT_TRUE(wait([&] { return is_up(); })) << "it is tried for ever";
}

// A data plane that finds an interface without our program would put one of its own there.
TEST_F(DaemonFixture, PrefilterStaysWhileADataPlaneLivesThatMayOpenSockets) {
  using Names = std::vector<std::string>;
  start_and_wait();
  pid_t pid = data_plane_pid();
  prefilter.on_use = [&] {
    if (prefilter.used == Names{"vb"}) {
      EXPECT_FALSE(alive(pid));
    }
  };
  std::string yaml = config_yaml();
  yaml.replace(yaml.find("interface: va"), 13, "interface: vb");
  const json request{{"verb", "config-apply"}, {"yaml", yaml}, {"allow_restart", true}};
  tell_fake("exit-at-start-on-vb");
  EXPECT_FALSE(ask(request).status.ok());
  EXPECT_TRUE(is_up());
  EXPECT_EQ(prefilter.uses, (std::vector<Names>{{"va"}, {"va", "vb"}, {"va"}}));
  pid = data_plane_pid();
  tell_fake("");
  EXPECT_TRUE(ask(request).status.ok());
  EXPECT_EQ(prefilter.uses,
            (std::vector<Names>{{"va"}, {"va", "vb"}, {"va"}, {"va", "vb"}, {"vb"}}));
}

TEST_F(DaemonFixture, MachineThatCannotRunAConfigKeepsTheOldDataPlane) {
  start_and_wait();
  const pid_t pid = data_plane_pid();
  findings = {{true, "too few hugepages"}, {false, "bind is nowhere"}, {true, "too few queues"}};
  json request{{"verb", "config-apply"},
               {"yaml", config_yaml("", kRestartChange)},
               {"allow_restart", true}};
  const auto refused = ask(request);
  EXPECT_EQ(refused.status.code(), Code::error);
  for (const char* words : {"nothing changed", "too few hugepages", "too few queues"}) {
    EXPECT_NE(refused.status.message().find(words), std::string::npos) << words;
  }
  EXPECT_EQ(refused.data["warnings"], json::array({"bind is nowhere"}));
  EXPECT_TRUE(asked_starts);
  EXPECT_EQ(asked_replaced, pid) << "its pages come free";
  EXPECT_EQ(data_plane_pid(), pid);
  request["dry_run"] = true;
  const auto dry = ask(request);
  EXPECT_TRUE(dry.status.ok());
  EXPECT_EQ(dry.data["warnings"].size(), 3u);
}

TEST_F(DaemonFixture, LiveChangeIsMadeWhateverTheMachineIsLikeAndWarns) {
  start_and_wait();
  routes.usable = false;
  findings = {{true, "interface is down"}, {false, "bind is nowhere"}};
  const auto answer = ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}});
  ASSERT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_FALSE(asked_starts);
  EXPECT_EQ(answer.data["warnings"],
            json::array({"interface is down", "bind is nowhere",
                         "no backend can be reached: r1: no route"}));
}

TEST_F(DaemonFixture, StatusSaysWhichFileRunsAndWhetherItLasts) {
  start_and_wait();
  const std::string own = dir / "millrace.yaml";
  json running = ask({{"verb", "status"}}).data["running"];
  EXPECT_EQ(running["source"], own);
  EXPECT_EQ(running["in_config"], true);
  EXPECT_EQ(running["since"].get<std::string>().size(), 20u);
  ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}, {"source", "other.yaml"}});
  running = ask({{"verb", "status"}}).data["running"];
  EXPECT_EQ(running["source"], "other.yaml");
  EXPECT_EQ(running["in_config"], false);
  write_file(own, config_yaml(kLiveChange));
  EXPECT_EQ(ask({{"verb", "status"}}).data["running"]["in_config"], true);
}

int64_t monotonic_ms(int64_t from_now_ms) {
  const auto now = EventLoop::Clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count() + from_now_ms;
}

TEST_F(DaemonFixture, RequestThatIsReadTooLateIsNotCarriedOut) {
  start_and_wait();
  const auto apply = ask({{"verb", "config-apply"},
                          {"yaml", config_yaml(kLiveChange)},
                          {"deadline_ms", monotonic_ms(-1)}});
  EXPECT_EQ(apply.status.code(), Code::timed_out);
  EXPECT_EQ(daemon->current().generation(), 1u);
  EXPECT_EQ(ask({{"verb", "cache-flush"}, {"deadline_ms", monotonic_ms(-1)}}).status.code(),
            Code::timed_out);
  EXPECT_EQ(log().find("config"), std::string::npos) << log();
  EXPECT_EQ(log().find("flush"), std::string::npos) << log();
  EXPECT_EQ(ask({{"verb", "cache-flush"}, {"deadline_ms", -5}}).status.code(), Code::usage);
  EXPECT_TRUE(ask({{"verb", "cache-flush"}, {"deadline_ms", monotonic_ms(5000)}}).status.ok());
}

TEST_F(DaemonFixture, TheTimeThatTheDataPlaneHadIsNeverSaidToBeNone) {
  start_and_wait();
  ASSERT_EQ(::kill(data_plane_pid(), SIGSTOP), 0);
  for (int turn = 0; turn < 5; ++turn) {
    const auto told = ask({{"verb", "cache-flush"}, {"deadline_ms", monotonic_ms(1)}}).status;
    EXPECT_EQ(told.code(), Code::timed_out);
    EXPECT_EQ(told.message().find("within 0 ms"), std::string::npos) << told.message();
  }
  ::kill(data_plane_pid(), SIGCONT);
}

// A client that applies this and gives up after so long: what it is told before.
struct ImpatientApply : DaemonFixture {
  std::string apply(const std::string& yaml, int64_t patience_ms) {
    const int64_t deadline = monotonic_ms(patience_ms);
    const auto answer = ask({{"verb", "config-apply"},
                             {"yaml", yaml},
                             {"allow_restart", true},
                             {"deadline_ms", deadline}});
    EXPECT_LT(monotonic_ms(0), deadline);
    EXPECT_EQ(answer.status.code(), Code::timed_out);
    return answer.status.message();
  }
};

TEST_F(ImpatientApply, LiveChangeIsTakenBackInTime) {
  start_and_wait();
  tell_fake("mute");
  const std::string told = apply(config_yaml(kLiveChange), 1000);
  EXPECT_NE(told.find("generation 1 is put back"), std::string::npos) << told;
  tell_fake("");
  ::testing::internal::CaptureStderr();
  // What the data plane took last is the old config.
  const bool taken_back = wait([&] { return daemon->current().generation() == 3; });
  const std::string logged = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(taken_back) << log();
  EXPECT_NE(logged.find("apply of generation 2 given up, out of time; the config of generation 1 "
                        "runs again as 3\n"),
            std::string::npos)
      << logged;
  EXPECT_EQ(daemon->current().config.upstream.tries, 3u);
  EXPECT_LT(log().find("config 2\n"), log().find("config 3\n")) << log();
}

TEST_F(ImpatientApply, RestartIsTakenBackInTime) {
  start_and_wait();
  tell_fake("no-socket-with-8192-buffers");
  const std::string told = apply(config_yaml("", kRestartChange), 5000);
  EXPECT_NE(told.find("generation 1 runs again"), std::string::npos) << told;
  EXPECT_TRUE(is_up());
}

TEST_F(ImpatientApply, HearsOfAWayBackThatTakesTooLong) {
  start_and_wait();
  tell_fake("no-socket");
  const std::string told = apply(config_yaml("", kRestartChange), 3000);
  EXPECT_NE(told.find("does not run yet"), std::string::npos) << told;
  tell_fake("");
  ASSERT_TRUE(wait([&] { return is_up(); })) << log();
  EXPECT_EQ(daemon->current().config.dataplane.buffers_per_worker, 16384u);
}

TEST_F(DaemonFixture, FirstDataPlaneThatFailsIsNotSaidToStartAgain) {
  tell_fake("exit-at-start");
  ::testing::internal::CaptureStderr();
  ASSERT_TRUE(start().ok());
  ASSERT_TRUE(wait([&] { return prefilter.removed; }));
  const std::string logged = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(logged.find("starting again"), std::string::npos) << logged;
  EXPECT_EQ(logged.find("vx9"), std::string::npos) << "main() prints the reason";
}

TEST_F(DaemonFixture, LogSaysWhatWasApplied) {
  start_and_wait();
  ::testing::internal::CaptureStderr();
  ask({{"verb", "config-apply"}, {"yaml", config_yaml(kLiveChange)}, {"source", "other.yaml"}});
  const std::string logged = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(logged.find("generation 2 applied from other.yaml: 1 change\n"), std::string::npos)
      << logged;
}

TEST_F(DaemonFixture, InterfaceThatCannotBeAttachedIsRefusedBeforeAnythingStops) {
  start_and_wait();
  const pid_t pid = data_plane_pid();
  prefilter.refused = "vb";
  std::string yaml = config_yaml();
  yaml.replace(yaml.find("interface: va"), 13, "interface: vb");
  const auto answer =
      ask({{"verb", "config-apply"}, {"yaml", yaml}, {"allow_restart", true}});
  EXPECT_EQ(answer.status.code(), Code::error);
  EXPECT_EQ(data_plane_pid(), pid);
  EXPECT_EQ(prefilter.used, std::vector<std::string>{"va"});
}

TEST_F(DaemonFixture, StatsBalance) {
  start_and_wait();
  const auto answer = ask({{"verb", "stats"}});
  ASSERT_TRUE(answer.status.ok());
  const json& identity = answer.data["identity"];
  EXPECT_EQ(identity["rx"], 7);
  EXPECT_EQ(identity["holds"], true);
  EXPECT_EQ(identity["misses"], 3);
  EXPECT_EQ(identity["misses_accounted"], 3);
  EXPECT_EQ(answer.data["total"]["classes"]["hit"], 4);
  EXPECT_EQ(answer.data["prefilter"]["va"]["redirected"], 11);
  EXPECT_EQ(answer.data["backends"][0]["name"], "r1");
  EXPECT_EQ(answer.data["backends"][0]["usable"], true);
}

TEST_F(DaemonFixture, CacheVerbsReachTheDataPlane) {
  start_and_wait();
  const auto found = ask({{"verb", "cache-lookup"}, {"name", "www.Example.org"}, {"type", "a"}});
  ASSERT_TRUE(found.status.ok()) << found.status.message();
  const json& row = found.data["rows"][0];
  EXPECT_EQ(row["name"], "www.Example.org.");
  EXPECT_EQ(row["ttl"], 260);
  EXPECT_EQ(row["do"], true);
  EXPECT_EQ(row["records"][0]["name"], "www.Example.org.");
  EXPECT_EQ(row["records"][0]["ttl"], 260);
  EXPECT_EQ(row["records"][0]["rdata"], "198.18.1.1");
  EXPECT_EQ(ask({{"verb", "cache-flush"}, {"name", "org"}, {"suffix", true}}).data["removed"], 5);
  EXPECT_EQ(ask({{"verb", "cache-flush"}, {"negative", true}}).data["removed"], 5);
  EXPECT_NE(log().find("lookup match 1 bytes 17 type 1 negative 0\n"), std::string::npos) << log();
  EXPECT_NE(log().find("flush match 2 bytes 5 type 0 negative 0\n"), std::string::npos) << log();
  EXPECT_NE(log().find("flush match 0 bytes 0 type 0 negative 1\n"), std::string::npos) << log();
}

TEST_F(DaemonFixture, EveryRowOfASuffixIsNamed) {
  start_and_wait();
  const json request{{"verb", "cache-lookup"}, {"name", "example.org"}, {"suffix", true}};
  const auto found = ask(request);
  ASSERT_TRUE(found.status.ok()) << found.status.message();
  ASSERT_EQ(found.data["rows"].size(), 2u);
  EXPECT_EQ(found.data["rows"][0]["name"], "example.org.");
  EXPECT_EQ(found.data["rows"][1]["name"], "www.example.org.");
  EXPECT_EQ(found.data["rows"][1]["records"][0]["name"], "www.example.org.");
  tell_fake("nameless");
  EXPECT_EQ(ask(request).status.code(), Code::error);
}

TEST_F(DaemonFixture, WrongArgumentsAreUsageErrors) {
  start_and_wait();
  const std::vector<json> wrong{
      {{"verb", "fly"}},
      {{"no", "verb"}},
      {{"verb", 7}},
      {{"verb", "status"}, {"extra", 1}},
      {{"verb", "cache-lookup"}},
      {{"verb", "cache-lookup"}, {"name", "a..b"}},
      {{"verb", "cache-lookup"}, {"name", std::string(300, 'a')}},
      {{"verb", "cache-lookup"}, {"name", "a"}, {"type", "NOSUCH"}},
      {{"verb", "cache-flush"}, {"suffix", true}},
      {{"verb", "cache-flush"}, {"negative", "yes"}},
      {{"verb", "config-show"}, {"what", "all"}},
      {{"verb", "config-apply"}, {"yaml", 5}}};
  for (const auto& request : wrong) {
    EXPECT_EQ(ask(request).status.code(), Code::usage) << request.dump();
  }
}

TEST_F(DaemonFixture, VerbsWithoutADataPlaneSayso) {
  start_and_wait();
  tell_fake("exit-at-start");
  kill_process(data_plane_pid());
  ASSERT_TRUE(wait([&] { return daemon->supervisor().restarts() >= 2; }));
  for (const char* verb : {"stats", "cache-flush"}) {
    const auto answer = ask({{"verb", verb}});
    EXPECT_EQ(answer.status.code(), Code::error);
    EXPECT_NE(answer.status.message().find("not running"), std::string::npos);
  }
  EXPECT_TRUE(ask({{"verb", "status"}}).status.ok());
}

}  // namespace
}  // namespace millrace::ctl
