// SPDX-License-Identifier: Apache-2.0
#pragma once
// Pools that share a packet cache share its answers, so they have to agree for whom those hold.

#include "control/config/validate.hpp"

#include <vector>

namespace millrace::ctl {

void check_subnets(const std::vector<Pool>& pools, std::vector<Problem>& problems);

}  // namespace millrace::ctl
