// SPDX-License-Identifier: Apache-2.0
#pragma once
// Keeps the data plane's routes equal to the kernel's.
//
//     netlink event ──(10 ms, at most ten a second)──▶ resolve ── changed? ──▶ publish
//     every 3 s ──────────────────────────────────────▶
//
// The kernel asks a neighbour that does not answer again and again. Until it answers it counts as
// one that does not, and the log says so once; of one that may yet answer it says nothing.
//
// One publication is outstanding at a time; what changes meanwhile is published after it. A failed
// one is tried again at the next turn.
//
// Threads: the event loop's.

#include <functional>
#include <string>
#include <vector>

#include "control/daemon/event_loop.hpp"
#include "control/daemon/logging.hpp"
#include "control/daemon/route_source.hpp"

namespace millrace::ctl {

// Header fields but the generation zero, checksum not yet made.
abi::RoutesImage make_routes_image(uint64_t config_generation, std::span<const Resolution> hops);

// Sets generation and checksum.
void finish_routes_image(abi::RoutesImage& image, uint64_t generation);

class RouteKeeper {
 public:
  using Published = std::function<void(Status)>;
  // Sends a finished image to the data plane.
  using Publish = std::function<void(const abi::RoutesImage&, Published)>;

  RouteKeeper(EventLoop& loop, RouteSource& source, Publish publish);
  ~RouteKeeper();

  // Called when a source address towards some backend changed: the prefilter wants to know.
  void on_sources_changed(std::function<void()> callback) {
    sources_changed_ = std::move(callback);
  }

  // What to resolve. Resolves at once; publishes if the data plane is up.
  void set_targets(uint64_t config_generation, std::vector<std::string> names,
                   std::vector<IpAddress> backends, std::vector<std::string> port_interfaces);

  // A data plane runs `config_generation` of set_targets() and has seen routes up to this
  // generation.
  void data_plane_up(uint64_t routes_generation);
  void data_plane_down();

  const std::vector<Resolution>& current() const { return current_; }
  // Why no backend can be asked, in one line; empty if one can, or if that is not yet known.
  std::string all_unreachable() const;
  std::vector<abi::Address> sources() const;  // distinct, of the usable backends
  uint64_t generation() const { return generation_; }

  // Stops watching and gives the neighbours back to the kernel.
  void release();

 private:
  void on_event();
  void schedule_refresh();
  void look(bool refresh);
  void publish_if_changed();
  void log_changes();

  EventLoop& loop_;
  RouteSource& source_;
  Publish publish_;
  std::function<void()> sources_changed_;
  std::vector<std::string> names_;
  std::vector<IpAddress> backends_;
  std::vector<std::string> port_interfaces_;
  uint64_t config_generation_ = 0;
  std::vector<Resolution> current_;
  std::vector<std::string> logged_;  // by backend
  abi::RoutesImage published_{};  // as the data plane has it; header ignored
  bool published_any_ = false;
  bool publishing_ = false;
  bool data_plane_up_ = false;
  bool watching_ = false;
  uint64_t generation_ = 0;
  uint64_t epoch_ = 0;  // of the data plane; a reply from before a restart says nothing
  EventLoop::TimerId event_timer_ = 0;
  EventLoop::TimerId refresh_timer_ = 0;
  EventLoop::Clock::time_point last_look_{};
  log::Limit change_limit_{40, std::chrono::seconds(10)};
  log::Limit failure_limit_{3, std::chrono::seconds(30)};
};

}  // namespace millrace::ctl
