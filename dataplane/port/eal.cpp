// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/eal.hpp"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include <cctype>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <xdp/libxdp.h>

namespace millrace::dp {
namespace {

// "0000:03:00.0" or "03:00.0": a PCI address; anything else is a vdev.
bool is_pci(const std::string& device) {
  const std::string name = device.substr(0, device.find(','));
  return name.find(':') != std::string::npos && std::isxdigit(static_cast<unsigned char>(name[0]));
}

std::string lcore_map(const abi::BootSection& boot) {
  std::string map = "0@" + std::to_string(boot.cores[0]);
  for (uint32_t w = 0; w < boot.workers; ++w) {
    map += "," + std::to_string(lcore_of_worker(w)) + "@" + std::to_string(boot.cores[w + 1]);
  }
  return map;
}

void add_devices(const abi::BootSection& boot, std::vector<std::string>& args) {
  bool pci = false;
  for (uint32_t p = 0; p < boot.ports; ++p) {
    const abi::PortConfig& port = boot.port[p];
    if (port.interface[0] != '\0') {
      for (uint32_t w = 0; w < boot.workers; ++w) {
        args.push_back("--vdev=" + vdev_name(p, w) + ",iface=" + port.interface +
                       ",start_queue=" + std::to_string(w));
      }
    } else {
      pci = pci || is_pci(port.device);
      args.push_back((is_pci(port.device) ? "--allow=" : "--vdev=") + std::string(port.device));
    }
  }
  if (!pci) args.push_back("--no-pci");
}

// What libxdp has to say about a socket that could not be made is kept. For each that could, it
// warns that the program, which it finds without a count of its users, will stay when the socket
// goes; and so it is to be: the program is the prefilter.
__attribute__((format(printf, 2, 0))) int print_of_libxdp(libxdp_print_level level,
                                                          const char* format, va_list args) {
  const bool of_our_program = std::strstr(format, "doesn't support program refcnt") != nullptr;
  return level == LIBXDP_WARN && !of_our_program ? std::vfprintf(stderr, format, args) : 0;
}

}  // namespace

std::string vdev_name(uint32_t port, uint32_t worker) {
  return "net_af_xdp" + std::to_string(port) + "_" + std::to_string(worker);
}

void start_eal(const abi::BootSection& boot, const std::string& file_prefix) {
  libxdp_set_print(print_of_libxdp);  // DPDK's driver leaves it at what it is
  // EAL warns of every size of hugepages that nobody has reserved, 1 GiB too; where the start fails
  // for another reason, that would stand first and read as the cause.
  std::vector<std::string> args{"millrace-dataplane",
                                "--lcores=" + lcore_map(boot),
                                "--file-prefix=" + file_prefix,
                                "--iova-mode=va",
                                "--no-telemetry",
                                "--log-level=lib.eal:error",
                                "--log-level=pmd.net.af_xdp:warning"};
  if (boot.hugepages != 0) {
    args.push_back("--in-memory");
  } else {
    // Without hugepages DPDK takes all it will ever have at start.
    const uint64_t frames = uint64_t{boot.frames_per_worker} * boot.workers;
    args.push_back("--no-huge");
    args.push_back("--no-shconf");
    args.push_back("-m" + std::to_string(128 + frames * 2560 / (1 << 20)));
  }
  add_devices(boot, args);
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
    throw Failed("DPDK did not start: " + std::string(rte_strerror(rte_errno)) +
                 (boot.hugepages != 0
                      ? "; see the lines above, and whether enough hugepages are free "
                        "(grep HugePages_Free /proc/meminfo)"
                      : "; see the lines above"));
  }
}

}  // namespace millrace::dp
