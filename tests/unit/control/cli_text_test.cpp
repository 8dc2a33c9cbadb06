// SPDX-License-Identifier: Apache-2.0
// What `millrace` tells an operator who has no source at hand.

#include <algorithm>
#include <array>
#include <set>

#include "tests/unit/control/cli_fixture.hpp"
#include "tests/unit/control/network_namespace.hpp"

namespace millrace::ctl {
namespace {

TEST_F(CliTest, EveryFigureOfStatsIsExplained) {
  start_and_wait();
  const auto figures = run_json("stats");
  std::set<std::pair<std::string, std::string>> shown;
  const auto add = [&](const char* kind, const nlohmann::json& object) {
    for (const auto& [name, value] : object.items()) shown.emplace(kind, name);
  };
  for (const auto& [name, value] : figures["total"].items()) {
    if (name != "outcomes" && name != "events" && name != "classes") {
      shown.emplace(name == "rx" ? "outcome" : "gauge", name);
    }
  }
  add("outcome", figures["total"]["outcomes"]);
  add("event", figures["total"]["events"]);
  add("backend", figures["backends"][0]);
  for (const char* none : {"name", "address", "up", "usable"}) shown.erase({"backend", none});
  std::set<std::pair<std::string, std::string>> explained;
  const auto explanations = run_json("stats --explain");
  for (const auto& one : explanations["counters"]) {
    explained.emplace(one["kind"], one["name"]);
    EXPECT_FALSE(one["meaning"].get<std::string>().empty()) << one;
    EXPECT_EQ(one["kind"] == "outcome" && one["name"] != "rx", one.contains("term")) << one;
  }
  EXPECT_TRUE(std::includes(explained.begin(), explained.end(), shown.begin(), shown.end()));
  EXPECT_EQ(explained.count({"prefilter", "dropped_stray"}), 1u);
}

TEST_F(CliTest, ExplainTakesNamesPartsAndTerms) {
  EXPECT_EQ(run("stats --explain up_tc").out,
            "KIND     COUNTER  TERM      MEANING\n"
            "outcome  up_tc    upstream  matched, but truncated\n");
  const std::string refused = run("stats --explain refused").out;
  EXPECT_NE(refused.find("refused_rd0"), std::string::npos) << refused;
  const std::string several = run("stats waiter_limit drop_acl --explain").out;
  for (const char* name : {"waiter_limit_zone", "waiter_limit_src", "drop_acl"}) {
    EXPECT_NE(several.find(name), std::string::npos) << several;
  }
  const Ran slip = run("stats --explain up_hegded");
  EXPECT_EQ(slip.code, 2);
  EXPECT_EQ(slip.err, "millrace: no counter is named \"up_hegded\"; did you mean \"up_hedged\"?\n");
  EXPECT_EQ(run("stats up_tc").code, 2) << "only with --explain";
  EXPECT_EQ(run("stats --explain --delta 1").code, 2);
}

TEST_F(CliTest, DefaultsAreAConfigThatCheckTakes) {
  const std::string file = dir / "defaults.yaml";
  write_file(file, run("config show --default").out);
  EXPECT_EQ(run("config check " + file).err, "");
  EXPECT_NE(read_file(file).find("    max_in_flight: 0\n"), std::string::npos);
  start_and_wait();
  EXPECT_EQ(ask({{"verb", "config-show"}, {"what", "default"}}).data["yaml"], read_file(file));
}

TEST_F(CliTest, SecondsAreNumbersOfTheirRange) {
  const std::array<const char*, 3> options[] = {{"status --timeout ", "--timeout", "0.001 to 3600"},
                                                {"stats --delta ", "--delta", "0.001 to 86400"},
                                                {"testing advance ", "SECONDS", "0 to 31622400"}};
  for (const auto& [verb, name, range] : options) {
    for (const char* text : {"nan", "NAN", "inf", "-inf", "infinity", "1e999", "-1",
                             "99999999999", "0x10", "1s", "1,5", "x", "''"}) {
      const Ran ran = run(verb + std::string(text));
      const std::string shown = text == std::string("''") ? "" : text;
      const std::string message = std::string("millrace: ") + name + ": \"" + shown +
                                  "\" is not a number of seconds from " + range + "; see --help\n";
      EXPECT_EQ(ran.code, 2) << verb << text;
      if (*text != '-') { EXPECT_EQ(ran.err, message); }
    }
  }
  EXPECT_EQ(run("status --timeout=-1").code, 2);
  for (const char* text : {"0.001", "3600", "1e2", ".5"}) {
    EXPECT_EQ(run(std::string("status --timeout ") + text).code, 3) << text;
  }
}

TEST_F(CliTest, APortWithoutALinkIsMarked) {
  const NewNetworkNamespace empty;  // in which lo is down
  if (!empty.made()) GTEST_SKIP() << "needs root";
  std::string yaml = config_yaml();
  yaml.replace(yaml.find("interface: va"), 13, "interface: lo");
  start_and_wait(yaml);
  const Ran down = run("status");
  EXPECT_NE(down.out.find("PORT  INTERFACE  LINK  XDP\np0    lo         down  native\n"),
            std::string::npos)
      << down.out;
  EXPECT_NE(down.out.find("\nwarning: port p0: lo is down, no packet comes or goes there: `ip link "
                          "set lo up`\n"),
            std::string::npos)
      << down.out;
  EXPECT_EQ(run_json("status")["ports"][0]["link"], "down");
  ASSERT_EQ(std::system("ip link set lo up"), 0);
  const Ran up = run("status");
  EXPECT_NE(up.out.find("p0    lo         up    native\n"), std::string::npos) << up.out;
  EXPECT_EQ(up.out.find("warning"), std::string::npos) << up.out;
  EXPECT_EQ(run_json("status")["ports"][0]["why"], "");
}

TEST_F(CliTest, AnEntryIsShownWithTheClientsThatItIsFor) {
  start_and_wait();
  EXPECT_EQ(run_json("cache lookup www.example.org")["rows"][0]["client_subnet"], nullptr);
  tell_fake("subnet");
  EXPECT_EQ(run("cache lookup a.test").out,
            "; a.test. IN A NOERROR, ttl 260 of 300 s do, for clients in 198.18.5.0/24\n"
            "a.test.\t260\tIN\tA\t198.18.1.1\n");
  tell_fake("subnet exact");
  EXPECT_NE(run("cache lookup a.test").out.find(", for clients that tell just 198.18.5.0/24\n"),
            std::string::npos);
}

// No daemon runs here: a slip is told before anybody is asked.
TEST_F(CliTest, ArgumentsAreLookedAtFirst) {
  for (const char* verb : {"flush", "lookup"}) {
    const std::string cache = std::string("cache ") + verb;
    const Ran type = run(cache + " x --type BOGUS");
    EXPECT_EQ(type.code, 2) << type.err;
    EXPECT_NE(type.err.find("BOGUS"), std::string::npos) << type.err;
    EXPECT_EQ(run(cache + " a..b").code, 2);
    EXPECT_EQ(run(cache + " x --type AAAA").code, 3);
  }
}

// A variable that is not set: `cache flush --all --type "$TYPE"` shall not flush all types.
TEST_F(CliTest, AnEmptyArgumentIsNotTakenForNone) {
  const std::pair<const char*, const char*> slips[] = {
      {"cache flush --all --type ''", "--type"}, {"cache flush ''", "NAME"},
      {"cache lookup ''", "NAME"},               {"cache lookup x --type ''", "--type"},
      {"config apply ''", "FILE"},               {"config apply --dry-run ''", "FILE"},
      {"config check ''", "FILE"},               {"status --run-dir ''", "--run-dir"}};
  for (const auto& [verb, name] : slips) {
    const Ran ran = run(verb);
    EXPECT_EQ(ran.code, 2) << verb;
    EXPECT_EQ(ran.err, "millrace: " + std::string(name) +
                           ": is empty: give a value, or leave it out; see --help\n");
  }
}

TEST_F(CliTest, HelpIsAVerbToo) {
  const Ran ran = run("help config");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, run("config --help").out);
  EXPECT_EQ(run("help").out, run("--help").out);
}

TEST_F(CliTest, AConfigIsReadFromStandardInput) {
  const Ran ran = run("config check - </dev/null");
  EXPECT_EQ(ran.code, 4);
  EXPECT_EQ(ran.err.find("-:1:1: ports: is missing"), 0u) << ran.err;
}

TEST_F(CliTest, AnEntryPastItsTimeIsShownAsSuch) {
  start_and_wait();
  EXPECT_EQ(run_json("cache lookup a.test")["rows"][0]["stale"], nullptr);
  tell_fake("stale");
  EXPECT_EQ(run("cache lookup a.test").out,
            "; a.test. IN A NOERROR, past its time of 300 s, may be served for 86390 s more do\n"
            "a.test.\t0\tIN\tA\t198.18.1.1\n");
  EXPECT_EQ(run_json("cache lookup a.test")["rows"][0]["stale"], 86390);
}

TEST_F(CliTest, AnEntryIsShownWithTheNameOfItsPacketCache) {
  start_and_wait(config_yaml("packet_caches:\n  - {name: one, size: 32MiB}\n"
                             "pools:\n  - {name: default, packet_cache: one}\n"));
  EXPECT_EQ(run_json("cache lookup a.test")["rows"][0]["packet_cache"], "one");
  EXPECT_NE(run("cache lookup a.test").out.find(" do, in packet cache one\n"), std::string::npos);
}

}  // namespace
}  // namespace millrace::ctl
