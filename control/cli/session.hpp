// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every verb of `millrace` has: where the daemon is, how long to wait, how to print.
//
// A verb lives in cmd_<verb>.cpp and registers itself with add_<verb>(). Its callback sets
// `exit_code`: 0 done, 1 error, 2 usage, 3 daemon not reachable, 4 rejected by validation, 5 timed
// out. What was asked for goes to stdout; what went wrong to stderr.

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "control/base/status.hpp"
#include "control/config/load.hpp"

namespace millrace::cli {

using Json = nlohmann::json;

struct Reply {
  ctl::Status status;
  std::string message;
  Json data = Json::object();
  bool unanswered = false;  // millraced may or may not have the request
};

struct Session {
  std::string run_dir = "/run/millrace";
  double timeout_s = 10;
  bool timeout_given = false;
  bool json = false;
  int exit_code = 0;

  // One request, one reply. A reply with a code other than 0 comes back as its status.
  Reply call(const Json& request) const;

  // The same for what changes something: millraced knows how long we wait, gives up before we do,
  // and carries nothing out that it reads later. Where it does not answer at all, the message ends
  // with `open`: what may still happen, and where to look.
  Reply change(Json request, const std::string& open) const;

  // Says what went wrong on stderr (with --json also on stdout, with the data) and sets exit_code.
  // Errors of a config stand there alone, so that an editor finds file:line:column.
  void fail(const Reply& reply);
  void fail(const ctl::Status& status);
  void fail(const ctl::LoadResult& refused);

  void print_json(const Json& value) const;
};

void add_status(CLI::App& app, Session& session);
void add_stats(CLI::App& app, Session& session);
void add_version(CLI::App& app, Session& session);
void add_config_check(CLI::App& config, Session& session);
void add_config_show(CLI::App& config, Session& session);
void add_config_apply(CLI::App& config, Session& session);
void add_cache_lookup(CLI::App& cache, Session& session);
void add_cache_flush(CLI::App& cache, Session& session);
void add_testing_advance(CLI::App& testing, Session& session);

// Whether NAME and --type are what they should be; empty ones are not given. For before a call:
// a slip is an error of usage, whether millraced runs or not.
ctl::Status check_question(const std::string& name, const std::string& type);

// For an option that takes seconds: a decimal number of that range, and nothing else; other texts
// are an error of usage that names the range.
CLI::Validator seconds_in(double lo, double hi);

// For an option whose absence means something else: '' is rather a variable that is not set.
CLI::Validator not_empty();

// --json, --run-dir and --timeout, taken anywhere after the verb as well.
void add_common_options(CLI::App& app, Session& session);

}  // namespace millrace::cli
