// SPDX-License-Identifier: Apache-2.0
// Operations whose instructions are counted (count.py, under callgrind).
//
// Each function `counted_NAME` does one operation many times, and nothing else; what it works on
// is made outside of it. count.py divides the instructions of the function by the number that the
// line `NAME OPERATIONS` on stdout gives. Everything is the same in each run, addresses excepted.
//
//   count-bench --made-with     what the counts depend on besides our code, as JSON

#include "dataplane/base/qsbr.hpp"
#include "dataplane/cache/timer_wheel.hpp"
#include "tests/bench/bench_plane.hpp"
#include "tests/bench/frame_feed.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include <gnu/libc-version.h>

namespace millrace::test {
namespace {

constexpr uint32_t kNames = 4096;
constexpr uint64_t kNowMs = 1'000'000'000;
constexpr uint32_t kTimers = 4096;
constexpr uint32_t kTimerSpanS = 4000;  // two levels of the wheel

// Not inlined, and not merged with another of the same code, so that it is found by its name.
#ifdef __clang__
#define MR_COUNTED extern "C" [[gnu::noinline]]
#else
#define MR_COUNTED extern "C" [[gnu::noinline, gnu::noipa]]
#endif

struct Timers {
  std::vector<cache::Record> memory = std::vector<cache::Record>(cache::kHeads + kTimers);
  std::vector<uint64_t> due_tick = std::vector<uint64_t>(cache::kHeads + kTimers);
  cache::WheelState state{};

  cache::Record& record(cache::Ref ref) const noexcept {
    return const_cast<cache::Record&>(memory[ref]);
  }
};

void say(const char* name, uint64_t operations) {
  std::printf("%s %llu\n", name, static_cast<unsigned long long>(operations));
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "count-bench: %s\n", what);
  std::exit(1);
}

}  // namespace

// --- the cache

MR_COUNTED uint32_t counted_lookup_hit(const cache::Shard* shard, const std::vector<Key>* keys);
MR_COUNTED uint32_t counted_lookup_miss(const cache::Shard* shard, const std::vector<Key>* keys);
MR_COUNTED uint32_t counted_insert(cache::Shard* shard, const std::vector<Key>* keys,
                                   const AnswerView* answer);
MR_COUNTED uint32_t counted_replace(cache::Shard* shard, const std::vector<Key>* keys,
                                    const AnswerView* answer);
MR_COUNTED uint32_t counted_remove(cache::Shard* shard, const std::vector<Key>* keys);
MR_COUNTED uint32_t counted_expire(cache::Shard* shard, uint64_t now_ms);

namespace {

[[gnu::always_inline]] inline uint32_t look_up(const cache::Shard* shard,
                                               const std::vector<Key>* keys) {
  const cache::ShardView* shards[kBurstMax];
  std::fill_n(shards, kBurstMax, shard);
  cache::Found found[kBurstMax];
  uint32_t hits = 0;
  for (std::size_t at = 0; at + kBurstMax <= keys->size(); at += kBurstMax) {
    const Key* burst[kBurstMax];
    for (uint32_t i = 0; i < kBurstMax; ++i)
      burst[i] = &(*keys)[at + i];
    cache::lookup_burst(shards, burst, kBurstMax, kNowMs, found);
    for (uint32_t i = 0; i < kBurstMax; ++i)
      hits += found[i].entry != nullptr ? 1 : 0;
  }
  return hits;
}

[[gnu::always_inline]] inline uint32_t insert(cache::Shard* shard, const std::vector<Key>* keys,
                                              const AnswerView* answer, cache::InsertResult as) {
  uint32_t good = 0;
  for (const Key& key : *keys)
    good += shard->insert(key, *answer, kNowMs) == as ? 1 : 0;
  return good;
}

std::vector<Key> make_keys(const BenchPlane& plane, uint32_t first) {
  std::vector<Key> keys;
  for (uint32_t n = first; n < first + kNames; ++n) {
    keys.push_back(plane.key_of(DnsBuilder().rd().question(Traffic::name(n), kTypeA).build()));
  }
  return keys;
}

void count_cache() {
  Qsbr<1> qsbr;
  BenchPlane plane(region_bytes_for(kNames), false, qsbr.grace());
  cache::Shard& shard = plane.shard();
  const std::vector<Key> keys = make_keys(plane, 0);
  const std::vector<Key> others = make_keys(plane, kNames);
  const OneRecord record(Traffic::address_of_name(0));
  const AnswerView answer = record.view();
  if (counted_insert(&shard, &keys, &answer) != kNames) fail("an answer was not inserted");
  say("insert", kNames);
  if (counted_lookup_hit(&shard, &keys) != kNames) fail("an answer was not found");
  say("lookup_hit", kNames);
  if (counted_lookup_miss(&shard, &others) != 0) fail("an answer was found");
  say("lookup_miss", kNames);
  if (counted_replace(&shard, &keys, &answer) != kNames) fail("an answer was not replaced");
  say("replace", kNames);
  if (counted_remove(&shard, &keys) != kNames) fail("an answer was not removed");
  say("remove", kNames);

  BenchPlane ageing(region_bytes_for(kNames), false, qsbr.grace());
  insert(&ageing.shard(), &keys, &answer, cache::InsertResult::stored);
  const uint64_t later_ms = kNowMs + (kAnswerTtlS + 2) * uint64_t{1000};
  if (counted_expire(&ageing.shard(), later_ms) != kNames) fail("an answer did not expire");
  say("expire", kNames);
}

}  // namespace

uint32_t counted_lookup_hit(const cache::Shard* shard, const std::vector<Key>* keys) {
  return look_up(shard, keys);
}

uint32_t counted_lookup_miss(const cache::Shard* shard, const std::vector<Key>* keys) {
  return look_up(shard, keys);
}

uint32_t counted_insert(cache::Shard* shard, const std::vector<Key>* keys,
                        const AnswerView* answer) {
  return insert(shard, keys, answer, cache::InsertResult::stored);
}

uint32_t counted_replace(cache::Shard* shard, const std::vector<Key>* keys,
                         const AnswerView* answer) {
  return insert(shard, keys, answer, cache::InsertResult::replaced);
}

uint32_t counted_remove(cache::Shard* shard, const std::vector<Key>* keys) {
  uint32_t removed = 0;
  for (const Key& key : *keys)
    removed += shard->remove(key) ? 1 : 0;
  return removed;
}

// In slices, as the worker calls it.
uint32_t counted_expire(cache::Shard* shard, uint64_t now_ms) {
  uint32_t expired = 0;
  for (uint32_t turn = 0; turn < 2 * kNames; ++turn) {
    const uint32_t now = shard->expire(now_ms, kBurstMax);
    if (now == 0 && expired != 0) break;
    expired += now;
  }
  return expired;
}

// --- the rings

MR_COUNTED bool counted_ring_push(dp::WorkRing* ring, const ring::WorkItem* items);
MR_COUNTED uint32_t counted_ring_pop(dp::WorkRing* ring, ring::WorkItem* items);

bool counted_ring_push(dp::WorkRing* ring, const ring::WorkItem* items) {
  bool good = true;
  for (uint32_t burst = 0; burst < dp::WorkRing::kCapacity / kBurstMax; ++burst) {
    for (uint32_t i = 0; i < kBurstMax; ++i)
      good = ring->push(items[i]) && good;
  }
  return good;
}

uint32_t counted_ring_pop(dp::WorkRing* ring, ring::WorkItem* items) {
  uint32_t cnt = 0;
  for (uint32_t burst = 0; burst < dp::WorkRing::kCapacity / kBurstMax; ++burst) {
    cnt += ring->pop(items, kBurstMax);
  }
  return cnt;
}

// --- the wheel

MR_COUNTED void counted_wheel_add(Timers* timers);
MR_COUNTED void counted_wheel_cancel(Timers* timers);
MR_COUNTED uint32_t counted_wheel_expire(Timers* timers);

void counted_wheel_add(Timers* timers) {
  cache::TimerWheel<Timers> wheel(*timers, timers->state);
  for (cache::Ref ref = cache::kHeads; ref < cache::kHeads + kTimers; ++ref) {
    wheel.add(ref, timers->due_tick[ref], 1);
  }
}

void counted_wheel_cancel(Timers* timers) {
  cache::TimerWheel<Timers> wheel(*timers, timers->state);
  for (cache::Ref ref = cache::kHeads; ref < cache::kHeads + kTimers; ++ref)
    wheel.cancel(ref);
}

uint32_t counted_wheel_expire(Timers* timers) {
  cache::TimerWheel<Timers> wheel(*timers, timers->state);
  uint32_t fired = 0;
  for (uint64_t now = 1; now <= kTimerSpanS + 1; ++now) {
    fired += wheel.turn(
        now, kTimers, [timers](cache::Ref ref) { return timers->due_tick[ref]; },
        [&wheel](cache::Ref ref) { wheel.cancel(ref); });
  }
  return fired;
}

// --- the worker

MR_COUNTED void counted_step_v4(dp::Worker* worker, dp::StepIo* io, uint64_t now_ns);
MR_COUNTED void counted_step_v4_edns(dp::Worker* worker, dp::StepIo* io, uint64_t now_ns);
MR_COUNTED void counted_step_v6(dp::Worker* worker, dp::StepIo* io, uint64_t now_ns);
MR_COUNTED void counted_step_v6_edns(dp::Worker* worker, dp::StepIo* io, uint64_t now_ns);
MR_COUNTED void counted_step_idle(dp::Worker* worker, dp::StepIo* io, uint64_t now_ns);

void counted_step_v4(dp::Worker* worker, dp::StepIo* io, uint64_t now_ns) {
  worker->step(*io, now_ns);
}
void counted_step_v4_edns(dp::Worker* worker, dp::StepIo* io, uint64_t now_ns) {
  worker->step(*io, now_ns);
}
void counted_step_v6(dp::Worker* worker, dp::StepIo* io, uint64_t now_ns) {
  worker->step(*io, now_ns);
}
void counted_step_v6_edns(dp::Worker* worker, dp::StepIo* io, uint64_t now_ns) {
  worker->step(*io, now_ns);
}
void counted_step_idle(dp::Worker* worker, dp::StepIo* io, uint64_t now_ns) {
  worker->step(*io, now_ns);
}

namespace {

void count_rings() {
  const auto ring = std::make_unique<dp::WorkRing>();
  std::vector<ring::WorkItem> items(kBurstMax);
  if (!counted_ring_push(ring.get(), items.data())) fail("an item was not taken");
  say("ring_push", dp::WorkRing::kCapacity);
  if (counted_ring_pop(ring.get(), items.data()) != dp::WorkRing::kCapacity) fail("items missing");
  say("ring_pop", dp::WorkRing::kCapacity);
}

void count_wheel() {
  Timers timers;
  for (cache::Ref head = 0; head < cache::kHeads; ++head) {
    timers.memory[head] = cache::Record{head, head, head, head, 0};
  }
  for (uint32_t i = 0; i < kTimers; ++i) {
    timers.due_tick[cache::kHeads + i] = 2 + i * uint64_t{7919} % kTimerSpanS;
  }
  counted_wheel_add(&timers);
  say("wheel_add", kTimers);
  counted_wheel_cancel(&timers);
  say("wheel_cancel", kTimers);
  timers.state = cache::WheelState{};
  cache::TimerWheel<Timers> wheel(timers, timers.state);
  for (cache::Ref ref = cache::kHeads; ref < cache::kHeads + kTimers; ++ref) {
    wheel.add(ref, timers.due_tick[ref], 1);
  }
  if (counted_wheel_expire(&timers) != kTimers) fail("a timer did not fire");
  say("wheel_expire", kTimers);
}

using Step = void (*)(dp::Worker*, dp::StepIo*, uint64_t);

void count_step(const char* name, Step counted, bool v6, bool edns) {
  constexpr uint32_t kWarmUp = 4, kBursts = kNames / kBurstMax;
  TrafficPlan plan;
  plan.names = plan.packets = kNames;
  plan.v6 = v6;
  plan.edns_percent = edns ? 100 : 0;
  const Traffic traffic(plan);
  Qsbr<1> qsbr;
  BenchPlane plane(region_bytes_for(kNames), false, qsbr.grace());
  plane.fill(0, kNames, kNowMs);
  FrameFeed feed(traffic);
  // 10 us a step, 8 s after the answers came: TTLs are aged, statistics published now and then.
  uint64_t now_ns = (kNowMs + 8000) * 1'000'000;
  for (uint32_t burst = 0; burst < kWarmUp + kBursts; ++burst, now_ns += 10'000) {
    feed.arrive(kBurstMax);
    if (burst < kWarmUp) {
      plane.worker().step(feed.io(), now_ns);
    } else {
      counted(&plane.worker(), &feed.io(), now_ns);
    }
    if (feed.take_all() != kBurstMax) fail("a query was not answered");
  }
  say(name, kNames);
  if (std::strcmp(name, "step_v4") != 0) return;
  for (uint32_t turn = 0; turn < kBursts; ++turn, now_ns += 10'000) {
    counted_step_idle(&plane.worker(), &feed.io(), now_ns);
  }
  say("step_idle", kBursts);
}

int count_all() {
  count_cache();
  count_rings();
  count_wheel();
  count_step("step_v4", counted_step_v4, false, false);
  count_step("step_v4_edns", counted_step_v4_edns, false, true);
  count_step("step_v6", counted_step_v6, true, false);
  count_step("step_v6_edns", counted_step_v6_edns, true, true);
  return 0;
}

int show_made_with() {
#ifdef __clang__
  const char* compiler = "clang";
#else
  const char* compiler = "gcc";
#endif
  // The C library and our own code choose by what the CPU can do.
  std::printf("{\"compiler\": \"%s %s\", \"libc\": \"glibc %s\", \"avx2\": %s}\n", compiler,
              __VERSION__, gnu_get_libc_version(),
              __builtin_cpu_supports("avx2") != 0 ? "true" : "false");
  return 0;
}

}  // namespace
}  // namespace millrace::test

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--made-with") == 0) {
    return millrace::test::show_made_with();
  }
  if (argc != 1) {
    std::fprintf(stderr, "usage: count-bench [--made-with]\n");
    return 2;
  }
  return millrace::test::count_all();
}
