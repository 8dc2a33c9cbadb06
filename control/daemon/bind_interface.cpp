// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/bind_interface.hpp"

#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "control/daemon/unique_fd.hpp"

namespace millrace::ctl {
namespace {

constexpr int kStackedMax = 10;

struct Neighbours {
  unsigned lower = 0;   // that a VLAN or macvlan is made on; 0: none
  unsigned master = 0;  // bridge or bond that it is in; 0: none
};

bool same_ip(const sockaddr* have, const Endpoint& wanted) {
  if (have == nullptr) return false;
  if (wanted.family == 4 && have->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(have);
    return std::memcmp(&v4->sin_addr, wanted.bytes.data(), 4) == 0;
  }
  if (wanted.family == 6 && have->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(have);
    return std::memcmp(&v6->sin6_addr, wanted.bytes.data(), 16) == 0;
  }
  return false;
}

int take_neighbours(const nlattr* attribute, void* into) {
  auto& found = *static_cast<Neighbours*>(into);
  const unsigned type = mnl_attr_get_type(attribute);
  if (type == IFLA_LINK) found.lower = mnl_attr_get_u32(attribute);
  if (type == IFLA_MASTER) found.master = mnl_attr_get_u32(attribute);
  return MNL_CB_OK;
}

// A veth has its peer for `lower`, which at worst keeps us silent.
Neighbours neighbours_of(unsigned index) {
  Neighbours found;
  alignas(nlmsghdr) char buffer[32768];  // an answer has the statistics of the link, too
  nlmsghdr* question = mnl_nlmsg_put_header(buffer);
  question->nlmsg_type = RTM_GETLINK;
  question->nlmsg_flags = NLM_F_REQUEST;
  auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(question, sizeof(ifinfomsg)));
  link->ifi_index = static_cast<int>(index);
  const UniqueFd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (::send(netlink.get(), question, question->nlmsg_len, 0) < 0) return found;
  const ssize_t got = ::recv(netlink.get(), buffer, sizeof buffer, 0);
  const auto* answer = reinterpret_cast<const nlmsghdr*>(buffer);
  if (mnl_nlmsg_ok(answer, static_cast<int>(got)) && answer->nlmsg_type == RTM_NEWLINK) {
    mnl_attr_parse(answer, sizeof(ifinfomsg), take_neighbours, &found);
  }
  return found;
}

// The ports, and the bridges and bonds that they are in.
std::set<unsigned> taken_interfaces(const Config& config) {
  std::set<unsigned> taken;
  for (const auto& port : config.ports) {
    unsigned index = ::if_nametoindex(port.interface.c_str());
    for (int i = 0; i < kStackedMax && index != 0; ++i) {
      taken.insert(index);
      index = neighbours_of(index).master;
    }
  }
  return taken;
}

// Whether what comes in there may have passed a port.
bool passes_port(const std::string& interface, const std::set<unsigned>& taken) {
  unsigned index = ::if_nametoindex(interface.c_str());
  for (int i = 0; i < kStackedMax && index != 0; ++i) {
    if (taken.contains(index)) return true;
    index = neighbours_of(index).lower;
  }
  return false;
}

struct Holder {
  std::string interface;
  bool routed = false;  // packets to its addresses come by others
};

std::vector<Holder> holders_of(const Endpoint& address) {
  std::vector<Holder> holders;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return holders;
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    if (!same_ip(at->ifa_addr, address)) continue;
    holders.push_back({at->ifa_name, (at->ifa_flags & (IFF_LOOPBACK | IFF_NOARP)) != 0});
  }
  ::freeifaddrs(all);
  return holders;
}

std::string names_of(const std::vector<Port>& ports) {
  std::string names;
  for (const auto& port : ports) names += (names.empty() ? "" : ", ") + port.interface;
  return names;
}

}  // namespace

std::vector<std::string> interfaces_with(const Endpoint& address) {
  std::vector<std::string> names;
  for (const auto& holder : holders_of(address)) names.push_back(holder.interface);
  return names;
}

std::vector<std::string> bind_faults(const Config& config) {
  std::vector<std::string> faults(config.binds.size());
  for (const auto& port : config.ports)
    if (port.interface.empty()) return faults;
  const std::set<unsigned> taken = taken_interfaces(config);
  for (std::size_t i = 0; i < faults.size(); ++i) {
    const Endpoint& address = config.binds[i].listen_address;
    const auto holders = holders_of(address);
    const bool reached = std::any_of(holders.begin(), holders.end(), [&](const Holder& holder) {
      return holder.routed || passes_port(holder.interface, taken);
    });
    if (holders.empty() || reached) continue;
    faults[i] = address.text() + " is on " + holders.front().interface +
                ", which is no port of this config (ports: " + names_of(config.ports) +
                "); clients that come in there get no answer over UDP";
  }
  return faults;
}

}  // namespace millrace::ctl
