// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a new config changes, key by key, and what each change costs.
//
// Listed objects are matched by name: "backends[r1].address". One that comes or goes is one change
// with the whole object on one side and nothing on the other; a new order of a list is a change of
// the list itself. diff() is empty exactly when the two configs are equal.

#include "control/config/model.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace millrace::ctl {

enum class ReloadClass {
  live,     // the next snapshot: no packet notices
  port,     // ports are closed and opened again; the kernel path serves meanwhile
  restart,  // the data plane is started anew with other memory
};

std::string_view reload_class_name(ReloadClass reload);

struct Change {
  std::string key;
  std::string before;  // as in YAML; empty: not there
  std::string after;
  ReloadClass reload;

  bool operator==(const Change&) const = default;
};

std::vector<Change> diff(const Config& running, const Config& wanted);

// The dearest class of them all; live when there are none.
ReloadClass reload_class(const std::vector<Change>& changes);

}  // namespace millrace::ctl
