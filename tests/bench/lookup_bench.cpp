// SPDX-License-Identifier: Apache-2.0
// R11 to R13: lookups against rte_hash, oneTBB and the bare memory.

#include "tests/bench/lookup_sides.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <oneapi/tbb/concurrent_hash_map.h>
#include <rte_hash.h>
#include <rte_prefetch.h>

namespace millrace::bench {

namespace {

uint64_t size_for(const Options& options, uint64_t entries) {
  return options.smoke ? std::min<uint64_t>(entries, 4000) : entries;
}

// How rte_hash is asked. `answers`: the table holds pointers, and what they point at is read and
// its lifetime checked; otherwise the pointer itself is all that is wanted. `hashed`: outside the
// time.
struct RteWay {
  Ask ask;
  bool answers;
  bool hashed;
};

template <RteWay kWay>
uint32_t rte_burst(const rte_hash* table, const void** keys, hash_sig_t* signatures,
                   const uint64_t* numbers) {
  void* data[kBurstMax];
  uint64_t mask = 0;
  if constexpr (kWay.hashed) {
    rte_hash_lookup_with_hash_bulk_data(table, keys, signatures, kBurstMax, &mask, data);
  } else {
    rte_hash_lookup_bulk_data(table, keys, kBurstMax, &mask, data);
  }
  if constexpr (kWay.ask == Ask::misses) return kBurstMax - __builtin_popcountll(mask);
  if constexpr (!kWay.answers) {
    uint32_t right = 0;
    for (uint32_t i = 0; i < kBurstMax; ++i)
      right += (mask >> i & 1) != 0 && data[i] != nullptr;
    return right;
  }
  for (uint32_t i = 0; i < kBurstMax; ++i) {
    if (mask >> i & 1) rte_prefetch0(data[i]);
  }
  uint32_t right = 0;
  for (uint32_t i = 0; i < kBurstMax; ++i) {
    if ((mask >> i & 1) == 0) continue;
    const auto* const answer = static_cast<const PlainAnswer*>(data[i]);
    right += kNowMs < answer->expires_ms && answer->value == value_of(numbers[i]);
  }
  return right;
}

template <RteWay kWay>
Side rte_side(std::shared_ptr<RteWorld> world) {
  return [world](uint64_t length) {
    static uint64_t seed = 88172645463325252u;
    Numbers numbers(world->entries(), seed++);
    KeyBytes keys[kBurstMax];
    const void* key_ptrs[kBurstMax];
    hash_sig_t signatures[kBurstMax];
    uint64_t number[kBurstMax];
    const auto prepare = [&] {
      for (uint32_t i = 0; i < kBurstMax; ++i) {
        number[i] = (kWay.ask == Ask::hits ? 0 : kAbsent) + numbers.next();
        write_key(keys[i].bytes, number[i]);
        key_ptrs[i] = keys[i].bytes;
        if (kWay.hashed) signatures[i] = rte_hash_hash(world->table(), keys[i].bytes);
      }
    };
    return time_bursts(length, prepare, [&] {
      return rte_burst<kWay>(world->table(), key_ptrs, signatures, number);
    });
  };
}

// --- oneTBB

struct KeyCompare {
  std::size_t hash(const KeyBytes& key) const { return XXH3_64bits(key.bytes, kKeyLen); }
  bool equal(const KeyBytes& a, const KeyBytes& b) const {
    return std::memcmp(a.bytes, b.bytes, kKeyLen) == 0;
  }
};

// Hands out pieces of one large block and takes nothing back.
template <class T>
struct LargePageAllocator {
  using value_type = T;
  struct Block {
    LargeMemory memory{std::size_t{512} << 20};
    std::size_t used = 0;
  };
  std::shared_ptr<Block> block = std::make_shared<Block>();

  LargePageAllocator() = default;
  template <class Other>
  LargePageAllocator(const LargePageAllocator<Other>& other)
      : block(reinterpret_cast<const std::shared_ptr<Block>&>(other.block)) {}
  T* allocate(std::size_t n) {
    const std::size_t at = block->used;
    block->used += (n * sizeof(T) + 15) / 16 * 16;
    if (block->used > block->memory.bytes()) fail("no memory for oneTBB");
    return reinterpret_cast<T*>(block->memory.data() + at);
  }
  void deallocate(T*, std::size_t) {}
  template <class Other>
  bool operator==(const LargePageAllocator<Other>& other) const {
    return static_cast<const void*>(block.get()) == static_cast<const void*>(other.block.get());
  }
};

using TbbMap = tbb::concurrent_hash_map<KeyBytes, PlainAnswer, KeyCompare,
                                        LargePageAllocator<std::pair<const KeyBytes, PlainAnswer>>>;

Side tbb_side(uint64_t entries) {
  auto map = std::make_shared<TbbMap>(2 * entries);
  for (uint64_t i = 0; i < entries; ++i) {
    KeyBytes key;
    write_key(key.bytes, i);
    map->emplace(key, PlainAnswer{kNowMs + 1000 * kLifetimeS, value_of(i), {}});
  }
  return [map, entries](uint64_t length) {
    static uint64_t seed = 88172645463325252u;
    Numbers numbers(entries, seed++);
    KeyBytes keys[kBurstMax];
    uint64_t number[kBurstMax];
    const auto prepare = [&] {
      for (uint32_t i = 0; i < kBurstMax; ++i)
        write_key(keys[i].bytes, number[i] = numbers.next());
    };
    return time_bursts(length, prepare, [&] {
      uint32_t right = 0;
      for (uint32_t i = 0; i < kBurstMax; ++i) {
        TbbMap::const_accessor found;
        if (!map->find(found, keys[i])) continue;
        right += kNowMs < found->second.expires_ms && found->second.value == value_of(number[i]);
      }
      return right;
    });
  };
}

// --- the bare memory

// Independent lines of the cache's own memory, prefetched and then read: as many for each key as a
// hit of ours reads.
Side raw_lines_side(std::shared_ptr<CacheWorld> world) {
  const double lines_per_key = world->lines_per_hit();
  return [world, lines_per_key](uint64_t length) {
    constexpr uint32_t kLines = 3 * kBurstMax;
    static uint64_t seed = 88172645463325252u;
    const uint64_t lines = world->memory().bytes() / 64;
    Numbers numbers(lines, seed++);
    const uint64_t* at[kLines];
    const auto prepare = [&] {
      for (const uint64_t*& line : at) {
        line = reinterpret_cast<const uint64_t*>(world->memory().data() + 64 * numbers.next());
      }
    };
    uint64_t sum = 0;
    const double ticks_per_key = time_bursts(length, prepare, [&] {
      for (const uint64_t* line : at)
        __builtin_prefetch(line);
      for (const uint64_t* line : at)
        sum += *line;
      asm volatile("" : : "r"(sum));
      return kBurstMax;
    });
    return ticks_per_key * kBurstMax / kLines * lines_per_key;
  };
}

// --- rows

struct Size {
  const char* name;
  uint64_t entries;
};
constexpr Size kSizes[] = {{"1k", 1000}, {"64k", 64000}, {"1M", 1'000'000}};

template <Ask kAsk, bool kAnswers, bool kHashed>
Sides against_rte(const Options& options, uint64_t entries) {
  entries = size_for(options, entries);
  return {
      rte_side<RteWay{kAsk, kAnswers, kHashed}>(std::make_shared<RteWorld>(entries, options.cpu)),
      our_side<OurWay{.ask = kAsk, .hash = !kHashed}>(CacheWorld::filled(entries))};
}

void add_rte_rows(std::vector<Row>& rows, const Size& size) {
  const std::string name = size.name;
  const uint64_t n = size.entries;
  rows.push_back({.id = "R11.hits." + name,
                  .what = "hits a second, " + name + " entries: ours / rte_hash and its answer",
                  .above = "rte_hash_lookup_bulk_data (hash included), answer prefetched and read",
                  .below = "hash, begin_lookup, finish_lookups; answer read",
                  .bound = Bound::at_least,
                  .floor = 1.5,
                  .aim = 1.8,
                  .sides = [n](const Options& options) {
                    return against_rte<Ask::hits, true, false>(options, n);
                  }});
  rows.push_back({.id = "R11.misses." + name,
                  .what = "misses a second, " + name + " entries: ours / rte_hash",
                  .above = "rte_hash_lookup_bulk_data (hash included)",
                  .below = "hash, begin_lookup, finish_lookups",
                  .bound = Bound::at_least,
                  .floor = 1.7,
                  .aim = 2.3,
                  .sides = [n](const Options& options) {
                    return against_rte<Ask::misses, false, false>(options, n);
                  }});
  rows.push_back({.id = "R11.keys." + name,
                  .what = "hits a second, " + name + ": ours with the answer / rte_hash, key only",
                  .above = "rte_hash_lookup_bulk_data (hash included), nothing behind it read",
                  .below = "hash, begin_lookup, finish_lookups; answer read",
                  .sides = [n](const Options& options) {
                    return against_rte<Ask::hits, false, false>(options, n);
                  }});
  rows.push_back({.id = "R11.hashed." + name,
                  .what = "hits a second, " + name + ", hash made before: ours / rte_hash, answer",
                  .above = "rte_hash_lookup_with_hash_bulk_data, answer prefetched and read",
                  .below = "begin_lookup, finish_lookups; answer read",
                  .sides = [n](const Options& options) {
                    return against_rte<Ask::hits, true, true>(options, n);
                  }});
}

Row tbb_row(const Size& size) {
  return {
      .id = std::string("R11.tbb.") + size.name,
      .what = std::string("hits a second, ") + size.name + ": ours / oneTBB concurrent_hash_map",
      .above = "concurrent_hash_map::find (hash included), answer in the map read",
      .below = "hash, begin_lookup, finish_lookups; answer read",
      .sides = [n = size.entries](const Options& options) {
        const uint64_t entries = size_for(options, n);
        return Sides{tbb_side(entries),
                     our_side<OurWay{.hash = true}>(CacheWorld::filled(entries))};
      }};
}

Row single_row(const std::string& name, uint64_t n, double floor, double aim) {
  return {.id = "R13." + name,
          .what = "lookups a second: bursts of 32 / single, entries in " + name,
          .above = "begin_lookup and finish_lookups for each of 32 keys",
          .below = "begin_lookup for each of 32 keys, one finish_lookups",
          .bound = Bound::at_least,
          .floor = floor,
          .aim = aim,
          .sides = [n](const Options& options) {
            auto world = CacheWorld::filled(size_for(options, n));
            return Sides{our_side<OurWay{.single = true}>(world), our_side<OurWay{}>(world)};
          }};
}

}  // namespace

std::vector<Row> lookup_rows() {
  std::vector<Row> rows;
  rows.push_back({.id = "AA.lookups",
                  .what = "A against A: our hits at 64k entries, both sides",
                  .above = "begin_lookup, finish_lookups",
                  .below = "begin_lookup, finish_lookups",
                  .sides = [](const Options& options) {
                    auto world = CacheWorld::filled(size_for(options, 64000));
                    return Sides{our_side<OurWay{}>(world), our_side<OurWay{}>(world)};
                  }});
  for (const Size& size : kSizes)
    add_rte_rows(rows, size);
  for (const Size& size : kSizes)
    rows.push_back(tbb_row(size));
  rows.push_back({.id = "R12",
                  .what = "hits a second at 1M entries / what the memory allows",
                  .above = "independent prefetched lines, as many as a hit reads",
                  .below = "begin_lookup, finish_lookups; answer read",
                  .bound = Bound::at_least,
                  .floor = 0.75,
                  .aim = 0.88,
                  .sides = [](const Options& options) {
                    auto world = CacheWorld::filled(size_for(options, 1'000'000));
                    return Sides{raw_lines_side(world), our_side<OurWay{}>(world)};
                  }});
  rows.push_back(single_row("DRAM", 1'000'000, 3, 4.5));
  rows.push_back(single_row("L2", 2000, 0.97, 0.97));
  return rows;
}

}  // namespace millrace::bench
