// SPDX-License-Identifier: Apache-2.0
// millrace-dataplane: started by millraced, which hands it its first config as a descriptor.
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>

#include <rte_eal.h>

#include "dataplane/port/appliance.hpp"
#include "dataplane/port/control_endpoint.hpp"
#include "dataplane/port/eal.hpp"
#include "dataplane/snapshot/config_attach.hpp"

namespace {

// Blocked here and so in every thread that DPDK starts; main takes them from a descriptor.
int block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

// A connection is a descriptor. What we may not have is left: then fewer can be open at a time.
void allow_descriptors() {
  constexpr rlim_t kWanted = millrace::abi::kConnectionsMax + 4096;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= kWanted) return;
  const rlimit most{kWanted, std::max(kWanted, limit.rlim_max)};
  const rlimit allowed{limit.rlim_max, limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &most) != 0) setrlimit(RLIMIT_NOFILE, &allowed);
}

void run(const std::string& run_dir, int config_fd) {
  using namespace millrace;
  const int signals = block_signals();
  allow_descriptors();
  snapshot::SealedImage config;
  std::string wrong = config.map(config_fd, sizeof(abi::ConfigImage));
  if (wrong.empty()) wrong = snapshot::verify_config(config.data(), config.size());
  if (!wrong.empty()) throw dp::Failed("config image: " + wrong);
  close(config_fd);
  // Instances that run side by side differ in their run directory.
  const std::string instance = std::filesystem::path(run_dir).filename().string();
  dp::start_eal(config.as<abi::ConfigImage>()->boot, instance);
  {
    dp::Appliance appliance(std::move(config), instance);
    dp::ControlEndpoint endpoint(run_dir, appliance);
    appliance.start();
    endpoint.serve(signals);
    appliance.stop();
  }
  rte_eal_cleanup();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "The packet path of millrace. millraced starts it; there is no need to do so by hand."};
  std::string run_dir;
  int config_fd = -1;
  app.add_option("--run-dir", run_dir, "where dataplane.sock is made")->required();
  app.add_option("--config-fd", config_fd, "descriptor of the sealed config image")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    run(run_dir, config_fd);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "millrace-dataplane: %s\n", error.what());
    return 1;
  }
  return 0;
}
