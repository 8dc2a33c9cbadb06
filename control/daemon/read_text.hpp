// SPDX-License-Identifier: Apache-2.0
#pragma once
// The text of a config file.

#include <string>

#include "control/base/status.hpp"

namespace millrace::ctl {

// Regular files only, and /dev/stdin and /dev/fd/N, whatever they are; "-" is /dev/stdin. Ends one
// byte beyond what a config may have, where load_config_text() says so. A failure is of
// Code::error: nothing is known about the content.
Result<std::string> read_text(const std::string& path);

}  // namespace millrace::ctl
