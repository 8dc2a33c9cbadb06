// SPDX-License-Identifier: Apache-2.0
// Verification of what the data plane answers by itself: each field out of its range is refused
// with a reason that names it.
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/snapshot/images.hpp"

namespace millrace::snapshot {
namespace {

struct LocalCase {
  const char* reason;  // how it begins; empty: accepted
  std::function<void(abi::ServiceSection&)> change;
};

void expect_all(const std::vector<LocalCase>& cases) {
  for (const LocalCase& one : cases) {
    auto image = test::good_config();
    one.change(image->service);
    test::seal_checksum(*image);
    const std::string reason = verify_config(image.get(), sizeof *image);
    if (*one.reason == '\0') {
      EXPECT_EQ(reason, "");
    } else {
      EXPECT_EQ(reason.rfind(one.reason, 0), 0u) << one.reason << " / " << reason;
    }
  }
}

void set_name(abi::ServiceSection& service, const std::string& wire) {
  service.local_zones = 1;
  std::memset(service.local_zone, 0, sizeof service.local_zone);
  std::memset(service.local_name, 0, sizeof service.local_name);
  service.local_zone[0].name_bytes = static_cast<uint8_t>(wire.size());
  service.local_name_bytes = static_cast<uint32_t>(wire.size());
  std::memcpy(service.local_name, wire.data(), wire.size());
}

TEST(ConfigLocal, RefusesWrongZones) {
  expect_all({
      {"service.local_zones is 385", [](auto& s) { s.local_zones = 385; }},
      {"service.local_name_bytes is 10241", [](auto& s) { s.local_name_bytes = 10241; }},
      {"service.local_zone[1].kind is 5",
       [](auto& s) { s.local_zone[1].kind = abi::LocalKind{5}; }},
      {"service.local_zone[1] has no name", [](auto& s) { s.local_zone[1].name_bytes = 12; }},
      {"service.local_zone[1] has no name", [](auto& s) { s.local_zone[1].name_bytes = 10; }},
      {"service.local_zone[0] has no name", [](auto& s) { s.local_zone[0].name_bytes = 0; }},
      {"service.local_zone[0] has no name", [](auto& s) { s.local_name[1] = 'T'; }},
      {"service.local_name_bytes is 17, but the zones have 6", [](auto& s) {
         s.local_zones = 1;
         s.local_zone[1] = {};
       }},
      {"service.local_zone[2] (unused)", [](auto& s) { s.local_zone[2].name_bytes = 1; }},
      {"service.local_name[17] (unused)", [](auto& s) { s.local_name[17] = 1; }},
      {"", [](auto& s) { s.local_zone[1].kind = abi::LocalKind::loopback; }},
  });
}

TEST(ConfigLocal, RefusesWrongSwitchesAndTexts) {
  expect_all({
      {"service.local.version is not closed",
       [](auto& s) { std::memset(s.local.version, 'a', sizeof s.local.version); }},
      {"service.local.identity holds a byte that cannot", [](auto& s) { s.local.identity[0] = 7; }},
      {"service.local.nsid holds bytes after", [](auto& s) { s.local.nsid[2] = 'a'; }},
      {"service.local.cookies is 2", [](auto& s) { s.local.cookies = 2; }},
      {"service.local.any_over_udp is 2", [](auto& s) { s.local.any_over_udp = 2; }},
      {"service.local.cookie_secrets is 3", [](auto& s) { s.local.cookie_secrets = 3; }},
      {"service.local.cookie_secret[1] (unused)",
       [](auto& s) {
         s.local.cookie_secrets = 1;
         s.local.cookie_secret[1][3] = 1;
       }},
      {"service.local.reserved", [](auto& s) { s.local.reserved[4] = 1; }},
      {"",
       [](auto& s) {
         s.local.cookie_secrets = 2;
         s.local.cookies = s.local.any_over_udp = 1;
         std::strcpy(s.local.version, "1");
       }},
  });
}

TEST(ConfigLocal, TakesNamesInWireFormOnly) {
  const auto with = [](const std::string& wire) {
    return [wire](abi::ServiceSection& service) { set_name(service, wire); };
  };
  const char* const kNone = "service.local_zone[0] has no name";
  std::string longest;
  for (int i = 0; i < 127; ++i) longest += "\1a";
  expect_all({
      {"", with(std::string("\1a\0", 3))},
      {"", with(longest + '\0')},
      {kNone, with(std::string("\0", 1))},
      {kNone, with(std::string("\1a", 2))},
      {kNone, with(std::string("\2a\0", 3))},
      {kNone, with(std::string("\1a\0\0", 4))},
      {kNone, with(std::string("\1a\0\1b\0", 6))},
      {kNone, with("\x40" + std::string(64, 'a') + '\0')},
      {kNone, with(std::string("\xc0\x0c\0", 3))},
  });
}

}  // namespace
}  // namespace millrace::snapshot
