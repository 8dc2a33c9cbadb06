// SPDX-License-Identifier: Apache-2.0
#pragma once
// What happened between two readings of `stats`.

#include <nlohmann/json.hpp>

#include "control/base/status.hpp"

namespace millrace::cli {

// Counters become differences; gauges, names and generations are those of the later reading, and
// the identities are judged on the differences. Fails when the counters began anew in between.
ctl::Result<nlohmann::json> stats_delta(const nlohmann::json& before, nlohmann::json after);

}  // namespace millrace::cli
