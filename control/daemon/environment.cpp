// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/environment.hpp"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/magic.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "control/base/counted.hpp"
#include "control/daemon/bind_interface.hpp"
#include "control/daemon/unique_fd.hpp"
#include "control/snapshot/compile.hpp"

namespace millrace::ctl {
namespace {

namespace fs = std::filesystem;

// What one packet buffer takes: 2 KiB of frame, headroom, the buffer's own header and its place in
// the pool.
constexpr uint64_t kBufferBytes = 2048 + 128 + 128 + 64;
constexpr uint64_t kDpdkOwnBytes = 32ull << 20;  // heap and tables of the environment layer

std::string megabytes(uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20); }

void check_root(std::vector<Finding>& findings) {
  if (::geteuid() == 0) return;
  findings.push_back({true, "millraced runs as uid " + std::to_string(::geteuid()) +
                                ", which may not attach XDP programs; start it as root"});
}

void check_af_xdp(const Config& config, std::vector<Finding>& findings) {
  bool wanted = false;
  for (const auto& port : config.ports) wanted |= !port.interface.empty();
  if (!wanted) return;
  UniqueFd probe(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (probe.valid() || (errno != EAFNOSUPPORT && errno != EPROTONOSUPPORT)) return;
  findings.push_back({true, "this kernel has no AF_XDP; it needs CONFIG_XDP_SOCKETS=y"});
}

uint64_t number_in(const std::string& path) {
  uint64_t number = 0;
  std::ifstream(path) >> number;
  return number;
}

// What the device was made with; of these, some may be out of use. 0: unknown.
uint32_t rx_queues_at_most(const std::string& interface) {
  alignas(nlmsghdr) char buffer[32768];  // an answer has the statistics of the link, too
  nlmsghdr* question = mnl_nlmsg_put_header(buffer);
  question->nlmsg_type = RTM_GETLINK;
  question->nlmsg_flags = NLM_F_REQUEST;
  auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(question, sizeof(ifinfomsg)));
  link->ifi_index = static_cast<int>(::if_nametoindex(interface.c_str()));
  UniqueFd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (link->ifi_index == 0 || ::send(netlink.get(), question, question->nlmsg_len, 0) < 0) return 0;
  const ssize_t got = ::recv(netlink.get(), buffer, sizeof buffer, 0);
  const auto* answer = reinterpret_cast<const nlmsghdr*>(buffer);
  if (!mnl_nlmsg_ok(answer, static_cast<int>(got)) || answer->nlmsg_type != RTM_NEWLINK) return 0;
  uint32_t queues = 0;
  const auto take = [](const nlattr* attribute, void* into) {
    if (mnl_attr_get_type(attribute) == IFLA_NUM_RX_QUEUES) {
      *static_cast<uint32_t*>(into) = mnl_attr_get_u32(attribute);
    }
    return MNL_CB_OK;
  };
  mnl_attr_parse(answer, sizeof(ifinfomsg), take, &queues);
  return queues;
}

void append(std::vector<Finding>& to, std::vector<Finding> from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

std::vector<Finding> check_interfaces(const Config& config) {
  std::vector<Finding> findings;
  UniqueFd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  for (const auto& port : config.ports) {
    if (port.interface.empty()) continue;
    ifreq request{};
    port.interface.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(probe.get(), SIOCGIFFLAGS, &request) != 0) {
      findings.push_back({true, "ports[" + port.name + "].interface: " + port.interface +
                                    " does not exist in this network namespace; see `ip link`"});
    } else if ((request.ifr_flags & IFF_UP) == 0) {
      findings.push_back({true, "ports[" + port.name + "].interface: " + port.interface +
                                    " is down; `ip link set " + port.interface + " up`"});
    } else {
      append(findings, check_queues(config, port.name, port.interface,
                                    queue_state(port.interface)));
    }
  }
  return findings;
}

// AF_XDP is bound to queues that are in use now, not to those that the device could have.
QueueState queue_state(const std::string& interface) {
  UniqueFd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (::ioctl(probe.get(), SIOCETHTOOL, &request) != 0) return {rx_queues_at_most(interface)};
  return {channels.rx_count + channels.combined_count,
          channels.combined_count != 0 ? QueueState::Kind::combined : QueueState::Kind::rx_and_tx};
}

std::vector<Finding> check_queues(const Config& config, const std::string& port,
                                  const std::string& interface, const QueueState& state) {
  const uint32_t workers = config.dataplane.workers;
  if (state.rx_queues == 0 || state.rx_queues >= workers) return {};
  const std::string wanted = std::to_string(workers);
  std::string remedy = "lower dataplane.workers";
  if (state.kind == QueueState::Kind::combined) {
    remedy = "`ethtool -L " + interface + " combined " + wanted + "`, or " + remedy;
  } else if (state.kind == QueueState::Kind::rx_and_tx) {
    remedy = "`ethtool -L " + interface + " rx " + wanted + " tx " + wanted + "`, or " + remedy;
  }
  return {{true, "ports[" + port + "].interface: " + interface + " has " +
                     counted(state.rx_queues, "receive queue", "receive queues") +
                     ", and each of the " + wanted + " workers needs one; " + remedy}};
}

std::vector<Finding> check_binds(const Config& config) {
  std::vector<Finding> findings;
  const auto faults = bind_faults(config);
  for (std::size_t i = 0; i < faults.size(); ++i) {
    const Bind& bind = config.binds[i];
    const std::string key = "binds[" + bind.name + "].listen_address: ";
    if (!faults[i].empty()) {
      findings.push_back({false, key + faults[i]});
    } else if (interfaces_with(bind.listen_address).empty()) {
      const std::string meant = with_brackets(bind.listen_address.ip_text());
      findings.push_back({false, key + bind.listen_address.text() +
                                     " is on no interface of this host; packets to it must be "
                                     "routed here, and the kernel does not answer for it" +
                                     (meant.empty() ? "" : "; with a port: \"" + meant + "\"")});
    }
  }
  return findings;
}

HugepageState hugepage_state(const std::string& dir) {
  HugepageState state;
  struct statfs info {};
  std::string at = dir;
  // The directory itself is made by the data plane; its mount must be there.
  while (::statfs(at.c_str(), &info) != 0 && at.size() > 1) at = fs::path(at).parent_path();
  if (static_cast<uint64_t>(info.f_type) != HUGETLBFS_MAGIC) return state;
  state.mounted = true;
  state.page_bytes = static_cast<uint64_t>(info.f_bsize);
  const std::string pool =
      "/sys/kernel/mm/hugepages/hugepages-" + std::to_string(state.page_bytes >> 10) + "kB/";
  state.pages_total = number_in(pool + "nr_hugepages");
  const uint64_t unused = number_in(pool + "free_hugepages");
  const uint64_t promised = number_in(pool + "resv_hugepages");
  state.pages_free = unused > promised ? unused - promised : 0;
  return state;
}

uint64_t hugepage_bytes_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  const std::string key = "HugetlbPages:";
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    return std::strtoull(line.c_str() + key.size(), nullptr, 10) << 10;
  }
  return 0;
}

uint64_t hugepage_bytes_needed(const Config& config) {
  const uint64_t buffers =
      uint64_t{config.dataplane.workers} * config.dataplane.buffers_per_worker * kBufferBytes;
  return cache_bytes(config) + buffers + kDpdkOwnBytes;
}

std::vector<Finding> check_hugepages(const Config& config, const HugepageState& state) {
  if (!config.dataplane.hugepages) return {};
  const std::string& dir = config.dataplane.hugepage_dir;
  if (!state.mounted) {
    return {{true, "dataplane.hugepage_dir: no hugetlbfs is mounted at " + dir +
                       "; `mount -t hugetlbfs none " + fs::path(dir).parent_path().string() +
                       "`, or set dataplane.hugepages: false"}};
  }
  const uint64_t bytes = hugepage_bytes_needed(config);
  const uint64_t pages = (bytes + state.page_bytes - 1) / state.page_bytes;
  if (pages <= state.pages_free) return {};
  return {{true, counted(pages, "hugepage", "hugepages") + " of " + megabytes(state.page_bytes) +
                     " MiB needed (" + megabytes(bytes) + " MiB for cache and packet buffers), " +
                     std::to_string(state.pages_free) + " of " + std::to_string(state.pages_total) +
                     " free; `sysctl vm.nr_hugepages=" +
                     std::to_string(state.pages_total + pages - state.pages_free) +
                     "` or more, or lower packet_caches[].size or "
                     "dataplane.buffers_per_worker, or set dataplane.hugepages: false"}};
}

std::vector<Finding> check_environment(const EnvironmentQuestion& question) {
  std::vector<Finding> findings;
  check_root(findings);
  check_af_xdp(question.config, findings);
  append(findings, check_interfaces(question.config));
  if (question.starts_data_plane) {
    HugepageState state = hugepage_state(question.config.dataplane.hugepage_dir);
    if (state.mounted && question.replaced != 0) {
      state.pages_free += hugepage_bytes_of(question.replaced) / state.page_bytes;
    }
    append(findings, check_hugepages(question.config, state));
  }
  append(findings, check_binds(question.config));
  return findings;
}

}  // namespace millrace::ctl
