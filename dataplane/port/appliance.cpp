// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/appliance.hpp"

#include <rte_launch.h>
#include <rte_lcore.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <new>

#include "dataplane/port/eal.hpp"
#include "dataplane/snapshot/config_attach.hpp"

namespace millrace::dp {
namespace {

constexpr uint64_t kAckTimeoutNs = 3'000'000'000;
constexpr uint64_t kWalkTimeoutNs = 60'000'000'000;
constexpr uint64_t kAdvanceTimeoutNs = 60'000'000'000;
constexpr useconds_t kAckPollUs = 50;

void fill_random(void* to, std::size_t bytes) {
  auto* at = static_cast<uint8_t*>(to);
  while (bytes != 0) {
    const ssize_t got = getrandom(at, bytes, 0);
    if (got < 0) throw Failed("the kernel gives no random numbers");
    at += got;
    bytes -= static_cast<std::size_t>(got);
  }
}

HashSecret make_secret() {
  HashSecret secret;
  fill_random(secret.bytes, sizeof secret.bytes);
  return secret;
}

int run_loop(void* loop) {
  static_cast<LcoreLoop*>(loop)->run();
  return 0;
}

}  // namespace

Appliance::Appliance(snapshot::SealedImage config, const std::string& instance)
    : config_(std::move(config)),
      workers_(config_.as<abi::ConfigImage>()->boot.workers),
      shard_cnt_(config_.as<abi::ConfigImage>()->boot.shards),
      boot_checksum_(snapshot::boot_checksum(*config_.as<abi::ConfigImage>())),
      secret_(make_secret()),
      regions_(config_.as<abi::ConfigImage>()->boot, instance),
      readers_(workers_ + 1),  // and the slow path, behind the workers
      ports_(config_.as<abi::ConfigImage>()->boot),
      config_board_(config_.as<abi::ConfigImage>()) {
  if (config_.as<abi::ConfigImage>()->boot.clock == abi::ClockMode::manual) {
    held_ = std::make_unique<HeldClock>(workers_ + 1, clock_.start_ns());
    clock_.hold(held_.get());
  }
  set_wall_clock();
  make_stats_area();
  make_shards();
  for (uint32_t i = 0; i < 2 * workers_; ++i) slow_rings_.push_back(std::make_unique<WorkRing>());
  make_workers();
  make_slow_path();
}

Appliance::~Appliance() {
  stop();
  if (stats_ != nullptr) munmap(stats_, sizeof *stats_);
  if (stats_fd_ >= 0) close(stats_fd_);
}

void Appliance::make_stats_area() {
  stats_fd_ = memfd_create("millrace-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (stats_fd_ < 0 || ftruncate(stats_fd_, sizeof(abi::StatsArea)) != 0) {
    throw Failed("no memory for the statistics: " + std::string(std::strerror(errno)));
  }
  void* at =
      mmap(nullptr, sizeof(abi::StatsArea), PROT_READ | PROT_WRITE, MAP_SHARED, stats_fd_, 0);
  if (at == MAP_FAILED) throw Failed("the statistics cannot be mapped");
  stats_ = new (at) abi::StatsArea{};
  stats_->magic = abi::kStatsMagic;
  stats_->abi_version = abi::kAbiVersion;
  stats_->workers = workers_;
  stats_->started_boot_ns = clock_.start_ns();
  const abi::BootSection& boot = config_.as<abi::ConfigImage>()->boot;
  for (uint32_t w = 0; w < workers_; ++w)
    stats_->watch[w].cpu = static_cast<uint64_t>(boot.cores[w + 1]);
  stats_->watch[workers_].cpu = static_cast<uint64_t>(boot.cores[0]);
}

void Appliance::make_shards() {
  for (uint32_t s = 0; s < shard_cnt_; ++s) {
    shards_.push_back(std::make_unique<cache::Shard>());
    std::string_view wrong = cache::Shard::format(regions_.region(s), regions_.bytes(), s);
    if (wrong.empty()) {
      wrong = shards_[s]->attach(regions_.region(s), regions_.bytes(), readers_.grace());
    }
    if (!wrong.empty()) {
      throw Failed("shard " + std::to_string(s) + " of the cache: " + std::string(wrong));
    }
    shard_table_.push_back(shards_[s].get());
  }
}

void Appliance::make_workers() {
  const uint32_t n = workers_;
  ring_from_.resize(size_t{n} * n);
  ring_to_.resize(size_t{n} * n);
  for (uint32_t from = 0; from < n; ++from) {
    for (uint32_t to = 0; to < n; ++to) {
      rings_.push_back(from == to ? nullptr : std::make_unique<WorkRing>());
      ring_to_[from * n + to] = rings_.back().get();
      ring_from_[to * n + from] = rings_.back().get();
    }
  }
  for (uint32_t w = 0; w < n; ++w) {
    uint8_t seed[Csprng::kSeedBytes];
    fill_random(seed, sizeof seed);
    mailboxes_.push_back(std::make_unique<Mailbox>());
    Connections to;
    to.worker = w;
    to.workers = n;
    to.shards = shard_table_.data();
    to.shard_cnt = shard_cnt_;
    to.secret = &secret_;
    to.from = &ring_from_[size_t{w} * n];
    to.to = &ring_to_[size_t{w} * n];
    to.from_slow = slow_rings_[w].get();
    to.to_slow = slow_rings_[n + w].get();
    to.config = &config_board_;
    to.routes = &routes_board_;
    to.stats = stats_;
    to.mailbox = mailboxes_[w].get();
    to.seed = seed;
    to.wall = &wall_;
    to.flows = config_.as<abi::ConfigImage>()->boot.flows_per_worker;
    logic_.push_back(std::make_unique<Worker>(to));
    explicit_bzero(seed, sizeof seed);
    loops_.push_back(
        std::make_unique<LcoreLoop>(w, ports_, readers_, clock_, *logic_[w], stop_));
  }
}

void Appliance::make_slow_path() {
  for (uint32_t w = 0; w < workers_; ++w) {
    slow_to_.push_back(slow_rings_[w].get());
    slow_from_.push_back(slow_rings_[workers_ + w].get());
  }
  uint8_t seed[Csprng::kSeedBytes];
  fill_random(seed, sizeof seed);
  slow::SlowConnections to;
  to.workers = workers_;
  to.shards = shard_table_.data();
  to.shard_cnt = shard_cnt_;
  to.secret = &secret_;
  to.from = slow_from_.data();
  to.to = slow_to_.data();
  to.config = &config_board_;
  to.page = &stats_->cores[workers_];
  to.seed = seed;
  to.wall = &wall_;
  slow_ = std::make_unique<slow::SlowPath>(to);
  explicit_bzero(seed, sizeof seed);
}

void Appliance::run_slow_path() {
  pthread_setname_np(pthread_self(), "slow-path");
  const uint32_t reader = workers_;
  uint32_t held_turns = 0;
  // Relaxed: nothing is read through it; the thread that sets it joins us afterwards.
  while (!stop_.load(std::memory_order_relaxed)) {
    readers_.online(reader);
    const uint64_t now_ns = clock_.now_ns();
    const uint32_t work = slow_->turn(now_ns);
    readers_.offline(reader);
    if (held_ != nullptr) {
      if (++held_turns % kHeldTurnsPerPublication == 0) slow_->publish_soon();
      held_->turned(reader, now_ns, work != 0, slow_->next_due_ns());
    }
    if (work == 0) slow_->wait();
  }
}

void Appliance::start() {
  for (uint32_t w = 0; w < workers_; ++w) {
    if (rte_eal_remote_launch(run_loop, loops_[w].get(), lcore_of_worker(w)) != 0) {
      throw Failed("core of worker " + std::to_string(w) + " does not start");
    }
  }
  slow_thread_ = std::thread([this] { run_slow_path(); });
  running_ = true;
}

void Appliance::stop() {
  if (!running_) return;
  // Relaxed: the join below orders everything else.
  stop_.store(true, std::memory_order_relaxed);
  rte_eal_mp_wait_lcore();
  slow_thread_.join();
  running_ = false;
}

void Appliance::set_wall_clock() noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  wall_.set(now.tv_sec, static_cast<int64_t>(clock_.now_ns() / 1'000'000'000));
}

void Appliance::watch_workers() {
  const uint64_t now_ns = clock_.real_ns();
  if (now_ns < watch_due_ns_) return;
  watch_due_ns_ = now_ns + kStallCheckPeriodNs;
  if (held_ == nullptr) set_wall_clock();
  readers_.watch(now_ns, [this, now_ns](const Stall& stall) {
    abi::WorkerWatch& watch = stats_->watch[stall.reader];
    // Relaxed: a figure by itself.
    watch.stuck_since_ns.store(stall.over ? 0 : stall.since_ns, std::memory_order_relaxed);
    const auto after_s = static_cast<double>(now_ns - stall.since_ns) / 1e9;
    const std::string who =
        stall.reader < workers_ ? "worker " + std::to_string(stall.reader) : "the slow path";
    std::fprintf(stderr,
                 stall.over ? "%s (CPU %u) turns again after %.1f s\n"
                            : "%s (CPU %u) has been in one turn for %.1f s; no memory is "
                              "reclaimed meanwhile\n",
                 who.c_str(), static_cast<unsigned>(watch.cpu), after_s);
  });
}

uint64_t Appliance::config_generation() const noexcept {
  const abi::ConfigImage* image = config_board_.load();
  return image == nullptr ? 0 : image->header.generation;
}

uint64_t Appliance::routes_generation() const noexcept {
  const abi::RoutesImage* image = routes_board_.load();
  return image == nullptr ? 0 : image->header.generation;
}

template <class Ready>
ControlResult Appliance::wait_for_workers(const char* what, Ready ready) {
  const uint64_t end_ns = clock_.real_ns() + kAckTimeoutNs;
  for (uint32_t w = 0; w <= workers_; ++w) {
    while (!ready(w)) {
      if (clock_.real_ns() >= end_ns) {
        const std::string who = w < workers_ ? "worker " + std::to_string(w) : "the slow path";
        return {abi::ReplyCode::timed_out, who + " has not passed " + what + " for 3 s"};
      }
      watch_workers();
      usleep(kAckPollUs);
    }
  }
  return {};
}

ControlResult Appliance::advance_clock(uint64_t by_ns) {
  if (held_ == nullptr) {
    return {abi::ReplyCode::rejected, "the clock goes by itself in this process"};
  }
  if (by_ns > abi::kAdvanceNsMax) return {abi::ReplyCode::rejected, "too far for one step"};
  const uint64_t end_ns = clock_.real_ns() + kAdvanceTimeoutNs;
  ControlResult done;
  held_->advance(by_ns, [&](auto ready) {
    done = wait_for_workers("the present moment", ready);
    if (done.code == abi::ReplyCode::ok && clock_.real_ns() >= end_ns) {
      done = {abi::ReplyCode::timed_out, "so much becomes due that it takes longer than 60 s"};
    }
    return done.code == abi::ReplyCode::ok;
  });
  return done;
}

ControlResult Appliance::install_config(int fd) {
  snapshot::SealedImage next;
  std::string wrong = next.map(fd, sizeof(abi::ConfigImage));
  if (wrong.empty()) wrong = snapshot::verify_config(next.data(), next.size());
  if (!wrong.empty()) return {abi::ReplyCode::rejected, wrong};
  const auto* image = next.as<abi::ConfigImage>();
  if (snapshot::boot_checksum(*image) != boot_checksum_) {
    return {abi::ReplyCode::needs_restart,
            "workers, ports, memory or packet caches differ from what this process started with"};
  }
  config_board_.publish(image);
  const snapshot::Retired<abi::ConfigImage> old(config_.as<abi::ConfigImage>(), readers_.grace());
  std::swap(config_, next);
  const uint64_t generation = image->header.generation;
  ControlResult done = wait_for_workers("the new config", [this, generation](uint32_t w) {
    // Acquire pairs with the worker's publication of its page.
    return stats_->cores[w].generation.load(std::memory_order_acquire) == generation;
  });
  if (done.code == abi::ReplyCode::ok) {
    done = wait_for_workers("its grace period",
                            [&](uint32_t) { return old.may_free(readers_.grace()); });
  }
  // A worker that does not pass may still read the old image: better lost memory than a wild read.
  if (done.code != abi::ReplyCode::ok) next.leak();
  return done;
}

ControlResult Appliance::install_routes(int fd) {
  snapshot::SealedImage next;
  std::string wrong = next.map(fd, sizeof(abi::RoutesImage));
  if (wrong.empty()) {
    wrong = snapshot::verify_routes(next.data(), next.size(), *config_.as<abi::ConfigImage>());
  }
  if (!wrong.empty()) return {abi::ReplyCode::rejected, wrong};
  routes_board_.publish(next.as<abi::RoutesImage>());
  const snapshot::Retired<abi::RoutesImage> old(routes_.as<abi::RoutesImage>(), readers_.grace());
  std::swap(routes_, next);
  // Once the grace period is over every worker has begun a turn after the publication, or sleeps
  // and will look first thing when it wakes.
  ControlResult done = wait_for_workers("the new routes",
                                  [&](uint32_t) { return old.may_free(readers_.grace()); });
  if (done.code != abi::ReplyCode::ok) next.leak();
  return done;
}

ControlResult Appliance::walk_cache(const abi::CacheQuery& query, bool remove,
                                    abi::CacheReply& reply) {
  for (const auto& mail : mailboxes_) {
    // Relaxed: only this thread stores `asked`.
    const uint64_t number = mail->asked.load(std::memory_order_relaxed);
    if (mail->answered.load(std::memory_order_acquire) != number) {
      return {abi::ReplyCode::timed_out, "an earlier walk is still in work; try again"};
    }
    mail->query = query;
    mail->remove = remove;
    // Release pairs with the acquire in Worker::serve_mailbox().
    mail->asked.store(number + 1, std::memory_order_release);
  }
  const uint64_t end_ns = clock_.real_ns() + kWalkTimeoutNs;
  for (uint32_t w = 0; w < workers_; ++w) {
    const Mailbox& mail = *mailboxes_[w];
    // Acquire pairs with the release in Worker::walk_slice().
    while (mail.answered.load(std::memory_order_acquire) !=
           mail.asked.load(std::memory_order_relaxed)) {
      if (clock_.real_ns() >= end_ns) {
        return {abi::ReplyCode::timed_out,
                "worker " + std::to_string(w) + " has not walked its shards within 60 s"};
      }
      watch_workers();
      usleep(kAckPollUs);
    }
    reply.removed += mail.removed;
    reply.rows_total += mail.rows_total;
    for (uint32_t i = 0; i < mail.rows && reply.rows < abi::kCacheRowsMax; ++i) {
      reply.row[reply.rows++] = mail.row[i];
    }
  }
  return {};
}

}  // namespace millrace::dp
