// SPDX-License-Identifier: Apache-2.0
#pragma once
// How the kinds say what is wrong; for kinds*.cpp alone.

#include "control/config/kinds.hpp"

#include <string>
#include <string_view>

namespace millrace::ctl {

inline std::string shown(std::string_view text) {
  return "\"" + clip(text) + "\"";
}

inline std::string expected(std::string_view what, std::string_view allowed,
                            const yaml::Node& node) {
  std::string text = "expects " + std::string(what);
  if (!allowed.empty()) text += " (" + std::string(allowed) + ")";
  return text + ", found " + describe(node);
}

inline std::string out_of_range(const std::string& value, const std::string& allowed) {
  return value + " is out of range: allowed " + allowed;
}

inline std::string range_text(const std::string& lo, const std::string& hi) {
  return lo + " to " + hi;
}

}  // namespace millrace::ctl
