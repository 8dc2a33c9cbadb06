// SPDX-License-Identifier: Apache-2.0
#pragma once
// Is a resolved Config one that can run? Ranges of single keys (fields.def), then what keys must be
// to one another.

#include <string>
#include <vector>

#include "control/config/host.hpp"
#include "control/config/model.hpp"

namespace millrace::ctl {

struct Problem {
  std::string key;  // "binds[1].listen_address"
  std::string message;
};

// Empty: the config compiles, and into a sensible image.
std::vector<Problem> validate(const Config& config, const Host& host);

}  // namespace millrace::ctl
