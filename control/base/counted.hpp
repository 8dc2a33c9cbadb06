// SPDX-License-Identifier: Apache-2.0
#pragma once
// A number with its noun, as a person would write it: "1 entry", "3 entries".

#include <cstdint>
#include <string>

namespace millrace::ctl {

inline std::string counted(uint64_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

}  // namespace millrace::ctl
