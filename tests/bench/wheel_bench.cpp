// SPDX-License-Identifier: Apache-2.0
// R19, R20 and the expiry part of R8: memory of an entry, timers, the longest turn.

#include "dataplane/cache/timer_wheel.hpp"
#include "tests/bench/cache_world.hpp"
#include "tests/bench/harness.hpp"

#include <algorithm>

#include <rte_cycles.h>
#include <rte_timer.h>

namespace millrace::bench {

namespace {

uint64_t timers_for(const Options& options) {
  return options.smoke ? 4000 : 1'000'000;
}

// --- R19

constexpr uint32_t kPayloadBytes = 100;  // name and body

// Answers of 100 bytes of name and body (28 and 72, four TTLs) until the cache has begun to evict.
double bytes_per_payload_byte(const Options& options) {
  CacheWorld world(options.smoke ? 40'000 : 400'000, 200);
  const uint8_t body[72] = {1, 2, 3};
  const uint16_t ttl_offsets[4] = {6, 22, 38, 54};
  AnswerView answer{};
  answer.body = body;
  answer.ttl_offsets = ttl_offsets;
  answer.body_bytes = answer.an_end = answer.ns_end = sizeof body;
  answer.ttl_cnt = answer.an_cnt = 4;
  answer.lifetime_s = kLifetimeS;
  uint64_t evicted = 0;
  for (uint64_t i = 0; evicted < world.entries() / 4; ++i) {
    Key key;
    write_key(key.bytes, i);
    world.complete_key(key);
    world.shard_of(key.hash).insert(key, answer, kNowMs + i / 1000);
    if (i % 4096 != 0) continue;
    evicted = 0;
    for (uint32_t k = 0; k < kShardCnt; ++k)
      evicted += world.shard(k).gauges().evicted;
  }
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < kShardCnt; ++i)
    bytes += world.region_bytes();
  return static_cast<double>(bytes) / static_cast<double>(world.live()) / kPayloadBytes;
}

// --- R20

// Records of their own memory, as the wheel wants them: the first kHeads are the heads.
struct Records {
  cache::Record* base;
  cache::Record& record(cache::Ref ref) const noexcept { return base[ref]; }
};

class Wheel {
 public:
  explicit Wheel(uint64_t timers)
      : memory_((cache::kHeads + timers) * (sizeof(cache::Record) + sizeof(uint64_t))),
        records_{reinterpret_cast<cache::Record*>(memory_.data())},
        wheel_(records_, state_),
        timers_(static_cast<uint32_t>(timers)) {
    due_ = reinterpret_cast<uint64_t*>(records_.base + cache::kHeads + timers + timers % 2);
    for (cache::Ref head = 0; head < cache::kHeads; ++head)
      records_.record(head) = {head, head, head, head, 0};
    for (uint32_t i = 0; i < timers_; ++i)
      add(i, 1 + mix(i) % kLifetimeS);
  }

  void add(uint32_t i, uint64_t after) noexcept {
    due_[i] = now_ + after;
    wheel_.add(cache::kHeads + i, due_[i], now_);
  }
  void cancel(uint32_t i) noexcept { wheel_.cancel(cache::kHeads + i); }
  // One second on; what is due fires and is armed again, for a lifetime of up to a day.
  uint32_t turn() noexcept {
    ++now_;
    return wheel_.turn(
        now_, UINT32_MAX, [this](cache::Ref ref) { return due_[ref - cache::kHeads]; },
        [this](cache::Ref ref) {
          wheel_.cancel(ref);
          add(ref - cache::kHeads, 1 + mix(ref + now_) % kLifetimeS);
        });
  }
  uint32_t timers() const { return timers_; }

 private:
  LargeMemory memory_;
  Records records_;
  cache::WheelState state_{};
  cache::TimerWheel<Records> wheel_;
  uint32_t timers_;
  uint64_t* due_;
  uint64_t now_ = 1000;
};

// One operation: of 1 M timers one is cancelled, armed for the next turn, fired, and armed far
// ahead again; in groups of 512, so that a group fires in one turn. With our wheel a second passes
// in each turn, so what is due of the others fires too and timers move down its levels, all on our
// account; rte_timer has no clock of its own to turn, so its others never come due.
constexpr uint32_t kGroup = 512;

Side wheel_side(uint64_t timers) {
  auto wheel = std::make_shared<Wheel>(timers);
  return [wheel](uint64_t length) {
    Numbers numbers(wheel->timers() - kGroup);
    uint64_t done = 0;
    uint64_t fired = 0;
    const uint64_t start = ticks();
    uint64_t now = start;
    for (; now - start < length; now = ticks(), done += kGroup) {
      const auto first = static_cast<uint32_t>(numbers.next());
      // Each lies far from the one before, as timers of a cache do.
      uint32_t group[kGroup];
      for (uint32_t i = 0; i < kGroup; ++i)
        group[i] = static_cast<uint32_t>((first + uint64_t{i} * 7919) % wheel->timers());
      for (const uint32_t i : group)
        wheel->cancel(i);
      for (const uint32_t i : group)
        wheel->add(i, 1);
      fired += wheel->turn();
    }
    if (fired < done) fail("the wheel lost a timer");
    return static_cast<double>(now - start) / static_cast<double>(done);
  };
}

uint64_t rte_fired = 0;

class RteTimers {
 public:
  RteTimers(uint64_t timers, uint32_t cpu)
      : timers_(static_cast<uint32_t>(timers)), memory_(timers * sizeof(rte_timer)) {
    start_eal_once(cpu);
    rte_timer_subsystem_init();
    for (uint32_t i = 0; i < timers_; ++i) {
      rte_timer_init(&timer(i));
      arm(i, far_ahead(i));
    }
  }
  ~RteTimers() {
    for (uint32_t i = 0; i < timers_; ++i)
      rte_timer_stop(&timer(i));
  }
  RteTimers(const RteTimers&) = delete;
  RteTimers& operator=(const RteTimers&) = delete;

  void arm(uint32_t i, uint64_t after) {
    const auto count = [](rte_timer*, void*) { ++rte_fired; };
    if (rte_timer_reset(&timer(i), after, SINGLE, rte_lcore_id(), count, nullptr) != 0) {
      fail("rte_timer_reset failed");
    }
  }
  void cancel(uint32_t i) { rte_timer_stop(&timer(i)); }
  uint64_t far_ahead(uint64_t i) const { return (3600 + mix(i) % kLifetimeS) * rte_get_timer_hz(); }
  uint32_t timers() const { return timers_; }

 private:
  rte_timer& timer(uint32_t i) { return reinterpret_cast<rte_timer*>(memory_.data())[i]; }

  uint32_t timers_;
  LargeMemory memory_;
};

Side rte_timer_side(uint64_t timers, uint32_t cpu) {
  auto all = std::make_shared<RteTimers>(timers, cpu);
  return [all](uint64_t length) {
    Numbers numbers(all->timers() - kGroup);
    uint64_t done = 0;
    const uint64_t fired = rte_fired;
    const uint64_t start = ticks();
    uint64_t now = start;
    for (; now - start < length; now = ticks(), done += kGroup) {
      const auto first = static_cast<uint32_t>(numbers.next());
      uint32_t group[kGroup];
      for (uint32_t i = 0; i < kGroup; ++i)
        group[i] = static_cast<uint32_t>((first + uint64_t{i} * 7919) % all->timers());
      for (const uint32_t i : group)
        all->cancel(i);
      for (const uint32_t i : group)
        all->arm(i, 1);
      rte_timer_manage();
      for (const uint32_t i : group)
        all->arm(i, all->far_ahead(i + done));
    }
    if (rte_fired - fired != done) fail("rte_timer lost a timer");
    return static_cast<double>(now - start) / static_cast<double>(done);
  };
}

// --- idle and busy turns of a shard

double idle_turn(const Options& options) {
  auto world = CacheWorld::filled(options.smoke ? 4000 : 64000);
  world->shard(0).expire(kNowMs, 16);
  constexpr uint32_t kTurns = 100'000;
  std::vector<double> costs;
  for (uint32_t round = 0; round < 31; ++round) {
    const uint64_t start = ticks();
    for (uint32_t i = 0; i < kTurns; ++i)
      world->shard(0).expire(kNowMs, 16);
    costs.push_back(static_cast<double>(ticks() - start) / kTurns);
  }
  return median(costs);
}

// Ticks of each turn while all entries, 16 shards of them, expire in one second. As in a worker:
// one shard a turn, with its budget, and its memory taken back.
constexpr uint32_t kTurnBudget = 16;

std::vector<double> turns_of_a_mass_expiry(const Options& options) {
  auto world = CacheWorld::filled(timers_for(options));
  const uint64_t then_ms = kNowMs + uint64_t{kLifetimeS} * 1000 + 1000;
  std::vector<double> turns;
  for (uint32_t idle = 0, turn = 0; idle < kShardCnt; ++turn) {
    cache::Shard& shard = world->shard(turn % kShardCnt);
    const uint64_t start = ticks();
    const uint32_t fired = shard.expire(then_ms, kTurnBudget);
    shard.reclaim();
    turns.push_back(static_cast<double>(ticks() - start));
    idle = fired == 0 && shard.gauges().entries == 0 ? idle + 1 : 0;
  }
  if (world->live() != 0) fail("entries outlived their time");
  std::sort(turns.begin(), turns.end());
  return turns;
}

double busy_turn(const Options& options, double share) {
  const std::vector<double> turns = turns_of_a_mass_expiry(options);
  const auto last = static_cast<double>(turns.size() - 1);
  return turns[static_cast<std::size_t>(last * share)];
}

Row turn_row(const std::string& name, const std::string& what, double share) {
  return {.id = "R8.expire." + name,
          .what = what + " of the turns in which 1M entries expire, 16 a turn",
          .above = "Shard::expire and reclaim",
          .figure = [share](const Options& options) { return busy_turn(options, share); },
          .unit = "ticks"};
}

}  // namespace

std::vector<Row> wheel_rows() {
  return {
      {.id = "R19",
       .what = "bytes for an entry, everything counted / bytes of name and body (100), full cache",
       .above = "the regions of all shards / entries in them",
       .bound = Bound::at_most,
       .floor = 2.2,
       .aim = 1.5,
       .figure = bytes_per_payload_byte,
       .unit = "bytes per byte"},
      {.id = "R20",
       .what = "1M timers; cancel, arm, fire, arm again: rte_timer / our wheel",
       .above = "rte_timer_stop, _reset, _manage, _reset",
       .below = "cancel, add, turn (fires and adds)",
       .bound = Bound::at_least,
       .floor = 8,
       .aim = 15,
       .sides =
           [](const Options& options) {
             const uint64_t timers = timers_for(options);
             return Sides{rte_timer_side(timers, options.cpu), wheel_side(timers)};
           }},
      {.id = "R20.idle",
       .what = "a turn of a shard with nothing due",
       .above = "Shard::expire",
       .bound = Bound::at_most,
       .floor = 5,
       .aim = 5,
       .figure = idle_turn,
       .unit = "ticks"},
      turn_row("p50", "median", 0.5),
      turn_row("p9999", "99.99th percentile", 0.9999),
      turn_row("max", "longest", 1.0),
  };
}

}  // namespace millrace::bench
