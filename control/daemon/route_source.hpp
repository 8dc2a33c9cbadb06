// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where routes come from: the kernel of this network namespace, or a test.

#include <span>
#include <string>
#include <vector>

#include "control/base/status.hpp"
#include "control/daemon/next_hop.hpp"

namespace millrace::ctl {

class RouteSource {
 public:
  virtual ~RouteSource() = default;

  // Readable when links, addresses, routes or neighbours may have changed.
  virtual int event_fd() const = 0;
  virtual void drain_events() = 0;

  // One resolution per backend, in order. Asks the kernel to keep each neighbour resolved; with
  // `refresh`, reminds kernels that cannot do that by themselves.
  virtual std::vector<Resolution> resolve(std::span<const IpAddress> backends,
                                          std::span<const std::string> port_interfaces,
                                          bool refresh) = 0;

  // Leaves every neighbour to its ordinary fate.
  virtual void release() = 0;
};

}  // namespace millrace::ctl
