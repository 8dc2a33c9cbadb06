// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_plane.hpp"

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/key_hash.hpp"
#include "dataplane/wire/query.hpp"
#include "tests/unit/worker/images.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/mman.h>

namespace millrace::test {
namespace {

constexpr std::size_t kHugeBytes = std::size_t{2} << 20;

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "benchmark: %s\n", what);
  std::exit(1);
}

}  // namespace

MappedRegion::MappedRegion(std::size_t bytes, bool hugepages)
    : bytes_((bytes + kHugeBytes - 1) / kHugeBytes * kHugeBytes),
      data_(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | (hugepages ? MAP_HUGETLB : 0), -1, 0)) {
  if (data_ == MAP_FAILED) give_up(hugepages ? "no free hugepages" : "no memory");
}

MappedRegion::~MappedRegion() {
  munmap(data_, bytes_);
}

// 84 or 148 bytes of the slab for each, twice as much index as has to be, and room for a page or
// two of every class.
std::size_t region_bytes_for(uint32_t names) {
  return (std::size_t{8} << 20) + std::size_t{names} * 384;
}

OneRecord::OneRecord(uint32_t address, uint32_t lifetime_s) : lifetime_s_(lifetime_s) {
  store_be16(body_, 0xc000 | kQuestionOffset);
  store_be16(body_ + 2, kTypeA);
  store_be16(body_ + 4, kClassIn);
  store_be32(body_ + 6, lifetime_s);
  store_be16(body_ + 10, 4);
  store_be32(body_ + 12, address);
}

AnswerView OneRecord::view() const {
  AnswerView view{};
  view.body = body_;
  view.ttl_offsets = &ttl_offset_;
  view.body_bytes = view.an_end = view.ns_end = sizeof body_;
  view.ttl_cnt = view.an_cnt = 1;
  view.lifetime_s = lifetime_s_;
  return view;
}

BenchPlane::BenchPlane(std::size_t region_bytes, bool hugepages, GracePeriod grace)
    : region_(region_bytes, hugepages),
      config_(make_config(2)),
      config_board_(config_.get()),
      stats_(new abi::StatsArea{}) {
  for (std::size_t i = 0; i < HashSecret::kBytes; ++i) {
    secret_.bytes[i] = static_cast<uint8_t>(i * 167 + 13);
  }
  std::string_view wrong = cache::Shard::format(region_.data(), region_.size(), 0);
  if (wrong.empty()) wrong = shard_.attach(region_.data(), region_.size(), grace);
  if (!wrong.empty()) give_up(std::string(wrong).c_str());
  const uint8_t seed[Csprng::kSeedBytes] = {1};
  dp::Connections to;
  to.shards = shard_list_;
  to.secret = &secret_;
  to.from = to.to = no_rings_;
  to.config = &config_board_;
  to.routes = &routes_board_;
  to.stats = stats_.get();
  to.mailbox = &mailbox_;
  to.seed = seed;
  worker_ = std::make_unique<dp::Worker>(to);
}

Key BenchPlane::key_of(const Bytes& message) const {
  Key key{};
  wire::Query query{};
  const auto len = static_cast<uint16_t>(message.size());
  if (wire::parse_query(message.data(), len, query, key) != wire::kGoOn) give_up("a bad query");
  key.hash = hash_key(secret_, key);
  return key;
}

void BenchPlane::fill(uint32_t first, uint32_t end, uint64_t now_ms, uint32_t lifetime_s) {
  const uint64_t before = shard_.gauges().entries;
  for (uint32_t n = first; n < end; ++n) {
    const Key key = key_of(DnsBuilder().rd().question(Traffic::name(n), kTypeA).build());
    const OneRecord answer(Traffic::address_of_name(n), lifetime_s);
    if (shard_.insert(key, answer.view(), now_ms) != cache::InsertResult::stored) {
      give_up("an answer did not go into the cache");
    }
  }
  // Among a million some key may find both its buckets full, and evict.
  const uint64_t stayed = shard_.gauges().entries - before;
  if (stayed < end - first - (end - first) / 100'000) {
    give_up(("the cache is too small: " + std::to_string(stayed) + " of " +
             std::to_string(end - first) + " answers stayed")
                .c_str());
  }
}

}  // namespace millrace::test
