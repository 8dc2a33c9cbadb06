// SPDX-License-Identifier: Apache-2.0
#pragma once
// A Config as YAML: every key with its value, defaults too.

#include "control/config/model.hpp"

#include <string>

namespace millrace::ctl {

// Loads back to an equal Config.
std::string dump_yaml(const Config& config);

// Every key with its default, those of list entries too. Loads: a key that is required stands there
// with an example, and says so.
std::string dump_defaults();

}  // namespace millrace::ctl
