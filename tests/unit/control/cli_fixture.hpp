// SPDX-License-Identifier: Apache-2.0
#pragma once
// The real `millrace` binary against a daemon with fakes.

#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "tests/unit/control/daemon_fixture.hpp"

namespace millrace::ctl {

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

class CliTest : public DaemonFixture {
 protected:
  // Runs the CLI in a thread while the loop serves it.
  Ran run(const std::string& arguments) {
    std::atomic<bool> done{false};
    Ran ran;
    std::thread thread([&] {
      // First, so that `arguments` may redirect otherwise.
      const std::string line = ">" + (dir / "out") + " 2>" + (dir / "err") + " " + MR_CLI +
                               " --run-dir " + dir.path() + " " + arguments;
      const int status = std::system(line.c_str());
      ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      done.store(true);
    });
    loop.run_until([&] { return done.load(); }, kPatience);
    thread.join();
    ran.out = read_file(dir / "out");
    ran.err = read_file(dir / "err");
    return ran;
  }

  nlohmann::json run_json(const std::string& arguments) {
    const Ran ran = run(arguments + " --json");
    EXPECT_EQ(ran.code, 0) << ran.err;
    return nlohmann::json::parse(ran.out, nullptr, false);
  }
};

}  // namespace millrace::ctl
