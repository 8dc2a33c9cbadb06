// SPDX-License-Identifier: Apache-2.0
// `local_zones`: what is found wrong with it, and names in wire form.
#include "control/config/local_zones.hpp"

#include "tests/unit/config/support.hpp"

#include <string>

#include <gtest/gtest.h>

namespace millrace::ctl::testing {
namespace {

// The one thing that is wrong with a config.
std::string wrong(const std::string& text) {
  const LoadResult result = load(kGood + text);
  EXPECT_EQ(result.diagnostics.size(), 1u) << result.text();
  return result.text();
}

TEST(LocalZones, WhatIsWrongIsSaidWhereItStands) {
  EXPECT_EQ(wrong("local_zones: {except: [test, invalit]}\n"),
            "t.yaml:4:30: local_zones.except[1]: \"invalit\" is no built-in zone; did you mean "
            "\"invalid\"?");
  EXPECT_EQ(wrong("local_zones: {except: [corp.example]}\n"),
            "t.yaml:4:24: local_zones.except[0]: \"corp.example\" is no built-in zone, nor "
            "the prefix of one");
  for (const char* name : {"\"\"", "a..b", ".", "\"a b\"", "a/b"}) {
    const std::string text = wrong("local_zones: {also: [" + std::string(name) + "]}\n");
    EXPECT_NE(text.find("is not a domain name of letters"), text.npos) << text;
  }
  const std::string label(63, 'x');
  const std::string long_name = label + "." + label + "." + label + "." + label;
  EXPECT_NE(wrong("local_zones: {also: [" + long_name + "]}\n").find("is not a domain name"),
            std::string::npos);
}

TEST(LocalZones, NamesTogetherHaveALimit) {
  const std::string label(63, 'x');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'x');
  std::string names = longest;
  for (int i = 0; i < 11; ++i)
    names += ", " + longest;
  EXPECT_TRUE(load(kGood + "local_zones: {also: [" + names + "]}\n").ok());
  EXPECT_NE(wrong("local_zones: {also: [" + names + ", " + longest + "]}\n")
                .find("local_zones.also: the names have 3315 octets: allowed are 3072"),
            std::string::npos);
}

TEST(Secrets, WhatIsWrongIsSaidWithoutThem) {
  EXPECT_EQ(wrong("edns: {cookie_secrets: 00112233445566778899aabbccddeeff}\n"),
            "t.yaml:4:24: edns.cookie_secrets: expects a list of secrets (0 to 2 secrets of 32 "
            "hexadecimal digits)");
  const std::string good = "00112233445566778899aabbccddeeff";
  for (const std::string& bad : {good + "0", good.substr(1), "g" + good.substr(1), std::string()}) {
    EXPECT_EQ(wrong("edns: {cookie_secrets: [" + good + ", \"" + bad + "\"]}\n"),
              "t.yaml:4:59: edns.cookie_secrets[1]: is not a secret: a secret has 32 hexadecimal "
              "digits");
  }
  EXPECT_NE(wrong("edns: {cookie_secrets: [" + good + ", " + good + ", " + good + "]}\n")
                .find("3 secrets is out of range"),
            std::string::npos);
  EXPECT_NE(wrong("edns: {cookie_secrets: [[" + good + "]]}\n").find("is not a secret"),
            std::string::npos);
  const std::string split = wrong("edns:\n  cookie_secrets [" + good + "]\n  cookies: true\n");
  EXPECT_NE(split.find("t.yaml:5:3: not valid YAML: no colon"), std::string::npos) << split;
  EXPECT_EQ(split.find("0011"), std::string::npos) << split;
}

TEST(LocalZones, NamesInWireForm) {
  EXPECT_EQ(wire_of("a.Bc"), std::string("\1a\2bc\0", 6));
  EXPECT_EQ(wire_of("test."), std::string("\4test\0", 6));
  for (const char* none : {"", ".", "..", ".a", "a..", "a b", "\xc3\xa4"}) {
    EXPECT_EQ(wire_of(none), "") << none;
  }
}

}  // namespace
}  // namespace millrace::ctl::testing
