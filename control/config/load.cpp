// SPDX-License-Identifier: Apache-2.0
#include "control/config/load.hpp"

#include "control/config/read.hpp"
#include "control/config/validate.hpp"
#include "control/config/yaml_tree.hpp"

#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace millrace::ctl {
namespace {

LoadResult failed(const std::string& file, const std::string& message) {
  LoadResult result;
  result.diagnostics.push_back({.file = file, .message = message});
  return result;
}

std::string size_message() {
  return "is larger than " + std::to_string(kConfigBytesMax) + " bytes, the limit for a config";
}

LoadResult load(std::string_view text, const std::string& name, const Host& host) {
  if (text.size() > kConfigBytesMax) return failed(name, size_message());
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
      report.error(at.line == 0 ? root.at : at, problem.key, problem.message);
    }
  }
  LoadResult result;
  result.diagnostics = std::move(report).take_sorted();
  if (result.diagnostics.empty()) result.config = std::move(config);
  return result;
}

// One byte more than the limit is enough to know that it is passed.
std::error_code read_file(const std::string& path, std::string& text) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {errno, std::system_category()};
  text.resize(kConfigBytesMax + 1);
  std::size_t filled = 0;
  std::error_code error;
  while (filled < text.size()) {
    const ssize_t count = read(fd, text.data() + filled, text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) error = {errno, std::system_category()};
    if (count <= 0) break;
    filled += static_cast<std::size_t>(count);
  }
  close(fd);
  text.resize(filled);
  return error;
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
    out += diagnostic.text() + "\n";
  return out;
}

LoadResult load_config_text(std::string_view text, const std::string& name, const Host& host) {
  try {
    return load(text, name, host);
  } catch (const std::exception& e) {
    return failed(name, std::string("cannot be loaded: ") + e.what());
  }
}

LoadResult load_config_file(const std::string& path, const Host& host) {
  std::string text;
  if (const std::error_code error = read_file(path, text)) {
    return failed(path, "cannot be read: " + error.message());
  }
  return load_config_text(text, path, host);
}

}  // namespace millrace::ctl
