// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "control/base/counted.hpp"
#include "control/cli/session.hpp"
#include "control/cli/table.hpp"
#include "control/config/yaml_tree.hpp"
#include "control/daemon/read_text.hpp"

namespace millrace::cli {
namespace {

// A restart ends the data plane and waits for the next, which has 30 s; half of our time is for it,
// the other for going back.
constexpr double kApplyTimeoutS = 80;

struct ApplyOptions {
  std::string file;
  bool dry_run = false;
  bool allow_restart = false;
};

void print_changes(const Json& changes) {
  Table table({"KEY", "BEFORE", "AFTER", "NEEDS"});
  for (const auto& change : changes) {
    const auto cell = [&](const char* key) {
      std::string text = change.value(key, "");
      for (char& c : text) c = c == '\n' ? ' ' : c;
      return text.empty() ? "-" : text;
    };
    table.add({cell("key"), cell("before"), cell("after"), cell("reload")});
  }
  if (!table.empty()) std::printf("%s", table.text().c_str());
}

void apply(Session& session, const ApplyOptions& options) {
  if (!session.timeout_given) session.timeout_s = kApplyTimeoutS;
  Json request{{"verb", "config-apply"},
               {"dry_run", options.dry_run},
               {"allow_restart", options.allow_restart}};
  if (!options.file.empty()) {
    auto text = ctl::read_text(options.file);
    if (!text.ok()) return session.fail(text.status());
    // A request is JSON of a limited size and carries UTF-8 only. All else is for the daemon to
    // judge, which knows the CPUs that it may use.
    if (text.value().size() > ctl::kConfigBytesMax || !ctl::yaml::is_utf8(text.value())) {
      return session.fail(ctl::load_config_text(text.value(), options.file));
    }
    request["yaml"] = std::move(text).value();
    request["source"] = options.file;
  }
  static const std::string kOpen =
      "the config may run or may yet be taken: see `config` in `millrace status`";
  const Reply reply =
      options.dry_run ? session.call(request) : session.change(std::move(request), kOpen);
  const Json changes = reply.data.value("changes", Json::array());
  if (!session.json) {
    print_changes(changes);
    for (const auto& warning : reply.data.value("warnings", Json::array())) {
      std::fprintf(stderr, "warning: %s\n", warning.get<std::string>().c_str());
    }
  }
  if (!reply.status.ok()) return session.fail(reply);
  if (session.json) return session.print_json(reply.data);
  const auto generation = reply.data.value("generation", uint64_t{0});
  const auto printed = static_cast<unsigned long long>(generation);
  if (changes.empty()) {
    std::printf("nothing to change; generation %llu runs\n", printed);
  } else if (options.dry_run) {
    std::printf("%s, not applied; generation %llu runs\n",
                ctl::counted(changes.size(), "change", "changes").c_str(), printed);
  } else {
    std::printf("generation %llu runs on all cores after %.1f ms\n", printed,
                reply.data.value("elapsed_ms", 0.0));
  }
  if (const auto file = reply.data.value("file_not_changed", std::string()); !file.empty()) {
    std::printf("%s is not changed: millraced goes back to it when it starts again\n",
                file.c_str());
  }
}

}  // namespace

void add_config_apply(CLI::App& config, Session& session) {
  auto* verb = config.add_subcommand(
      "apply",
      "make a config the running one. Shows what changes and what each change needs; returns when "
      "every core runs the new generation. A config with an error changes nothing (exit code 4).\n"
      "A file other than the daemon's own runs until millraced starts again");
  verb->fallthrough();
  auto options = std::make_shared<ApplyOptions>();
  verb->add_option("FILE", options->file, "config file (default: the daemon's own, read again)")
      ->check(not_empty());
  verb->add_flag("--dry-run", options->dry_run, "only show what would change");
  verb->add_flag("--allow-restart", options->allow_restart,
                 "also apply changes that need the data plane to be started anew; the cache is "
                 "then empty, and queries go unanswered while it starts");
  verb->callback([&session, options] { apply(session, *options); });
}

}  // namespace millrace::cli
