// SPDX-License-Identifier: Apache-2.0
// What a new user reads: values as he wrote them, and one error for one slip.

#include "tests/unit/config/support.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::ctl::testing {
namespace {

using ::testing::HasSubstr;

// The only diagnostic, without the name of the file.
std::string only(const std::string& text) {
  const LoadResult result = load(text);
  EXPECT_EQ(result.diagnostics.size(), 1u) << result.text();
  return result.text();
}

TEST(Messages, QuoteValuesAsTheyWereWritten) {
  const struct {
    const char* yaml;
    const char* value;
  } cases[] = {
      {"upstream: {port_range: 99999999999999999999-5}", "99999999999999999999"},
      {"upstream: {port_range: [5, 99999999999999999999]}", "5"},
      {"upstream: {port_range: 20000-20100}", "20000-20100"},
      {"packet_caches: [{name: default, size: 999999999999TiB}]", "999999999999TiB"},
      {"packet_caches: [{name: default, size: 2048TiB}]", "2048TiB"},
      {"packet_caches: [{name: default, max_ttl: 192h}]", "192h"},
      {"serve_stale: {client_timer: 0s}", "0s"},
      {"upstream: {give_up: 99999999999999999999d}", "99999999999999999999d"},
      {"upstream: {tries: 99999999999999999999}", "99999999999999999999"},
      {"upstream: {tries: 99}", "99"},
      {"dataplane: {shards: 3}", "3"},
      {"dataplane: {cores: [999999]}", "999999"},
      {"dataplane: {vlans: [4095]}", "4095"},
  };
  for (const auto& one : cases) {
    EXPECT_THAT(only(kGood + one.yaml + "\n"),
                HasSubstr(": \"" + std::string(one.value) + "\" is out of range: allowed "))
        << one.yaml;
  }
}

TEST(Messages, AFileThatIsNoTextGetsOne) {
  const std::string little("\xff\xfep\0o\0r\0t\0s\0:\0\n\0", 16);
  EXPECT_EQ(only(little),
            "t.yaml:1:1: the file is UTF-16, not UTF-8 text: save the file as UTF-8");
  const std::string big("\xfe\xff\0p\0o\0r\0t\0s\0:\0\n", 16);
  EXPECT_THAT(only(big), HasSubstr("t.yaml:1:1: the file is UTF-16"));
  EXPECT_EQ(only(little.substr(2)), "t.yaml:1:2: not UTF-8 text: save the file as UTF-8");
  EXPECT_EQ(only("a: 1\nb: \x80\x01\x02\xfe\n\xff\x03\n"),
            "t.yaml:2:4: not UTF-8 text: save the file as UTF-8");
  EXPECT_EQ(only("a: 1\n\x02\x80\n"), "t.yaml:2:2: not UTF-8 text: save the file as UTF-8");
}

// The pool would be served if its name were spelt right: only the slip is told.
TEST(Messages, LeaveOutWhatFollowsFromAMisspeltPool) {
  const std::string text =
      "ports: [{name: p, interface: eth0}]\n"
      "binds: [{name: b, listen_address: 198.18.0.53}]\n"
      "backends: [{name: r, address: 198.18.1.1, pools: [defualt]}]\n";
  EXPECT_THAT(only(text), HasSubstr("t.yaml:3:51: backends[0].pools[0]: no pool is named "
                                    "\"defualt\"; did you mean \"default\"?"));
  EXPECT_THAT(only(kGood + "pools: [{name: default}, {name: other}]\n"
                           "forward: [{name: f, suffixes: [a], pool: other}]\n"),
              HasSubstr("no backend serves pool \"other\""));
}

// Nobody wrote `default`: what is missing is told, and where.
TEST(Messages, NameTheDefaultThatDoesNotExist) {
  const std::string head =
      "ports: [{name: p, interface: eth0}]\n"
      "pools: [{name: office}, {name: spare}]\n"
      "binds: [{name: b, listen_address: 198.18.0.53, pool: office}]\n";
  EXPECT_EQ(only(head + "backends: [{name: r, address: 198.18.1.1}]\n"),
            "t.yaml:4:12: backends[0].pools: not given, so [default], but no pool is named "
            "\"default\" (there are: office, spare)");
  EXPECT_THAT(only(head + "backends: [{name: r, address: 198.18.1.1, pools: [office, default]}]\n"),
              HasSubstr("t.yaml:4:59: backends[0].pools[1]: no pool is named \"default\" (there "
                        "are: office, spare)"));
  EXPECT_EQ(only("ports: [{name: p, interface: eth0}]\n"
                 "pools: [{name: office}]\n"
                 "binds: [{name: b, listen_address: 198.18.0.53}]\n"
                 "backends: [{name: r, address: 198.18.1.1, pools: [office]}]\n"),
            "t.yaml:3:9: binds[0].pool: not given, so default, but no pool is named \"default\" "
            "(there are: office)");
}

TEST(Messages, CountCpusAndWorkers) {
  EXPECT_THAT(only(kGood + "dataplane: {workers: 2, cores: [1]}\n"),
              HasSubstr("names 1 CPU for 2 workers: give one for each"));
  EXPECT_THAT(only(kGood + "dataplane: {workers: 1, cores: [1, 2]}\n"),
              HasSubstr("names 2 CPUs for 1 worker: give one for each"));
}

TEST(Messages, TheColonThatIsMissingInBraces) {
  EXPECT_EQ(only(kGood + "upstream: {tries 2}\n"),
            "t.yaml:4:12: upstream.tries: a colon is missing behind \"tries\": a key is written "
            "`key: value`");
  EXPECT_THAT(only(kGood + "upstream: {zebra 2}\n"), HasSubstr("unknown key"));
}

TEST(Messages, ANoBreakSpaceCannotIndent) {
  EXPECT_EQ(only("ports:\n\xc2\xa0\xc2\xa0- name: p\n"),
            "t.yaml:2:1: a no-break space cannot indent in YAML: use plain spaces");
  EXPECT_EQ(only("ports:\n \xc2\xa0- name: p\n"),
            "t.yaml:2:2: a no-break space cannot indent in YAML: use plain spaces");
}

TEST(Messages, ADashWithNothingBehindIt) {
  EXPECT_EQ(only("-\n"), "t.yaml:1:1: expects a map of sections such as `ports:`, found a list: a "
                         "`-` begins an entry of a list");
  EXPECT_THAT(only(kGood + "access:\n  -\n"),
              HasSubstr("access[0]: expects a map of keys and values, found nothing: write it "
                        "behind its `-`, or remove the `-`"));
  EXPECT_THAT(only(kGood + "-\n"), HasSubstr("t.yaml:4:1: not valid YAML: a `-` with nothing "
                                             "behind it: write the entry of the list behind it"));
}

}  // namespace
}  // namespace millrace::ctl::testing
