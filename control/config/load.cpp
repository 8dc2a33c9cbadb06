// SPDX-License-Identifier: Apache-2.0
#include "control/config/load.hpp"

#include "control/config/read.hpp"
#include "control/config/validate.hpp"
#include "control/config/yaml_tree.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace millrace::ctl {
namespace {

LoadResult failed(const std::string& file, const std::string& message) {
  LoadResult result;
  result.diagnostics.push_back({.file = file, .message = message});
  return result;
}

// At the first byte beyond the limit.
LoadResult too_large(std::string_view text, const std::string& name) {
  const std::string_view fits = text.substr(0, kConfigBytesMax);
  const auto lines = std::count(fits.begin(), fits.end(), '\n');
  const std::size_t begin = fits.rfind('\n') + 1;  // of the last line; npos + 1 is 0
  LoadResult result = failed(name, "the file goes on beyond " + std::to_string(kConfigBytesMax) +
                                       " bytes (1MiB), the limit for a config");
  result.diagnostics.front().line = static_cast<int>(lines) + 1;
  result.diagnostics.front().column = static_cast<int>(fits.size() - begin) + 1;
  return result;
}

// Of a key that nobody wrote, or of an item of a list that nobody wrote.
void report_default(yaml::Mark at, const Problem& problem, Report& report) {
  const bool is_item = problem.key.ends_with(']');
  const std::string value = is_item ? "[" + problem.value + "]" : problem.value;
  report.error(at, is_item ? outer_key(problem.key) : problem.key,
               "not given, so " + value + ", but " + problem.message);
}

LoadResult load(std::string_view text, const std::string& name, const Host& host) {
  if (text.size() > kConfigBytesMax) return too_large(text, name);
  Report report(name, kDiagnosticsMax);
  yaml::Node root;
  const std::vector<yaml::Error> errors = yaml::parse(text, root);
  for (const yaml::Error& error : errors)
    report.error(error.at, "", error.message);
  Config config;
  if (errors.empty()) {
    read_config(root, config, report);
    resolve(config, host);
    for (const Problem& problem : validate(config, host)) {
      const bool follows = report.is_broken(problem.key) ||
                           (!problem.because.empty() && report.is_broken(problem.because));
      if (follows) continue;
      yaml::Mark at = report.place_of(problem.key);
      if (at.line == 0) at = report.place_of(problem.because);
      if (at.line == 0) at = root.at;
      if (problem.value.empty() || report.is_written(problem.key)) {
        report.error(at, problem.key, problem.message);
      } else {
        report_default(at, problem, report);
      }
    }
  }
  LoadResult result;
  result.diagnostics = std::move(report).take_sorted();
  if (result.diagnostics.empty()) result.config = std::move(config);
  return result;
}

}  // namespace

std::string Diagnostic::text() const {
  std::string out = file;
  if (line > 0) out += ":" + std::to_string(line) + ":" + std::to_string(column);
  if (!key.empty()) out += ": " + key;
  return out + ": " + message;
}

std::string LoadResult::text() const {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics)
    out += (out.empty() ? "" : "\n") + diagnostic.text();
  return out;
}

LoadResult load_config_text(std::string_view text, const std::string& name, const Host& host) {
  try {
    return load(text, name, host);
  } catch (const std::exception& e) {
    return failed(name, std::string("cannot be loaded: ") + e.what());
  }
}

}  // namespace millrace::ctl
