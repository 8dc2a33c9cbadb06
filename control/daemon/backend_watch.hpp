// SPDX-License-Identifier: Apache-2.0
#pragma once
// Logs that a backend goes down or is back, and that a pool has none left or has one again: each
// once.
//
// Whether a backend is up is what the workers say in the statistics area. They say so of one that
// nobody has asked, too, so nothing is logged at the start, and nothing of a backend that was down
// is learnt from a new data plane before it has had an answer or has found silence itself.
//
// A pool has a backend while one is up and has a route, or may have one as soon as its neighbour
// answers; what routes there are is logged by RouteKeeper.
//
// Threads: the event loop's. Cost: three loads per worker and backend.

#include <chrono>
#include <map>
#include <span>
#include <string>

#include "control/config/model.hpp"
#include "control/daemon/logging.hpp"
#include "control/daemon/next_hop.hpp"
#include "dataplane/abi/stats_page.hpp"

namespace millrace::ctl {

// Some worker asks it, or would.
bool backend_is_up(const abi::StatsArea& area, std::size_t backend);

class BackendWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // To be called about once a second while all workers run `config`. `resolutions`: by backend.
  void look(const Config& config, std::span<const Resolution> resolutions,
            const abi::StatsArea& area, Clock::time_point now);

 private:
  struct Down {
    Clock::time_point since;
    uint64_t data_plane;  // that said so last: when it started
  };

  bool look_at(const Backend& backend, std::size_t index, const abi::StatsArea& area,
               Clock::time_point now);
  void look_at(const Pool& pool, bool has_members, bool has_one, Clock::time_point now);

  std::map<std::string, Down> down_;                 // by name and address
  std::map<std::string, Clock::time_point> lonely_;  // pools without a backend: since when
  log::Limit backend_limit_{40, std::chrono::seconds(10)};
  log::Limit pool_limit_{40, std::chrono::seconds(10)};
};

}  // namespace millrace::ctl
