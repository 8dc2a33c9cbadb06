// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a config may ask of the machine that it runs on, and of the daemon that reads it.

#include "control/config/model.hpp"

#include <vector>

namespace millrace::ctl {

struct Host {
  std::vector<int> cpus;  // that this process may run on, ascending
  bool testing = false;   // `--testing`: what is for tests only is allowed

  // This machine, by sched_getaffinity(2).
  static Host here(bool testing = false);
};

// Decides everything that the config leaves open; whatever it says stays. Idempotent.
//   no pools, no packet caches   one of each, named `default`
//   shards                       16, halved until a shard has at least 2 MiB, but never less than
//                                one per worker (a power of two)
//   cores                        the last CPUs of the host, one per worker, in ascending order
//   main_core                    the first CPU of the host that no worker has; when they have all,
//                                the main thread shares the CPU of the first worker
// Cores stay open when the host has fewer CPUs than there are workers: validate() reports that.
void resolve(Config& config, const Host& host);

}  // namespace millrace::ctl
