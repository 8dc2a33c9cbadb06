// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/supervisor.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "control/daemon/logging.hpp"
#include "dataplane/base/check.hpp"

namespace millrace::ctl {
namespace {

constexpr std::chrono::milliseconds kConnectPeriod{20};
constexpr std::chrono::milliseconds kTrimPeriod{10'000};
constexpr std::size_t kLastWords = 8;  // lines of its log that are repeated in ours

std::string pid_path(const std::string& run_dir) { return run_dir + "/dataplane.pid"; }

}  // namespace

Supervisor::Supervisor(EventLoop& loop, SupervisorOptions options, Events events)
    : loop_(loop),
      options_(std::move(options)),
      events_(std::move(events)),
      link_(loop, [this](const std::string& why) { on_link_closed(why); }),
      heartbeat_(options_.heartbeat_period) {
  trim_log();
  watch_heartbeat();
}

Supervisor::~Supervisor() {
  loop_.cancel(timer_);
  loop_.cancel(trim_timer_);
  loop_.cancel(heartbeat_timer_);
  if (process_) loop_.unwatch(process_->pidfd());
}

void Supervisor::start(uint64_t boot_checksum) {
  MR_CHECK(state_ == State::idle);
  boot_checksum_ = boot_checksum;
  state_ = State::starting;
  timer_ = loop_.after(Milliseconds(0), [this] { begin(); });
}

void Supervisor::begin() {
  timer_ = 0;
  state_ = State::starting;
  start_deadline_ = EventLoop::Clock::now() + options_.start_timeout;
  if (link_.connect(socket_path()).ok()) {
    auto process = Process::adopt(link_.peer_pid());
    if (process.ok()) {
      watch_process(std::move(process).value());
      say_hello();
      return;
    }
    link_.close();
  }
  if (const auto pid = starting_predecessor()) {
    auto process = Process::adopt(*pid);
    if (process.ok()) {
      log::info("data plane " + std::to_string(*pid) + " is starting; waiting for its socket");
      watch_process(std::move(process).value());
      await_socket();
      return;
    }
  }
  if (end_forgotten()) return;
  spawn();
}

// It holds the queues and the hugepages that the next one needs, and nobody can talk to it.
bool Supervisor::end_forgotten() {
  const auto pid = find_data_plane_of(options_.run_dir);
  if (!pid) return false;
  auto process = Process::adopt(*pid);
  if (!process.ok()) return false;
  log::warning("data plane " + std::to_string(*pid) + " runs, but its socket in " +
               options_.run_dir + " was removed; ending it");
  watch_process(std::move(process).value());
  begin_after_end_ = true;
  end_process();
  return true;
}

void Supervisor::spawn() {
  std::error_code error;
  std::filesystem::create_directories(options_.run_dir, error);  // somebody may have removed it
  ::unlink(socket_path().c_str());
  ::unlink(log_path().c_str());
  auto image = events_.image();
  if (!image.ok()) return went_down(image.status().message());
  SpawnRequest request;
  request.program = options_.program;
  request.inherited_fd = image.value().get();
  request.arguments = {"--run-dir", options_.run_dir, "--config-fd",
                       std::to_string(request.inherited_as)};
  request.output_path = log_path();
  auto process = Process::spawn(request);
  if (!process.ok()) return went_down(process.status().message());
  const pid_t pid = process.value().pid();
  log::info("data plane " + std::to_string(pid) + " started: " + options_.program);
  std::ofstream(pid_path(options_.run_dir), std::ios::trunc)
      << pid << ' ' << process_start_ticks(pid).value_or(0) << '\n';
  watch_process(std::move(process).value());
  await_socket();
}

// A data plane that our predecessor started just before it died has no socket yet.
std::optional<pid_t> Supervisor::starting_predecessor() const {
  std::ifstream file(pid_path(options_.run_dir));
  pid_t pid = 0;
  uint64_t ticks = 0;
  if (!(file >> pid >> ticks) || pid <= 1) return std::nullopt;
  if (process_start_ticks(pid) != ticks) return std::nullopt;
  return pid;
}

void Supervisor::watch_process(Process process) {
  process_.emplace(std::move(process));
  loop_.watch(process_->pidfd(), EPOLLIN, [this](uint32_t) { on_process_end(); });
}

void Supervisor::await_socket() {
  loop_.cancel(timer_);
  timer_ = loop_.after(kConnectPeriod, [this] { try_connect(); });
}

void Supervisor::try_connect() {
  timer_ = 0;
  if (link_.connect(socket_path()).ok()) return say_hello();
  if (EventLoop::Clock::now() < start_deadline_) return await_socket();
  log::error("data plane " + std::to_string(process_->pid()) + " opened no control socket within " +
             std::to_string(options_.start_timeout.count()) + " ms; ending it");
  give_up_on_process();
}

// It does not come up. If it is our own, started with this very image, another one like it needs
// the back-off; a predecessor's makes room for ours.
void Supervisor::give_up_on_process() {
  failed_start_ = process_->is_child();
  begin_after_end_ = !failed_start_;
  end_process();
}

void Supervisor::say_hello() {
  // Our own child may listen well before it serves: it has until the deadline.
  const auto left = std::chrono::duration_cast<Milliseconds>(start_deadline_ -
                                                             EventLoop::Clock::now());
  const auto patience =
      process_->is_child() ? std::max(left, options_.hello_timeout) : options_.hello_timeout;
  link_.call(abi::Op::hello, UniqueFd(), patience,
             [this](Result<LinkReply> result) { on_hello(std::move(result)); });
}

void Supervisor::on_hello(Result<LinkReply> result) {
  if (state_ != State::starting || !process_) return;
  Status status = result.status();
  abi::HelloReply hello{};
  if (status.ok()) status = result.value().status();
  if (status.ok() && !result.value().as(hello)) status = {Code::error, "hello reply is too short"};
  std::shared_ptr<const abi::StatsArea> stats;
  if (status.ok()) {
    auto mapped = map_stats(std::move(result.value().fd));
    status = mapped.status();
    if (mapped.ok()) stats = mapped.value();
  }
  if (!status.ok()) {
    // It hung up while starting: the process end, or the deadline, decides.
    if (status.code() == Code::unreachable) return;
    log::error("data plane " + std::to_string(process_->pid()) + ": " + status.message() +
               "; ending it");
    return give_up_on_process();
  }
  if (hello.boot_checksum != boot_checksum_) {
    log::warning("data plane " + std::to_string(process_->pid()) +
                 " runs with other workers, ports or memory than this config; ending it");
    return give_up_on_process();
  }
  come_up(hello, std::move(stats));
}

void Supervisor::come_up(const abi::HelloReply& hello,
                         std::shared_ptr<const abi::StatsArea> stats) {
  state_ = State::up;
  up_since_ = EventLoop::Clock::now();
  DataplaneInfo info;
  info.pid = process_->pid();
  info.adopted = !process_->is_child();
  info.config_generation = hello.config_generation;
  info.routes_generation = hello.routes_generation;
  info.boot_checksum = hello.boot_checksum;
  info.stats = std::move(stats);
  info_ = info;
  log::info("data plane " + std::to_string(info.pid) + (info.adopted ? " adopted" : " is up") +
            ": generation " + std::to_string(info.config_generation) + ", " +
            std::to_string(hello.workers) + " workers");
  events_.up(info);
}

// The process may be well: say hello again. If it has ended, the pidfd says so.
void Supervisor::on_link_closed(const std::string& why) {
  if (state_ != State::up && state_ != State::starting) return;
  if (state_ == State::up) {
    log::warning("lost the data plane's control socket: " + why);
    start_deadline_ = EventLoop::Clock::now() + options_.hello_timeout;
  }
  state_ = State::starting;
  if (process_ && process_->running()) await_socket();
}

void Supervisor::on_process_end() {
  const bool was_up = info_.has_value();
  const std::string pid = std::to_string(process_->pid());
  const std::string how = process_->reap();
  const bool predecessors = !was_up && !process_->is_child();
  forget_process();
  if (state_ == State::stopping && !begin_after_end_ && !failed_start_) {
    state_ = State::idle;
    log::info("data plane " + pid + " ended: " + how);
    if (auto done = std::move(stop_done_)) done();
    return;
  }
  if (begin_after_end_ || predecessors) {
    begin_after_end_ = false;
    state_ = State::starting;
    log::info("data plane " + pid + " ended: " + how);
    return begin();
  }
  const bool stable = was_up && EventLoop::Clock::now() - up_since_ >= options_.stable_after;
  if (stable) failures_ = 0;
  went_down(with_last_words("data plane " + pid + (was_up ? " died: " : " did not start: ") + how));
}

void Supervisor::went_down(std::string why) {
  failed_start_ = false;
  state_ = State::waiting;
  const auto doubled = options_.backoff_min * (1 << std::min(failures_, 16u));
  const auto delay = std::min(options_.backoff_max, doubled);
  ++failures_;
  ++restarts_;
  timer_ = loop_.after(delay, [this] { begin(); });
  events_.down(why);
  if (state_ != State::waiting) return;
  log::error(why + "; starting again in " + std::to_string(delay.count()) + " ms");
}

std::string Supervisor::with_last_words(std::string why) const {
  for (const auto& line : tail_lines(log_path(), kLastWords)) why += "\n    " + line;
  return why;
}

void Supervisor::forget_process() {
  loop_.unwatch(process_->pidfd());
  loop_.cancel(timer_);
  process_.reset();
  info_.reset();
  heartbeat_.forget();
  link_.close();
  ::unlink(socket_path().c_str());
  ::unlink(pid_path(options_.run_dir).c_str());
}

void Supervisor::restart(uint64_t boot_checksum) {
  boot_checksum_ = boot_checksum;
  failures_ = 0;
  loop_.cancel(timer_);
  if (!process_) {
    state_ = State::starting;
    timer_ = loop_.after(Milliseconds(0), [this] { begin(); });
    return;
  }
  begin_after_end_ = true;
  if (state_ != State::stopping) end_process();
}

void Supervisor::stop(std::function<void()> done) {
  loop_.cancel(timer_);
  begin_after_end_ = false;
  failed_start_ = false;
  stop_done_ = std::move(done);
  if (!process_) {
    state_ = State::stopping;
    timer_ = loop_.after(Milliseconds(0), [this] {
      timer_ = 0;
      state_ = State::idle;
      if (auto finished = std::move(stop_done_)) finished();
    });
    return;
  }
  end_process();
}

void Supervisor::end_process() {
  state_ = State::stopping;
  ending_step_ = 0;
  loop_.cancel(timer_);
  next_means_of_ending();
}

void Supervisor::next_means_of_ending() {
  timer_ = 0;
  const int step = ending_step_++;
  if (step == 0 && link_.connected()) {
    link_.call(abi::Op::stop, UniqueFd(), options_.stop_patience, [](Result<LinkReply>) {});
  } else if (step <= 1) {
    ending_step_ = 2;
    process_->signal(SIGTERM);
  } else {
    if (step == 2) {
      log::warning("data plane " + std::to_string(process_->pid()) + " does not end; killing it");
    }
    process_->signal(SIGKILL);
  }
  timer_ = loop_.after(options_.stop_patience, [this] { next_means_of_ending(); });
}

void Supervisor::watch_heartbeat() {
  heartbeat_timer_ = loop_.after(options_.heartbeat_period, [this] {
    check_heartbeat();
    watch_heartbeat();
  });
}

void Supervisor::check_heartbeat() {
  // One that is being ended has a clock of its own.
  if (!process_ || !info_ || state_ == State::stopping) return;
  heartbeat_.check(*info_->stats, EventLoop::Clock::now());
  const uint32_t silent = heartbeat_.silent_checks();
  if (silent != kSilentChecksTold && silent != kSilentChecksMax) return;
  const auto silent_ms = silent * options_.heartbeat_period;
  std::string line = "data plane " + std::to_string(process_->pid()) + ": core " +
                     std::to_string(heartbeat_.silent_core()) + " has shown no life for " +
                     std::to_string(silent_ms.count()) + " ms";
  if (silent == kSilentChecksTold) return log::warning(line);
  log::error(line + "; killing it");
  // What does not turn does not answer `stop` either, and one that is stopped takes no SIGTERM.
  process_->signal(SIGKILL);
}

void Supervisor::trim_log() {
  struct stat info {};
  // Whoever writes has it open in append mode and goes on at the new end.
  if (::stat(log_path().c_str(), &info) == 0 && info.st_size > kLogBytesMax) {
    if (::truncate(log_path().c_str(), 0) != 0) log::warning("cannot cut " + log_path());
  }
  trim_timer_ = loop_.after(kTrimPeriod, [this] { trim_log(); });
}

}  // namespace millrace::ctl
