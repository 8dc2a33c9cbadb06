// SPDX-License-Identifier: Apache-2.0
#pragma once
// Routes, links and neighbours of this network namespace, by rtnetlink(7).
//
// Two sockets: one listens to changes and only says "look again"; the other asks. The kernel
// answers a question within the send call, so asking does not block the event loop. Nothing is
// cached here: at most kBackendsMax backends cost three questions each, a few microseconds apiece.
//
// Keeping neighbours alive: the data plane's packets do not pass through the kernel, so the kernel
// would let an unused neighbour go stale and forget it. NTF_EXT_MANAGED (Linux 5.16) makes it probe
// by itself; older kernels get NTF_USE, which starts one probe, with every refresh. Entries set by
// hand (PERMANENT, NOARP) are never touched: both flags would turn them into ordinary ones. A flag
// that was there before us stays when we let go: the operator set it, or a millraced that was
// killed left it, which cannot be told apart and costs no more than a probe now and then.
//
// Threads: the event loop's. Failure: a question that fails counts as "not there" and is asked
// again at the next refresh.

#include <cstdint>
#include <memory>
#include <set>
#include <utility>

#include "control/daemon/route_source.hpp"

struct mnl_socket;
struct nlmsghdr;

namespace millrace::ctl {

class NetlinkRoutes final : public RouteSource, private KernelView {
 public:
  static Result<std::unique_ptr<NetlinkRoutes>> open();
  ~NetlinkRoutes() override;

  int event_fd() const override;
  void drain_events() override;
  std::vector<Resolution> resolve(std::span<const IpAddress> backends,
                                  std::span<const std::string> port_interfaces,
                                  bool refresh) override;
  void release() override;

 private:
  using NeighbourId = std::pair<int, IpAddress>;  // link, address

  NetlinkRoutes() = default;
  std::optional<KernelRoute> route(const IpAddress& to) override;
  std::optional<KernelLink> link(int index) override;
  std::optional<KernelNeighbour> neighbour(int link_index, const IpAddress& of) override;

  void keep_alive(const NeighbourId& id, bool refresh);
  void let_go(const NeighbourId& id);
  bool set_neighbour_flags(const NeighbourId& id, bool managed);

  // Sends one request. 0 or an errno; `parse` sees the answer, if one came.
  template <class Parse>
  int ask(nlmsghdr* request, Parse&& parse);
  // What the kernel knows of what was asked for, if anything.
  template <class Found>
  std::optional<Found> find(nlmsghdr* request, Found (*parse)(const nlmsghdr*));

  mnl_socket* events_ = nullptr;
  mnl_socket* questions_ = nullptr;
  uint32_t sequence_ = 0;
  bool can_manage_ = true;  // until the kernel says otherwise
  std::set<NeighbourId> kept_;  // whose flag we have set
};

}  // namespace millrace::ctl
