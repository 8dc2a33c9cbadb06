// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/daemon.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "control/base/counted.hpp"
#include "control/config/load.hpp"
#include "control/daemon/read_text.hpp"
#include "control/daemon/verbs.hpp"
#include "control/snapshot/compile.hpp"
#include "control/snapshot/publish.hpp"
#include "dataplane/base/check.hpp"
#include "dataplane/snapshot/config_attach.hpp"

namespace millrace::ctl {
namespace {

log::Level log_level(LogLevel level) {
  switch (level) {
    case LogLevel::error: return log::Level::error;
    case LogLevel::warning: return log::Level::warning;
    case LogLevel::info: return log::Level::info;
    case LogLevel::trace:  // of the data plane; we have nothing finer
    case LogLevel::debug: return log::Level::debug;
  }
  return log::Level::info;
}

uint64_t boot_checksum(const Applied& applied) {
  return snapshot::boot_checksum(applied.image);
}

template <class Image>
Result<UniqueFd> sealed(const Image& image) {
  auto made = make_sealed_memfd(&image, sizeof image, "millrace-image");
  if (!made.ok()) return made.status();
  return UniqueFd(made.value());
}

// The sizes of caches cost a restart for the memory that they come to together, which is rounded.
std::vector<Change> changes_between(const Config& running, const Config& wanted) {
  auto changes = diff(running, wanted);
  if (cache_bytes(running) != cache_bytes(wanted)) return changes;
  for (Change& change : changes) {
    const bool is_size = change.key.starts_with("packet_caches[") && change.key.ends_with("].size");
    if (is_size) change.reload = ReloadClass::live;
  }
  return changes;
}

std::string keys_needing_restart(const std::vector<Change>& changes) {
  std::string keys;
  for (const auto& change : changes) {
    if (change.reload == ReloadClass::live) continue;
    keys += (keys.empty() ? "" : ", ") + change.key;
  }
  return keys;
}

}  // namespace

std::vector<std::string> port_interfaces(const Config& config) {
  std::vector<std::string> names;
  for (const auto& port : config.ports) names.push_back(port.interface);
  return names;
}

std::vector<std::string> kernel_interfaces(const Config& config) {
  auto names = port_interfaces(config);
  std::erase(names, std::string());
  return names;
}

Daemon::Daemon(EventLoop& loop, DaemonOptions options, PrefilterControl& prefilter,
               RouteSource& routes)
    : loop_(loop),
      options_(std::move(options)),
      prefilter_(prefilter),
      history_(options_.state_dir),
      supervisor_(
          loop, options_.supervisor,
          {[this] { return next_image(); }, [this](const DataplaneInfo& info) { on_up(info); },
           [this](const std::string& why) { on_down(why); }}),
      routes_(loop, routes,
              [this](const abi::RoutesImage& image, RouteKeeper::Published done) {
                install(abi::Op::install_routes, image, std::move(done));
              }),
      server_(loop, options_.supervisor.run_dir + "/millraced.sock",
              [this](const nlohmann::json& request, const ControlServer::Respond& respond) {
                handle_verb(*this, request, respond);
              }) {
  routes_.on_sources_changed([this] {
    if (!current_ || ending_) return;
    const Status status = set_rules();
    std::string line = "prefilter did not take new source addresses: " + status.message();
    if (!status.ok() && rules_limit_.admit(line)) log::error(line);
  });
}

Daemon::~Daemon() {
  if (pending_) loop_.cancel(pending_->timer);
  loop_.cancel(ports_timer_);
  loop_.cancel(rules_timer_);
  loop_.cancel(reload_timer_);
}

std::chrono::seconds Daemon::uptime() const {
  return std::chrono::duration_cast<std::chrono::seconds>(EventLoop::Clock::now() - started_);
}

Status Daemon::start(Config config, std::string yaml) {
  if (auto opened = history_.open(); !opened.ok()) return opened;
  last_generation_ = history_.last_generation();
  log::set_level(log_level(config.logging.level));
  const auto interfaces = kernel_interfaces(config);
  if (auto used = prefilter_.use(interfaces); !used.ok()) return used;
  attached_ = interfaces;
  current_ = compile_next(std::move(config), std::move(yaml), options_.config_path);
  current_->since = std::chrono::system_clock::now();
  for (const auto& interface : interfaces) {
    log::info("prefilter on " + interface + ": " + prefilter_.mode(interface));
  }
  set_route_targets();
  if (auto ruled = set_rules(); !ruled.ok()) return ruled;
  if (auto served = server_.open(); !served.ok()) return served;
  supervisor_.start(boot_checksum(*current_));
  watch_ports();
  return {};
}

Applied Daemon::compile_next(Config config, std::string yaml, std::string source) {
  Applied applied;
  compile(config, ++last_generation_, applied.image);
  applied.config = std::move(config);
  applied.yaml = std::move(yaml);
  applied.source = std::move(source);
  return applied;
}

void Daemon::set_route_targets() {
  std::vector<std::string> names;
  std::vector<IpAddress> addresses;
  for (const auto& backend : current_->config.backends) {
    names.push_back(backend.name);
    addresses.push_back(ip_address(backend.address.to_abi()));
  }
  routes_.set_targets(current_->generation(), std::move(names), std::move(addresses),
                      port_interfaces(current_->config));
}

void Daemon::on_up(const DataplaneInfo& info) {
  if (ending_) return;
  const bool first = !was_up_;
  was_up_ = true;
  last_generation_ = std::max(last_generation_, info.config_generation);
  const auto interfaces = kernel_interfaces(current_->config);
  const bool sockets_kept =
      std::all_of(interfaces.begin(), interfaces.end(),
                  [&](const std::string& name) { return prefilter_.adopted(name); });
  if (info.adopted && first && !sockets_kept) {
    log::warning("the running data plane's sockets are not in the prefilter; restarting it");
    supervisor_.restart(boot_checksum(*current_));
    return;
  }
  overlap_.retire(EventLoop::Clock::now());  // what comes up runs one config
  time_rules();
  const bool candidate_is_up = pending_in(Phase::restart);
  if (candidate_is_up) commit();
  leave_other_interfaces();
  hand_out_sockets();
  if (candidate_is_up) {
    settle({});
  } else if (pending_in(Phase::going_back)) {
    const Status& why = pending_->failure;
    settle({why.code(), why.message() + "\ngeneration " +
                            std::to_string(current_->generation()) + " runs again"});
  } else if ((first && info.adopted) || info.config_generation != current_->generation()) {
    // What was adopted may run another config under our number: one that was not recorded any more.
    return reinstall_current();
  } else if (first) {
    commit();
  }
  routes_.data_plane_up(info.routes_generation);
}

// The sockets of current(), to a data plane that runs it.
void Daemon::hand_out_sockets() {
  auto faults = sockets_.use(current_->config);
  for (const auto& fault : faults) {
    if (std::find(socket_faults_.begin(), socket_faults_.end(), fault) == socket_faults_.end()) {
      log::warning(fault);
    }
  }
  socket_faults_ = std::move(faults);
  auto out = sockets_.hand_out();
  supervisor_.link().call(out.request, std::move(out.copies), options_.query_timeout,
                          [](const Result<LinkReply>& result) {
                            const Status status =
                                result.ok() ? result.value().status() : result.status();
                            if (!status.ok()) log::error("TCP sockets: " + status.message());
                          });
}

// What the data plane runs is from before us, or is unknown after a time-out: make it ours.
void Daemon::reinstall_current(const std::string& after) {
  auto next =
      std::make_shared<Applied>(compile_next(current_->config, current_->yaml, current_->source));
  next->since = current_->since;
  install(abi::Op::install_config, next->image, [this, next, after](const Status& status) {
    if (!status.ok()) {
      log::error("data plane did not take generation " + std::to_string(next->generation()) +
                 ": " + status.message());
      return;
    }
    const std::string former = std::to_string(current_->generation());
    current_ = *next;
    overlap_.retire(EventLoop::Clock::now());
    if (auto ruled = set_rules(); !ruled.ok()) log::error("prefilter: " + ruled.message());
    if (auto recorded = history_.record(current_->generation(), current_->yaml); !recorded.ok()) {
      log::warning("history: " + recorded.message());
    }
    const std::string now = std::to_string(current_->generation());
    log::info(after.empty() ? "generation " + now + " installed"
                            : after + "; the config of generation " + former + " runs again as " +
                                  now);
    set_route_targets();
    hand_out_sockets();
    if (const auto& up = supervisor_.info()) routes_.data_plane_up(up->routes_generation);
  });
}

void Daemon::on_down(const std::string& why) {
  routes_.data_plane_down();
  if (ending_) return;
  if (pending_in(Phase::restart)) return go_back({Code::error, why});
  if (pending_in(Phase::going_back)) {
    settle({Code::error, pending_->failure.message() + "\ngeneration " +
                             std::to_string(current_->generation()) +
                             " does not start again either, and is tried again and again: " + why});
  }
  if (was_up_) return;
  exit_status_ = Status(Code::error, why);
  shut_down();
}

template <class Image>
void Daemon::install(abi::Op op, const Image& image, std::function<void(Status)> done) {
  auto fd = sealed(image);
  if (!fd.ok()) return done(fd.status());
  supervisor_.link().call(op, std::move(fd).value(), options_.install_timeout,
                          [done = std::move(done)](const Result<LinkReply>& result) {
                            done(result.ok() ? result.value().status() : result.status());
                          });
}

void Daemon::apply_own_file() {
  if (pending_) {
    reload_wanted_ = true;
    return log::info("config file is read again when the apply under way is done");
  }
  auto text = read_text(options_.config_path);
  if (!text.ok()) return log::error("config not applied: " + text.status().message());
  apply({.yaml = std::move(text).value(), .source = options_.config_path},
        [](const Status& status, const ApplyOutcome& outcome) {
          if (!status.ok()) return log::error("config not applied: " + status.message());
          log::info("config file read again: generation " + std::to_string(outcome.generation));
        });
}

void Daemon::apply(ApplyRequest request, ApplyDone done) {
  const auto since = EventLoop::Clock::now();
  ApplyOutcome outcome;
  outcome.generation = current_->generation();
  auto loaded = load_config_text(request.yaml, request.source, Host::here(options_.testing));
  if (!loaded.ok()) {
    outcome.diagnostics = loaded.diagnostics;
    return done({Code::rejected, loaded.text()}, outcome);
  }
  if ((pending_ || ending_) && !request.dry_run) {
    return done({Code::error, "another config is being applied; try again"}, outcome);
  }
  outcome.changes = changes_between(current_->config, *loaded.config);
  outcome.reload = reload_class(outcome.changes);
  if (outcome.changes.empty()) return done({}, outcome);
  const bool up = supervisor_.state() == Supervisor::State::up;
  // With no data plane up there is nothing that a restart could disturb.
  const bool restarts = !up || outcome.reload != ReloadClass::live;
  std::string obstacles;
  for (const auto& finding :
       options_.check_environment({*loaded.config, restarts, supervisor_.pid()})) {
    // A data plane that runs on has got over what would keep a new one from starting.
    const bool obstacle = finding.fatal && restarts && !request.dry_run;
    if (obstacle) obstacles += "\n" + finding.text;
    else outcome.warnings.push_back(finding.text);
  }
  if (request.dry_run) return done({}, outcome);
  if (up && restarts && !request.allow_restart) {
    return done({Code::rejected, "needs a restart of the data plane: " +
                                     keys_needing_restart(outcome.changes) +
                                     "; repeat with --allow-restart to do so now"},
                outcome);
  }
  if (!obstacles.empty()) {
    return done({Code::error, "this machine cannot run that config; nothing changed:" + obstacles},
                outcome);
  }
  for (const auto& warning : outcome.warnings) log::warning(warning);
  pending_ = PendingApply{
      .candidate = compile_next(std::move(*loaded.config), std::move(request.yaml),
                                std::move(request.source)),
      .outcome = std::move(outcome),
      .done = std::move(done),
      .since = since,
      .deadline = request.deadline};
  if (request.deadline) {
    const auto half = (*request.deadline - since) / 2;
    pending_->timer = loop_.after(std::chrono::duration_cast<EventLoop::Milliseconds>(half),
                                  [this] { lose_patience(); });
  }
  restarts ? apply_by_restart() : apply_live();
}

void Daemon::apply_live() {
  const Applied& candidate = pending_->candidate;
  const uint64_t generation = candidate.generation();
  if (auto ruled = expect_answers(candidate.config); !ruled.ok()) {
    forget_expected();
    return settle(ruled);
  }
  install(abi::Op::install_config, candidate.image, [this, generation](const Status& status) {
    if (!pending_ || pending_->candidate.generation() != generation) return;
    if (!status.ok()) return take_back(status);
    commit();
    hand_out_sockets();
    settle({});
  });
}

// Some cores may run the candidate, or may yet: brings them all back to what everything else is.
void Daemon::take_back(const Status& why) {
  if (why.code() != Code::timed_out) {
    forget_expected();
    return settle(why);
  }
  reinstall_current("apply of generation " + std::to_string(pending_->candidate.generation()) +
                    " given up, out of time");
  settle({why.code(), why.message() + "; the config of generation " +
                          std::to_string(current_->generation()) +
                          " is put back as soon as the cores take it"});
}

void Daemon::apply_by_restart() {
  if (const Status used = attach_also(kernel_interfaces(pending_->candidate.config)); !used.ok()) {
    static_cast<void>(prefilter_.use(attached_));
    return settle(used);
  }
  // What was attached just now has none.
  if (auto ruled = expect_answers(pending_->candidate.config); !ruled.ok()) {
    log::error("prefilter: " + ruled.message());
  }
  pending_->phase = Phase::restart;
  routes_.data_plane_down();
  supervisor_.restart(boot_checksum(pending_->candidate));
}

void Daemon::go_back(Status why) {
  log::error("new config does not run, going back to generation " +
             std::to_string(current_->generation()) + ": " + why.message());
  forget_expected();
  pending_->phase = Phase::going_back;
  pending_->failure = std::move(why);
  supervisor_.restart(boot_checksum(*current_));
}

// Half of the client's time has gone; the other half is for going back, and for saying so.
void Daemon::lose_patience() {
  using Milliseconds = EventLoop::Milliseconds;
  const auto now = EventLoop::Clock::now();
  const auto waited = std::chrono::duration_cast<Milliseconds>(now - pending_->since);
  const auto left = std::chrono::duration_cast<Milliseconds>(*pending_->deadline - now);
  pending_->timer = 0;
  const Status late(Code::timed_out, "not done after " + std::to_string(waited.count()) +
                                         " ms, half of the time that you wait (--timeout)");
  if (pending_->phase == Phase::install) return take_back(late);
  if (pending_->phase == Phase::restart) go_back(late);
  pending_->timer = loop_.after(left * 4 / 5, [this] {
    settle({Code::timed_out, pending_->failure.message() + "\ngoing back to generation " +
                                 std::to_string(current_->generation()) +
                                 ", which does not run yet; see `millrace status`"});
  });
}

// A data plane that finds no prefilter on a port attaches a program of its own, which takes every
// packet.
Result<UniqueFd> Daemon::next_image() {
  const Applied& next = pending_in(Phase::restart) ? pending_->candidate : *current_;
  if (auto secured = secure_ports(kernel_interfaces(next.config)); !secured.ok()) {
    return secured.in("data plane not started");
  }
  return sealed(next.image);
}

// The data plane runs the candidate (or, at the start, what is current already).
void Daemon::commit() {
  if (pending_) {
    current_ = std::move(pending_->candidate);
    overlap_.forget();
    current_->since = std::chrono::system_clock::now();
    log::set_level(log_level(current_->config.logging.level));
    set_route_targets();
    if (auto ruled = set_rules(); !ruled.ok()) log::error("prefilter: " + ruled.message());
  }
  if (auto recorded = history_.record(current_->generation(), current_->yaml); !recorded.ok()) {
    const std::string line = "history: " + recorded.message();
    log::warning(line);
    if (pending_) pending_->outcome.warnings.push_back(line);
  }
}

void Daemon::settle(const Status& status) {
  if (!pending_) return;
  PendingApply settled = std::move(*pending_);
  pending_.reset();
  loop_.cancel(settled.timer);
  settled.outcome.generation = current_->generation();
  settled.outcome.applied = status.ok();
  settled.outcome.elapsed_ms =
      std::chrono::duration<double, std::milli>(EventLoop::Clock::now() - settled.since).count();
  if (status.ok()) {
    log::info("generation " + std::to_string(current_->generation()) + " applied from " +
              current_->source + ": " +
              counted(settled.outcome.changes.size(), "change", "changes"));
    const std::string unreachable = routes_.all_unreachable();
    if (!unreachable.empty()) settled.outcome.warnings.push_back(unreachable);
    for (const auto& fault : socket_faults_) settled.outcome.warnings.push_back(fault);
  }
  settled.done(status, settled.outcome);
  if (std::exchange(reload_wanted_, false) && !ending_) {
    reload_timer_ = loop_.after(EventLoop::Milliseconds(0), [this] {
      reload_timer_ = 0;
      apply_own_file();
    });
  }
}

void Daemon::shut_down() {
  if (ending_) return;
  ending_ = true;
  settle({Code::error, "millraced is stopping"});
  routes_.data_plane_down();
  supervisor_.stop([this] {
    server_.close();
    routes_.release();
    remove_prefilter();
    ::unlink(supervisor_.log_path().c_str());
    loop_.stop();
  });
}

}  // namespace millrace::ctl
