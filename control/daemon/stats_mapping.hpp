// SPDX-License-Identifier: Apache-2.0
#pragma once
// The data plane's statistics area, mapped read-only.

#include <memory>

#include "control/base/status.hpp"
#include "control/daemon/unique_fd.hpp"
#include "dataplane/abi/stats_page.hpp"

namespace millrace::ctl {

// Checks size, magic, version and worker count before anything is read through it. The mapping ends
// with the last copy of the pointer.
Result<std::shared_ptr<const abi::StatsArea>> map_stats(UniqueFd fd);

}  // namespace millrace::ctl
