// SPDX-License-Identifier: Apache-2.0
#pragma once
// From YAML text to a Config that can be compiled, or to everything that is wrong with it.
//
//     text -- yaml_tree --> tree with positions -- read --> model -- resolve --> validate -->
//     Config
//
// All errors found are reported, in the order of the file (at most kDiagnosticsMax); only what
// cannot be parsed as YAML at all ends at the first. Each names the line and column of the node
// that it is about, the key, what is allowed, and the nearest known key when one is misspelt.
//
// Threads: any; no state. Failure: never throws; a config is there exactly if nothing is wrong.
// Limits: kConfigBytesMax of text, kYamlDepthMax levels, no anchors, aliases, tags or second
// document, so time and memory are linear in the size of the text.

#include "control/config/diagnostic.hpp"
#include "control/config/host.hpp"
#include "control/config/model.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::ctl {

inline constexpr std::size_t kConfigBytesMax = 1 << 20;
inline constexpr std::size_t kDiagnosticsMax = 100;

struct LoadResult {
  std::optional<Config> config;
  std::vector<Diagnostic> diagnostics;

  bool ok() const { return config.has_value(); }
  std::string text() const;  // one diagnostic a line, no end of line after the last
};

// `name` stands for the file in diagnostics.
LoadResult load_config_text(std::string_view text, const std::string& name,
                            const Host& host = Host::here());

}  // namespace millrace::ctl
