// SPDX-License-Identifier: Apache-2.0
#pragma once
// Do packets to a bind come in where the data plane takes them? For `apply` and `status`.
//
// Said only where it is sure: the address is on interfaces of this network namespace, and none of
// them is a port of the config, or made upon one (VLAN, bridge, bond). Nothing is said of addresses
// that packets are routed to: on no interface, on loopback, on one without ARP (dummy).
//
// Threads: any; no state. Cost: the addresses per bind, a netlink question or two per interface.
// Failure: what cannot be asked gives no fault. Limits: silent where a port is a DPDK device, whose
// kernel interface is unknown; ten interfaces upon each other.

#include <string>
#include <vector>

#include "control/config/model.hpp"

namespace millrace::ctl {

// By the index of the bind; empty: nothing to say.
std::vector<std::string> bind_faults(const Config& config);

// Names of the interfaces of this namespace that have the address.
std::vector<std::string> interfaces_with(const Endpoint& address);

}  // namespace millrace::ctl
