// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/netlink_routes.hpp"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace millrace::ctl {
namespace {

constexpr std::size_t kMessageBytes = 32768;  // the kernel's answer to one link fits with room

struct alignas(nlmsghdr) MessageBuffer {
  char bytes[kMessageBytes];
};

// The attributes of one message or nest, by type.
class Attributes {
 public:
  Attributes(const nlmsghdr* message, unsigned header_bytes) {
    mnl_attr_parse(message, header_bytes, &collect, this);
  }
  explicit Attributes(const nlattr* nest) { mnl_attr_parse_nested(nest, &collect, this); }

  const nlattr* get(unsigned type) const { return type < kTypes ? found_[type] : nullptr; }
  uint32_t u32(unsigned type) const {
    const nlattr* attribute = get(type);
    return attribute && mnl_attr_get_payload_len(attribute) >= 4 ? mnl_attr_get_u32(attribute) : 0;
  }
  uint16_t u16(unsigned type) const {
    const nlattr* attribute = get(type);
    return attribute && mnl_attr_get_payload_len(attribute) >= 2 ? mnl_attr_get_u16(attribute) : 0;
  }
  std::string text(unsigned type) const {
    const nlattr* attribute = get(type);
    if (!attribute) return {};
    const char* from = mnl_attr_get_str(attribute);
    return {from, ::strnlen(from, mnl_attr_get_payload_len(attribute))};
  }
  std::optional<std::array<uint8_t, 6>> mac(unsigned type) const {
    const nlattr* attribute = get(type);
    if (!attribute || mnl_attr_get_payload_len(attribute) != 6) return std::nullopt;
    std::array<uint8_t, 6> mac;
    std::memcpy(mac.data(), mnl_attr_get_payload(attribute), mac.size());
    return mac;
  }
  IpAddress ip(unsigned type) const {
    const nlattr* attribute = get(type);
    return attribute ? ip_from(mnl_attr_get_payload(attribute),
                               mnl_attr_get_payload_len(attribute))
                     : IpAddress{};
  }

  static IpAddress ip_from(const void* bytes, std::size_t len) {
    IpAddress ip;
    if (len != 4 && len != 16) return ip;
    ip.family = len == 4 ? 4 : 6;
    std::memcpy(ip.bytes.data(), bytes, len);
    return ip;
  }

 private:
  static constexpr unsigned kTypes = 128;

  static int collect(const nlattr* attribute, void* self) {
    const unsigned type = mnl_attr_get_type(attribute);
    if (type < kTypes) static_cast<Attributes*>(self)->found_[type] = attribute;
    return MNL_CB_OK;
  }

  const nlattr* found_[kTypes] = {};
};

uint8_t af_of(const IpAddress& ip) { return ip.family == 4 ? AF_INET : AF_INET6; }

// rtvia: address family, then the address.
IpAddress via_address(const nlattr* attribute) {
  const std::size_t len = mnl_attr_get_payload_len(attribute);
  if (len < sizeof(rtvia)) return {};
  const auto* via = static_cast<const rtvia*>(mnl_attr_get_payload(attribute));
  return Attributes::ip_from(via->rtvia_addr, len - sizeof(rtvia));
}

// The fixed part of an answer, and what follows it.
template <class Header>
std::pair<const Header*, Attributes> split(const nlmsghdr* answer) {
  return {static_cast<const Header*>(mnl_nlmsg_get_payload(answer)),
          Attributes(answer, sizeof(Header))};
}

RouteKind kind_of(uint8_t rtm_type) {
  switch (rtm_type) {
    case RTN_UNICAST: return RouteKind::unicast;
    case RTN_LOCAL: return RouteKind::local;
    case RTN_BLACKHOLE:
    case RTN_UNREACHABLE:
    case RTN_PROHIBIT: return RouteKind::refusing;
    default: return RouteKind::other;
  }
}

KernelRoute parse_route(const nlmsghdr* answer) {
  const auto [head, attributes] = split<rtmsg>(answer);
  KernelRoute route;
  route.kind = kind_of(head->rtm_type);
  route.out_index = static_cast<int>(attributes.u32(RTA_OIF));
  route.gateway = attributes.ip(RTA_GATEWAY);
  if (const nlattr* via = attributes.get(RTA_VIA)) route.gateway = via_address(via);
  route.source = attributes.ip(RTA_PREFSRC);
  if (const nlattr* metrics = attributes.get(RTA_METRICS)) {
    route.mtu = Attributes(metrics).u32(RTAX_MTU);
  }
  return route;
}

KernelLink parse_link(const nlmsghdr* answer) {
  const auto [head, attributes] = split<ifinfomsg>(answer);
  KernelLink link;
  link.index = head->ifi_index;
  link.name = attributes.text(IFLA_IFNAME);
  link.up = (head->ifi_flags & IFF_UP) != 0 && (head->ifi_flags & IFF_RUNNING) != 0;
  link.mtu = attributes.u32(IFLA_MTU);
  const auto mac = attributes.mac(IFLA_ADDRESS);
  link.ethernet = head->ifi_type == ARPHRD_ETHER && mac.has_value();
  if (mac) link.mac = *mac;
  link.lower_index = static_cast<int>(attributes.u32(IFLA_LINK));
  if (const nlattr* nest = attributes.get(IFLA_LINKINFO)) {
    const Attributes info(nest);
    link.kind = info.text(IFLA_INFO_KIND);
    if (const nlattr* data = info.get(IFLA_INFO_DATA); data && link.kind == "vlan") {
      const Attributes vlan(data);
      link.vlan_id = vlan.u16(IFLA_VLAN_ID);
      link.vlan_protocol = ntohs(vlan.u16(IFLA_VLAN_PROTOCOL));
    }
  }
  return link;
}

KernelNeighbour parse_neighbour(const nlmsghdr* answer) {
  const auto [head, attributes] = split<ndmsg>(answer);
  KernelNeighbour neighbour;
  neighbour.state = head->ndm_state;
  neighbour.mac = attributes.mac(NDA_LLADDR);
  neighbour.managed = (attributes.u32(NDA_FLAGS_EXT) & NTF_EXT_MANAGED) != 0;
  return neighbour;
}

// A request on its way to be filled in. Stays where it is: `message` and `head` point into it.
template <class Header>
struct Request {
  Request(uint16_t type, uint16_t flags) : message(mnl_nlmsg_put_header(buffer.bytes)) {
    message->nlmsg_type = type;
    message->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    head = static_cast<Header*>(mnl_nlmsg_put_extra_header(message, sizeof(Header)));
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  MessageBuffer buffer;
  nlmsghdr* message;
  Header* head;
};

void put_ip(nlmsghdr* message, uint16_t type, const IpAddress& ip) {
  mnl_attr_put(message, type, ip.size(), ip.bytes.data());
}

}  // namespace

Result<std::unique_ptr<NetlinkRoutes>> NetlinkRoutes::open() {
  auto failed = [](const char* what) {
    return Status(Code::error, std::string("netlink: ") + what + ": " + std::strerror(errno));
  };
  std::unique_ptr<NetlinkRoutes> routes(new NetlinkRoutes());
  routes->events_ = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  routes->questions_ = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (!routes->events_ || !routes->questions_) return failed("cannot open a socket");
  if (mnl_socket_bind(routes->questions_, 0, MNL_SOCKET_AUTOPID) < 0) return failed("bind");
  constexpr unsigned kGroups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR |
                               RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
  if (mnl_socket_bind(routes->events_, kGroups, MNL_SOCKET_AUTOPID) < 0) {
    return failed("cannot subscribe to changes");
  }
  // An answer that never comes must not hang the daemon.
  const timeval limit{1, 0};
  ::setsockopt(mnl_socket_get_fd(routes->questions_), SOL_SOCKET, SO_RCVTIMEO, &limit,
               sizeof limit);
  return routes;
}

NetlinkRoutes::~NetlinkRoutes() {
  if (events_) mnl_socket_close(events_);
  if (questions_) mnl_socket_close(questions_);
}

int NetlinkRoutes::event_fd() const { return mnl_socket_get_fd(events_); }

void NetlinkRoutes::drain_events() {
  MessageBuffer buffer;
  // ENOBUFS says that events were lost, which means no more than "look again". The turns are
  // bounded so that a storm of events cannot keep the loop here.
  for (int turns = 0; turns < 64; ++turns) {
    const ssize_t got = mnl_socket_recvfrom(events_, buffer.bytes, sizeof buffer.bytes);
    if (got <= 0 && errno != ENOBUFS && errno != EINTR && errno != ENOSPC) return;
  }
}

template <class Parse>
int NetlinkRoutes::ask(nlmsghdr* request, Parse&& parse) {
  request->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(questions_, request, request->nlmsg_len) < 0) return errno;
  MessageBuffer buffer;
  while (true) {
    const ssize_t got = mnl_socket_recvfrom(questions_, buffer.bytes, sizeof buffer.bytes);
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    int left = static_cast<int>(got);
    const auto* answer = reinterpret_cast<const nlmsghdr*>(buffer.bytes);
    for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
      if (answer->nlmsg_seq != sequence_) continue;  // of a question that was given up
      if (answer->nlmsg_type == NLMSG_ERROR) {
        return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer))->error;
      }
      parse(answer);
      return 0;
    }
  }
}

template <class Found>
std::optional<Found> NetlinkRoutes::find(nlmsghdr* request, Found (*parse)(const nlmsghdr*)) {
  std::optional<Found> found;
  const int error = ask(request, [&](const nlmsghdr* answer) { found = parse(answer); });
  return error == 0 ? found : std::nullopt;
}

std::optional<KernelRoute> NetlinkRoutes::route(const IpAddress& to) {
  Request<rtmsg> request(RTM_GETROUTE, 0);
  request.head->rtm_family = af_of(to);
  request.head->rtm_dst_len = static_cast<uint8_t>(to.size() * 8);
  put_ip(request.message, RTA_DST, to);
  return find(request.message, parse_route);
}

std::optional<KernelLink> NetlinkRoutes::link(int index) {
  Request<ifinfomsg> request(RTM_GETLINK, 0);
  request.head->ifi_index = index;
  return find(request.message, parse_link);
}

std::optional<KernelNeighbour> NetlinkRoutes::neighbour(int link_index, const IpAddress& of) {
  Request<ndmsg> request(RTM_GETNEIGH, 0);
  request.head->ndm_family = af_of(of);
  request.head->ndm_ifindex = link_index;
  put_ip(request.message, NDA_DST, of);
  return find(request.message, parse_neighbour);
}

bool NetlinkRoutes::set_neighbour_flags(const NeighbourId& id, bool managed) {
  Request<ndmsg> request(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE);
  request.head->ndm_family = af_of(id.second);
  request.head->ndm_ifindex = id.first;
  if (managed) {
    mnl_attr_put_u32(request.message, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
  } else {
    request.head->ndm_flags = NTF_USE;
  }
  put_ip(request.message, NDA_DST, id.second);
  return ask(request.message, [](const nlmsghdr*) {}) == 0;
}

void NetlinkRoutes::keep_alive(const NeighbourId& id, bool refresh) {
  const auto known = neighbour(id.first, id.second);
  if (known && known->immutable()) return;
  if (can_manage_) {
    // By us, and then it is among kept_, or by the operator, who keeps it.
    if (known && known->managed) return;
    set_neighbour_flags(id, true);
    // Kernels before 5.16 take the request and leave the flag out.
    const auto now = neighbour(id.first, id.second);
    if (now && now->managed) {
      kept_.insert(id);
      return;
    }
    if (now) can_manage_ = false;
  }
  if (refresh || !known) set_neighbour_flags(id, false);
}

void NetlinkRoutes::let_go(const NeighbourId& id) {
  const auto now = neighbour(id.first, id.second);
  if (now && now->managed) set_neighbour_flags(id, false);
}

std::vector<Resolution> NetlinkRoutes::resolve(std::span<const IpAddress> backends,
                                               std::span<const std::string> port_interfaces,
                                               bool refresh) {
  std::vector<Resolution> resolutions;
  std::set<NeighbourId> wanted;
  for (const auto& backend : backends) {
    auto resolution = resolve_next_hop(*this, backend, port_interfaces);
    if (resolution.link_index != 0) {
      const NeighbourId id{resolution.link_index, resolution.neighbour};
      if (wanted.insert(id).second) keep_alive(id, refresh);
    }
    resolutions.push_back(std::move(resolution));
  }
  for (auto id = kept_.begin(); id != kept_.end();) {
    if (wanted.contains(*id)) {
      ++id;
      continue;
    }
    let_go(*id);
    id = kept_.erase(id);
  }
  return resolutions;
}

void NetlinkRoutes::release() {
  for (const auto& id : kept_) let_go(id);
  kept_.clear();
}

}  // namespace millrace::ctl
