// SPDX-License-Identifier: Apache-2.0
#pragma once
// A Config as YAML: every key with its value, defaults too. Loads back to an equal Config.

#include "control/config/model.hpp"

#include <string>

namespace millrace::ctl {

std::string dump_yaml(const Config& config);

}  // namespace millrace::ctl
