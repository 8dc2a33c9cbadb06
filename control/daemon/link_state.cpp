// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/link_state.hpp"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "control/daemon/unique_fd.hpp"

namespace millrace::ctl {

LinkState link_state_of(unsigned flags) {
  if ((flags & IFF_UP) == 0) return LinkState::down;
  return (flags & IFF_RUNNING) == 0 ? LinkState::no_carrier : LinkState::up;
}

LinkState link_state(const std::string& interface) {
  const UniqueFd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(probe.get(), SIOCGIFFLAGS, &request) != 0) return LinkState::missing;
  return link_state_of(static_cast<unsigned short>(request.ifr_flags));
}

const char* link_state_text(LinkState state) {
  switch (state) {
    case LinkState::up: return "up";
    case LinkState::no_carrier: return "no carrier";
    case LinkState::down: return "down";
    case LinkState::missing: return "missing";
  }
  return "?";
}

std::string link_advice(LinkState state, const std::string& interface) {
  switch (state) {
    case LinkState::up: return "";
    case LinkState::no_carrier:
      return interface + " has no carrier, no packet comes or goes there: look at its cable and at "
                         "the port of the switch, or the other end of a veth";
    case LinkState::down:
      return interface + " is down, no packet comes or goes there: `ip link set " + interface +
             " up`";
    case LinkState::missing:
      return interface + " does not exist; it is taken into use again as soon as it does";
  }
  return "";
}

}  // namespace millrace::ctl
