// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where answers may still come to after a change: the source addresses, ports and VLANs of queries
// that are under way. Which of them an answer is to is judged as ever (inflight.hpp); this only
// says which packets are looked at as answers.
//
// All that was kept goes at once, when the last change is as long ago as a question may take. What
// changes faster than that adds up: the port ranges to one that spans them all.
//
// Threads: private to its worker. Cost: asked for packets only that are none of ours otherwise.
// Limits: as many addresses as backends; the oldest goes.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "dataplane/wire/packet.hpp"
#include "dataplane/worker/settings.hpp"

namespace millrace::dp {

class FormerEndpoints {
 public:
  // `settings` are about to change; what is asked under them may be answered until `end_ns`.
  void keep(const Settings& settings, uint64_t now_ns, uint64_t end_ns) noexcept {
    const wire::Endpoints& now = settings.endpoints();
    if (now.source_cnt == 0) return;
    if (!open(now_ns)) *this = {};
    for (uint32_t i = 0; i < now.source_cnt; ++i) add_source(now.source[i]);
    const bool first = ends_.upstream_port_end == 0;
    ends_.upstream_port_first = first ? now.upstream_port_first
                                      : std::min(ends_.upstream_port_first,
                                                 now.upstream_port_first);
    ends_.upstream_port_end = std::max(ends_.upstream_port_end, now.upstream_port_end);
    for (uint32_t i = 0; i < abi::kVlanWords; ++i) ends_.vlan[i] |= now.vlan[i];
    for (uint8_t port = 0; port < abi::kPortsMax; ++port) {
      if (settings.leads_upstream(port)) upstream_ports_ |= uint32_t{1} << port;
    }
    end_ns_ = std::max(end_ns_, end_ns);
  }

  bool open(uint64_t now_ns) const noexcept { return now_ns < end_ns_; }
  // Without services. Meaningful while open().
  const wire::Endpoints& endpoints() const noexcept { return ends_; }
  bool led_upstream(uint8_t port, uint64_t now_ns) const noexcept {
    return open(now_ns) && port < abi::kPortsMax && (upstream_ports_ >> port & 1) != 0;
  }

 private:
  void add_source(const abi::Address& source) noexcept {
    abi::Address* const end = ends_.source + ends_.source_cnt;
    const auto same = [&source](const abi::Address& known) {
      return std::memcmp(&known, &source, sizeof known) == 0;
    };
    if (std::any_of(ends_.source, end, same)) return;
    if (ends_.source_cnt == abi::kBackendsMax) {
      std::move(ends_.source + 1, end, ends_.source);
      ends_.source_cnt -= 1;
    }
    ends_.source[ends_.source_cnt++] = source;
  }

  wire::Endpoints ends_{};
  uint32_t upstream_ports_ = 0;  // bit p: port p
  uint64_t end_ns_ = 0;
};

}  // namespace millrace::dp
