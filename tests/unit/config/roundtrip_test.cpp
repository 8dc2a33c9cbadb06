// SPDX-License-Identifier: Apache-2.0
// dump_yaml() and load are inverse, for any config.
#include "control/config/dump.hpp"
#include "control/config/format.hpp"
#include "control/config/validate.hpp"
#include "tests/unit/config/support.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::ctl::testing {
namespace {

TEST(RoundTrip, RandomConfigsComeBackEqual) {
  const uint64_t base = seed();
  for (uint64_t i = 0; i < 150; ++i) {
    SCOPED_TRACE("MR_SEED=" + std::to_string(base + i));
    const Config config = RandomConfig(base + i).make();
    const std::vector<Problem> problems = validate(config, kHost);
    ASSERT_TRUE(problems.empty()) << problems[0].key << ": " << problems[0].message;
    const std::string text = dump_yaml(config);
    const LoadResult again = load(text);
    ASSERT_TRUE(again.ok()) << again.text() << text;
    ASSERT_EQ(*again.config, config) << text;
    ASSERT_EQ(dump_yaml(*again.config), text);
  }
}

TEST(RoundTrip, AMinimalConfigIsDumpedWhole) {
  const std::string text = dump_yaml(load(kGood).config.value());
  EXPECT_EQ(text.substr(0, text.find("dataplane:")),
            "ports:\n"
            "  - name: \"p\"\n"
            "    interface: eth0\n"
            "binds:\n"
            "  - name: \"b\"\n"
            "    listen_address: \"198.18.0.53:53\"\n"
            "    pool: default\n"
            "backends:\n"
            "  - name: \"r\"\n"
            "    address: \"198.18.1.1:53\"\n"
            "    pools: [default]\n"
            "    weight: 1\n"
            "    max_in_flight: 0\n"
            "    trust_ad: false\n"
            "pools:\n"
            "  - name: default\n"
            "    packet_cache: default\n"
            "    policy: least_outstanding\n"
            "    client_subnet: false\n"
            "    client_subnet_ipv4: 24\n"
            "    client_subnet_ipv6: 56\n"
            "    client_subnet_variants: 16\n"
            "packet_caches:\n"
            "  - name: default\n"
            "    size: 64MiB\n"
            "    max_ttl: 1d\n"
            "    min_ttl: 0s\n"
            "    min_cacheable_ttl: 0s\n"
            "    max_negative_ttl: 1h\n"
            "    failure_ttl: 5s\n"
            "    max_failure_ttl: 5m\n"
            "    maximum_entry_size: 4KiB\n"
            "access: []\n"
            "forward: []\n");
}

TEST(RoundTrip, EmptyListsAreDumpedAsLists) {
  EXPECT_EQ(dump_yaml(Config{}).substr(0, 39), "ports: []\nbinds: []\nbackends: []\npools:");
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

template <class Object>
void expect_defaults(const std::vector<Object>& list, const std::vector<std::string_view>& given) {
  ASSERT_EQ(list.size(), 1u);
  const Object fresh{};
  const auto shown = texts_of(list.front()), fallback = texts_of(fresh);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const bool is_given = std::find(given.begin(), given.end(), shown[i].info.key) != given.end();
    EXPECT_EQ(shown[i].text != fallback[i].text, is_given) << shown[i].info.key;
  }
}

// Also with the entries of those lists that are empty by default.
TEST(Defaults, LoadWithEveryKeyOfEveryEntry) {
  const std::string text = dump_defaults();
  const LoadResult result = load(text);
  ASSERT_TRUE(result.ok()) << result.text() << text;
  EXPECT_TRUE(result.config->access.empty());
  std::string whole = replaced(text, ": []\n  # An entry would be:\n", ":\n");
  whole = replaced(whole, "\n  # - ", "\n  - ");
  whole = replaced(whole, "\n  #   ", "\n    ");
  const LoadResult entries = load(whole);
  ASSERT_TRUE(entries.ok()) << entries.text() << whole;
  const Config& config = *entries.config;
  expect_defaults(config.ports, {"name", "interface"});
  expect_defaults(config.binds, {"name", "listen_address"});
  expect_defaults(config.backends, {"name", "address"});
  expect_defaults(config.pools, {"name"});
  expect_defaults(config.packet_caches, {"name"});
  expect_defaults(config.access, {"name", "sources", "action"});
  expect_defaults(config.forward, {"name", "suffixes", "pool"});
  EXPECT_EQ(config.upstream, Upstream{});
}

TEST(Defaults, SayWhatIsRequired) {
  const std::string text = dump_defaults();
  for (const char* line :
       {"\n  - name: resolver  # an example: required\n", "\n    weight: 1\n",
        "ports:\n  - name: lan  # an example: required\n",
        "\n    interface: eth0  # an example: not given by default\n",
        "\n    # device: not given by default\n", "\npools:  # this one, where none is given\n",
        "\n    client_subnet_variants: 16\n", "\n  #   binds: []\n", "\n  cores: auto\n",
        "\n  # nsid: not given by default\n"}) {
    EXPECT_NE(text.find(line), text.npos) << line << text;
  }
}

}  // namespace
}  // namespace millrace::ctl::testing
