// SPDX-License-Identifier: Apache-2.0
#pragma once
// A text file, whole, up to the size that a config may have.

#include <string>

#include "control/base/status.hpp"

namespace millrace::ctl {

Result<std::string> read_text(const std::string& path);

}  // namespace millrace::ctl
