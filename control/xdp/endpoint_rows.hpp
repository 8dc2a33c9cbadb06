// SPDX-License-Identifier: Apache-2.0
#pragma once
// From rules to the inner map of one generation, and the swap of inner maps.
//
// A generation is a map of its own, complete before the program can see it:
//
//     mr_rules[0] ──▶ { generation row, services, backends, sources } of generation n
//                     { ... } of generation n + 1, being filled
//
// The swap is one store of a pointer in the kernel, followed by a grace period.

#include <cstdint>
#include <vector>

#include "control/base/status.hpp"
#include "control/xdp/kernel_bpf.hpp"
#include "control/xdp/prefilter.hpp"
#include "ebpf/abi/xdp_abi.h"

namespace millrace::ctl {

struct EndpointRow {
  mr_endpoint_key key;
  mr_endpoint value;
};

// Checks the rules and lists their rows, the generation's first. Pure.
Result<std::vector<EndpointRow>> endpoint_rows(const PrefilterRules& rules);

Result<Fd> make_endpoints_map(const std::vector<EndpointRow>& rows);

// The inner map in use; not valid() if there is none yet.
Result<Fd> current_endpoints(int rules_fd);

// Puts `endpoints_fd` in use, or no map at all if it is negative.
Status swap_endpoints(int rules_fd, int endpoints_fd);

Result<uint64_t> generation_of(int endpoints_fd);

}  // namespace millrace::ctl
