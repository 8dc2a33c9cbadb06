// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "control/cli/session.hpp"
#include "control/daemon/version.hpp"

namespace millrace::cli {

void add_version(CLI::App& app, Session& session) {
  auto* verb = app.add_subcommand(
      "version", "versions of this program and of the running millraced (which need not run)");
  verb->fallthrough();
  verb->callback([&session] {
    const Reply reply = session.call({{"verb", "version"}});
    const bool running = reply.status.ok();
    const char* const why =
        reply.status.code() == ctl::Code::unreachable ? "not running" : "does not answer";
    const std::string theirs = running ? reply.data.value("version", "unknown") : why;
    if (session.json) {
      return session.print_json(
          {{"millrace", ctl::kVersion}, {"millraced", running ? Json(theirs) : Json(nullptr)}});
    }
    std::printf("millrace  %s\nmillraced %s\n", ctl::kVersion, theirs.c_str());
  });
}

}  // namespace millrace::cli
