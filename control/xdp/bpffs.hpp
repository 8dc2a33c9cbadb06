// SPDX-License-Identifier: Apache-2.0
#pragma once
// The folder of pins: <root>/v<ABI version>/<interface>/<object>.
//
// bpffs refuses names with a dot (they are reserved), interface names may have one ("eth0.100") but
// never a colon, so a dot is written as a colon.

#include <string>
#include <vector>

#include "control/base/status.hpp"

namespace millrace::ctl {

class PinFolder {
 public:
  explicit PinFolder(std::string root) : root_(std::move(root)) {}

  // Checks the root, mounts a bpffs at /sys/fs/bpf if one is missing there, makes the root.
  Status make() const;

  // make(), then makes and returns the folder of an interface under the current version.
  Result<std::string> make_interface(const std::string& interface) const;

  // Removes every pin but those of `interfaces` under the current version; then, as far as they are
  // empty, the folders. Ok if there was nothing.
  Status remove_all_but(const std::vector<std::string>& interfaces) const;

  // Removes the pins that another version made for the interface.
  Status remove_other_versions(const std::string& interface) const;

  // Unmounts what make() mounted in this process, once it is empty.
  static void unmount();

 private:
  template <class Doomed>
  Status remove_if(Doomed doomed) const;

  std::string root_;
};

}  // namespace millrace::ctl
