// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/environment.hpp"

#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/magic.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

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
    }
  }
  return findings;
}

std::vector<Finding> check_binds(const Config& config) {
  std::vector<Finding> findings;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return findings;
  for (const auto& bind : config.binds) {
    bool present = false;
    for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
      present |= same_ip(at->ifa_addr, bind.listen_address);
    }
    if (present) continue;
    findings.push_back({false, "binds[" + bind.name + "].listen_address: " +
                                   bind.listen_address.text() +
                                   " is on no interface of this host; packets to it must be routed "
                                   "here, and the kernel does not answer for it"});
  }
  ::freeifaddrs(all);
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
  std::ifstream free_pages("/sys/kernel/mm/hugepages/hugepages-" +
                           std::to_string(state.page_bytes >> 10) + "kB/free_hugepages");
  free_pages >> state.pages_free;
  return state;
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
  return {{true, "hugepages: " + std::to_string(pages) + " of " +
                     std::to_string(state.page_bytes >> 10) + " KiB needed (" +
                     megabytes(bytes) + " MiB for cache and packet buffers), " +
                     std::to_string(state.pages_free) + " free; `sysctl vm.nr_hugepages=" +
                     std::to_string(pages) +
                     "` or more, or lower packet_caches[].size or "
                     "dataplane.buffers_per_worker, or set dataplane.hugepages: false"}};
}

std::vector<Finding> check_environment(const EnvironmentQuestion& question) {
  std::vector<Finding> findings;
  check_root(findings);
  check_af_xdp(question.config, findings);
  append(findings, check_interfaces(question.config));
  if (!question.data_plane_running) {
    append(findings, check_hugepages(question.config,
                                     hugepage_state(question.config.dataplane.hugepage_dir)));
  }
  append(findings, check_binds(question.config));
  return findings;
}

}  // namespace millrace::ctl
