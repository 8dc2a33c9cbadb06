// SPDX-License-Identifier: Apache-2.0
#pragma once
// Is a resolved Config one that can run? Ranges of single keys (fields.def), then what keys must be
// to one another: names that are unique and references that lead somewhere, addresses that do not
// collide, limits in their order, CPUs that exist.

#include "control/config/host.hpp"
#include "control/config/model.hpp"

#include <string>
#include <vector>

namespace millrace::ctl {

struct Problem {
  std::string key;  // "binds[1].listen_address"
  std::string message;
  std::string because;  // another key that takes part: were it wrong, this might be no problem
  std::string value = {};  // that is wrong, to be told where nobody wrote the key
};

// Empty: the config compiles, and into a sensible image.
std::vector<Problem> validate(const Config& config, const Host& host);

}  // namespace millrace::ctl
