// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/status_json.hpp"

#include <arpa/inet.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>

#include "control/config/load.hpp"
#include "control/daemon/backend_watch.hpp"
#include "control/daemon/bind_interface.hpp"
#include "control/daemon/daemon.hpp"
#include "control/daemon/link_state.hpp"
#include "control/daemon/read_text.hpp"
#include "control/daemon/version.hpp"

namespace millrace::ctl {
namespace {

using Json = nlohmann::json;

const char* state_text(Supervisor::State state) {
  switch (state) {
    case Supervisor::State::idle: return "idle";
    case Supervisor::State::starting: return "starting";
    case Supervisor::State::up: return "up";
    case Supervisor::State::waiting: return "waiting";
    case Supervisor::State::stopping: return "stopping";
  }
  return "?";
}

Json hop_json(const Resolution& resolution) {
  if (!resolution.usable()) return nullptr;
  return {{"interface", resolution.interface},
          {"gateway", resolution.neighbour.text()},
          {"mac", mac_text(resolution.hop.target_mac)},
          {"source", ip_address(resolution.hop.source).text()},
          {"mtu", resolution.hop.mtu},
          {"vlan", ntohs(resolution.hop.vlan_tci_be)}};
}

Json ports_json(Daemon& daemon) {
  Json ports = Json::array();
  for (const auto& port : daemon.current().config.ports) {
    Json one{{"name", port.name}};
    if (port.interface.empty()) {
      one["device"] = port.device;
    } else {
      one["interface"] = port.interface;
      const Status there = daemon.prefilter().verify(port.interface);
      one["xdp"] = there.ok() ? daemon.prefilter().mode(port.interface) : there.message();
      const LinkState link = link_state(port.interface);
      one["link"] = link_state_text(link);
      one["why"] = link_advice(link, port.interface);
    }
    ports.push_back(std::move(one));
  }
  return ports;
}

void add_data_plane(Daemon& daemon, Json& out) {
  auto& supervisor = daemon.supervisor();
  Json& plane = out["dataplane"];
  const char* state = supervisor.responds() ? state_text(supervisor.state()) : "not responding";
  plane = {{"state", state}, {"restarts", supervisor.restarts()}};
  const auto& info = supervisor.info();
  if (!info) return;
  plane["pid"] = info->pid;
  plane["adopted"] = info->adopted;
  plane["uptime_s"] = data_plane_uptime_s(*info->stats);
  plane["routes_generation"] = daemon.routes().generation();
  plane["cores"] = Json::array();
  auto cores = read_cores(*info->stats);
  if (!cores.ok()) return;
  plane["stuck_workers"] = stuck_workers_json(*info->stats, boot_clock_ns());
  uint64_t entries = 0, used = 0, total = 0, retired = 0, no_memory = 0;
  for (std::size_t i = 0; i < cores.value().size(); ++i) {
    const auto& core = cores.value()[i];
    plane["cores"].push_back({{"core", i},
                              {"name", core_name(*info->stats, i)},
                              {"generation", core.generation}});
    entries += core.entries;
    used += core.memory_used;
    total += core.memory_total;
    retired += core.memory_retired;
    no_memory += core.event[static_cast<std::size_t>(abi::Event::cache_no_memory)];
  }
  out["cache"] = {{"entries", entries},
                  {"memory_used", used},
                  {"memory_total", total},
                  {"memory_retired", retired},
                  {"no_memory", no_memory}};
}

Json backends_json(Daemon& daemon) {
  Json backends = Json::array();
  const auto& config = daemon.current().config;
  const auto& resolutions = daemon.routes().current();
  const auto& info = daemon.supervisor().info();
  for (std::size_t i = 0; i < config.backends.size() && i < resolutions.size(); ++i) {
    const bool up = info && backend_is_up(*info->stats, i);
    backends.push_back({{"name", config.backends[i].name},
                        {"address", config.backends[i].address.text()},
                        {"up", up},
                        {"usable", resolutions[i].usable()},
                        {"why", resolutions[i].why},
                        {"next_hop", hop_json(resolutions[i])}});
  }
  return backends;
}

std::string utc_text(std::chrono::system_clock::time_point when) {
  const time_t seconds = std::chrono::system_clock::to_time_t(when);
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

bool file_differs(const Daemon& daemon) {
  const auto text = read_text(daemon.options().config_path);
  if (!text.ok()) return true;
  const auto loaded = load_config_text(text.value(), daemon.options().config_path,
                                       Host::here(daemon.options().testing));
  return !loaded.ok() || !diff(daemon.current().config, *loaded.config).empty();
}

std::string own_file(const Daemon& daemon) {
  return std::filesystem::absolute(daemon.options().config_path).string();
}

double data_plane_uptime_s(const abi::StatsArea& area) {
  const uint64_t now_ns = boot_clock_ns();
  if (now_ns < area.started_boot_ns) return 0;
  return static_cast<double>((now_ns - area.started_boot_ns) / 1'000'000) / 1000;
}

std::vector<BackendLabel> backend_labels(Daemon& daemon) {
  std::vector<BackendLabel> labels;
  const auto& resolutions = daemon.routes().current();
  for (const auto& backend : daemon.current().config.backends) {
    const std::size_t index = labels.size();
    labels.push_back({backend.name, backend.address.text(),
                      index < resolutions.size() && resolutions[index].usable()});
  }
  return labels;
}

Json status_json(Daemon& daemon) {
  const auto& current = daemon.current();
  Json out{{"millraced",
            {{"pid", ::getpid()},
             {"uptime_s", daemon.uptime().count()},
             {"version", kVersion},
             {"config", own_file(daemon)}}},
           {"generation", current.generation()},
           {"running",
            {{"source", current.source},
             {"since", utc_text(current.since)},
             {"in_config", !file_differs(daemon)}}},
           {"history", daemon.history().generations()},
           {"history_folder", std::filesystem::absolute(daemon.history().folder()).string()},
           {"ports", ports_json(daemon)},
           {"binds", Json::array()},
           {"backends", backends_json(daemon)}};
  const auto faults = bind_faults(current.config);
  for (std::size_t i = 0; i < faults.size(); ++i) {
    const Bind& bind = current.config.binds[i];
    out["binds"].push_back({{"name", bind.name},
                            {"listen_address", bind.listen_address.text()},
                            {"why", faults[i]}});
  }
  out["socket_faults"] = daemon.socket_faults();
  add_data_plane(daemon, out);
  return out;
}

}  // namespace millrace::ctl
