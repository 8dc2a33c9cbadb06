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

}  // namespace
}  // namespace millrace::ctl::testing
