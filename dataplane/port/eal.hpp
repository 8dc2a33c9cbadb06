// SPDX-License-Identifier: Apache-2.0
#pragma once
// Starts DPDK for one config: cores, memory and devices come from the boot section.
//
// Each AF_XDP queue is a vdev of its own (`net_af_xdp<port>_<worker>`), because one vdev with
// several queues cannot be had on every kernel interface; see docs/decisions. Other ports are given
// to DPDK as the config spells them.
//
// Threads: main, once, at start. Failure: a Failed with one line for a person.

#include <stdexcept>
#include <string>

#include "dataplane/abi/config_image.hpp"

namespace millrace::dp {

// Setting up may end the process; nothing after that throws.
struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Main runs on lcore 0, worker w on lcore w + 1.
inline unsigned lcore_of_worker(uint32_t worker) { return worker + 1; }

std::string vdev_name(uint32_t port, uint32_t worker);

void start_eal(const abi::BootSection& boot, const std::string& file_prefix);

}  // namespace millrace::dp
