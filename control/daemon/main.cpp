// SPDX-License-Identifier: Apache-2.0
// millraced: reads the command line and the config, looks at the machine, runs the daemon.

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "control/config/load.hpp"
#include "control/daemon/daemon.hpp"
#include "control/daemon/environment.hpp"
#include "control/daemon/namespace_lock.hpp"
#include "control/daemon/netlink_routes.hpp"
#include "control/daemon/process.hpp"
#include "control/daemon/read_text.hpp"
#include "control/daemon/run_dir.hpp"
#include "control/daemon/unix_socket.hpp"
#include "control/daemon/version.hpp"

namespace millrace::ctl {
namespace {

struct CommandLine {
  std::string config = "/etc/millrace/millrace.yaml";
  std::string run_dir = "/run/millrace";
  std::string state_dir = "/var/lib/millrace";
  std::string pin_dir = "/sys/fs/bpf/millrace";
  std::string dataplane;
  bool testing = false;
};

int fail(const Status& status) {
  std::fprintf(stderr, "millraced: %s\n", status.message().c_str());
  return status.exit_code();
}

// Installed beside us, or where a build tree has it.
Result<std::string> find_data_plane(const std::string& given) {
  namespace fs = std::filesystem;
  const fs::path here = fs::read_symlink("/proc/self/exe").parent_path();
  std::vector<fs::path> places;
  if (!given.empty()) {
    places = {given};
  } else {
    for (const char* dir : {".", "../../dataplane/port", "../../dataplane", "../dataplane/port",
                            "../dataplane", "../libexec/millrace"}) {
      places.push_back((here / dir / "millrace-dataplane").lexically_normal());
    }
  }
  std::string tried;
  for (const auto& place : places) {
    if (::access(place.c_str(), X_OK) == 0 && !fs::is_directory(place)) return place.string();
    tried += (tried.empty() ? "" : ", ") + place.string();
  }
  return Status(Code::error,
                "no millrace-dataplane to start; looked for " + tried + "; use --dataplane PATH");
}

bool data_plane_listens(const std::string& run_dir) {
  return connect_unix(run_dir + "/dataplane.sock", SOCK_SEQPACKET).ok();
}

Status look_at_machine(const Config& config, const CommandLine& line) {
  std::string fatal;
  const bool listens = data_plane_listens(line.run_dir);
  // One without a socket is ended for ours, which takes its hugepages.
  const auto forgotten = listens ? std::nullopt : find_data_plane_of(line.run_dir);
  for (const auto& finding : check_environment({config, !listens, forgotten.value_or(0)})) {
    if (!finding.fatal) log::warning(finding.text);
    else fatal += (fatal.empty() ? "" : "\nmillraced: ") + finding.text;
  }
  return fatal.empty() ? Status() : Status(Code::error, fatal);
}

// Signals arrive through a descriptor: no handler interrupts anything.
UniqueFd open_signals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&wanted, number);
  ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return UniqueFd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
}

void on_signal(int fd, Daemon& daemon) {
  signalfd_siginfo info{};
  while (::read(fd, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP) {
      daemon.apply_own_file();
    } else {
      log::info("stopping");
      daemon.shut_down();
    }
  }
}

int run(const CommandLine& line, Config config, std::string yaml) {
  auto program = find_data_plane(line.dataplane);
  if (!program.ok()) return fail(program.status());
  auto routes = NetlinkRoutes::open();
  if (!routes.ok()) return fail(routes.status());
  const UniqueFd signals = open_signals();
  EventLoop loop;
  XdpPrefilterControl prefilter(line.pin_dir);
  DaemonOptions options;
  options.config_path = line.config;
  options.state_dir = line.state_dir;
  options.testing = line.testing;
  options.supervisor.run_dir = line.run_dir;
  options.supervisor.program = program.value();
  Daemon daemon(loop, options, prefilter, *routes.value());
  if (auto started = daemon.start(std::move(config), std::move(yaml)); !started.ok()) {
    return fail(started);
  }
  loop.watch(signals.get(), EPOLLIN, [&](uint32_t) { on_signal(signals.get(), daemon); });
  loop.run();
  return daemon.exit_status().ok() ? 0 : fail(daemon.exit_status());
}

int start(const CommandLine& line) {
  auto yaml = read_text(line.config);
  if (!yaml.ok()) return fail(yaml.status());
  auto loaded = load_config_text(yaml.value(), line.config, Host::here(line.testing));
  if (!loaded.ok()) {
    std::fprintf(stderr, "%s\n", loaded.text().c_str());
    return static_cast<int>(Code::rejected);
  }
  const auto run_dir = RunDir::take(line.run_dir);
  if (!run_dir.ok()) return fail(run_dir.status());
  const auto only_one = lock_network_namespace();
  if (!only_one.ok()) return fail(only_one.status());
  if (auto fits = look_at_machine(*loaded.config, line); !fits.ok()) return fail(fits);
  return run(line, std::move(*loaded.config), yaml.value());
}

}  // namespace
}  // namespace millrace::ctl

int main(int argc, char** argv) {
  using namespace millrace::ctl;
  CommandLine line;
  CLI::App app{
      "millraced - control plane of the millrace DNS cache appliance\n\n"
      "Validates the config, checks the machine, attaches the XDP prefilter, starts (or adopts)\n"
      "the data plane, keeps its routes equal to the kernel's and serves `millrace` on\n"
      "RUN-DIR/millraced.sock. Runs in the foreground and logs to stderr.\n\n"
      "Signals: SIGTERM and SIGINT stop everything and leave nothing behind; SIGHUP applies the\n"
      "config file again, as `millrace config apply` does. After a kill -9 packets keep flowing;\n"
      "start millraced again and it adopts the data plane that runs.",
      "millraced"};
  app.add_option("--config", line.config, "config file")->type_name("FILE")->capture_default_str();
  app.add_option("--run-dir", line.run_dir,
                 "sockets, lock and data plane log; one per millraced, and one millraced per "
                 "network namespace")
      ->type_name("DIR")
      ->capture_default_str();
  app.add_option("--state-dir", line.state_dir, "history of applied configs")
      ->type_name("DIR")
      ->capture_default_str();
  app.add_option("--pin-dir", line.pin_dir, "where the prefilter is pinned, on a bpffs")
      ->type_name("DIR")
      ->capture_default_str();
  app.add_option("--dataplane", line.dataplane,
                 "millrace-dataplane to start (default: the one installed with millraced)")
      ->type_name("PATH");
  app.add_flag("--testing", line.testing,
               "allow what is for tests of millrace only (section `testing` of the config)");
  app.set_version_flag("--version", std::string("millraced ") + kVersion);
  app.footer(
      "Exit codes: 0 stopped by a signal, 1 error, 2 usage, 4 config refused by validation.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return fail({Code::usage, std::string(error.what()) + "; see --help"});
  }
  return start(line);
}
