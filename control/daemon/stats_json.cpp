// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/stats_json.hpp"

#include <time.h>

#include <algorithm>
#include <array>

namespace millrace::ctl {
namespace {

using Json = nlohmann::json;
using stats::CoreSnapshot;

uint64_t outcome_sum(const CoreSnapshot& core) {
  uint64_t sum = 0;
  for (const uint64_t count : core.outcome) sum += count;
  return sum;
}

uint64_t event(const CoreSnapshot& core, abi::Event which) {
  return core.event[static_cast<std::size_t>(which)];
}

Json classes_json(const CoreSnapshot& core) {
  std::array<uint64_t, abi::kOutcomeClassCnt> sums{};
  for (std::size_t i = 0; i < abi::kOutcomeCnt; ++i) {
    sums[static_cast<std::size_t>(abi::kOutcomes[i].cls)] += core.outcome[i];
  }
  Json classes = Json::object();
  for (std::size_t i = 0; i < sums.size(); ++i) classes[abi::kOutcomeClasses[i]] = sums[i];
  return classes;
}

Json core_json(const CoreSnapshot& core) {
  Json outcomes = Json::object();
  for (std::size_t i = 0; i < abi::kOutcomeCnt; ++i) {
    outcomes[abi::kOutcomes[i].name] = core.outcome[i];
  }
  Json events = Json::object();
  for (std::size_t i = 0; i < abi::kEventCnt; ++i) events[abi::kEvents[i].name] = core.event[i];
  return {{"rx", core.rx_packets},        {"classes", classes_json(core)},
          {"outcomes", outcomes},         {"events", events},
          {"waiters", core.waiters},      {"inflight", core.inflight},
          {"entries", core.entries},      {"memory_used", core.memory_used},
          {"memory_total", core.memory_total},
          {"memory_retired", core.memory_retired}};
}

CoreSnapshot total_of(std::span<const CoreSnapshot> cores) {
  CoreSnapshot total{};
  for (const auto& core : cores) {
    total.rx_packets += core.rx_packets;
    total.waiters += core.waiters;
    total.inflight += core.inflight;
    total.entries += core.entries;
    total.memory_used += core.memory_used;
    total.memory_total += core.memory_total;
    total.memory_retired += core.memory_retired;
    for (std::size_t i = 0; i < abi::kOutcomeCnt; ++i) total.outcome[i] += core.outcome[i];
    for (std::size_t i = 0; i < abi::kEventCnt; ++i) total.event[i] += core.event[i];
  }
  return total;
}

Json identity_json(std::span<const CoreSnapshot> cores, const CoreSnapshot& total) {
  const bool holds = std::all_of(cores.begin(), cores.end(), [](const CoreSnapshot& core) {
    return core.rx_packets == outcome_sum(core);
  });
  const uint64_t misses = total.outcome[static_cast<std::size_t>(abi::Outcome::miss)];
  const uint64_t accounted = event(total, abi::Event::waiter_answered) +
                             event(total, abi::Event::waiter_failed) + total.waiters;
  return {{"rx", total.rx_packets},          {"sum", outcome_sum(total)},
          {"holds", holds},                  {"misses", misses},
          {"misses_accounted", accounted},   {"misses_hold", misses == accounted}};
}

Json backend_json(const abi::StatsArea& area, std::size_t index, const BackendLabel& label) {
  constexpr auto relaxed = std::memory_order_relaxed;
  uint64_t sent = 0, answered = 0, timeouts = 0, failures = 0, rtt_sum = 0, rtt_cores = 0;
  bool up = false;
  // Relaxed: each cell is a figure of its own, written by one core; no two belong together.
  for (std::size_t core = 0; core < area.workers; ++core) {
    const auto& cell = area.backends[core][index];
    sent += cell.sent.load(relaxed);
    answered += cell.answered.load(relaxed);
    timeouts += cell.timeouts.load(relaxed);
    failures += cell.failures.load(relaxed);
    const uint64_t rtt = cell.rtt_us.load(relaxed);
    rtt_sum += rtt;
    rtt_cores += rtt != 0;
    up |= cell.up.load(relaxed) != 0;
  }
  return {{"name", label.name},         {"address", label.address},
          {"up", up},                   {"sent", sent},
          {"answered", answered},       {"timeouts", timeouts},
          {"failures", failures},       {"rtt_us", rtt_cores == 0 ? 0 : rtt_sum / rtt_cores},
          {"usable", label.usable}};
}

}  // namespace

std::string core_name(const abi::StatsArea& area, std::size_t index) {
  return index < area.workers ? "core " + std::to_string(index) : "slow path";
}

Result<std::vector<CoreSnapshot>> read_cores(const abi::StatsArea& area) {
  std::vector<CoreSnapshot> cores(area.workers + 1);
  for (std::size_t i = 0; i < cores.size(); ++i) {
    if (!stats::read_page(area.cores[i], cores[i])) {
      return Status(Code::error, core_name(area, i) +
                                     " stopped in the middle of publishing its statistics");
    }
  }
  return cores;
}

Result<Json> stats_json(const abi::StatsArea& area, std::span<const BackendLabel> backends) {
  auto read = read_cores(area);
  if (!read.ok()) return read.status();
  const auto& cores = read.value();
  Json out{{"generation", lowest_generation(cores)}, {"cores", Json::array()}};
  for (std::size_t i = 0; i < cores.size(); ++i) {
    Json core = core_json(cores[i]);
    core["core"] = i;
    core["name"] = core_name(area, i);
    core["generation"] = cores[i].generation;
    out["cores"].push_back(std::move(core));
  }
  const CoreSnapshot total = total_of(cores);
  out["total"] = core_json(total);
  out["identity"] = identity_json(cores, total);
  out["backends"] = Json::array();
  for (std::size_t i = 0; i < backends.size() && i < abi::kBackendsMax; ++i) {
    out["backends"].push_back(backend_json(area, i, backends[i]));
  }
  return out;
}

Json stuck_workers_json(const abi::StatsArea& area, uint64_t now_ns) {
  Json stuck = Json::array();
  for (std::size_t i = 0; i < area.workers; ++i) {
    // Relaxed: a figure by itself.
    const uint64_t since_ns = area.watch[i].stuck_since_ns.load(std::memory_order_relaxed);
    if (since_ns == 0) continue;
    const uint64_t for_ms = now_ns < since_ns ? 0 : (now_ns - since_ns) / 1'000'000;
    stuck.push_back({{"worker", i},
                     {"cpu", area.watch[i].cpu},
                     {"seconds", static_cast<double>(for_ms) / 1000}});
  }
  return stuck;
}

uint64_t boot_clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t lowest_generation(std::span<const CoreSnapshot> cores) {
  uint64_t lowest = cores.empty() ? 0 : cores.front().generation;
  for (const auto& core : cores) lowest = std::min(lowest, core.generation);
  return lowest;
}

}  // namespace millrace::ctl
