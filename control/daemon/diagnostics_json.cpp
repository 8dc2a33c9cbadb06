// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/diagnostics_json.hpp"

namespace millrace::ctl {

nlohmann::json diagnostics_json(const std::vector<Diagnostic>& diagnostics) {
  auto all = nlohmann::json::array();
  for (const auto& one : diagnostics) {
    all.push_back({{"file", one.file},
                   {"line", one.line},
                   {"column", one.column},
                   {"key", one.key},
                   {"message", one.message}});
  }
  return all;
}

}  // namespace millrace::ctl
