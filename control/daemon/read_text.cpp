// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/read_text.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "control/config/load.hpp"

namespace millrace::ctl {

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status(Code::error, "cannot read " + path + ": " + std::strerror(errno));
  // One byte more than allowed, so that a longer file is seen to be longer.
  std::string text(kConfigBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return Status(Code::error, "cannot read " + path + ": " + std::strerror(errno));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kConfigBytesMax) {
    return Status(Code::rejected, path + ": longer than " + std::to_string(kConfigBytesMax) +
                                      " bytes");
  }
  return text;
}

}  // namespace millrace::ctl
