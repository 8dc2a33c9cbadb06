// SPDX-License-Identifier: Apache-2.0
// The real `millrace` binary against a daemon with fakes: exit codes and what is printed.

#include <sys/socket.h>
#include <sys/stat.h>

#include "control/daemon/unix_socket.hpp"
#include "tests/unit/control/cli_fixture.hpp"

namespace millrace::ctl {
namespace {

TEST_F(CliTest, UsageIsTwo) {
  for (const char* wrong : {"", "fly", "status --nonsense", "config", "config check",
                            "cache lookup", "stats --delta nothing", "status --timeout 0",
                            "cache flush", "cache flush a --all", "cache flush --suffix",
                            "cache flush --all --suffix", "testing advance",
                            "testing advance -1", "testing advance x",
                            "config show --default --effective"}) {
    EXPECT_EQ(run(wrong).code, 2) << wrong;
  }
  EXPECT_EQ(run("--help").code, 0);
  EXPECT_NE(run("config apply --help").out.find("--allow-restart"), std::string::npos);
}

TEST_F(CliTest, UnknownVerbIsNamedWithThoseThatThereAre) {
  EXPECT_EQ(run("fly high").err,
            "millrace: unknown verb 'fly'; there are status, stats, config, cache, testing, "
            "version, help; see --help\n");
  EXPECT_EQ(run("config chek").err,
            "millrace: unknown verb 'config chek'; there are check, show, apply; see --help\n");
  EXPECT_EQ(run("").err,
            "millrace: a verb is missing; there are status, stats, config, cache, testing, "
            "version, help; see --help\n");
  EXPECT_EQ(run("--frob").err.find("millrace: unknown option '--frob'"), 0u) << "no verb at all";
}

TEST_F(CliTest, VersionIsAnOptionToo) {
  const Ran ran = run("--version");
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.out.find("millrace "), 0u) << ran.out;
}

TEST_F(CliTest, HelpOfAVerbTellsTheCommonOptions) {
  for (const char* verb : {"", "status ", "config check ", "cache flush "}) {
    const std::string help = run(std::string(verb) + "--help").out;
    for (const char* word : {"--json", "--run-dir", "--timeout", "default 10"}) {
      EXPECT_NE(help.find(word), std::string::npos) << verb << help;
    }
  }
}

TEST_F(CliTest, EveryFailureIsAnObjectWithJson) {
  write_file(dir / "bad.yaml", "nonsense: 1\n");
  const std::pair<const char*, int> failures[] = {
      {"fly", 2},
      {"", 2},
      {"stats --delta x", 2},
      {"status", 3},
      {"config check /nonexistent", 1},
      {"config apply /nonexistent", 1},
      {"config check bad.yaml", 4},
  };
  for (const auto& [verb, code] : failures) {
    const Ran ran = run("--json " + std::string(verb == std::string("config check bad.yaml")
                                                    ? "config check " + (dir / "bad.yaml")
                                                    : verb));
    const auto object = nlohmann::json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(object.is_object()) << verb << ": " << ran.out;
    EXPECT_EQ(ran.code, code) << verb;
    EXPECT_EQ(object["code"], code) << verb;
    EXPECT_TRUE(object["message"].is_string() && object["data"].is_object()) << ran.out;
  }
}

TEST_F(CliTest, NoDaemonIsThreeWithOneLine) {
  for (const char* verb : {"status", "stats", "config show", "config apply", "cache lookup a",
                           "cache flush --all"}) {
    const Ran ran = run(verb);
    EXPECT_EQ(ran.code, 3) << verb;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    EXPECT_EQ(ran.out, "");
  }
  EXPECT_EQ(run("version").code, 0);
  EXPECT_EQ(run("config show --default").code, 0);
}

TEST_F(CliTest, DaemonThatDoesNotAnswerIsFive) {
  auto mute = listen_unix(dir / "millraced.sock", SOCK_STREAM, 0600, 4);
  ASSERT_TRUE(mute.ok());
  EXPECT_EQ(run("status --timeout 0.1").code, 5);
  write_file(dir / "some.yaml", config_yaml());
  const Ran apply = run("config apply --timeout 0.1 " + (dir / "some.yaml"));
  EXPECT_EQ(apply.code, 5);
  EXPECT_NE(apply.err.find("may yet be taken"), std::string::npos) << apply.err;
  const Ran dry = run("config apply --dry-run --timeout 0.1 " + (dir / "some.yaml"));
  EXPECT_EQ(dry.err.find("may yet be taken"), std::string::npos) << dry.err;
  const Ran flush = run("cache flush --all --timeout 0.1");
  EXPECT_EQ(flush.code, 5);
  EXPECT_NE(flush.err.find("may still be carried out"), std::string::npos) << flush.err;
}

TEST_F(CliTest, TheClockOfTheDataPlaneIsAdvanced) {
  const std::string manual = config_yaml("testing: {clock: manual}\n");
  write_file(dir / "manual.yaml", manual);
  testing = true;
  start_and_wait(manual);
  const Ran ran = run("testing advance 1.5");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out + ran.err, "");
  EXPECT_NE(log().find("advance 1500000000\n"), std::string::npos) << log();
  EXPECT_EQ(run("testing advance 0.0004").code, 0);
  EXPECT_NE(log().find("advance 0\n"), std::string::npos) << log();
  EXPECT_EQ(run("config check --testing " + (dir / "manual.yaml")).code, 0);
  EXPECT_EQ(run("config check " + (dir / "manual.yaml")).code, 4);
}

TEST_F(CliTest, AClockThatGoesByItselfIsLeftAlone) {
  start_and_wait();
  const Ran ran = run("testing advance 1");
  EXPECT_EQ(ran.code, 4) << ran.err;
  EXPECT_EQ(log().find("advance"), std::string::npos) << log();
  write_file(dir / "manual.yaml", config_yaml("testing: {clock: manual}\n"));
  const Ran apply = run("config apply --allow-restart " + (dir / "manual.yaml"));
  EXPECT_EQ(apply.code, 4);
  EXPECT_NE(apply.err.find("testing.clock"), std::string::npos) << apply.err;
}

TEST_F(CliTest, NonsenseFromTheDaemonIsOne) {
  ControlServer odd(loop, dir / "millraced.sock",
                    [](const nlohmann::json&, const ControlServer::Respond& respond) {
                      respond({{}, {{"surprise", 1}}, {}});
                    });
  ASSERT_TRUE(odd.open().ok());
  EXPECT_EQ(run("status").code, 1);
  EXPECT_EQ(run("stats").code, 1);
}

TEST_F(CliTest, CheckPrintsEveryDiagnosticOffline) {
  write_file(dir / "good.yaml", config_yaml());
  write_file(dir / "bad.yaml", config_yaml("nonsense: 1\nupstream:\n  tries: 99999\n"));
  EXPECT_EQ(run("config check " + (dir / "good.yaml")).code, 0);
  const Ran bad = run("config check " + (dir / "bad.yaml"));
  EXPECT_EQ(bad.code, 4);
  EXPECT_NE(bad.err.find("nonsense"), std::string::npos) << bad.err;
  EXPECT_NE(bad.err.find("tries"), std::string::npos) << bad.err;
  const Ran json = run("config check --json " + (dir / "bad.yaml"));
  EXPECT_EQ(json.code, 4);
  EXPECT_GE(nlohmann::json::parse(json.out)["data"]["diagnostics"].size(), 2u);
  EXPECT_EQ(bad.err.find("\n\n"), std::string::npos) << bad.err;
}

TEST_F(CliTest, WhatIsNoFileToReadIsOneAndSaysWhatItIs) {
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  for (const char* verb : {"config check ", "config apply "}) {
    const Ran missing = run(verb + (dir / "none.yaml"));
    EXPECT_EQ(missing.code, 1);
    EXPECT_EQ(missing.err,
              "millrace: " + (dir / "none.yaml") + ": cannot be read: No such file or directory\n");
    const Ran fifo = run(verb + (dir / "fifo"));
    EXPECT_EQ(fifo.code, 1);
    EXPECT_EQ(fifo.err, "millrace: " + (dir / "fifo") +
                            ": cannot be read: a named pipe, not a regular file\n");
  }
  write_file(dir / "good.yaml", config_yaml());
  EXPECT_EQ(run("config check /dev/stdin < " + (dir / "good.yaml")).code, 0);
}

// The daemon's file, another file and the offline check go through one loader.
TEST_F(CliTest, ApplyRefusesWhatCheckRefusesInTheSameWords) {
  start_and_wait();
  const std::string file = dir / "bad.yaml";
  for (const std::string& text :
       {config_yaml("# caf\xe9\n"), std::string("\x7f\x45LF\xff\n"), config_yaml("nonsense: 1\n"),
        std::string("a: [\n"), std::string((1 << 20) + 1, '#')}) {
    write_file(file, text);
    const Ran check = run("config check " + file);
    EXPECT_EQ(check.code, 4) << check.err;
    const Ran apply = run("config apply " + file);
    EXPECT_EQ(apply.code, 4) << apply.err;
    EXPECT_EQ(apply.err, check.err);
    const auto offline = nlohmann::json::parse(run("--json config check " + file).out);
    const auto online = nlohmann::json::parse(run("--json config apply " + file).out);
    EXPECT_EQ(online["data"]["diagnostics"], offline["data"]["diagnostics"]);
    EXPECT_FALSE(offline["data"]["diagnostics"].empty());
    EXPECT_EQ(online["message"], offline["message"]);
    EXPECT_EQ(online["code"], 4);
  }
  const std::string good = config_yaml();
  write_file(file, good + std::string((1 << 20) - good.size(), '\n'));
  EXPECT_EQ(run("config check " + file).code, 0);
  EXPECT_EQ(run("config apply " + file).err, "") << "the largest fits into a request";
  write_file(dir / "millrace.yaml", config_yaml("nonsense: 1\n"));
  const auto own = nlohmann::json::parse(run("--json config apply").out);
  EXPECT_EQ(own["code"], 4);
  EXPECT_EQ(own["data"]["diagnostics"][0]["key"], "nonsense");
}

TEST_F(CliTest, AWorkerThatIsStuckIsNamed) {
  tell_fake("stuck-core-0");
  start_and_wait();
  const Ran status = run("status");
  EXPECT_NE(status.out.find("worker 0 on CPU 5 has been in one turn for "), std::string::npos)
      << status.out;
  EXPECT_NE(status.out.find("of which 8.0 KiB wait for readers"), std::string::npos) << status.out;
  EXPECT_NE(status.out.find("3 answers not stored"), std::string::npos) << status.out;
  const auto data = run_json("status");
  EXPECT_EQ(data["dataplane"]["stuck_workers"].size(), 1u) << data;
  EXPECT_EQ(data["dataplane"]["stuck_workers"][0]["cpu"], 5);
  EXPECT_EQ(data["cache"]["memory_retired"], 8192);
  EXPECT_EQ(data["cache"]["no_memory"], 3);
  const std::string stats = run("stats").out;
  EXPECT_NE(stats.find("memory_retired"), std::string::npos) << stats;
  EXPECT_NE(stats.find("cache_no_memory"), std::string::npos) << stats;
}

TEST_F(CliTest, StatusAndStats) {
  start_and_wait();
  const Ran status = run("status");
  EXPECT_EQ(status.code, 0) << status.err;
  EXPECT_NE(status.out.find("core 0 runs 1"), std::string::npos) << status.out;
  EXPECT_NE(status.out.find("198.18.1.1:53  up"), std::string::npos) << status.out;
  EXPECT_NE(status.out.find("cache       1 entry, "), std::string::npos) << status.out;
  EXPECT_EQ(run_json("status")["dataplane"]["state"], "up");
  EXPECT_EQ(status.out.find("in one turn"), std::string::npos) << status.out;
  EXPECT_TRUE(run_json("status")["dataplane"]["stuck_workers"].empty());
  const Ran stats = run("stats");
  EXPECT_NE(stats.out.find("rx 7 = hit 4 + miss 3: holds on every core"), std::string::npos)
      << stats.out;
  EXPECT_NE(stats.out.find("miss 3 = answered 2 + failed 0 + waiting 1: holds"), std::string::npos)
      << stats.out;
  EXPECT_EQ(stats.out.find("drop_qr"), std::string::npos) << "rows of zero are left out";
  EXPECT_EQ(run_json("stats")["identity"]["rx"], 7);
  const auto delta = run_json("stats --delta 0.05");
  EXPECT_EQ(delta["identity"]["rx"], 0);
  EXPECT_EQ(delta["total"]["classes"]["hit"], 0);
  EXPECT_EQ(delta["total"]["waiters"], 1) << "gauges stay";
}

TEST_F(CliTest, DeltaOverARestartIsRefused) {
  start_and_wait();
  // Up for less long before the first sample than between the two; and the program that takes them
  // may have no CPU for a while.
  const pid_t pid = data_plane_pid();
  loop.after(Milliseconds(1000), [&] { ::kill(pid, SIGKILL); });
  const Ran ran = run("stats --delta 5");
  EXPECT_NE(data_plane_pid(), pid);
  EXPECT_EQ(ran.code, 1) << ran.out;
  EXPECT_NE(ran.err.find("started anew"), std::string::npos) << ran.err;
}

TEST_F(CliTest, OutputThatIsLostIsAnError) {
  start_and_wait();
  for (const char* verb : {"stats", "status --json", "config show", "--help"}) {
    for (const char* nowhere : {" 1>/dev/full", " 1>&-"}) {
      const Ran ran = run(std::string(verb) + nowhere);
      EXPECT_EQ(ran.code, 1) << verb << nowhere;
      EXPECT_NE(ran.err.find("stdout"), std::string::npos) << verb << nowhere << ran.err;
    }
  }
}

TEST_F(CliTest, ApplyShowsAndRefusesAndApplies) {
  start_and_wait();
  write_file(dir / "live.yaml", config_yaml("upstream:\n  tries: 2\n"));
  write_file(dir / "restart.yaml", config_yaml("", "  buffers_per_worker: 8192\n"));
  write_file(dir / "bad.yaml", config_yaml("nonsense: 1\n"));
  EXPECT_EQ(run("config apply").out, "nothing to change; generation 1 runs\n");
  const Ran dry = run("config apply --dry-run " + (dir / "live.yaml"));
  EXPECT_EQ(dry.code, 0);
  EXPECT_NE(dry.out.find("upstream.tries"), std::string::npos) << dry.out;
  EXPECT_NE(dry.out.find("\n1 change, not applied; generation 1 runs\n"), std::string::npos)
      << dry.out;
  EXPECT_EQ(run("config apply " + (dir / "bad.yaml")).code, 4);
  const Ran refused = run("config apply " + (dir / "restart.yaml"));
  EXPECT_EQ(refused.code, 4);
  EXPECT_NE(refused.err.find("--allow-restart"), std::string::npos);
  EXPECT_EQ(daemon->current().generation(), 1u);
  findings = {{false, "bind is nowhere"}};
  const Ran live = run("config apply " + (dir / "live.yaml"));
  EXPECT_EQ(live.code, 0) << live.err;
  EXPECT_NE(live.out.find("generation 2 runs on all cores after "), std::string::npos) << live.out;
  EXPECT_EQ(live.err, "warning: bind is nowhere\n");
  findings.clear();
  const Ran status = run("status");
  EXPECT_NE(status.out.find("config      " + (dir / "live.yaml") + ", generation 2 since 2"),
            std::string::npos)
      << status.out;
  EXPECT_NE(status.out.find("not in " + (dir / "millrace.yaml") +
                            ": lost when millraced starts again"),
            std::string::npos)
      << status.out;
  EXPECT_NE(status.out.find("\nhistory     2 configs in " + (dir / "state/history") + "\n"),
            std::string::npos)
      << status.out;
  const std::string kept = (dir / "millrace.yaml") + " is not changed";
  EXPECT_NE(live.out.find(kept), std::string::npos) << live.out;
  EXPECT_NE(run("config apply " + (dir / "live.yaml")).out.find(kept), std::string::npos)
      << "nothing to change, but it still runs for this time only";
  EXPECT_EQ(dry.out.find(kept), std::string::npos) << dry.out;
  EXPECT_EQ(run_json("config apply --allow-restart " + (dir / "restart.yaml"))["applied"], true);
  EXPECT_NE(run("config show").out.find("buffers_per_worker: 8192"), std::string::npos);
  tell_fake("config-timeout");
  EXPECT_EQ(run("config apply " + (dir / "live.yaml") + " --allow-restart").code, 0)
      << "a restart is no install";
  write_file(dir / "live2.yaml", config_yaml("upstream:\n  tries: 4\n"));
  EXPECT_EQ(run("config apply " + (dir / "live2.yaml")).code, 5);
}

TEST_F(CliTest, CacheVerbs) {
  start_and_wait();
  const Ran found = run("cache lookup www.example.org --type A");
  EXPECT_EQ(found.code, 0) << found.err;
  EXPECT_EQ(found.out,
            "; www.example.org. IN A NOERROR, ttl 260 of 300 s do\n"
            "www.example.org.\t260\tIN\tA\t198.18.1.1\n");
  EXPECT_EQ(run("cache lookup example.org --suffix").out,
            "; example.org. IN A NOERROR, ttl 260 of 300 s do\n"
            "example.org.\t260\tIN\tA\t198.18.1.1\n"
            "; www.example.org. IN A NOERROR, ttl 260 of 300 s do\n"
            "www.example.org.\t260\tIN\tA\t198.18.1.1\n");
  EXPECT_EQ(run("cache flush --all").out, "5 entries removed\n");
  EXPECT_EQ(run("cache flush example.org --suffix").code, 0);
  EXPECT_EQ(run("cache lookup a..b").code, 2);
  tell_fake("single");
  EXPECT_EQ(run("cache flush --all").out, "1 entry removed\n");
  tell_fake("nothing");
  EXPECT_EQ(run("cache lookup a.example").out, "; a.example is not in the cache\n");
  EXPECT_EQ(run("cache lookup a.example --type TYPE65").out,
            "; a.example TYPE65 is not in the cache\n");
  EXPECT_EQ(run("cache lookup a.example --suffix --type AAAA").out,
            "; a.example AAAA, and what is below it, is not in the cache\n");
}

}  // namespace
}  // namespace millrace::ctl
