// SPDX-License-Identifier: Apache-2.0
#pragma once
// The reference of all keys as Markdown, from fields.def; docs/configuration.md carries it between
// its two `keys` marks, and a test holds them together.

#include <string>

namespace millrace::ctl {

std::string reference_markdown();

}  // namespace millrace::ctl
