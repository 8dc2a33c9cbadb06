// SPDX-License-Identifier: Apache-2.0
// Every way in which a config can be wrong: found, on its line and column, under its key, with what
// is allowed or what to do. Each case lists all diagnostics, so nothing may be reported besides.

#include "control/config/nearest.hpp"
#include "tests/unit/config/support.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::ctl::testing {
namespace {

struct Expected {
  int line;
  int column;
  std::string key;
  std::string part;  // of the message
};

struct Case {
  const char* name;
  std::string yaml;
  std::vector<Expected> expected;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class Broken : public ::testing::TestWithParam<Case> {};

TEST_P(Broken, IsReportedWhereItStands) {
  const LoadResult result = load(GetParam().yaml);
  EXPECT_FALSE(result.ok());
  ASSERT_EQ(result.diagnostics.size(), GetParam().expected.size()) << result.text();
  for (std::size_t i = 0; i < result.diagnostics.size(); ++i) {
    const Diagnostic& found = result.diagnostics[i];
    const Expected& expected = GetParam().expected[i];
    EXPECT_EQ(found.file, "t.yaml");
    EXPECT_EQ(found.line, expected.line) << found.text();
    EXPECT_EQ(found.column, expected.column) << found.text();
    EXPECT_EQ(found.key, expected.key) << found.text();
    EXPECT_THAT(found.message, ::testing::HasSubstr(expected.part));
  }
}

// A line that was left in the config of an appliance that serves must not stop its clock.
TEST(Testing, IsForADaemonThatWasToldSo) {
  const std::string text = kGood + "testing: {clock: manual}\n";
  EXPECT_TRUE(load_config_text(text, "t.yaml", Host{{0}, true}).ok());
  const LoadResult refused = load_config_text(text, "t.yaml", Host{{0}, false});
  ASSERT_EQ(refused.diagnostics.size(), 1u) << refused.text();
  EXPECT_EQ(refused.text(),
            "t.yaml:4:18: testing.clock: \"manual\" is for tests: start millraced with --testing");
  const std::string real = kGood + "testing: {clock: real}\n";
  EXPECT_TRUE(load_config_text(real, "t.yaml", Host{{0}, false}).ok());
}

std::string with(const std::string& text) {
  return kGood + text;
}

// Lines of kGood with one replaced.
std::string ports(const std::string& list) {
  return "ports: " + list + "\n" + kGood.substr(kGood.find("binds"));
}
std::string binds(const std::string& list) {
  return "ports: [{name: p, interface: eth0}]\nbinds: " + list + "\n" +
         kGood.substr(kGood.find("backends"));
}
std::string backends(const std::string& list) {
  return kGood.substr(0, kGood.find("backends")) + "backends: " + list + "\n";
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(
    Yaml, Broken,
    ::testing::Values(
        Case{"Empty",
             "",
             {{1, 1, "ports", "is missing"},
              {1, 1, "binds", "is missing"},
              {1, 1, "backends", "is missing"}}},
        Case{"NotAMap", "- a\n", {{1, 1, "", "expects a map of sections"}}},
        Case{"Syntax", "ports: [{name: p\nbinds: x\n", {{1, 9, "", "is not closed"}}},
        Case{"UnclosedBracket", with("upstream: {tries: 3\n"), {{4, 11, "", "not valid YAML"}}},
        Case{"BadIndent", "ports:\n  - name: p\n   interface: x\n", {{3, 4, "", "not valid YAML"}}},
        Case{"Tab", "ports:\n\t- name: p\n", {{2, 1, "", "use spaces"}}},
        Case{"TabAfterSpaces", "ports:\n  \t- name: p\n", {{2, 3, "", "use spaces"}}},
        Case{"SecondDocument", with("---\nports: []\n"), {{4, 1, "", "a single document"}}},
        Case{"Anchor", with("logging: &a {level: info}\n"), {{4, 10, "", "anchors"}}},
        Case{"AnchorOnScalar", with("logging: {level: &a info}\n"), {{4, 18, "", "anchors"}}},
        Case{"Alias", with("logging: *a\n"), {{4, 10, "", "not valid YAML"}}},
        Case{"Tag", with("logging: {level: !!str info}\n"), {{4, 18, "", "tags"}}},
        Case{"LocalTag", with("logging: !x {level: info}\n"), {{4, 10, "", "tags"}}},
        Case{"Merge", with("<<: {a: 1}\n"), {{4, 1, "<<", "unknown key"}}},
        Case{"NotUtf8", with("logging: {level: \xff}\n"), {{4, 18, "", "UTF-8"}}},
        Case{"Overlong", "a: \xc0\xaf\n", {{1, 4, "", "UTF-8"}}},
        Case{"Surrogate", "a: \xed\xa0\x80\n", {{1, 4, "", "UTF-8"}}},
        Case{"Control", "a: \x01\n", {{1, 4, "", "control character"}}},
        Case{"ControlBehindAscii", "a: \xc2\x9b\n", {{1, 4, "", "control character"}}},
        Case{"Turned", "a: \xe2\x80\xae\n", {{1, 4, "", "control character"}}},
        Case{"EscapedControl", with("logging: {level: \"a\\x9b31m\"}\n"),
             {{4, 18, "logging.level", "\"a?31m\""}}},
        Case{"Nul", std::string("a: \0\n", 5), {{1, 4, "", "UTF-8"}}},
        Case{"Deep",
             "a: " + std::string(40, '[') + std::string(40, ']'),
             {{1, 19, "", "16 levels"}}},
        Case{"ListAsKey", "? [a]\n: b\n", {{1, 3, "", "must be a word"}}}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Keys, Broken,
    ::testing::Values(
        Case{"UnknownSection", with("zebra: 1\n"), {{4, 1, "zebra", "known here: ports, binds"}}},
        Case{"MisspeltSection",
             with("loging: {level: info}\n"),
             {{4, 1, "loging", "did you mean \"logging\"?"}}},
        Case{"MisspeltRequiredSection",
             "port: [{name: p, interface: eth0}]\n" + kGood.substr(kGood.find("binds")),
             {{1, 1, "port", "did you mean \"ports\"?"}}},
        Case{"MisspeltKey",
             with("upstream:\n  tires: 3\n"),
             {{5, 3, "upstream.tires", "did you mean \"tries\"?"}}},
        Case{"MisspeltRequiredKey",
             binds("[{name: b, listen_adress: 198.18.0.53}]"),
             {{2, 19, "binds[0].listen_adress", "did you mean \"listen_address\"?"}}},
        Case{"KeyOfAnotherSection",
             with("max_ttl: 1d\n"),
             {{4, 1, "max_ttl", "belongs to `packet_caches`"}}},
        Case{"UnknownKeyLists",
             with("logging: {colour: red}\n"),
             {{4, 11, "logging.colour", "known here: level"}}},
        Case{"DuplicateSection",
             with("logging: {}\nlogging: {}\n"),
             {{5, 1, "logging", "first in line 4"}}},
        Case{"DuplicateKey",
             with("upstream:\n  tries: 3\n  give_up: 5s\n  tries: 4\n"),
             {{7, 3, "upstream.tries", "first in line 5"}}},
        Case{"DuplicateKeyInList",
             ports("[{name: p, name: q, interface: eth0}]"),
             {{1, 19, "ports[0].name", "given twice"}}},
        Case{"MissingSection",
             kGood.substr(0, kGood.find("backends")),
             {{1, 1, "backends", "is missing"}}},
        Case{"MissingKey", backends("[{name: r}]"), {{3, 12, "backends[0].address", "is missing"}}},
        Case{"MissingNameInBlock",
             with("pools:\n  - packet_cache: default\n"),
             {{5, 5, "pools[0].name", "is missing"}}},
        Case{"EmptyRequiredList", ports("[]"), {{1, 8, "ports", "at least one"}}},
        Case{"NullRequiredList", ports(""), {{1, 1, "ports", "at least one"}}},
        Case{"ListForMap", with("upstream: [a]\n"), {{4, 11, "upstream", "a map"}}},
        Case{"MapForList", binds("{name: b}"), {{2, 8, "binds", "a list of named objects"}}},
        Case{"ScalarInList", binds("[b]"), {{2, 9, "binds[0]", "a map of keys and values"}}},
        Case{"TooMany",
             ports("[{name: a, interface: a}, {name: b, interface: b}, {name: c, interface: c}, "
                   "{name: d, interface: d}, {name: e, interface: e}]"),
             {{1, 109, "ports", "at most 4"}}},
        Case{"All",
             with("upstream:\n  tries: 0\n  give_up: 5\nlogging: {level: loud}\nzebra: 1\n"),
             {{5, 10, "upstream.tries", "allowed 1 to 4"},
              {6, 12, "upstream.give_up", "needs a unit"},
              {7, 18, "logging.level", "expects one of"},
              {8, 1, "zebra", "unknown key"}}}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Values, Broken,
    ::testing::Values(
        Case{"SizeWithoutUnit",
             with("packet_caches: [{name: default, size: 67108864}]\n"),
             {{4, 39, "packet_caches[0].size", "write \"67108864B\""}}},
        Case{"SizeInMB",
             with("packet_caches: [{name: default, size: 64MB}]\n"),
             {{4, 39, "packet_caches[0].size", "unknown unit \"MB\" (units: B, KiB, MiB"}}},
        Case{"SizeWithSpace",
             with("packet_caches: [{name: default, size: 64 MiB}]\n"),
             {{4, 39, "packet_caches[0].size", "without a space"}}},
        Case{"SizeTooSmall",
             with("packet_caches: [{name: default, size: 1B}]\n"),
             {{4, 39, "packet_caches[0].size", "\"1B\" is out of range: allowed 1MiB to 1TiB"}}},
        Case{"SizeOverflow",
             with("packet_caches: [{name: default, size: 99999999999999999999TiB}]\n"),
             {{4, 39, "packet_caches[0].size", "is out of range"}}},
        Case{"EntryBeyond32Bits",
             with("packet_caches: [{name: default, maximum_entry_size: 5GiB}]\n"),
             {{4, 53, "packet_caches[0].maximum_entry_size", "allowed 512B to 4KiB"}}},
        Case{"FractionOfSize",
             with("packet_caches: [{name: default, size: 1.5GiB}]\n"),
             {{4, 39, "packet_caches[0].size", "unknown unit \".5GiB\""}}},
        Case{"NegativeSize",
             with("packet_caches: [{name: default, size: -1MiB}]\n"),
             {{4, 39, "packet_caches[0].size", "expects a size such as 64MiB"}}},
        Case{"TtlWithoutUnit",
             with("packet_caches: [{name: default, max_ttl: 3600}]\n"),
             {{4, 42, "packet_caches[0].max_ttl", "write \"3600s\" (units: ms, s, m, h, d)"}}},
        Case{"ZeroWithoutUnit",
             with("packet_caches: [{name: default, min_ttl: 0}]\n"),
             {{4, 42, "packet_caches[0].min_ttl", "write \"0s\""}}},
        Case{"TtlInMilliseconds",
             with("packet_caches: [{name: default, max_ttl: 1500ms}]\n"),
             {{4, 42, "packet_caches[0].max_ttl", "whole seconds"}}},
        Case{"TtlTooLong",
             with("packet_caches: [{name: default, max_ttl: 8d}]\n"),
             {{4, 42, "packet_caches[0].max_ttl", "\"8d\" is out of range: allowed 1s to 7d"}}},
        Case{"TtlOverflow",
             with("packet_caches: [{name: default, max_ttl: 99999999999999999d}]\n"),
             {{4, 42, "packet_caches[0].max_ttl", "out of range: allowed 1s to 7d"}}},
        Case{"CompoundDuration",
             with("upstream: {give_up: 1s500ms}\n"),
             {{4, 21, "upstream.give_up", "unknown unit \"s500ms\""}}},
        Case{"TimeoutWithoutUnit",
             with("upstream: {try_timeout: 400}\n"),
             {{4, 25, "upstream.try_timeout", "write \"400ms\""}}},
        Case{"NumberForText",
             with("dataplane: {workers: two}\n"),
             {{4, 22, "dataplane.workers", "a whole number (1 to 16), found \"two\""}}},
        Case{"QuotedNumber",
             with("dataplane: {workers: \"2\"}\n"),
             {{4, 22, "dataplane.workers", "found the quoted text \"2\""}}},
        Case{"HexNumber",
             with("dataplane: {workers: 0x2}\n"),
             {{4, 22, "dataplane.workers", "a whole number"}}},
        Case{"LeadingZero",
             with("dataplane: {workers: 010}\n"),
             {{4, 22, "dataplane.workers", "a whole number"}}},
        Case{"NumberIsNull",
             with("dataplane:\n  workers:\n"),
             {{5, 3, "dataplane.workers", "found nothing"}}},
        Case{"NumberIsList",
             with("dataplane: {workers: [1]}\n"),
             {{4, 22, "dataplane.workers", "found a list"}}},
        Case{"NumberTooLarge",
             with("dataplane: {workers: 17}\n"),
             {{4, 22, "dataplane.workers", "\"17\" is out of range: allowed 1 to 16"}}},
        Case{"PayloadBeyond16Bits",
             with("edns: {udp_payload_size: 65536}\n"),
             {{4, 26, "edns.udp_payload_size", "allowed 512 to 1400"}}},
        Case{"TruthValueYes",
             with("dataplane: {hugepages: yes}\n"),
             {{4, 24, "dataplane.hugepages", "true or false, found \"yes\""}}},
        Case{"WordMisspelt",
             with("dataplane: {idle: adaptiv}\n"),
             {{4, 19, "dataplane.idle", "did you mean \"adaptive\"?"}}},
        Case{"WordUnknown",
             with("dns: {recursion_not_desired: drop}\n"),
             {{4, 30, "dns.recursion_not_desired", "one of refuse, cache_only"}}},
        Case{"BadName",
             ports("[{name: a b, interface: eth0}]"),
             {{1, 16, "ports[0].name", "\"a b\" is not a name"}}},
        Case{"LongName",
             ports("[{name: " + std::string(32, 'x') + ", interface: eth0}]"),
             {{1, 16, "ports[0].name", "1 to 31 letters"}}},
        Case{"EmptyName",
             ports("[{name: '', interface: eth0}]"),
             {{1, 16, "ports[0].name", "is not a name"}}},
        Case{"LongInterface",
             ports("[{name: p, interface: abcdefghijklmnop}]"),
             {{1, 30, "ports[0].interface", "at most 15 bytes"}}},
        Case{"RelativePath",
             with("dataplane: {hugepage_dir: huge}\n"),
             {{4, 27, "dataplane.hugepage_dir", "not an absolute path"}}},
        Case{"PoolsAsWord",
             backends("[{name: r, address: 198.18.1.1, pools: default}]"),
             {{3, 50, "backends[0].pools", "a list of names such as [default]"}}},
        Case{"PoolsEmpty",
             backends("[{name: r, address: 198.18.1.1, pools: []}]"),
             {{3, 50, "backends[0].pools", "the list is empty"}}}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Addresses, Broken,
    ::testing::Values(
        Case{"NotAnAddress",
             binds("[{name: b, listen_address: resolver.example}]"),
             {{2, 35, "binds[0].listen_address", "not an IP address"}}},
        Case{"ShortAddress",
             binds("[{name: b, listen_address: 198.18.53}]"),
             {{2, 35, "binds[0].listen_address", "not an IP address"}}},
        Case{"PortZero",
             binds("[{name: b, listen_address: '198.18.0.53:0'}]"),
             {{2, 35, "binds[0].listen_address", "port must be a number from 1 to 65535"}}},
        Case{"PortTooLarge",
             binds("[{name: b, listen_address: '198.18.0.53:65536'}]"),
             {{2, 35, "binds[0].listen_address", "port must be"}}},
        Case{"BracketOpen",
             binds("[{name: b, listen_address: '[fd00::1'}]"),
             {{2, 35, "binds[0].listen_address", "bracket is not closed"}}},
        Case{"UnquotedBrackets",
             binds("[{name: b, listen_address: [fd00:18::53]}]"),
             {{2, 35, "binds[0].listen_address", "found a list"}}},
        Case{"Wildcard",
             binds("[{name: b, listen_address: 0.0.0.0}]"),
             {{2, 35, "binds[0].listen_address", "list each address by itself"}}},
        Case{"Multicast",
             binds("[{name: b, listen_address: 'ff02::1'}]"),
             {{2, 35, "binds[0].listen_address", "multicast"}}},
        Case{"LinkLocal",
             binds("[{name: b, listen_address: 'fe80::1'}]"),
             {{2, 35, "binds[0].listen_address", "link-local"}}},
        Case{"V4Mapped",
             binds("[{name: b, listen_address: '::ffff:198.18.0.53'}]"),
             {{2, 35, "binds[0].listen_address", "write the IPv4 address"}}},
        Case{"SameListenAddress",
             binds("[{name: b, listen_address: 198.18.0.53}, "
                   "{name: c, listen_address: '198.18.0.53:53'}]"),
             {{2, 75, "binds[1].listen_address", "is that of binds[0] already"}}},
        Case{"ListenInUpstreamRange",
             binds("[{name: b, listen_address: '198.18.0.53:10053'}]"),
             {{2, 35, "binds[0].listen_address", "upstream.port_range"}}},
        Case{"SameBackend",
             backends("[{name: r, address: 198.18.1.1}, {name: s, address: 198.18.1.1}]"),
             {{3, 63, "backends[1].address", "is that of backends[0] already"}}},
        Case{"BackendIsBind",
             backends("[{name: r, address: 198.18.0.53}]"),
             {{3, 31, "backends[0].address", "would ask itself"}}},
        Case{"BackendOnLoopback",
             backends("[{name: r, address: '127.0.0.1:5353'}]"),
             {{3, 31, "backends[0].address", "loopback"}}},
        Case{"RangeBackwards",
             with("upstream: {port_range: [30000, 20000]}\n"),
             {{4, 24, "upstream.port_range", "below the first"}}},
        Case{"RangeNarrow",
             with("upstream: {port_range: 20000-20100}\n"),
             {{4, 24, "upstream.port_range", "at least 1024 ports"}}},
        Case{"RangeLow",
             with("upstream: {port_range: [53, 9000]}\n"),
             {{4, 24, "upstream.port_range", "\"53\" is out of range"}}},
        Case{"RangeHigh",
             with("upstream: {port_range: [1024, 65535]}\n"),
             {{4, 24, "upstream.port_range", "\"65535\" is out of range"}}},
        Case{"RangeOfOne",
             with("upstream: {port_range: [20000]}\n"),
             {{4, 24, "upstream.port_range", "expects [10000, 32000] or 10000-32000"}}}),
    name_of);

TEST(PortRange, IsWrittenInTwoWays) {
  for (const char* text : {"[10000, 32000]", "10000-32000", "'10000-32000'"}) {
    const LoadResult result = load(with("upstream: {port_range: " + std::string(text) + "}\n"));
    ASSERT_TRUE(result.ok()) << result.text();
    EXPECT_EQ(result.config->upstream.port_range, (PortRange{10000, 32001})) << text;
  }
  constexpr const char* kForm = "expects [10000, 32000] or 10000-32000, say (1024 to 65534, at";
  const std::pair<const char*, const char*> wrong[] = {
      {"32000-10000", "the last port is below the first: allowed 1024 to 65534"},
      {"0-20000", "\"0\" is out of range: allowed 1024 to 65534"},
      {"20000-65535", "\"65535\" is out of range: allowed 1024 to 65534"},
      {"20000-99999999999999999999", "is out of range: allowed 1024 to 65534"},
      {"20000-20100",
       "\"20000-20100\" is out of range: allowed 1024 to 65534, at least 1024 ports"},
      {"10000 - 32000", kForm}, {"10000- 32000", kForm}, {"10000-", kForm}, {"-32000", kForm},
      {"10000", kForm}, {"1-2-3", kForm}, {"10000-x", kForm}, {"10000..32000", kForm},
      {"[10000-32000]", kForm}, {"[10000, 20000, 32000]", kForm}, {"", kForm}};
  for (const auto& [text, message] : wrong) {
    const LoadResult result = load(with("upstream:\n  port_range: " + std::string(text) + "\n"));
    ASSERT_EQ(result.diagnostics.size(), 1u) << text << result.text();
    EXPECT_EQ(result.diagnostics[0].key, "upstream.port_range") << text;
    EXPECT_THAT(result.text(), ::testing::HasSubstr(message)) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Together, Broken,
    ::testing::Values(
        Case{"DuplicateName",
             ports("[{name: p, interface: a}, {name: p, interface: b}]"),
             {{1, 41, "ports[1].name", "is the name of ports[0] already"}}},
        Case{"NeitherInterfaceNorDevice",
             ports("[{name: p}]"),
             {{1, 9, "ports[0]", "neither `interface` nor `device`"}}},
        Case{"BothInterfaceAndDevice",
             ports("[{name: p, interface: a, device: net_tap0}]"),
             {{1, 41, "ports[0].device", "give one of them"}}},
        Case{"SameInterface",
             ports("[{name: p, interface: a}, {name: q, interface: a}]"),
             {{1, 55, "ports[1].interface", "driven by ports[0] already"}}},
        Case{"BindOnLoopback",
             binds("[{name: b, listen_address: 127.0.0.1}, {name: c, listen_address: '::1'}]"),
             {{2, 35, "binds[0].listen_address",
               "127.0.0.1:53 is a loopback address: no port leads there"},
              {2, 73, "binds[1].listen_address", "[::1]:53 is a loopback address"}}},
        Case{"SameDevice",
             ports("[{name: p, device: net_a}, {name: q, device: net_a}]"),
             {{1, 53, "ports[1].device", "driven by ports[0] already"}}},
        Case{"DanglingPoolOfBind",
             binds("[{name: b, listen_address: 198.18.0.53, pool: defalt}]"),
             {{2, 54, "binds[0].pool", "did you mean \"default\"?"}}},
        Case{"DanglingPoolOfBackend",
             backends("[{name: r, address: 198.18.1.1, pools: [default, other]}]"),
             {{3, 60, "backends[0].pools[1]", "no pool is named \"other\" (there are: default)"}}},
        Case{"PoolTwice",
             backends("[{name: r, address: 198.18.1.1, pools: [default, default]}]"),
             {{3, 60, "backends[0].pools[1]", "is in the list twice"}}},
        Case{"DanglingCache",
             with("pools: [{name: default, packet_cache: big}]\n"),
             {{4, 39, "pools[0].packet_cache", "no packet cache is named \"big\""}}},
        Case{"ImpliedPoolWithoutCache",
             with("packet_caches: [{name: big}]\n"),
             {{4, 16, "pools[0].packet_cache", "no packet cache is named \"default\""}}},
        Case{"PoolWithoutBackend",
             "ports: [{name: p, interface: eth0}]\n"
             "binds: [{name: b, listen_address: 198.18.0.53, pool: x}]\n"
             "backends: [{name: r, address: 198.18.1.1}]\n"
             "pools: [{name: default}, {name: x}]\n",
             {{2, 54, "binds[0].pool", "no backend serves pool \"x\""}}},
        Case{"MinTtlAboveMax",
             with("packet_caches: [{name: default, max_ttl: 60s, min_ttl: 61s}]\n"),
             {{4, 56, "packet_caches[0].min_ttl", "above max_ttl (1m)"}}},
        Case{"MaxFailureTtlBelowFailureTtl",
             with("packet_caches: [{name: default, failure_ttl: 60s, max_failure_ttl: 59s}]\n"),
             {{4, 68, "packet_caches[0].max_failure_ttl", "below failure_ttl (1m)"}}},
        Case{"MinCacheableAboveMax",
             with("packet_caches: [{name: default, max_ttl: 60s, min_cacheable_ttl: 2m}]\n"),
             {{4, 66, "packet_caches[0].min_cacheable_ttl", "above max_ttl (1m)"}}},
        Case{"GiveUpBelowTry",
             with("upstream: {try_timeout: 2s, give_up: 1s}\n"),
             {{4, 38, "upstream.give_up", "below try_timeout (2s)"}}},
        Case{"ShardsNoPowerOfTwo",
             with("dataplane: {shards: 12}\n"),
             {{4, 21, "dataplane.shards", "a power of two"}}},
        Case{"ShardsZero",
             with("dataplane: {shards: 0}\n"),
             {{4, 21, "dataplane.shards", "\"0\" is out of range"}}},
        Case{"ShardsTooFew",
             with("dataplane: {workers: 4, shards: 2}\n"),
             {{4, 33, "dataplane.shards", "too few for 4 workers"}}},
        Case{"ShardsTooSmall",
             with("dataplane: {shards: 64}\n"),
             {{4, 21, "dataplane.shards", "need 128MiB, the packet caches have 64MiB"}}},
        Case{"WorkersBeyondCpus",
             with("dataplane: {workers: 5}\n"),
             {{4, 22, "dataplane.workers", "4 CPUs available (0, 1, 2, 3)"}}},
        Case{"CoresForOtherWorkers",
             with("dataplane: {workers: 2, cores: [1]}\n"),
             {{4, 32, "dataplane.cores", "names 1 CPU for 2 workers"}}},
        Case{"CoreNotHere",
             with("dataplane: {workers: 2, cores: [1, 9]}\n"),
             {{4, 36, "dataplane.cores[1]", "CPU 9 is not available here"}}},
        Case{"MainCoreNotHere",
             with("dataplane: {main_core: 7}\n"),
             {{4, 24, "dataplane.main_core", "CPU 7 is not available here"}}},
        // What only follows from another error is not reported.
        Case{"FollowsFromBadPool",
             binds("[{name: b, listen_address: 198.18.0.53, pool: x}]") +
                 "pools: [{nam: x}, {name: default}]\n",
             {{4, 10, "pools[0].nam", "did you mean \"name\"?"}}},
        Case{"FollowsFromBadTimeout",
             with("upstream: {try_timeout: 400, give_up: 200ms}\n"),
             {{4, 25, "upstream.try_timeout", "needs a unit"}}}),
    name_of);

// A list of so many prefixes, 10.x.y.0/24 from `first` on.
std::string prefixes(int first, int cnt) {
  std::string text;
  for (int i = first; i < first + cnt; ++i) {
    text += (text.empty() ? "" : ", ") + ("10." + std::to_string(i / 256)) + "." +
            std::to_string(i % 256) + ".0/24";
  }
  return "[" + text + "]";
}

std::string access(const std::string& list) {
  return with("access: [" + list + "]\n");
}

std::string rules(int cnt) {
  std::string text = kGood + "access:\n";
  for (int i = 0; i < cnt; ++i)
    text += "  - {name: r" + std::to_string(i) + ", sources: [10.0.0.0/8], action: drop}\n";
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    Access, Broken,
    ::testing::Values(
        Case{"RuleWithoutSources",
             access("{name: x, action: drop}"),
             {{4, 10, "access[0].sources", "is missing"}}},
        Case{"RuleWithoutAction",
             access("{name: x, sources: [10.0.0.0/8]}"),
             {{4, 10, "access[0].action", "is missing"}}},
        Case{"RuleForNobody",
             access("{name: x, sources: [], action: drop}"),
             {{4, 29, "access[0].sources", "the list is empty: allowed 1 to 256"}}},
        Case{"SourcesAsWord",
             access("{name: x, sources: 10.0.0.0/8, action: drop}"),
             {{4, 29, "access[0].sources", "a list of prefixes"}}},
        Case{"NoPrefix",
             access("{name: x, sources: [10.0.0.0/8, office], action: drop}"),
             {{4, 42, "access[0].sources[1]", "found \"office\": not an IP address"}}},
        Case{"PrefixOfAnEndpoint",
             access("{name: x, sources: ['10.0.0.1:53'], action: drop}"),
             {{4, 30, "access[0].sources[0]", "not an IP address"}}},
        Case{"PrefixTooLong",
             access("{name: x, sources: [10.0.0.0/33], action: drop}"),
             {{4, 30, "access[0].sources[0]", "a number from 0 to 32"}}},
        Case{"PrefixTooLong6",
             access("{name: x, sources: ['fd00::/129'], action: drop}"),
             {{4, 30, "access[0].sources[0]", "a number from 0 to 128"}}},
        Case{"PrefixWithoutLength",
             access("{name: x, sources: [10.0.0.0/], action: drop}"),
             {{4, 30, "access[0].sources[0]", "a number from 0 to 32"}}},
        Case{"PrefixWithTail",
             access("{name: x, sources: [10.0.0.0/8x], action: drop}"),
             {{4, 30, "access[0].sources[0]", "a number from 0 to 32"}}},
        Case{"HostBits",
             access("{name: x, sources: [10.0.0.0/8, 198.18.0.9/16], action: drop}"),
             {{4, 42, "access[0].sources[1]", "bits behind its length: write 198.18.0.0/16"}}},
        Case{"HostBits6",
             access("{name: x, sources: ['fd00:18::1/32'], action: drop}"),
             {{4, 30, "access[0].sources[0]", "write fd00:18::/32"}}},
        Case{"PrefixV4Mapped",
             access("{name: x, sources: ['::ffff:10.0.0.0/104'], action: drop}"),
             {{4, 30, "access[0].sources[0]", "write the IPv4 prefix"}}},
        Case{"ActionUnknown",
             access("{name: x, sources: [10.0.0.0/8], action: deny}"),
             {{4, 51, "access[0].action", "one of allow, refuse, drop"}}},
        Case{"DanglingBindOfRule",
             access("{name: x, sources: [10.0.0.0/8], binds: [b, c], action: drop}"),
             {{4, 54, "access[0].binds[1]", "no bind is named \"c\""}}},
        Case{"DanglingPoolOfRule",
             access("{name: x, sources: [10.0.0.0/8], action: allow, pool: defalt}"),
             {{4, 64, "access[0].pool", "did you mean \"default\"?"}}},
        Case{"PoolOfRuleWithoutBackend",
             with("pools: [{name: default}, {name: x}]\n"
                  "access: [{name: x, sources: [10.0.0.0/8], action: allow, pool: x}]\n"),
             {{5, 64, "access[0].pool", "no backend serves pool \"x\""}}},
        Case{"PoolOfThoseRefused",
             access("{name: x, sources: [10.0.0.0/8], action: refuse, pool: default}"),
             {{4, 65, "access[0].pool", "goes with `action: allow` alone"}}},
        Case{"SameRule",
             access("{name: x, sources: [10.0.0.0/8], action: drop}, "
                    "{name: x, sources: [10.0.0.0/8], action: drop}"),
             {{4, 65, "access[1].name", "is the name of access[0] already"}}},
        Case{"TooManyRules", rules(65), {{69, 5, "access", "at most 64"}}},
        Case{"TooManyPrefixesInOne",
             access("{name: x, sources: " + prefixes(0, 257) + ", action: drop}"),
             {{4, 29, "access[0].sources", "257 prefixes is out of range"}}},
        Case{"TooManyPrefixes",
             with("access:\n  - {name: x, sources: " + prefixes(0, 200) + ", action: drop}\n" +
                  "  - {name: y, sources: " + prefixes(0, 57) + ", action: drop}\n" +
                  "  - {name: z, sources: " + prefixes(0, 57) + ", action: drop}\n"),
             {{6, 24, "access[1].sources", "these are 257 prefixes: allowed are at most 256"}}},
        Case{"FewFlows",
             with("dataplane: {flows: 1023}\n"),
             {{4, 20, "dataplane.flows", "allowed 1024 to 1048576"}}},
        Case{"ManyFlows",
             with("dataplane: {flows: 1048577}\n"),
             {{4, 20, "dataplane.flows", "allowed 1024 to 1048576"}}},
        Case{"VlansAreAList",
             with("dataplane: {vlans: 10}\n"),
             {{4, 20, "dataplane.vlans", "a list of VLANs such as [10, 20]"}}},
        Case{"VlanWithoutNumber",
             with("dataplane: {vlans: [10, office]}\n"),
             {{4, 25, "dataplane.vlans[1]", "a whole number"}}},
        Case{"ReservedVlan",
             with("dataplane: {vlans: [10, 4095]}\n"),
             {{4, 25, "dataplane.vlans[1]", "\"4095\" is out of range: allowed 0 to 4094 each"}}},
        Case{"VlanBeyondSixteenBits",
             with("dataplane: {vlans: [65546]}\n"),
             {{4, 21, "dataplane.vlans[0]", "65546"}}}),
    name_of);

std::string forward(const std::string& list) {
  return with("forward: [" + list + "]\n");
}

// "[n0, n1, ...]"
std::string numbered(int first, int cnt) {
  std::string text = "[";
  for (int i = first; i < first + cnt; ++i)
    text += (i == first ? "n" : ", n") + std::to_string(i);
  return text + "]";
}

INSTANTIATE_TEST_SUITE_P(
    Forward, Broken,
    ::testing::Values(
        Case{"ForwardWithoutPool",
             forward("{name: x, suffixes: [corp]}"),
             {{4, 11, "forward[0].pool", "is missing"}}},
        Case{"ForwardWithoutSuffix",
             forward("{name: x, suffixes: [], pool: default}"),
             {{4, 31, "forward[0].suffixes", "the list is empty: allowed 1 to 128 names"}}},
        Case{"SuffixesAreAList",
             forward("{name: x, suffixes: corp, pool: default}"),
             {{4, 31, "forward[0].suffixes", "a list of DNS names"}}},
        Case{"EmptyLabel",
             forward("{name: x, suffixes: [a..b], pool: default}"),
             {{4, 32, "forward[0].suffixes[0]", "\"a..b\" is not a DNS name"}}},
        Case{"LeadingDot",
             forward("{name: x, suffixes: [.corp], pool: default}"),
             {{4, 32, "forward[0].suffixes[0]", "not a DNS name"}}},
        Case{"Wildcard",
             forward("{name: x, suffixes: ['*.corp'], pool: default}"),
             {{4, 32, "forward[0].suffixes[0]", "not a DNS name"}}},
        Case{"LongLabel",
             forward("{name: x, suffixes: [" + std::string(64, 'a') + "], pool: default}"),
             {{4, 32, "forward[0].suffixes[0]", "at most 63 between two dots"}}},
        Case{"UnknownPool",
             forward("{name: x, suffixes: [corp], pool: defalt}"),
             {{4, 45, "forward[0].pool", "did you mean \"default\"?"}}},
        Case{"UnknownFrom",
             forward("{name: x, suffixes: [corp], pool: default, from: [other]}"),
             {{4, 61, "forward[0].from[0]", "no pool is named \"other\""}}},
        Case{"SuffixTwice",
             forward("{name: x, suffixes: [corp, CORP.], pool: default}"),
             {{4, 38, "forward[0].suffixes[1]", "is in forward[0].suffixes already"}}},
        Case{"SuffixInTwoRules",
             forward("{name: x, suffixes: [corp], pool: default}, "
                     "{name: y, suffixes: [corp], pool: default, from: [default]}"),
             {{4, 76, "forward[1].suffixes[0]", "is in forward[0].suffixes already"}}},
        Case{"TooManySuffixes",
             with("forward:\n  - {name: x, suffixes: " + numbered(0, 100) + ", pool: default}\n" +
                  "  - {name: y, suffixes: " + numbered(100, 29) + ", pool: default}\n"),
             {{6, 25, "forward[1].suffixes", "these are 129 names"}}},
        Case{"UnknownPolicy",
             with("pools: [{name: default, policy: roundrobin}]\n"),
             {{4, 33, "pools[0].policy", "did you mean \"round_robin\"?"}}},
        Case{"SubnetTooLong",
             with("pools: [{name: default, client_subnet_ipv6: 65}]\n"),
             {{4, 45, "pools[0].client_subnet_ipv6", "allowed 0 to 64"}}},
        Case{"SubnetsInOneCache",
             with("pools: [{name: default}, {name: two, client_subnet: true}]\n"),
             {{4, 53, "pools[1].client_subnet", "differs from pools[0]"}}},
        Case{"NoWeight",
             backends("[{name: r, address: 198.18.1.1, weight: 0}]"),
             {{3, 51, "backends[0].weight", "allowed 1 to 1000"}}}),
    name_of);

TEST(Access, AsManyAsThereMayBe) {
  EXPECT_TRUE(load(rules(64)).ok()) << load(rules(64)).text();
  const LoadResult full =
      load(access("{name: x, sources: " + prefixes(0, 256) + ", action: drop}"));
  EXPECT_TRUE(full.ok()) << full.text();
  EXPECT_TRUE(load(with("access: []\n")).ok());
}

TEST(BrokenFile, ThatIsTooLargeIsRefused) {
  const std::string comment = kGood + "#" + std::string(kConfigBytesMax - kGood.size() - 1, 'x');
  EXPECT_TRUE(load(comment).ok());
  const LoadResult result = load(comment + "x");
  ASSERT_EQ(result.diagnostics.size(), 1u);
  const std::string column = std::to_string(kConfigBytesMax - kGood.size() + 1);
  EXPECT_EQ(result.text(), "t.yaml:4:" + column +
                               ": the file goes on beyond 1048576 bytes (1MiB), the limit for a "
                               "config");
}

TEST(BrokenFile, NeverReportsMoreThanTheMaximum) {
  std::string text = kGood;
  for (int i = 0; i < 1000; ++i)
    text += "unknown" + std::to_string(i) + ": 1\n";
  EXPECT_EQ(load(text).diagnostics.size(), kDiagnosticsMax);
}

TEST(Diagnostics, ReadAsEditorsExpect) {
  EXPECT_EQ(load(with("upstream: {tries: 99}\n")).text(),
            "t.yaml:4:19: upstream.tries: \"99\" is out of range: allowed 1 to 4");
}

TEST(Nearest, CountsSlips) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("tires", "tries"), 1u);
  EXPECT_EQ(nearest("siez", {"name", "size"}), "size");
  EXPECT_EQ(nearest("zebra", {"name", "size"}), "");
  EXPECT_EQ(nearest(std::string(100'000, 'x'), {"name"}), "");
}

}  // namespace
}  // namespace millrace::ctl::testing
