// SPDX-License-Identifier: Apache-2.0
// millrace: the verbs of an operator. Each lives in its own file, cmd_<verb>.cpp.

#include "control/cli/session.hpp"

int main(int argc, char** argv) {
  using namespace millrace::cli;
  Session session;
  CLI::App app{"millrace - look at and steer a millrace DNS cache appliance", "millrace"};
  app.require_subcommand(1);
  app.fallthrough();
  add_common_options(app, session);
  add_status(app, session);
  add_stats(app, session);
  auto* config = app.add_subcommand("config", "check, show and apply configs");
  config->require_subcommand(1)->fallthrough();
  add_config_check(*config, session);
  add_config_show(*config, session);
  add_config_apply(*config, session);
  auto* cache = app.add_subcommand("cache", "look at and flush the cache");
  cache->require_subcommand(1)->fallthrough();
  add_cache_lookup(*cache, session);
  add_cache_flush(*cache, session);
  add_version(app, session);
  app.footer(
      "Exit codes:\n"
      "  0  done: every core has acknowledged\n"
      "  1  error\n"
      "  2  usage\n"
      "  3  millraced is not reachable\n"
      "  4  rejected by validation; nothing changed\n"
      "  5  timed out\n\n"
      "Environment:\n"
      "  MILLRACE_RUN_DIR  default of --run-dir\n\n"
      "Files:\n"
      "  /etc/millrace/millrace.yaml, /run/millrace/millraced.sock\n\n"
      "`millrace VERB --help` describes a verb.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "millrace: %s; see --help\n", error.what());
    return static_cast<int>(millrace::ctl::Code::usage);
  }
  return session.exit_code;
}
