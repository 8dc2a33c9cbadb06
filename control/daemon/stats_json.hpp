// SPDX-License-Identifier: Apache-2.0
#pragma once
// The statistics area as the JSON of `stats`.
//
//     {"generation":G, "pid":P, "started_boot_ns":N, "uptime_s":S,
//      "cores":[{"core":0,"name":S,"generation":G,"rx":N,"classes":{..},"outcomes":{..},
//                "events":{..},"waiters":N,"inflight":N,"entries":N,"memory_used":N,
//                "memory_total":N,"memory_retired":N}],
//      "total":{the same without core and generation},
//      "identity":{"rx":N,"sum":N,"holds":true,"misses":N,"misses_accounted":N,"misses_hold":true},
//      "backends":[{"name","address","up","sent","answered","timeouts","failures","rtt_us",
//                   "usable"}],
//      "prefilter":{"IFACE":{"reason":n}}}
//
// Two identities are checked with every reading (dataplane/abi/outcomes.def, events.def): each
// core's rx is the sum of its outcomes, which holds in each copy of a page; and the misses of all
// cores are all accounted for, which holds exactly only when no query is between two cores.
//
// Cost: a few microseconds a core. Failure: a page that cannot be read whole is an error.

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "control/base/status.hpp"
#include "dataplane/abi/stats_page.hpp"
#include "dataplane/stats/stats_page_reader.hpp"

namespace millrace::ctl {

struct BackendLabel {
  std::string name;
  std::string address;
  bool usable = false;  // there is a route and a neighbour
};

// "core 0", ..., and behind the workers "slow path".
std::string core_name(const abi::StatsArea& area, std::size_t index);
Result<std::vector<stats::CoreSnapshot>> read_cores(const abi::StatsArea& area);

// Without "prefilter", "pid", "started_boot_ns" and "uptime_s", which the caller adds.
Result<nlohmann::json> stats_json(const abi::StatsArea& area,
                                  std::span<const BackendLabel> backends);

// [{"worker","cpu","seconds"}] of the workers that the data plane has found stuck in one turn.
nlohmann::json stuck_workers_json(const abi::StatsArea& area, uint64_t now_ns);

uint64_t boot_clock_ns();

// The oldest generation that some core still runs; 0 when one runs none yet.
uint64_t lowest_generation(std::span<const stats::CoreSnapshot> cores);

}  // namespace millrace::ctl
