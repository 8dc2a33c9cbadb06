// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/cache_world.hpp"

#include "dataplane/cache/slot.hpp"

#include <algorithm>
#include <string>

#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_malloc.h>

namespace millrace::bench {

namespace {

constexpr std::size_t kHeapBytes = std::size_t{384} << 20;

std::size_t region_size(uint64_t entries, uint32_t entry_bytes) {
  const std::size_t bytes = entries / kShardCnt * entry_bytes;
  const std::size_t rounded =
      (bytes + cache::kPageBytes - 1) / cache::kPageBytes * cache::kPageBytes;
  return std::max(rounded, cache::kRegionBytesMin);
}

}  // namespace

CacheWorld::CacheWorld(uint64_t entries, uint32_t entry_bytes)
    : entries_(entries),
      region_bytes_(region_size(entries, entry_bytes)),
      memory_(region_bytes_ * kShardCnt) {
  for (std::size_t i = 0; i < HashSecret::kBytes; ++i)
    secret_.bytes[i] = static_cast<uint8_t>(mix(i) >> 8);
  for (uint32_t i = 0; i < kShardCnt; ++i) {
    std::byte* const region = memory_.data() + i * region_bytes_;
    auto wrong = cache::Shard::format(region, region_bytes_, i);
    if (wrong.empty()) wrong = shards_[i].attach(region, region_bytes_, readers_.grace());
    if (!wrong.empty()) fail(std::string(wrong));
  }
}

void CacheWorld::insert(uint64_t number) {
  static constexpr uint16_t kTtlOffset = 6;
  uint8_t body[16] = {};
  const uint64_t value = value_of(number);
  std::memcpy(body, &value, sizeof value);
  AnswerView answer{};
  answer.body = body;
  answer.ttl_offsets = &kTtlOffset;
  answer.body_bytes = answer.an_end = answer.ns_end = sizeof body;
  answer.ttl_cnt = answer.an_cnt = 1;
  answer.lifetime_s = kLifetimeS;
  Key key;
  write_key(key.bytes, number);
  complete_key(key);
  const auto result = shard_of(key.hash).insert(key, answer, kNowMs);
  if (result == cache::InsertResult::too_large) fail("an answer did not fit the cache");
}

std::shared_ptr<CacheWorld> CacheWorld::filled(uint64_t entries) {
  auto world = std::make_shared<CacheWorld>(entries, 200);
  for (uint64_t i = 0; i < entries; ++i)
    world->insert(i);
  world->missing_.assign(entries, false);
  uint64_t missing = 0;
  for (uint64_t i = 0; i < entries; ++i) {
    Key key;
    write_key(key.bytes, i);
    world->complete_key(key);
    const cache::ShardView* const shard = &world->shard_of(key.hash);
    const Key* const keys[1] = {&key};
    cache::Found found[1];
    cache::lookup_burst(&shard, keys, 1, kNowMs, found);
    const cache::Entry* const entry = found[0].entry;
    if (entry != nullptr && !is_answer_of(entry, i)) fail("a wrong answer is stored");
    world->missing_[i] = entry == nullptr;
    missing += entry == nullptr;
  }
  if (missing > entries / 1000 || world->live() + missing != entries) {
    fail(std::to_string(missing) + " answers are not in the cache");
  }
  return world;
}

uint64_t CacheWorld::live() const {
  uint64_t sum = 0;
  for (const cache::Shard& shard : shards_)
    sum += shard.gauges().entries;
  return sum;
}

double CacheWorld::lines_per_hit() {
  uint64_t lines = 0;
  for (uint64_t i = 0; i < entries_; ++i) {
    Key key;
    write_key(key.bytes, i);
    complete_key(key);
    const cache::Shard& shard = shard_of(key.hash);
    const cache::Place place = cache::place_of(key.hash, shard.bucket_cnt());
    bool in_first = false;
    for (const auto& slot : shard.bucket(place.bucket_idx).slots) {
      const cache::SlotWord word = slot.load(std::memory_order_relaxed);  // nobody writes now
      if (cache::slot_is_empty(word) || cache::slot_tag(word) != place.tag) continue;
      in_first = true;
      lines += cache::slot_lines(word);
      break;
    }
    lines += in_first ? 1 : 4;  // both buckets, and an entry of two lines
  }
  return static_cast<double>(lines) / static_cast<double>(entries_);
}

void start_eal_once(uint32_t cpu) {
  static bool started = false;
  if (started) return;
  started = true;
  const std::string lcores = "--lcores=0@" + std::to_string(cpu);
  std::vector<std::string> args{"bench-micro",
                                "--no-huge",
                                "-m",
                                "64",
                                "--no-pci",
                                "--no-shconf",
                                "--file-prefix=millrace-bench",
                                "--no-telemetry",
                                "--log-level=error",
                                lcores};
  std::vector<char*> argv;
  for (std::string& arg : args)
    argv.push_back(arg.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) fail("rte_eal_init failed");
}

int large_page_heap(uint32_t cpu) {
  static const int socket = [cpu] {
    start_eal_once(cpu);
    static LargeMemory memory(kHeapBytes);
    constexpr std::size_t kPage = std::size_t{2} << 20;
    if (rte_malloc_heap_create("bench") != 0 ||
        rte_malloc_heap_memory_add("bench", memory.data(), memory.bytes(), nullptr,
                                   static_cast<unsigned>(memory.bytes() / kPage), kPage) != 0) {
      fail("DPDK does not take memory of ours as a heap");
    }
    return rte_malloc_heap_get_socket("bench");
  }();
  return socket;
}

RteWorld::RteWorld(uint64_t entries, uint32_t cpu)
    : entries_(entries), answers_(entries * sizeof(PlainAnswer)) {
  rte_hash_parameters parameters{};
  parameters.name = "bench";
  parameters.entries = static_cast<uint32_t>(entries + entries / 4);
  parameters.key_len = kKeyLen;
  parameters.socket_id = large_page_heap(cpu);
  parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF;
  table_ = rte_hash_create(&parameters);
  if (table_ == nullptr) fail("rte_hash_create failed");
  auto* const answers = reinterpret_cast<PlainAnswer*>(answers_.data());
  for (uint64_t i = 0; i < entries; ++i) {
    answers[i].expires_ms = kNowMs + 1000 * kLifetimeS;
    answers[i].value = value_of(i);
    KeyBytes key;
    write_key(key.bytes, i);
    if (rte_hash_add_key_data(table_, key.bytes, &answers[i]) != 0) fail("rte_hash is full");
  }
}

RteWorld::~RteWorld() {
  rte_hash_free(table_);
}

}  // namespace millrace::bench
