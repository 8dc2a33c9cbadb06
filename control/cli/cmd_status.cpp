// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "control/base/counted.hpp"
#include "control/cli/session.hpp"
#include "control/cli/table.hpp"

namespace millrace::cli {
namespace {

std::string number(const Json& object, const char* key) {
  return std::to_string(object.value(key, uint64_t{0}));
}

void print_data_plane(const Json& plane) {
  const std::string state = plane.value("state", "?");
  std::printf("data plane  %s", state.c_str());
  if (plane.contains("pid")) {
    std::printf(", pid %s, running %s%s", number(plane, "pid").c_str(),
                seconds_text(plane.value("uptime_s", 0.0)).c_str(),
                plane.value("adopted", false) ? ", adopted" : "");
  }
  const auto restarts = plane.value("restarts", 0u);
  if (restarts != 0) std::printf(", %s", ctl::counted(restarts, "restart", "restarts").c_str());
  std::printf("\n");
}

void print_stuck_workers(const Json& plane) {
  for (const auto& one : plane.value("stuck_workers", Json::array())) {
    std::printf("            worker %s on CPU %s has been in one turn for %.1f s; no memory is "
                "reclaimed meanwhile\n",
                number(one, "worker").c_str(), number(one, "cpu").c_str(),
                one.value("seconds", 0.0));
  }
}

void print_config(const Json& data) {
  const Json& running = data.at("running");
  std::printf("config      %s, generation %s since %s\n", running.value("source", "?").c_str(),
              number(data, "generation").c_str(), running.value("since", "?").c_str());
  if (!running.value("in_config", true)) {
    std::printf("            not in %s: lost when millraced starts again\n",
                data.at("millraced").value("config", "?").c_str());
  }
  const Json kept = data.value("history", Json::array());
  std::printf("history     %s in %s\n", ctl::counted(kept.size(), "config", "configs").c_str(),
              data.value("history_folder", "?").c_str());
}

void print_generations(const Json& data) {
  std::printf("generation  %s", number(data, "generation").c_str());
  for (const auto& core : data.at("dataplane").value("cores", Json::array())) {
    std::printf("; %s runs %s", core.value("name", "?").c_str(),
                number(core, "generation").c_str());
  }
  std::printf("\n");
}

void print_cache(const Json& cache) {
  const auto used = cache.value("memory_used", uint64_t{0});
  const auto total = cache.value("memory_total", uint64_t{0});
  const auto entries = cache.value("entries", uint64_t{0});
  std::printf("cache       %s, %s of %s (%.1f %%), of which %s wait for readers\n",
              ctl::counted(entries, "entry", "entries").c_str(), bytes_text(used).c_str(),
              bytes_text(total).c_str(),
              total == 0 ? 0.0 : 100.0 * static_cast<double>(used) / static_cast<double>(total),
              bytes_text(cache.value("memory_retired", uint64_t{0})).c_str());
  const auto refused = cache.value("no_memory", uint64_t{0});
  if (refused == 0) return;
  std::printf("            %s not stored, because no memory could be freed in time\n",
              ctl::counted(refused, "answer", "answers").c_str());
}

void print_tables(const Json& data) {
  Table ports({"PORT", "INTERFACE", "LINK", "XDP"});
  for (const auto& port : data.value("ports", Json::array())) {
    ports.add({port.value("name", ""), port.value("interface", port.value("device", "")),
               port.value("link", "-"), port.value("xdp", "-")});
  }
  Table binds({"BIND", "ADDRESS"});
  for (const auto& bind : data.value("binds", Json::array())) {
    binds.add({bind.value("name", ""), bind.value("listen_address", "")});
  }
  Table backends({"BACKEND", "ADDRESS", "STATE", "NEXT HOP"});
  for (const auto& one : data.value("backends", Json::array())) {
    const bool usable = one.value("usable", false);
    std::string way = one.value("why", "");
    if (usable) {
      const Json& hop = one.at("next_hop");
      way = hop.value("gateway", "") + " (" + hop.value("mac", "") + ") on " +
            hop.value("interface", "") + ", from " + hop.value("source", "");
    }
    const char* state = !usable ? "unreachable" : one.value("up", false) ? "up" : "down";
    backends.add({one.value("name", ""), one.value("address", ""), state, way});
  }
  std::printf("\n%s\n%s\n%s", ports.text().c_str(), binds.text().c_str(),
              backends.text().c_str());
}

void status(Session& session) {
  const Reply reply = session.call({{"verb", "status"}});
  if (!reply.status.ok()) return session.fail(reply);
  if (session.json) return session.print_json(reply.data);
  const Json& data = reply.data;
  const Json& daemon = data.at("millraced");
  std::printf("millraced   %s, pid %s, running %s\n", daemon.value("version", "?").c_str(),
              number(daemon, "pid").c_str(), seconds_text(daemon.value("uptime_s", 0.0)).c_str());
  print_config(data);
  print_data_plane(data.at("dataplane"));
  print_stuck_workers(data.at("dataplane"));
  print_generations(data);
  if (data.contains("cache")) print_cache(data["cache"]);
  print_tables(data);
  for (const auto& [kind, rows] : {std::pair{"port", "ports"}, std::pair{"bind", "binds"}}) {
    for (const auto& row : data.value(rows, Json::array())) {
      const std::string name = row.value("name", ""), why = row.value("why", "");
      if (!why.empty()) std::printf("\nwarning: %s %s: %s\n", kind, name.c_str(), why.c_str());
    }
  }
  for (const auto& fault : data.value("socket_faults", Json::array())) {
    std::printf("\nwarning: %s\n", fault.get<std::string>().c_str());
  }
}

}  // namespace

void add_status(CLI::App& app, Session& session) {
  auto* verb = app.add_subcommand(
      "status", "processes, generation of each core, ports with link and XDP mode, backends and "
                "their next hops, cache fill");
  verb->fallthrough();
  verb->callback([&session] {
    try {
      status(session);
    } catch (const Json::exception&) {
      session.fail(ctl::Status(ctl::Code::error,
                               "millraced is of another version; see `millrace version`"));
    }
  });
}

}  // namespace millrace::cli
