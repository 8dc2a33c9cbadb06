// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is wrong with a config, as the CLI and the control socket say it.

#include <nlohmann/json.hpp>
#include <vector>

#include "control/config/diagnostic.hpp"

namespace millrace::ctl {

// [{"file", "line", "column", "key", "message"}]; line 0: the file as a whole.
nlohmann::json diagnostics_json(const std::vector<Diagnostic>& diagnostics);

}  // namespace millrace::ctl
