// SPDX-License-Identifier: Apache-2.0
// Slips that people make in YAML: each is found where it is, in words that say what to do.

#include "tests/unit/config/support.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::ctl::testing {
namespace {

struct Slip {
  const char* yaml;
  const char* first;  // how the only error begins: "line:column: text"
};

void expect_slips(std::initializer_list<Slip> slips) {
  for (const Slip& slip : slips) {
    const LoadResult result = load(slip.yaml);
    ASSERT_FALSE(result.diagnostics.empty()) << slip.yaml;
    EXPECT_EQ(result.diagnostics.size(), 1u) << slip.yaml << result.text();
    EXPECT_THAT(result.text(), ::testing::StartsWith(std::string("t.yaml:") + slip.first))
        << slip.yaml;
  }
}

TEST(YamlSlips, Colons) {
  expect_slips({
      {"upstream:\n  tries 3\n  give_up: 5s\n",
       "2:3: not valid YAML: no colon in this line"},
      {"upstream:\n  give_up: 5s\n\n  # three\n  tries = 3\n  hedge: 0ms\n",
       "5:3: not valid YAML: no colon in this line"},
      {"upstream:\n  tries:3\n  give_up: 5s\n",
       "2:8: not valid YAML: a space is missing behind the colon"},
      {"upstream: tries: 3\n", "1:16: not valid YAML: a second key in this line"},
      {"upstream {\n  tries 3;\n}\n", "1:1: no colon in this line"},
  });
}

TEST(YamlSlips, Indentation) {
  expect_slips({
      {"upstream:\n  tries: 3\n    give_up: 5s\n",
       "3:5: indented deeper than line 2, which has a value already: begin in column 3, too"},
      {"ports:\n  - name: p\n     interface: x\n", "3:6: indented deeper than line 2, which has a "
                                                    "value already: begin in column 5, too"},
      {"upstream:\n    tries: 3\n  give_up: 5s\n",
       "3:3: not valid YAML: begins in column 3, which goes with no line above: keys of one map "
       "begin in the same column, as do the dashes of one list; line 2 begins in column 5"},
      {"ports:\n  - name: p\n   interface: x\n",
       "3:4: not valid YAML: begins in column 4, which goes with no line above: keys of one map "
       "begin in the same column, as do the dashes of one list; line 2 begins in column 3, its key "
       "in column 5"},
      {"ports:\n\t- name: p\n", "2:1: a tab cannot indent in YAML: use spaces"},
  });
}

TEST(YamlSlips, Lists) {
  expect_slips({
      {"ports:\n  -name: p\n    interface: x\n", "2:3: a space is missing behind the dash"},
      {"ports: - name: p\n", "1:8: not valid YAML: an entry of a list (`- `) cannot stand behind"},
      {"dns:\n  version: a\n  - name: p\n", "3:3: not valid YAML: an entry of a list (`- `) where"},
      {"dns: {}\n- name: p\n", "2:1: not valid YAML: an entry of a list (`- `) where a key is"},
  });
}

// Nothing has no place of its own; the dash has.
TEST(YamlSlips, LoneDashes) {
  const std::string head = "binds: [{name: b, listen_address: 198.18.0.53}]\n"
                           "backends: [{name: r, address: 198.18.1.1}]\n"
                           "ports:\n  - {name: p, interface: eth0}\n";
  for (const char* rest : {"  -", "  -\n", "  -\ndns: {}\n", "  - \n\n  # p\n\ndns: {}\n",
                           "  - # p\n  - {name: q, interface: eth1}\n", "  - ~\n"}) {
    const LoadResult result = load(head + rest);
    EXPECT_EQ(result.diagnostics.size(), 1u) << rest << result.text();
    const std::string at = std::string(rest) == "  - ~\n" ? "5:5" : "5:3";
    EXPECT_THAT(result.text(), ::testing::StartsWith("t.yaml:" + at + ": ports[1]: expects a map"))
        << rest;
  }
  const LoadResult both = load(head + "  -\n  -\n");
  EXPECT_THAT(both.text(), ::testing::HasSubstr("t.yaml:5:3: ports[1]"));
  EXPECT_THAT(both.text(), ::testing::HasSubstr("t.yaml:6:3: ports[2]"));
}

// The parser takes most of them without a word, and nothing comes of them.
TEST(YamlSlips, Directives) {
  expect_slips({
      {"%TAG ! tag:example.org,2000:\n---\ndns: {}\n",
       "1:1: not valid YAML: directives (%) are not supported: remove the line"},
      {"\xef\xbb\xbf%OTHER a\n---\ndns: {}\n",
       "1:1: not valid YAML: directives (%) are not supported: remove the line"},
      {"%YAML 1.2\n# one\n%TAG ! x:\n---\ndns: {}\n",
       "3:1: not valid YAML: directives (%) are not supported: remove the line"},
      {"dns: {}\n%TAG ! x:\n",
       "2:1: not valid YAML: directives (%) are not supported: remove the line"},
      {"%YAML 3.2\n---\ndns: {}\n",
       "1:1: not valid YAML: directives (%) are not supported: remove the line"},
  });
  EXPECT_TRUE(load("%YAML 1.2\n---\n" + kGood).diagnostics.empty()) << "which says nothing new";
}

TEST(YamlSlips, Quotes) {
  expect_slips({
      {"binds:\n  - name: \"b\n    listen_address: \"[::1]:53\"\n",
       "2:11: the quote that opens here is not closed in this line: close it"},
      {"binds:\n  - name: 'it''s\n    listen_address: 198.18.0.53\n",
       "2:11: the quote that opens here is not closed in this line: close it"},
      {"dns:\n  version: 'it's'\n", "2:16: not valid YAML: text behind a closing quote"},
      {"dns:\n  version: \"a\\q\"\n", "2:16: not valid YAML: no escape that YAML knows"},
      {"dns:\n  version: @a\n", "2:12: not valid YAML: a text cannot begin with `@`: put it in"},
      {"access:\n  - sources: *\n", "2:14: not valid YAML: anchors (&name) and aliases (*name) "},
      {"dns:\n  version: |\n    a\n", "2:12: texts of several lines (| and >) are not supported"},
  });
}

TEST(YamlSlips, Brackets) {
  expect_slips({
      {"ports: [{name: p, interface: eth0}\nbinds: []\n",
       "1:8: not valid YAML: the `[` that opens here is not closed: `]` is missing before line 2"},
      {"upstream: {tries: 3\n", "1:11: not valid YAML: the `{` that opens here is not closed: `}`"},
      {"ports: [{name: p, interface: eth0]\n",
       "1:34: not valid YAML: `]` stands where `}` is expected, for the `{` of line 1, column 9"},
      {"ports: [{name: p interface: eth0}]\n",
       "1:27: not valid YAML: a comma or the closing `}` is missing before this"},
      {"ports: [\n  {name: p}\n  {name: q}\n]\n",
       "3:3: not valid YAML: a comma or the closing `]` is missing before this"},
      {"ports: [{name: p}]]\n", "1:19: not valid YAML: `]` closes nothing"},
      {"binds:\n  - listen_address: [::1]:53\n",
       "2:26: not valid YAML: an address in brackets with a port stands in quotes"},
      {"binds: [{listen_address: [fd00::1]:53}]\n",
       "1:35: not valid YAML: an address in brackets with a port stands in quotes"},
      {"dns: {}, tcp: {}\n", "1:8: not valid YAML: text behind a value that is whole"},
  });
}

// What only looks like one of them.
TEST(YamlSlips, AreNotSeenWhereThereAreNone) {
  const LoadResult result = load(
      "\xef\xbb\xbfports: [{name: p, interface: eth0}] # it's [ {\n"
      "binds:\n- name: b-'\"\n  listen_address:\n    \"[fd00:18::53]:53\"\n\n"
      "backends: [\n  {name: \"r\",\n   address: '198.18.1.1'}\n]\n"
      "dns:\r\n  version:   v1.0   # one\r\n");
  ASSERT_EQ(result.diagnostics.size(), 1u) << result.text();
  EXPECT_THAT(result.text(), ::testing::HasSubstr("t.yaml:3:9: binds[0].name: \"b-'\"\" is not a"));
}

}  // namespace
}  // namespace millrace::ctl::testing
