// SPDX-License-Identifier: Apache-2.0
// bench-fill: fills a cache with answers of 100 bytes on one core while another looks them up.
//
//   bench-fill [--entries N] [--cpus A,B] [--smoke]
//
// The memory is what R19 implies (2.2 bytes for a byte of name and body). The reader asks for
// answers that have been inserted and compares each with what that was. An entry has to go where
// both buckets of a newcomer are full; few may. Exit code 1 if an answer is wrong, if more than one
// in a hundred is gone, or the rate is below the floor of 1 M inserts a second (not with --smoke).

#include "tests/bench/cache_world.hpp"
#include "tests/bench/machine.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace millrace::bench {
namespace {

constexpr uint32_t kBytesPerEntry = 220;
constexpr double kFloorPerSecond = 1e6;

struct Reader {
  uint64_t lookups = 0;
  uint64_t absent = 0;
  uint64_t wrong = 0;
};

// 28 octets of name and 72 of records with four TTLs.
cache::InsertResult insert(CacheWorld& world, uint64_t number) {
  static constexpr uint16_t kTtlOffsets[4] = {6, 22, 38, 54};
  uint8_t body[72] = {};
  const uint64_t value = value_of(number);
  std::memcpy(body, &value, sizeof value);
  AnswerView answer{};
  answer.body = body;
  answer.ttl_offsets = kTtlOffsets;
  answer.body_bytes = answer.an_end = answer.ns_end = sizeof body;
  answer.ttl_cnt = answer.an_cnt = 4;
  answer.lifetime_s = kLifetimeS;
  Key key;
  write_key(key.bytes, number);
  world.complete_key(key);
  return world.shard_of(key.hash).insert(key, answer, kNowMs);
}

void look_up(CacheWorld& world, const std::atomic<uint64_t>& filled, uint64_t entries,
             Reader& reader) {
  Numbers numbers(UINT32_MAX);
  Key keys[kBurstMax];
  const Key* key_ptrs[kBurstMax];
  const cache::ShardView* shards[kBurstMax];
  uint64_t number[kBurstMax];
  cache::Found found[kBurstMax];
  world.readers().online(1);
  for (;;) {
    // Acquire pairs with the release in fill(): what it counts has been inserted.
    const uint64_t ready = filled.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < kBurstMax; ++i) {
      number[i] = (numbers.next() * ready) >> 32;
      write_key(keys[i].bytes, number[i]);
      world.complete_key(keys[i]);
      key_ptrs[i] = &keys[i];
      shards[i] = &world.shard_of(keys[i].hash);
    }
    cache::lookup_burst(shards, key_ptrs, kBurstMax, kNowMs, found);
    for (uint32_t i = 0; i < kBurstMax && ready > 0; ++i, ++reader.lookups) {
      reader.absent += found[i].entry == nullptr;
      reader.wrong += found[i].entry != nullptr && !is_answer_of(found[i].entry, number[i]);
    }
    world.readers().quiescent(1);
    if (ready == entries) break;
  }
  world.readers().offline(1);
}

int run(uint64_t entries, uint32_t cpu, uint32_t other_cpu, bool smoke) {
  CacheWorld world(entries, kBytesPerEntry);
  pin_to(cpu);
  std::atomic<uint64_t> filled{0};
  Reader reader;
  uint64_t refused = 0;
  uint64_t took = 0;
  run_both(
      other_cpu,
      [&] {
        const uint64_t start = ticks();
        for (uint64_t i = 0; i < entries; ++i) {
          refused += insert(world, i) != cache::InsertResult::stored;
          // Release pairs with the acquire in look_up().
          if (i % 64 == 63) filled.store(i + 1, std::memory_order_release);
        }
        took = ticks() - start;
        filled.store(entries, std::memory_order_release);
      },
      [&] { look_up(world, filled, entries, reader); });
  const double seconds = static_cast<double>(took) / ticks_per_ms() / 1000;
  const double per_second = static_cast<double>(entries) / seconds;
  std::printf("%llu entries of 100 bytes in %.0f MiB (%u bytes each; pages: %s), %u shards\n",
              static_cast<unsigned long long>(entries),
              static_cast<double>(world.memory().bytes()) / 1048576, kBytesPerEntry,
              LargeMemory::kind().c_str(), kShardCnt);
  std::printf("filled in %.2f s: %.2f M inserts/s on one core, %.0f ticks each (floor 1 M/s): %s\n",
              seconds, per_second / 1e6, static_cast<double>(took) / static_cast<double>(entries),
              per_second >= kFloorPerSecond ? "met" : "NOT MET");
  std::printf(
      "meanwhile another core made %.2f M lookups/s of what was in: %llu absent, %llu wrong\n",
      static_cast<double>(reader.lookups) / seconds / 1e6,
      static_cast<unsigned long long>(reader.absent),
      static_cast<unsigned long long>(reader.wrong));
  const uint64_t gone = entries - world.live();
  std::printf("refused %llu; gone, because both buckets of another were full, %llu (%.3f %%)\n",
              static_cast<unsigned long long>(refused), static_cast<unsigned long long>(gone),
              100 * static_cast<double>(gone) / static_cast<double>(entries));
  if (reader.wrong != 0 || reader.lookups == 0) fail("lookups during the fill were not all right");
  if (refused != 0 || gone > entries / 100) fail("the cache did not keep the entries");
  return smoke || per_second >= kFloorPerSecond ? 0 : 1;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  using namespace millrace::bench;
  uint64_t entries = 10'000'000;
  const auto cpus = usable_cpus();
  if (cpus.empty()) fail("no CPU may be used");
  uint32_t cpu = cpus.front();
  uint32_t other = cpus.back();
  bool smoke = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--smoke") {
      smoke = true;
      entries = 50'000;
    } else if (word == "--entries" && i + 1 < argc) {
      entries = std::strtoull(argv[++i], nullptr, 10);
    } else if (word == "--cpus" && i + 1 < argc &&
               std::sscanf(argv[i + 1], "%u,%u", &cpu, &other) == 2) {
      ++i;
    } else {
      std::fprintf(stderr, "usage: bench-fill [--entries N] [--cpus A,B] [--smoke]\n");
      return 2;
    }
  }
  if (entries == 0 || entries > UINT32_MAX) fail("--entries: 1 to 4294967295");
  return run(entries, cpu, other, smoke);
}
