// SPDX-License-Identifier: Apache-2.0
#pragma once
// One thing that is wrong with a config, for a person and for an editor that jumps to it.

#include <string>

namespace millrace::ctl {

struct Diagnostic {
  std::string file;
  int line = 0;       // from 1; 0: the file as a whole
  int column = 0;     // from 1, in bytes
  std::string key{};  // path of the key, "binds[1].listen_address"; empty: no key is to blame
  std::string message{};

  // "file:line:column: key: message", without the parts that are unknown.
  std::string text() const;
};

}  // namespace millrace::ctl
