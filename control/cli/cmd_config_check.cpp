// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "control/cli/session.hpp"
#include "control/config/load.hpp"

namespace millrace::cli {
namespace {

void check(Session& session, const std::string& file) {
  const auto loaded = ctl::load_config_file(file);
  session.exit_code = loaded.ok() ? 0 : static_cast<int>(ctl::Code::rejected);
  if (session.json) {
    Json diagnostics = Json::array();
    for (const auto& one : loaded.diagnostics) {
      diagnostics.push_back({{"file", one.file},
                             {"line", one.line},
                             {"column", one.column},
                             {"key", one.key},
                             {"message", one.message}});
    }
    return session.print_json({{"ok", loaded.ok()}, {"diagnostics", std::move(diagnostics)}});
  }
  if (loaded.ok()) {
    std::printf("%s: ok\n", file.c_str());
  } else {
    std::fprintf(stderr, "%s\n", loaded.text().c_str());
  }
}

}  // namespace

void add_config_check(CLI::App& config, Session& session) {
  auto* verb = config.add_subcommand("check",
                                     "validate a config file; needs no daemon. Prints everything "
                                     "that is wrong as file:line:column (exit code 4)");
  verb->fallthrough();
  auto file = std::make_shared<std::string>();
  verb->add_option("FILE", *file, "config file")->required();
  verb->callback([&session, file] { check(session, *file); });
}

}  // namespace millrace::cli
