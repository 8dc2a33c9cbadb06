// SPDX-License-Identifier: Apache-2.0
// What the daemon does when somebody, or something, takes away what it stands on.

#include "control/daemon/namespace_lock.hpp"
#include "tests/unit/control/daemon_fixture.hpp"

namespace millrace::ctl {
namespace {

TEST(NamespaceLockTest, SecondMillracedIsNamedTheFirst) {
  const std::string name = "millraced-test-" + std::to_string(::getpid());
  std::optional<Result<UniqueFd>> first = lock_network_namespace(name);
  ASSERT_TRUE(first->ok()) << first->status().message();
  const auto second = lock_network_namespace(name);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::error);
  EXPECT_NE(second.status().message().find("(pid " + std::to_string(::getpid()) + ")"),
            std::string::npos)
      << second.status().message();
  first.reset();
  EXPECT_TRUE(lock_network_namespace(name).ok());
}

TEST_F(DaemonFixture, FirstStartThatFailsLeavesThePrefilterThatWasThere) {
  prefilter.found = {"va"};
  tell_fake("exit-at-start");
  ASSERT_TRUE(start().ok());
  ASSERT_TRUE(wait([&] { return prefilter.removed; }));
  EXPECT_EQ(prefilter.used, std::vector<std::string>{"va"});
}

}  // namespace
}  // namespace millrace::ctl
