// SPDX-License-Identifier: Apache-2.0
#pragma once
// Configs for the tests: one that is good, a host to run it on, and any number of random ones.

#include "control/config/host.hpp"
#include "control/config/load.hpp"
#include "control/config/model.hpp"

#include <cstdlib>
#include <random>
#include <string>

namespace millrace::ctl::testing {

// Three lines; tests add theirs from the fourth on.
inline const std::string kGood =
    "ports: [{name: p, interface: eth0}]\n"
    "binds: [{name: b, listen_address: 198.18.0.53}]\n"
    "backends: [{name: r, address: 198.18.1.1}]\n";

inline const Host kHost{{0, 1, 2, 3}, true};

inline LoadResult load(const std::string& text) {
  return load_config_text(text, "t.yaml", kHost);
}

// MR_SEED in the environment replays a failure.
inline uint64_t seed() {
  if (const char* given = std::getenv("MR_SEED")) return std::strtoull(given, nullptr, 0);
  return std::random_device{}();
}

// A config that validate() has nothing against, with every member drawn from all its values.
class RandomConfig {
 public:
  explicit RandomConfig(uint64_t seed) : rng_(seed) {}

  Config make();

 private:
  uint64_t between(uint64_t lo, uint64_t hi) {
    return std::uniform_int_distribution<uint64_t>(lo, hi)(rng_);
  }
  uint32_t between32(uint32_t lo, uint32_t hi) { return static_cast<uint32_t>(between(lo, hi)); }
  // A round number half of the time, so that every unit is used.
  uint32_t duration(uint32_t lo, uint32_t hi, uint32_t unit);
  std::string name(std::size_t idx);
  Endpoint endpoint(std::size_t idx, bool backend);

  void make_ports(Config& config);
  void make_service(Config& config);
  void make_caches(Config& config);
  Prefix prefix();
  void make_access(Config& config);
  void make_forward(Config& config);
  void make_dataplane(Config& config);
  void make_groups(Config& config);

  std::mt19937_64 rng_;
};

}  // namespace millrace::ctl::testing
