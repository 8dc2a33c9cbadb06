// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "control/cli/session.hpp"
#include "control/daemon/read_text.hpp"

namespace millrace::cli {
namespace {

void check(Session& session, const std::string& file, bool testing) {
  const auto text = ctl::read_text(file);
  if (!text.ok()) return session.fail(text.status());
  const auto loaded = ctl::load_config_text(text.value(), file, ctl::Host::here(testing));
  if (!loaded.ok()) return session.fail(loaded);
  if (session.json) return session.print_json({{"diagnostics", Json::array()}});
  std::printf("%s: ok\n", file.c_str());
}

}  // namespace

void add_config_check(CLI::App& config, Session& session) {
  auto* verb = config.add_subcommand(
      "check",
      "validate a config file; needs no daemon. Prints everything that is wrong as "
      "file:line:column (exit code 4).\n"
      "Of the machine it asks for the CPUs only: interfaces and hugepages are looked at when "
      "millraced starts");
  verb->fallthrough();
  auto file = std::make_shared<std::string>();
  verb->add_option("FILE", *file, "config file")->required()->check(not_empty());
  auto testing = std::make_shared<bool>(false);
  verb->add_flag("--testing", *testing, "as `millraced --testing` would judge it");
  verb->callback([&session, file, testing] { check(session, *file, *testing); });
}

}  // namespace millrace::cli
