// SPDX-License-Identifier: Apache-2.0
#pragma once
// A daemon with a made-up prefilter and made-up routes over the fake data plane, in a directory of
// its own. The event loop runs in the test's thread, whenever the test waits for something.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "control/config/load.hpp"
#include "control/daemon/daemon.hpp"
#include "control/daemon/verbs.hpp"

namespace millrace::ctl {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mr-control-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::trunc) << text;
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Never 0 or less: those would name groups of processes, the test's own among them.
inline bool alive(pid_t pid) { return pid > 1 && ::kill(pid, 0) == 0; }
inline void kill_process(pid_t pid) {
  ASSERT_GT(pid, 1);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
}

class FakePrefilter final : public PrefilterControl {
 public:
  Status use(const std::vector<std::string>& interfaces) override {
    for (const auto& name : interfaces) {
      if (name == refused) return {Code::error, "prefilter on " + name + ": no such interface"};
    }
    for (const auto& name : interfaces) {
      if (absent == name) return {Code::error, "interface " + name + " does not exist"};
    }
    lost.clear();
    used = interfaces;
    uses.push_back(interfaces);
    if (on_use) on_use();
    return {};
  }
  Status verify(const std::string& name) const override {
    if (absent == name) return {Code::unreachable, "interface " + name + " does not exist"};
    if (lost == name) return {Code::error, "the prefilter on " + name + " was detached"};
    return {};
  }
  Status set_rules(const PrefilterRules& given) override {
    ++rules_set;
    rules = given;
    all_rules.push_back(given);
    return {};
  }
  Result<PrefilterCounters> counters(const std::string&) const override {
    return PrefilterCounters{{{"redirected", 11}, {"passed", 0}}};
  }
  std::string mode(const std::string&) const override { return "native"; }
  bool adopted(const std::string&) const override { return adopts; }
  Status remove_all() override {
    used.clear();
    removed = true;
    return {};
  }

  Result<std::vector<std::string>> remove_fresh() override {
    used = found;
    removed = true;
    return used;
  }

  std::vector<std::string> used;
  std::vector<std::string> found;  // had one before us
  std::vector<std::vector<std::string>> uses;  // `used` as it was and became
  std::function<void()> on_use;
  PrefilterRules rules;
  std::vector<PrefilterRules> all_rules;
  uint32_t rules_set = 0;
  std::string refused;
  std::string lost;    // verify() finds no prefilter there
  std::string absent;  // verify() and use() find no such interface
  bool adopts = true;
  bool removed = false;
};

class FakeRoutes final : public RouteSource {
 public:
  FakeRoutes() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  int event_fd() const override { return event_.get(); }
  void drain_events() override {
    uint64_t count;
    while (::read(event_.get(), &count, sizeof count) > 0) {
    }
  }
  std::vector<Resolution> resolve(std::span<const IpAddress> backends,
                                  std::span<const std::string>, bool) override {
    std::vector<Resolution> all;
    for (const auto& backend : backends) {
      Resolution one;
      one.neighbour = backend;
      one.interface = "va";
      one.link_index = 1;
      one.hop.source = {{198, 18, 0, 53}, 4, 0, 0};
      one.hop.source_mac[5] = 1;
      one.hop.target_mac[5] = last_mac_byte;
      one.hop.mtu = 1500;
      one.hop.usable = usable ? 1 : 0;
      if (!usable) one.why = "no route";
      all.push_back(one);
    }
    return all;
  }
  void release() override { released = true; }

  void change() {
    const uint64_t one = 1;
    static_cast<void>(!::write(event_.get(), &one, sizeof one));
  }

  bool usable = true;
  bool released = false;
  uint8_t last_mac_byte = 2;

 private:
  UniqueFd event_;
};

// Without `tcp` in `more` nothing listens.
inline std::string config_yaml(const std::string& more = "", const std::string& dataplane = "") {
  const std::string tcp = more.find("tcp:") == more.npos ? "tcp: {connections: 0}\n" : "";
  return "ports:\n  - name: p0\n    interface: va\n"
         "binds:\n  - name: dns\n    listen_address: 198.18.0.53\n"
         "backends:\n  - name: r1\n    address: 198.18.1.1\n"
         "dataplane:\n  hugepages: false\n" +
         dataplane + tcp + more;
}

// With what surely comes, on a busy machine.
inline constexpr std::chrono::milliseconds kPatience{60'000};

class DaemonFixture : public ::testing::Test {
 protected:
  using Milliseconds = std::chrono::milliseconds;

  ~DaemonFixture() override {
    stop_daemon();
    kill_data_plane();
  }

  DaemonOptions options() {
    DaemonOptions options;
    options.config_path = dir / "millrace.yaml";
    options.state_dir = dir / "state";
    options.testing = testing;
    options.supervisor.run_dir = dir.path();
    options.supervisor.program = MR_FAKE_DATAPLANE;
    options.supervisor.start_timeout = Milliseconds(8000);
    options.supervisor.stop_patience = Milliseconds(150);
    options.supervisor.backoff_min = Milliseconds(20);
    options.supervisor.backoff_max = Milliseconds(80);
    options.supervisor.heartbeat_period = heartbeat_period;
    options.ports_period = Milliseconds(50);
    options.install_timeout = Milliseconds(2000);
    options.check_environment = [this](const EnvironmentQuestion& question) {
      asked_starts = question.starts_data_plane;
      asked_replaced = question.replaced;
      return findings;
    };
    return options;
  }

  Status start(const std::string& yaml = config_yaml()) {
    write_file(dir / "millrace.yaml", yaml);
    auto loaded = load_config_text(yaml, "test", Host::here(testing));
    if (!loaded.ok()) return {Code::rejected, loaded.text()};
    daemon.emplace(loop, options(), prefilter, routes);
    return daemon->start(*loaded.config, yaml);
  }

  void start_and_wait(const std::string& yaml = config_yaml()) {
    ASSERT_TRUE(start(yaml).ok());
    ASSERT_TRUE(wait([&] { return is_up(); }));
    ASSERT_TRUE(wait([&] { return log().find("routes") != std::string::npos; }));
  }

  bool wait(const std::function<bool()>& done, Milliseconds limit = kPatience) {
    return loop.run_until(done, limit);
  }

  bool is_up() { return daemon->supervisor().state() == Supervisor::State::up; }
  pid_t data_plane_pid() {
    const auto& info = daemon->supervisor().info();
    return info ? info->pid : 0;
  }
  std::string log() { return read_file(dir / "fake.log"); }
  void tell_fake(const std::string& words) { write_file(dir / "fake", words); }

  // One request through the verbs, answered now or later.
  ControlServer::Answer ask(const nlohmann::json& request) {
    std::optional<ControlServer::Answer> answer;
    handle_verb(*daemon, request, [&](ControlServer::Answer given) { answer = std::move(given); });
    EXPECT_TRUE(wait([&] { return answer.has_value(); })) << request.dump();
    return answer.value_or(ControlServer::Answer{{Code::timed_out, "no answer"}, {}, {}});
  }

  void stop_daemon() {
    if (!daemon) return;
    daemon->shut_down();
    wait([&] { return daemon->supervisor().state() == Supervisor::State::idle; });
    daemon.reset();
  }

  // As kill -9 would: nothing is told to anybody.
  void abandon_daemon() {
    last_pid_ = data_plane_pid();
    daemon.reset();
  }

  void kill_data_plane() {
    if (last_pid_ > 1) ::kill(last_pid_, SIGKILL);
  }

  Milliseconds heartbeat_period{1000};
  bool testing = false;
  TempDir dir;
  EventLoop loop;
  FakePrefilter prefilter;
  FakeRoutes routes;
  std::optional<Daemon> daemon;
  // What the machine is like, and what the daemon last asked about it.
  std::vector<Finding> findings;
  bool asked_starts = false;
  pid_t asked_replaced = 0;

 private:
  pid_t last_pid_ = 0;
};

}  // namespace millrace::ctl
