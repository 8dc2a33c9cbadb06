// SPDX-License-Identifier: Apache-2.0
#pragma once
// One millraced per network namespace: two would take each other's prefilter for one that a
// predecessor left behind, whatever their run directories.
//
// An abstract Unix socket, whose name belongs to the network namespace and is free again as soon as
// its holder has ended, however that came about.
//
// Threads: one. Failure: says who holds it.

#include <string>

#include "control/base/status.hpp"
#include "control/daemon/unique_fd.hpp"

namespace millrace::ctl {

// Held while the descriptor is open. `name`: what a test may want to choose.
Result<UniqueFd> lock_network_namespace(const std::string& name = "millraced");

}  // namespace millrace::ctl
