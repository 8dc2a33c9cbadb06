// SPDX-License-Identifier: Apache-2.0
// R14 to R17: what a reader loses to a writer, to another reader, to reclamation and to the
// eviction's mark.

#include "tests/bench/lookup_sides.hpp"

#include <atomic>

#include <rte_rcu_qsbr.h>

namespace millrace::bench {

namespace {

constexpr uint32_t kReader = 0;

// Replaces answers by equal ones, `per_second` or as many as it can, and takes memory back.
void write_until(CacheWorld& world, uint64_t per_second, const std::atomic<bool>& stop) {
  const double gap = per_second == 0 ? 0 : ticks_per_ms() * 1000 / static_cast<double>(per_second);
  Numbers numbers(world.entries(), 4711);
  const uint64_t start = ticks();
  // Relaxed: a request; nothing comes with it.
  for (uint64_t done = 1; !stop.load(std::memory_order_relaxed); ++done) {
    world.insert(numbers.next());
    if (done % 32 == 0) {
      for (uint32_t i = 0; i < kShardCnt; ++i)
        world.shard(i).reclaim();
    }
    const auto due = start + static_cast<uint64_t>(gap * static_cast<double>(done));
    // Relaxed: as above.
    while (ticks() < due && !stop.load(std::memory_order_relaxed)) {
    }
  }
}

double read_beside(CacheWorld& world, uint64_t length) {
  OurBurst burst(world, Ask::hits, 88172645463325252u);
  world.readers().online(kReader);
  const double result = time_bursts(
      length, [&] { burst.prepare(); },
      [&] {
        const uint32_t right = burst.look_up<OurWay{}>();
        world.readers().quiescent(kReader);
        return right;
      });
  world.readers().offline(kReader);
  return result;
}

Row writer_row(const std::string& name, uint64_t per_second, const std::string& how, double floor) {
  return {.id = "R14." + name,
          .what = "a reader's hits a second, 64k entries: a writer beside it, " + how + " / alone",
          .above = "lookups, no writer",
          .below = "lookups, another core replaces answers " + how,
          .bound = Bound::at_least,
          .floor = floor,
          .aim = floor,
          .two_cores = true,
          .sides = [per_second](const Options& options) {
            auto world = CacheWorld::filled(options.smoke ? 4000 : 64000);
            const Side alone = [world](uint64_t length) { return read_beside(*world, length); };
            const Side beside = [=, cpu = options.other_cpu](uint64_t length) {
              std::atomic<bool> stop{false};
              double result = 0;
              const auto read = [&] {
                result = read_beside(*world, length);
                // Relaxed: as in write_until().
                stop.store(true, std::memory_order_relaxed);
              };
              run_both(cpu, read, [&] { write_until(*world, per_second, stop); });
              return result;
            };
            return Sides{alone, beside};
          }};
}

// --- R15

// Ticks per hit.
double read_one_key(CacheWorld& world, uint64_t length) {
  Key key;
  write_key(key.bytes, 7);
  world.complete_key(key);
  const Key* keys[kBurstMax];
  const cache::ShardView* shards[kBurstMax];
  cache::Found found[kBurstMax];
  std::fill_n(keys, kBurstMax, &key);
  std::fill_n(shards, kBurstMax, &world.shard_of(key.hash));
  const uint64_t start = ticks();
  uint64_t lookups = 0;  // here and not with the caller: the other reader's lies beside it there
  uint64_t right = 0;
  uint64_t now = start;
  for (; now - start < length; now = ticks()) {
    for (uint32_t round = 0; round < 16; ++round, lookups += kBurstMax) {
      cache::lookup_burst(shards, keys, kBurstMax, kNowMs, found);
      for (const cache::Found& one : found) {
        right += is_answer_of(one.entry, 7);
        cache::touch(*one.entry);
      }
    }
  }
  if (right != lookups) fail("a lookup gave a wrong answer");
  return static_cast<double>(now - start) / static_cast<double>(lookups);
}

Row two_readers_row() {
  return {.id = "R15",
          .what = "hits a second on one key: two readers / one",
          .above = "hit of one reader, in the mean of both CPUs",
          .below = "hit of either of two readers",
          .bound = Bound::at_least,
          .floor = 1.9,
          .aim = 1.97,
          .two_cores = true,
          .sides = [](const Options& options) {
            auto world = CacheWorld::filled(1000);
            // In the mean of both CPUs: a neighbour on the host may slow one of them.
            const Side one = [=, cpu = options.other_cpu](uint64_t length) {
              const double here = read_one_key(*world, length / 2);
              double there = 0;
              run_both(
                  cpu, [] {}, [&] { there = read_one_key(*world, length / 2); });
              return 2 / (1 / here + 1 / there);
            };
            const Side two = [=, cpu = options.other_cpu](uint64_t length) {
              double here = 0;
              double there = 0;
              run_both(
                  cpu, [&] { here = read_one_key(*world, length); },
                  [&] { there = read_one_key(*world, length); });
              return 1 / (1 / here + 1 / there);
            };
            return Sides{one, two};
          }};
}

// --- R16, R17

Side reporting_side(std::shared_ptr<CacheWorld> world) {
  const std::size_t bytes = rte_rcu_qsbr_get_memsize(2);
  auto memory = std::make_shared<LargeMemory>(bytes);
  auto* const readers = reinterpret_cast<rte_rcu_qsbr*>(memory->data());
  if (rte_rcu_qsbr_init(readers, 2) != 0) fail("rte_rcu_qsbr_init failed");
  rte_rcu_qsbr_thread_register(readers, kReader);
  rte_rcu_qsbr_thread_online(readers, kReader);
  return [=](uint64_t length) {
    static_cast<void>(memory);  // kept
    OurBurst burst(*world, Ask::hits, 88172645463325252u);
    return time_bursts(
        length, [&] { burst.prepare(); },
        [&] {
          const uint32_t right = burst.look_up<OurWay{}>();
          rte_rcu_qsbr_quiescent(readers, kReader);
          return right;
        });
  };
}

Side same_keys_side(std::shared_ptr<CacheWorld> world, bool touch) {
  return [=](uint64_t length) {
    OurBurst burst(*world, Ask::hits, 88172645463325252u);
    const auto prepare = [&] { burst.prepare(); };
    if (touch)
      return time_bursts(length, prepare, [&] { return burst.look_up<OurWay{.touch = true}>(); });
    return time_bursts(length, prepare, [&] { return burst.look_up<OurWay{}>(); });
  };
}

}  // namespace

std::vector<Row> sharing_rows() {
  return {
      writer_row("100k", 100'000, "100 000 times a second", 0.97),
      writer_row("flat_out", 0, "as fast as it can", 0.90),
      two_readers_row(),
      {.id = "R16",
       .what = "hits a second, 1k entries: a QSBR report after each burst / none",
       .above = "lookups",
       .below = "lookups and rte_rcu_qsbr_quiescent",
       .bound = Bound::at_least,
       .floor = 0.99,
       .aim = 0.99,
       .sides =
           [](const Options&) {
             auto world = CacheWorld::filled(1000);
             return Sides{same_keys_side(world, false), reporting_side(world)};
           }},
      {.id = "R17",
       .what = "hits a second, 1k entries: each hit marked as used / not",
       .above = "lookups",
       .below = "lookups and touch",
       .bound = Bound::at_least,
       .floor = 0.97,
       .aim = 0.99,
       .sides =
           [](const Options&) {
             auto world = CacheWorld::filled(1000);
             return Sides{same_keys_side(world, false), same_keys_side(world, true)};
           }},
  };
}

}  // namespace millrace::bench
