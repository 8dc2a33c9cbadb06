// SPDX-License-Identifier: Apache-2.0
// The part of Daemon that looks once a second whether all is as it was, and keeps the prefilter on
// its ports.

#include "control/daemon/daemon.hpp"
#include "control/daemon/stats_json.hpp"
#include "dataplane/snapshot/config_attach.hpp"

#include <algorithm>

namespace millrace::ctl {

namespace {

constexpr EventLoop::Milliseconds kRulesAgain{1000};

EventLoop::Milliseconds give_up_of(const Config& config) {
  return EventLoop::Milliseconds(config.upstream.give_up_ms);
}

AnswerRules answers_to(const Config& config, std::vector<abi::Address> sources) {
  AnswerRules rules{.backends = {},
                    .sources = std::move(sources),
                    .port_first = config.upstream.port_range.first,
                    .port_end = config.upstream.port_range.end};
  for (const auto& backend : config.backends)
    rules.backends.push_back(backend.address.to_abi());
  return rules;
}

}  // namespace

Status Daemon::set_rules() {
  const Config& config = current_->config;
  const auto now = EventLoop::Clock::now();
  const AnswerRules answers = answers_to(config, routes_.sources());
  overlap_.ask(answers, give_up_of(config), now);
  PrefilterRules rules;
  for (const auto& bind : config.binds)
    rules.services.push_back(bind.listen_address.to_abi());
  rules.backends = answers.backends;
  rules.sources = answers.sources;
  rules.upstream_port_first = answers.port_first;
  rules.upstream_port_end = answers.port_end;
  rules.generation = current_->generation();
  rules.also = overlap_.also(now);
  time_rules();
  return prefilter_.set_rules(rules);
}

// Until its own routes are known, a candidate is taken to ask from where we ask now.
Status Daemon::expect_answers(const Config& candidate) {
  overlap_.expect(answers_to(candidate, routes_.sources()), give_up_of(candidate),
                  EventLoop::Clock::now());
  return set_rules();
}

void Daemon::forget_expected() {
  overlap_.forget();
  if (auto ruled = set_rules(); !ruled.ok()) log::error("prefilter: " + ruled.message());
}

void Daemon::time_rules() {
  loop_.cancel(rules_timer_);
  const auto until = overlap_.until();
  if (!until) return;
  const auto left = std::chrono::ceil<EventLoop::Milliseconds>(*until - EventLoop::Clock::now());
  rules_timer_ = loop_.after(std::max(left, EventLoop::Milliseconds(1)), [this] { end_former(); });
}

void Daemon::end_former() {
  rules_timer_ = 0;
  if (ending_) return;
  const Status status = set_rules();
  if (status.ok()) return;
  std::string line = "prefilter keeps rules of a former config: " + status.message();
  if (rules_limit_.admit(line)) log::error(line);
  if (rules_timer_ == 0) rules_timer_ = loop_.after(kRulesAgain, [this] { end_former(); });
}

// Only while no data plane lives but one that runs current().
void Daemon::leave_other_interfaces() {
  const auto wanted = kernel_interfaces(current_->config);
  if (attached_ == wanted) return;
  if (auto used = prefilter_.use(wanted); !used.ok()) {
    return log::error("prefilter: " + used.message());
  }
  attached_ = wanted;
}

// Beside those that have one. An interface that is gone can have none, and needs none.
Status Daemon::attach_also(const std::vector<std::string>& interfaces) {
  auto both = attached_;
  std::erase_if(both, [&](const std::string& name) {
    return prefilter_.verify(name).code() == Code::unreachable;
  });
  for (const auto& name : interfaces) {
    if (std::find(both.begin(), both.end(), name) == both.end()) both.push_back(name);
  }
  if (auto used = prefilter_.use(both); !used.ok()) return used;
  attached_ = both;
  return {};
}

// One that cannot be put right by us comes first.
Status Daemon::missing_on(const std::vector<std::string>& interfaces) const {
  Status first;
  for (const auto& name : interfaces) {
    const Status there = prefilter_.verify(name);
    if (there.code() == Code::unreachable) return there;
    if (first.ok()) first = there;
  }
  return first;
}

// Puts the prefilter back where it is missing.
Status Daemon::secure_ports(const std::vector<std::string>& interfaces) {
  const Status missing = missing_on(interfaces);
  if (missing.ok()) {
    port_fault_.clear();
    return {};
  }
  if (port_fault_ != missing.message()) log::error(missing.message());
  port_fault_ = missing.message();
  if (missing.code() == Code::unreachable) return missing;
  Status status = attach_also(interfaces);
  if (status.ok()) status = set_rules();
  if (!status.ok()) return status;
  port_fault_.clear();
  log::info("prefilter attached again, with its rules");
  return {};
}

void Daemon::watch_ports() {
  ports_timer_ = loop_.after(options_.ports_period, [this] {
    look_at_ports();
    look_at_socket();
    look_at_backends();
    watch_ports();
  });
}

void Daemon::look_at_ports() {
  // A pending apply changes interfaces itself, and its data plane is looked after when it starts.
  if (ending_ || pending_) return;
  const auto interfaces = kernel_interfaces(current_->config);
  if (missing_on(interfaces).ok()) return port_fault_.clear();
  const Status secured = secure_ports(interfaces);
  if (!secured.ok()) {
    if (secured.message() == port_fault_) return;  // said already
    std::string line = "prefilter not attached again: " + secured.message();
    if (ports_limit_.admit(line)) log::error(line);
    return;
  }
  if (supervisor_.pid() == 0) return;
  log::warning("restarting the data plane, whose sockets were out of the prefilter");
  routes_.data_plane_down();
  supervisor_.restart(snapshot::boot_checksum(current_->image));
}

// Who has removed it, or all of the run directory, shall be able to ask us all the same.
void Daemon::look_at_socket() {
  if (ending_) return;
  const auto made = server_.restore();
  std::string line = "control socket " + server_.path() + " was removed: ";
  line += made.ok() ? "made anew" : made.status().message();
  if ((!made.ok() || made.value()) && socket_limit_.admit(line)) log::warning(line);
}

// The rows of the statistics area are those of current() only while every core runs it.
void Daemon::look_at_backends() {
  const auto& info = supervisor_.info();
  if (ending_ || pending_ || !info || supervisor_.state() != Supervisor::State::up) return;
  const auto cores = read_cores(*info->stats);
  if (!cores.ok()) return;
  for (const auto& core : cores.value()) {
    if (core.generation != current_->generation()) return;
  }
  backend_watch_.look(current_->config, routes_.current(), *info->stats, EventLoop::Clock::now());
}

// One that was there before a start that failed is not ours to take away: whatever it serves, it
// served without us.
void Daemon::remove_prefilter() {
  if (exit_status_.ok()) {
    if (auto removed = prefilter_.remove_all(); !removed.ok()) {
      log::error("prefilter: " + removed.message());
    }
    return;
  }
  const auto kept = prefilter_.remove_fresh();
  if (!kept.ok()) return log::error("prefilter: " + kept.status().message());
  for (const auto& name : kept.value()) {
    log::warning("prefilter on " + name + " stays: it was there before this start, which failed");
  }
}

}  // namespace millrace::ctl
