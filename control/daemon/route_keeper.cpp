// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/route_keeper.hpp"

#include <algorithm>
#include <cstring>

#include "dataplane/base/check.hpp"
#include "dataplane/snapshot/config_attach.hpp"

namespace millrace::ctl {
namespace {

using Milliseconds = EventLoop::Milliseconds;

constexpr Milliseconds kEventDelay{10};
constexpr Milliseconds kLookSpacing{100};
constexpr Milliseconds kRefreshPeriod{3000};

std::string describe(const Resolution& resolution) {
  if (!resolution.usable()) return "not reachable: " + resolution.why;
  return "next hop " + resolution.neighbour.text() + " (" +
         mac_text(resolution.hop.target_mac) + ") on " + resolution.interface + ", source " +
         ip_address(resolution.hop.source).text();
}

// A neighbour that did not answer and is only being asked again.
void keep_silent(const Resolution& before, Resolution& now) {
  const bool same = before.link_index == now.link_index && before.neighbour == now.neighbour;
  if (!now.awaits_neighbour || !before.neighbour_silent || !same) return;
  now.why = before.why;
  now.neighbour_silent = true;
  now.awaits_neighbour = false;
}

bool same_routes(const abi::RoutesImage& a, const abi::RoutesImage& b) {
  return a.config_generation == b.config_generation && a.backends == b.backends &&
         std::memcmp(a.hop, b.hop, sizeof a.hop) == 0;
}

bool same_address(const abi::Address& a, const abi::Address& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace

abi::RoutesImage make_routes_image(uint64_t config_generation, std::span<const Resolution> hops) {
  MR_CHECK(hops.size() <= abi::kBackendsMax);
  abi::RoutesImage image{};
  image.header.magic = abi::kRoutesMagic;
  image.header.abi_version = abi::kAbiVersion;
  image.header.bytes = sizeof image;
  image.config_generation = config_generation;
  image.backends = static_cast<uint32_t>(hops.size());
  for (std::size_t i = 0; i < hops.size(); ++i) {
    // Half-known hops stay all zero: the data plane has no use for them.
    if (hops[i].usable()) image.hop[i] = hops[i].hop;
  }
  return image;
}

void finish_routes_image(abi::RoutesImage& image, uint64_t generation) {
  image.header.generation = generation;
  image.header.checksum = 0;
  image.header.checksum = snapshot::image_checksum(&image, sizeof image);
}

RouteKeeper::RouteKeeper(EventLoop& loop, RouteSource& source, Publish publish)
    : loop_(loop), source_(source), publish_(std::move(publish)) {
  loop_.watch(source_.event_fd(), EPOLLIN, [this](uint32_t) { on_event(); });
  watching_ = true;
  schedule_refresh();
}

RouteKeeper::~RouteKeeper() { release(); }

void RouteKeeper::release() {
  if (!watching_) return;
  watching_ = false;
  loop_.unwatch(source_.event_fd());
  loop_.cancel(event_timer_);
  loop_.cancel(refresh_timer_);
  source_.release();
}

void RouteKeeper::schedule_refresh() {
  refresh_timer_ = loop_.after(kRefreshPeriod, [this] {
    look(true);
    schedule_refresh();
  });
}

void RouteKeeper::on_event() {
  source_.drain_events();
  if (event_timer_ != 0) return;
  const auto since = std::chrono::duration_cast<Milliseconds>(EventLoop::Clock::now() - last_look_);
  event_timer_ = loop_.after(std::max(kEventDelay, kLookSpacing - since), [this] {
    event_timer_ = 0;
    look(false);
  });
}

void RouteKeeper::set_targets(uint64_t config_generation, std::vector<std::string> names,
                              std::vector<IpAddress> backends,
                              std::vector<std::string> port_interfaces) {
  MR_CHECK(names.size() == backends.size());
  config_generation_ = config_generation;
  if (names != names_ || backends != backends_) {
    current_.clear();
    logged_.clear();
  }
  names_ = std::move(names);
  backends_ = std::move(backends);
  port_interfaces_ = std::move(port_interfaces);
  look(true);
}

void RouteKeeper::data_plane_up(uint64_t routes_generation) {
  ++epoch_;
  generation_ = std::max(generation_, routes_generation);
  data_plane_up_ = true;
  published_any_ = false;
  publishing_ = false;
  publish_if_changed();
}

void RouteKeeper::data_plane_down() {
  ++epoch_;
  data_plane_up_ = false;
  publishing_ = false;
}

std::vector<abi::Address> RouteKeeper::sources() const {
  std::vector<abi::Address> distinct;
  for (const auto& resolution : current_) {
    const auto& source = resolution.hop.source;
    if (source.family == 0) continue;
    const bool known = std::any_of(distinct.begin(), distinct.end(),
                                   [&](const auto& have) { return same_address(have, source); });
    if (!known) distinct.push_back(source);
  }
  return distinct;
}

std::string RouteKeeper::all_unreachable() const {
  std::string reasons;
  for (std::size_t i = 0; i < current_.size(); ++i) {
    if (current_[i].usable() || current_[i].awaits_neighbour) return {};
    reasons += (reasons.empty() ? "" : "; ") + names_[i] + ": " + current_[i].why;
  }
  return reasons.empty() ? reasons : "no backend can be reached: " + reasons;
}

void RouteKeeper::look(bool refresh) {
  last_look_ = EventLoop::Clock::now();
  const auto sources_before = sources();
  auto found = source_.resolve(backends_, port_interfaces_, refresh);
  for (std::size_t i = 0; i < current_.size(); ++i) keep_silent(current_[i], found[i]);
  current_ = std::move(found);
  log_changes();
  const auto sources_now = sources();
  const bool moved = !std::equal(sources_before.begin(), sources_before.end(), sources_now.begin(),
                                 sources_now.end(), same_address);
  if (moved && sources_changed_) sources_changed_();
  publish_if_changed();
}

void RouteKeeper::log_changes() {
  logged_.resize(current_.size());
  for (std::size_t i = 0; i < current_.size(); ++i) {
    if (current_[i].awaits_neighbour) continue;
    std::string now = describe(current_[i]);
    if (logged_[i] == now) continue;
    std::string line = "backend " + names_[i] + ": " + now;
    logged_[i] = std::move(now);
    if (!change_limit_.admit(line)) continue;
    current_[i].usable() ? log::info(line) : log::warning(line);
  }
}

void RouteKeeper::publish_if_changed() {
  if (!data_plane_up_ || publishing_) return;
  auto image = make_routes_image(config_generation_, current_);
  if (published_any_ && same_routes(image, published_)) return;
  finish_routes_image(image, ++generation_);
  publishing_ = true;
  publish_(image, [this, image, epoch = epoch_](Status status) {
    if (epoch != epoch_) return;
    publishing_ = false;
    if (status.ok()) {
      published_ = image;
      published_any_ = true;
      publish_if_changed();
      return;
    }
    std::string line = "data plane did not take new routes: " + status.message();
    if (failure_limit_.admit(line)) log::warning(line);
  });
}

}  // namespace millrace::ctl
