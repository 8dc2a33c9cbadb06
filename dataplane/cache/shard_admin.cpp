// SPDX-License-Identifier: Apache-2.0
// Life cycle of a shard: format, attach, budgets. Cold.
#include "dataplane/cache/shard.hpp"
#include "dataplane/cache/shard_state.hpp"

#include <cstring>
#include <new>

namespace millrace::cache {

namespace {

std::string_view check_header(const RegionHeader& header, std::size_t bytes,
                              const RegionLayout& layout, uint32_t policy_id) noexcept {
  if (header.magic != kRegionMagic) return "the region holds no cache shard (wrong magic)";
  if (header.version != kRegionVersion) return "the region was written by another version";
  if (header.policy_id != policy_id) return "the region was kept under another eviction policy";
  if (header.region_bytes != bytes) return "the region was formatted with another size";
  if (header.page_bytes != kPageBytes || header.bucket_cnt != layout.bucket_cnt ||
      header.first_ghost_page != layout.first_ghost_page ||
      header.first_slab_page != layout.first_slab_page || header.page_cnt != layout.page_cnt) {
    return "the region's header contradicts its size";
  }
  return {};
}

std::string_view check_address(const void* region) noexcept {
  if (region == nullptr) return "the region is null";
  if (reinterpret_cast<uintptr_t>(region) % kCacheLineBytes != 0) {
    return "the region is not aligned to 64 bytes";
  }
  return {};
}

void format_heads(const Region& region) noexcept {
  for (Ref head = 0; head < kHeads; ++head)
    region.record(head) = list_head(head);
}

void format_index(const Region& region, uint32_t bucket_cnt) noexcept {
  std::byte* const index = region.page(1);
  for (uint32_t i = 0; i < bucket_cnt; ++i)
    new (index + i * sizeof(Bucket)) Bucket{};
}

}  // namespace

template <EvictionPolicy Policy>
std::string_view BasicShard<Policy>::format(void* region, std::size_t bytes,
                                            uint32_t shard_idx) noexcept {
  RegionLayout layout;
  if (const auto wrong = check_address(region); !wrong.empty()) return wrong;
  if (const auto wrong = layout_of(bytes, layout); !wrong.empty()) return wrong;
  const Region view{static_cast<std::byte*>(region)};
  format_heads(view);
  format_index(view, layout.bucket_cnt);
  std::memset(view.page(layout.first_ghost_page), 0,
              std::size_t{layout.first_slab_page - layout.first_ghost_page} * kPageBytes);
  auto& state = *new (view.base + kStateOffset) ShardState<Policy>{};
  state.slab.untouched_page = layout.first_slab_page;
  state.slab.end_page = layout.page_cnt;
  state.slab.unused_pages = layout.page_cnt - layout.first_slab_page;
  state.gauges.memory_total = uint64_t{state.slab.unused_pages} * kPageBytes;
  RegionHeader header{};
  header.magic = kRegionMagic;
  header.version = kRegionVersion;
  header.shard_idx = shard_idx;
  header.region_bytes = bytes;
  header.page_bytes = kPageBytes;
  header.bucket_cnt = layout.bucket_cnt;
  header.policy_id = Policy::kId;
  header.first_ghost_page = layout.first_ghost_page;
  header.first_slab_page = layout.first_slab_page;
  header.page_cnt = layout.page_cnt;
  view.header() = header;
  return {};
}

template <EvictionPolicy Policy>
std::string_view BasicShard<Policy>::attach(void* region, std::size_t bytes,
                                            GracePeriod grace) noexcept {
  RegionLayout layout;
  if (const auto wrong = check_address(region); !wrong.empty()) return wrong;
  if (const auto wrong = layout_of(bytes, layout); !wrong.empty()) return wrong;
  if (grace.start == nullptr || grace.passed == nullptr) return "the grace period has no functions";
  const Region view{static_cast<std::byte*>(region)};
  if (const auto wrong = check_header(view.header(), bytes, layout, Policy::kId); !wrong.empty())
    return wrong;
  region_ = view;
  buckets_ = reinterpret_cast<Bucket*>(view.page(1));
  bucket_cnt_ = layout.bucket_cnt;
  state_ = reinterpret_cast<ShardState<Policy>*>(view.base + kStateOffset);
  ghost_table_ = view.page(layout.first_ghost_page);
  grace_ = grace;
  wheel_quiet_until_ms_ = 0;
  Limbo(region_, state_->limbo).take_all([this](Ref ref) noexcept { free_object(ref); });
  return {};
}

template <EvictionPolicy Policy>
void BasicShard<Policy>::set_budgets(const Budgets& budgets) noexcept {
  state_->budgets = budgets;
}

template <EvictionPolicy Policy>
const ShardGauges& BasicShard<Policy>::gauges() const noexcept {
  return state_->gauges;
}

template class BasicShard<Sieve>;
template class BasicShard<S3Fifo>;

}  // namespace millrace::cache
