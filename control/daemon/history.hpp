// SPDX-License-Identifier: Apache-2.0
#pragma once
// The configs that were applied, newest last, as the operator wrote them.
//
//     <state-dir>/history/00000000000000000042.yaml      generation 42
//
// The generation of the newest is where counting goes on, so it never goes back while a data plane
// runs, whatever happens to us. A text is there whole or not at all (written aside, synced,
// renamed).
//
// Failure: a Status; the config that runs is not affected. Limits: the last kKept texts.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/base/status.hpp"

namespace millrace::ctl {

class History {
 public:
  static constexpr std::size_t kKept = 20;

  explicit History(const std::string& state_dir) : dir_(state_dir + "/history") {}

  Status open();  // makes the directory

  const std::string& folder() const { return dir_; }

  std::vector<uint64_t> generations() const;  // ascending
  uint64_t last_generation() const;           // 0: none
  std::optional<std::string> text(uint64_t generation) const;

  // A text equal to the newest takes its place under the new generation.
  Status record(uint64_t generation, const std::string& yaml);

 private:
  std::string path(uint64_t generation) const;

  std::string dir_;
};

}  // namespace millrace::ctl
