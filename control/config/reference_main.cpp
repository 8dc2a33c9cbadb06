// SPDX-License-Identifier: Apache-2.0
// Prints the reference of all config keys, for docs/configuration.md.
#include "control/config/reference.hpp"

#include <cstdio>

int main() {
  std::fputs(millrace::ctl::reference_markdown().c_str(), stdout);
  return 0;
}
