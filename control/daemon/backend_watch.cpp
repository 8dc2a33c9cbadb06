// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/backend_watch.hpp"

#include <algorithm>

namespace millrace::ctl {
namespace {

bool has_answered(const abi::StatsArea& area, std::size_t backend) {
  for (std::size_t core = 0; core < area.workers; ++core) {
    // Relaxed: a figure by itself.
    if (area.backends[core][backend].answered.load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

std::string key_of(const Backend& backend) { return backend.name + " " + backend.address.text(); }

std::string after(BackendWatch::Clock::duration time) {
  return " after " + std::to_string(std::chrono::round<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

bool backend_is_up(const abi::StatsArea& area, std::size_t backend) {
  for (std::size_t core = 0; core < area.workers; ++core) {
    // Relaxed: a flag by itself.
    if (area.backends[core][backend].up.load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

void BackendWatch::look(const Config& config, std::span<const Resolution> resolutions,
                        const abi::StatsArea& area, Clock::time_point now) {
  std::vector<bool> good;
  for (std::size_t i = 0; i < config.backends.size(); ++i) {
    const bool may_be_reached = i >= resolutions.size() || resolutions[i].usable() ||
                                resolutions[i].awaits_neighbour;
    good.push_back(look_at(config.backends[i], i, area, now) && may_be_reached);
  }
  for (const Pool& pool : config.pools) {
    bool has_members = false, has_one = false;
    for (std::size_t i = 0; i < config.backends.size(); ++i) {
      const auto& pools = config.backends[i].pools;
      if (std::find(pools.begin(), pools.end(), pool.name) == pools.end()) continue;
      has_members = true;
      has_one |= good[i];
    }
    look_at(pool, has_members, has_one, now);
  }
  std::erase_if(down_, [&](const auto& one) {
    return std::none_of(config.backends.begin(), config.backends.end(),
                        [&](const Backend& backend) { return key_of(backend) == one.first; });
  });
  std::erase_if(lonely_, [&](const auto& one) {
    return std::none_of(config.pools.begin(), config.pools.end(),
                        [&](const Pool& pool) { return pool.name == one.first; });
  });
}

// Whether it is up.
bool BackendWatch::look_at(const Backend& backend, std::size_t index, const abi::StatsArea& area,
                           Clock::time_point now) {
  const auto known = down_.find(key_of(backend));
  const bool was_down = known != down_.end();
  if (!backend_is_up(area, index)) {
    if (was_down) {
      known->second.data_plane = area.started_boot_ns;
      return false;
    }
    down_[key_of(backend)] = {now, area.started_boot_ns};
    std::string line = "backend " + backend.name + ": down: no answers from " +
                       backend.address.text();
    if (backend_limit_.admit(line)) log::warning(line);
    return false;
  }
  if (!was_down) return true;
  const bool told_by_this = known->second.data_plane == area.started_boot_ns;
  if (!told_by_this && !has_answered(area, index)) return false;
  std::string line = "backend " + backend.name + ": up again" + after(now - known->second.since);
  if (backend_limit_.admit(line)) log::info(line);
  down_.erase(known);
  return true;
}

void BackendWatch::look_at(const Pool& pool, bool has_members, bool has_one,
                           Clock::time_point now) {
  const auto known = lonely_.find(pool.name);
  if (has_members && !has_one) {
    if (known != lonely_.end()) return;
    lonely_[pool.name] = now;
    std::string line = "pool " + pool.name + ": no backend is up; only the cache answers";
    if (pool_limit_.admit(line)) log::error(line);
    return;
  }
  if (known == lonely_.end()) return;
  std::string line = "pool " + pool.name + ": a backend is up again" + after(now - known->second);
  if (has_one && pool_limit_.admit(line)) log::info(line);
  lonely_.erase(known);
}

}  // namespace millrace::ctl
