// SPDX-License-Identifier: Apache-2.0
#pragma once
// `status`: is everything as it should be, and if not, what is not.
//
//     {"millraced":{"pid","uptime_s","version","config"},
//      "generation":G, "history":[..], "history_folder",
//      "running":{"source","since","in_config"},
//      "dataplane":{"state":"up"|"starting"|"waiting"|"stopping","pid","adopted","uptime_s",
//                   "restarts","cores":[{"core","generation"}], "routes_generation"},
//      "ports":[{"name","interface"|"device","xdp"}],
//      "binds":[{"name","listen_address","why"}], "socket_faults":[text of an address without TCP],
//      "backends":[{"name","address","up","usable","why","next_hop":{"interface","gateway","mac",
//                   "source","mtu","vlan"}}],
//      "cache":{"entries","memory_used","memory_total"}}
//
// The data plane's fields are there while it is up. `running` says which file the config came from,
// as it was named then, since when it runs (UTC), and whether millraced's own file, `config`, says
// the same now: if not, what runs is lost when millraced starts again.

#include <nlohmann/json.hpp>
#include <vector>

#include "control/daemon/stats_json.hpp"

namespace millrace::ctl {

class Daemon;

nlohmann::json status_json(Daemon& daemon);

// Whether millraced would come back with another config than the one that runs.
bool file_differs(const Daemon& daemon);
std::string own_file(const Daemon& daemon);  // its path from the root

// Names, addresses and reachability of the running config's backends, by index.
std::vector<BackendLabel> backend_labels(Daemon& daemon);

// Seconds since the data plane started.
double data_plane_uptime_s(const abi::StatsArea& area);

}  // namespace millrace::ctl
