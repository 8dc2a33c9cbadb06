// SPDX-License-Identifier: Apache-2.0
// millrace: the verbs of an operator. Each lives in its own file, cmd_<verb>.cpp.

#include "control/cli/session.hpp"
#include "control/daemon/version.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::cli {
namespace {

// The library says "a subcommand is required", too, where a word is none of our verbs.
std::string usage_problem(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* group = &app;
  std::string path;
  while (!group->get_subcommands().empty()) {
    group = group->get_subcommands().front();
    path += group->get_name() + " ";
  }
  std::string verbs;
  for (const auto* verb : group->get_subcommands(nullptr)) {
    verbs += (verbs.empty() ? "" : ", ") + verb->get_name();
  }
  if (error.get_name() != "RequiredError" || verbs.empty()) return error.what();
  const auto words = app.remaining(true);
  if (!words.empty() && words[0].starts_with("-")) return "unknown option '" + words[0] + "'";
  return (words.empty() ? "a verb is missing" : "unknown verb '" + path + words[0] + "'") +
         "; there are " + verbs;
}

// Also where the command line was given up before it came to --json.
bool wants_json(int argc, char** argv) {
  return std::find(argv, argv + argc, std::string_view("--json")) != argv + argc;
}

// `millrace help VERB` is `millrace VERB --help`.
void help(const CLI::App& app, const std::vector<std::string>& words, Session& session) {
  const CLI::App* found = &app;
  std::string path = app.get_name();
  for (const std::string& word : words) {
    const auto named = found->get_subcommands(
        [&](const CLI::App* verb) { return verb->get_name() == word; });
    if (named.empty()) {
      return session.fail(
          ctl::Status(ctl::Code::usage, "unknown verb '" + word + "'; see --help"));
    }
    found = named.front();
    path += " " + word;
  }
  const auto text = app.get_formatter()->make_help(found, path, CLI::AppFormatMode::Normal);
  std::printf("%s", text.c_str());
}

void add_help(CLI::App& app, Session& session) {
  auto* verb = app.add_subcommand("help", "describe a verb, as VERB --help does");
  verb->fallthrough();
  auto words = std::make_shared<std::vector<std::string>>();
  verb->add_option("VERB", *words, "the verb; without one, all of them");
  verb->callback([&app, &session, words] { help(app, *words, session); });
}

// What was asked for and did not get out is no success.
int finish(int exit_code) {
  std::cout.flush();
  const bool lost = std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout;
  if (!lost || exit_code != 0) return exit_code;
  std::fprintf(stderr, "millrace: cannot write to stdout: %s\n", std::strerror(errno));
  return static_cast<int>(ctl::Code::error);
}

}  // namespace
}  // namespace millrace::cli

int main(int argc, char** argv) {
  using namespace millrace::cli;
  Session session;
  CLI::App app{"millrace - look at and steer a millrace DNS cache appliance", "millrace"};
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", std::string("millrace ") + millrace::ctl::kVersion);
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
  auto* testing = app.add_subcommand("testing", "for tests of millrace itself");
  testing->require_subcommand(1)->fallthrough();
  add_testing_advance(*testing, session);
  add_version(app, session);
  add_help(app, session);
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
    if (error.get_exit_code() == 0) return finish(app.exit(error));
    session.json = wants_json(argc, argv);
    session.fail(millrace::ctl::Status(millrace::ctl::Code::usage,
                                       usage_problem(app, error) + "; see --help"));
  }
  return finish(session.exit_code);
}
