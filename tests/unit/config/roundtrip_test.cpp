// SPDX-License-Identifier: Apache-2.0
// dump_yaml() and load are inverse, for any config.
#include "control/config/dump.hpp"
#include "control/config/validate.hpp"
#include "tests/unit/config/support.hpp"

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

}  // namespace
}  // namespace millrace::ctl::testing
