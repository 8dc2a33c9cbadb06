// SPDX-License-Identifier: Apache-2.0
// What becomes of a daemon whose files somebody removes, or which cannot write some.
#include "tests/unit/control/cli_fixture.hpp"

#include "control/daemon/unix_socket.hpp"

namespace millrace::ctl {
namespace {

namespace fs = std::filesystem;

using RemovedFiles = CliTest;

TEST_F(RemovedFiles, TheControlSocketIsMadeAnew) {
  start_and_wait();
  fs::remove(dir / "millraced.sock");
  ASSERT_TRUE(wait([&] { return fs::exists(dir / "millraced.sock"); }));
  EXPECT_EQ(run("status").code, 0);
}

TEST_F(RemovedFiles, TheRunDirectoryIsMadeAnew) {
  start_and_wait();
  const pid_t first = data_plane_pid();
  fs::remove_all(dir.path());
  kill_process(first);
  ASSERT_TRUE(wait([&] { return is_up() && data_plane_pid() != first; }));
  ASSERT_TRUE(wait([&] { return fs::exists(dir / "millraced.sock"); }));
  EXPECT_EQ(run("stats").code, 0);
}

// It serves on, but nobody can talk to it: its successor needs its queues and its memory.
TEST_F(RemovedFiles, ADataPlaneWithoutASocketMakesRoom) {
  start_and_wait();
  const pid_t first = data_plane_pid();
  abandon_daemon();
  EXPECT_EQ(find_data_plane_of(dir.path()), first);
  EXPECT_EQ(find_data_plane_of(dir.path() + "0"), std::nullopt);
  fs::remove(dir / "dataplane.sock");
  fs::remove(dir / "dataplane.pid");
  start_and_wait();
  EXPECT_NE(data_plane_pid(), first);
  EXPECT_EQ(find_data_plane_of(dir.path()), data_plane_pid()) << "there is one";
}

TEST_F(RemovedFiles, AConfigThatIsNotKeptIsWarnedOf) {
  start_and_wait();
  fs::create_directories(dir / "state/history/.new");  // where it would be written first
  write_file(dir / "next.yaml", config_yaml("logging:\n  level: debug\n"));
  const Ran ran = run("config apply " + (dir / "next.yaml"));
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.err.find("warning: history: cannot create "), 0u) << ran.err;
}

TEST_F(RemovedFiles, ADaemonThatDoesNotAnswerRunsAllTheSame) {
  const auto listener = listen_unix(dir / "millraced.sock", SOCK_STREAM, 0600, 4);
  ASSERT_TRUE(listener.ok());
  EXPECT_NE(run("version --timeout 0.1").out.find("millraced does not answer\n"),
            std::string::npos);
}

}  // namespace
}  // namespace millrace::ctl
