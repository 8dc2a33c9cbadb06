// SPDX-License-Identifier: Apache-2.0
// Lists of which more than one item is wrong: each is reported, at its place.

#include "tests/unit/config/support.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::ctl::testing {
namespace {

struct Wrong {
  const char* yaml;
  const char* text;
};

TEST(BrokenLists, EachItemIsReportedAtItsPlace) {
  for (const Wrong& wrong : {
           Wrong{"dataplane: {vlans: [10, office, 4095, 65546, [1]]}\n",
                 "t.yaml:4:25: dataplane.vlans[1]: expects a whole number (0 to 4094 each), found "
                 "\"office\"\n"
                 "t.yaml:4:33: dataplane.vlans[2]: \"4095\" is out of range: allowed 0 to 4094 "
                 "each\n"
                 "t.yaml:4:39: dataplane.vlans[3]: \"65546\" is out of range: allowed 0 to 4094 "
                 "each\n"
                 "t.yaml:4:46: dataplane.vlans[4]: expects a whole number (0 to 4094 each), found "
                 "a list"},
           Wrong{"dataplane: {workers: 3, cores: [auto, x, 2]}\n",
                 "t.yaml:4:33: dataplane.cores[0]: expects CPUs in the list (0 to 1023, one per "
                 "worker, or auto), found \"auto\"\n"
                 "t.yaml:4:39: dataplane.cores[1]: expects a whole number (0 to 1023, or auto), "
                 "found \"x\""},
           Wrong{"forward: [{name: x, suffixes: [a..b, ok, '*.c', {}], pool: default}]\n",
                 "t.yaml:4:32: forward[0].suffixes[0]: \"a..b\" is not a DNS name: allowed are "
                 "letters, digits, '-' and '_', at most 63 between two dots and 253 in all\n"
                 "t.yaml:4:42: forward[0].suffixes[2]: \"*.c\" is not a DNS name: allowed are "
                 "letters, digits, '-' and '_', at most 63 between two dots and 253 in all\n"
                 "t.yaml:4:49: forward[0].suffixes[3]: expects DNS names in the list, found a map"},
           Wrong{"edns: {cookie_secrets: [00, {}]}\n",
                 "t.yaml:4:25: edns.cookie_secrets[0]: is not a secret: a secret has 32 "
                 "hexadecimal digits\n"
                 "t.yaml:4:29: edns.cookie_secrets[1]: is not a secret: a secret has 32 "
                 "hexadecimal digits"},
           Wrong{"access: [{name: x, sources: [10.0.0.0/33, ok, 10.0.0.0/8], binds: [[b], {}], "
                 "action: drop}]\n",
                 "t.yaml:4:30: access[0].sources[0]: expects a prefix such as 198.18.0.0/16 or "
                 "\"fd00:18::/32\", found \"10.0.0.0/33\": the prefix length must be a number from "
                 "0 to 32\n"
                 "t.yaml:4:43: access[0].sources[1]: expects a prefix such as 198.18.0.0/16 or "
                 "\"fd00:18::/32\", found \"ok\": not an IP address\n"
                 "t.yaml:4:68: access[0].binds[0]: expects names in the list, found a list\n"
                 "t.yaml:4:73: access[0].binds[1]: expects names in the list, found a map"},
       }) {
    EXPECT_EQ(load(kGood + wrong.yaml).text(), wrong.text) << wrong.yaml;
  }
}

TEST(BrokenLists, NoMoreThanTheMaximumIsReported) {
  std::string vlans = "x";
  for (int i = 0; i < 1000; ++i) vlans += ", x";
  const LoadResult result = load(kGood + "dataplane: {vlans: [" + vlans + "]}\n");
  EXPECT_EQ(result.diagnostics.size(), kDiagnosticsMax);
}

// Item 100 may be wrong as well as item 0, in the same run as the keys around the list.
TEST(BrokenLists, StandAmongOtherErrorsInTheOrderOfTheFile) {
  const LoadResult result =
      load(kGood + "dataplane:\n  workers: 99\n  vlans:\n    - x\n    - 1\n    - y\n  flows: 1\n");
  EXPECT_THAT(result.text(), ::testing::MatchesRegex(
                                 "t.yaml:5:12: dataplane.workers: .*\nt.yaml:7:7: .*vlans.0.: .*\n"
                                 "t.yaml:9:7: .*vlans.2.: .*\nt.yaml:10:10: dataplane.flows: .*"));
}

}  // namespace
}  // namespace millrace::ctl::testing
