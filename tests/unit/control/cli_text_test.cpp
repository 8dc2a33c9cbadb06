// SPDX-License-Identifier: Apache-2.0
// What `millrace` tells an operator who has no source at hand.

#include <algorithm>
#include <array>
#include <set>

#include "tests/unit/control/cli_fixture.hpp"

namespace millrace::ctl {
namespace {

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

}  // namespace
}  // namespace millrace::ctl
