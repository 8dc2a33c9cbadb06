// SPDX-License-Identifier: Apache-2.0
#pragma once
// millraced without main(): one config, and everything that follows from it.
//
//                  ┌──────────── Daemon ────────────┐
//     YAML ──▶ Applied{config, image, generation}   │
//                  │  PrefilterControl ── rules ──────────▶ kernel (XDP)
//                  │  RouteKeeper ── RoutesImage ──┐│
//                  │  Supervisor ── ConfigImage ───┴──────▶ millrace-dataplane
//                  │  ControlServer ◀── Verbs ────────────  millrace (CLI)
//                  └────────────────────────────────┘
//
// What runs is `current()`. A new config becomes current only when the data plane has said that all
// its cores run it; until then everything that serves packets is as it was. Two ways lead there:
//
//     live      install_config ── ok ──▶ current; rules, routes, history
//                              └─ no ──▶ nothing happened
//     restart   can this machine run it? ── no ──▶ nothing happened
//                  └─ yes ──▶ end the data plane, start one with the new image ── up ──▶ current
//                                             └─ does not come up ──▶ start one with the old image
//                                                                     and answer when that is up
//
// One apply at a time. A generation number is used once, also by an apply that fails. What is not
// done after half of the time that the client waits is taken back, so that the client hears of it.
//
// The prefilter stands on every interface on which a data plane that lives may open sockets: one
// that finds none there would attach a program of its own, and leave it behind. So an interface is
// left only when the data plane of another config is up, which is after the last one has ended.
//
// The prefilter lets answers to the old config's questions through until those are over, and to the
// new one's before the first of them is asked (rule_overlap.hpp).
//
// Somebody else may take the prefilter away, or an interface may be deleted and created again. That
// is looked for before each start of a data plane, and once a second; what is missing is attached
// again and the data plane started anew, whose sockets are bound to what was there before.
//
// Threads: the event loop's. Failure: the daemon ends by itself only when its first data plane does
// not come up; later ones are started again for ever.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/config/diagnostic.hpp"
#include "control/config/diff.hpp"
#include "control/config/model.hpp"
#include "control/daemon/backend_watch.hpp"
#include "control/daemon/control_server.hpp"
#include "control/daemon/environment.hpp"
#include "control/daemon/history.hpp"
#include "control/daemon/listen_sockets.hpp"
#include "control/daemon/prefilter_control.hpp"
#include "control/daemon/route_keeper.hpp"
#include "control/daemon/rule_overlap.hpp"
#include "control/daemon/supervisor.hpp"
#include "dataplane/abi/config_image.hpp"

namespace millrace::ctl {

struct DaemonOptions {
  std::string config_path;
  std::string state_dir;
  bool testing = false;  // configs may have what is for tests only
  SupervisorOptions supervisor;
  // Of looking whether the prefilter is still there, and which backends are.
  std::chrono::milliseconds ports_period{1'000};
  std::chrono::milliseconds install_timeout{10'000};
  std::chrono::milliseconds query_timeout{5'000};
  // Asked before a config is applied. What a test may want to say itself.
  std::function<std::vector<Finding>(const EnvironmentQuestion&)> check_environment =
      ctl::check_environment;
};

struct Applied {
  Config config;
  std::string yaml;
  std::string source;  // the file as whoever applied it named it
  abi::ConfigImage image{};
  std::chrono::system_clock::time_point since{};  // it runs

  uint64_t generation() const { return image.header.generation; }
};

struct ApplyRequest {
  std::string yaml;
  std::string source;  // stands for the file in diagnostics
  bool dry_run = false;
  bool allow_restart = false;
  std::optional<EventLoop::Clock::time_point> deadline = {};  // until then the client waits
};

struct ApplyOutcome {
  std::vector<Diagnostic> diagnostics;  // of a config that was refused
  std::vector<Change> changes;
  ReloadClass reload = ReloadClass::live;
  uint64_t generation = 0;  // that runs now
  bool applied = false;
  double elapsed_ms = 0;  // from the request until every core ran it
  std::vector<std::string> warnings;
};

class Daemon {
 public:
  using ApplyDone = std::function<void(Status, const ApplyOutcome&)>;

  Daemon(EventLoop& loop, DaemonOptions options, PrefilterControl& prefilter, RouteSource& routes);
  ~Daemon();

  // Attaches the prefilter, opens the control socket, finds or starts the data plane. After ok(),
  // run the loop; it is stopped when the daemon has ended, with exit_status() set.
  Status start(Config config, std::string yaml);

  // Ends the data plane, detaches the prefilter, removes the sockets; then stops the loop.
  void shut_down();
  const Status& exit_status() const { return exit_status_; }

  void apply(ApplyRequest request, ApplyDone done);
  void apply_own_file();  // SIGHUP; behind an apply that is under way

  const Applied& current() const { return *current_; }
  const DaemonOptions& options() const { return options_; }
  Supervisor& supervisor() { return supervisor_; }
  RouteKeeper& routes() { return routes_; }
  PrefilterControl& prefilter() { return prefilter_; }
  const std::vector<std::string>& socket_faults() const { return socket_faults_; }
  // What keeps a port from service, until it is put right; empty: nothing.
  const std::string& port_fault() const { return port_fault_; }
  const History& history() const { return history_; }
  std::chrono::seconds uptime() const;

 private:
  enum class Phase {
    install,     // the data plane has been handed the candidate
    restart,     // the candidate is what the next data plane starts with
    going_back,  // that did not come up: the next one starts with current() again
  };

  struct PendingApply {
    Applied candidate;
    ApplyOutcome outcome;
    ApplyDone done;
    EventLoop::Clock::time_point since;
    std::optional<EventLoop::Clock::time_point> deadline;
    Phase phase = Phase::install;
    Status failure = {};  // why we go back
    EventLoop::TimerId timer = 0;
  };

  bool pending_in(Phase phase) const { return pending_ && pending_->phase == phase; }
  Applied compile_next(Config config, std::string yaml, std::string source);
  Status set_rules();
  Status expect_answers(const Config& candidate);
  void forget_expected();
  void time_rules();
  void end_former();
  void set_route_targets();
  void hand_out_sockets();

  void on_up(const DataplaneInfo& info);
  void on_down(const std::string& why);
  // Hands the data plane an image; `done` is told what it says.
  template <class Image>
  void install(abi::Op op, const Image& image, std::function<void(Status)> done);
  void reinstall_current(const std::string& after = {});  // what the log is told it comes after

  void apply_live();
  void apply_by_restart();
  void go_back(Status why);
  void lose_patience();
  void take_back(const Status& why);
  void leave_other_interfaces();
  Result<UniqueFd> next_image();
  Status attach_also(const std::vector<std::string>& interfaces);
  Status missing_on(const std::vector<std::string>& interfaces) const;
  Status secure_ports(const std::vector<std::string>& interfaces);
  void watch_ports();
  void look_at_socket();
  void look_at_backends();
  void look_at_ports();
  void commit();
  void remove_prefilter();
  void settle(const Status& status);  // answers the pending apply

  EventLoop& loop_;
  DaemonOptions options_;
  PrefilterControl& prefilter_;
  History history_;
  Supervisor supervisor_;
  RouteKeeper routes_;
  BackendWatch backend_watch_;
  ListenSockets sockets_;
  std::vector<std::string> socket_faults_;  // addresses of the config where nobody can listen
  ControlServer server_;
  std::optional<Applied> current_;
  std::optional<PendingApply> pending_;
  std::vector<std::string> attached_;  // interfaces with a prefilter
  std::string port_fault_;
  EventLoop::TimerId ports_timer_ = 0;
  RuleOverlap overlap_;
  EventLoop::TimerId rules_timer_ = 0;   // when rules of former configs end
  bool reload_wanted_ = false;           // when the pending apply is done
  EventLoop::TimerId reload_timer_ = 0;
  uint64_t last_generation_ = 0;       // ever used
  bool was_up_ = false;
  bool ending_ = false;
  Status exit_status_;
  EventLoop::Clock::time_point started_ = EventLoop::Clock::now();
  log::Limit rules_limit_{3, std::chrono::seconds(30)};
  log::Limit ports_limit_{1, std::chrono::seconds(600)};
  log::Limit socket_limit_{1, std::chrono::seconds(10)};
};

std::vector<std::string> port_interfaces(const Config& config);    // by port index
std::vector<std::string> kernel_interfaces(const Config& config);  // those with a prefilter

}  // namespace millrace::ctl
