// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "control/cli/session.hpp"
#include "control/config/dump.hpp"

namespace millrace::cli {
namespace {

void show(Session& session, bool defaults) {
  // The defaults are this program's own; asking needs no daemon.
  Json data{{"yaml", defaults ? ctl::dump_defaults() : std::string()}};
  if (!defaults) {
    Reply reply = session.call({{"verb", "config-show"}, {"what", "effective"}});
    if (!reply.status.ok()) return session.fail(reply);
    data = std::move(reply.data);
  }
  if (session.json) return session.print_json(data);
  std::printf("%s", data.value("yaml", "").c_str());
}

}  // namespace

void add_config_show(CLI::App& config, Session& session) {
  auto* verb = config.add_subcommand(
      "show", "print the running config with every default filled in, as YAML");
  verb->fallthrough();
  auto defaults = std::make_shared<bool>(false);
  auto* wanted = verb->add_flag("--default", *defaults,
                                "print every key with its default instead, with an example "
                                "where one is required; needs no daemon");
  auto effective = std::make_shared<bool>(false);
  verb->add_flag("--effective", *effective, "what runs now (the default)")->excludes(wanted);
  verb->callback([&session, defaults, effective] { show(session, *defaults); });
}

}  // namespace millrace::cli
