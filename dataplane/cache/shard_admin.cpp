// SPDX-License-Identifier: Apache-2.0
// Life cycle of a shard: format, attach, budgets. Cold.
#include "dataplane/cache/shard.hpp"
#include "dataplane/cache/shard_state.hpp"

#include <new>

namespace millrace::cache {

namespace {

State& state_of(const Region& region) noexcept {
  return *reinterpret_cast<State*>(region.base + kStateOffset);
}

std::string_view check_header(const RegionHeader& header, std::size_t bytes,
                              const RegionLayout& layout) noexcept {
  if (header.magic != kRegionMagic) return "the region holds no cache shard (wrong magic)";
  if (header.version != kRegionVersion) return "the region was written by another version";
  if (header.region_bytes != bytes) return "the region was formatted with another size";
  if (header.page_bytes != kPageBytes || header.bucket_cnt != layout.bucket_cnt ||
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
    region.record(head) = Record{head, head, head, head, 0};
}

void format_index(const Region& region, uint32_t bucket_cnt) noexcept {
  std::byte* const index = region.page(1);
  for (uint32_t i = 0; i < bucket_cnt; ++i)
    new (index + i * sizeof(Bucket)) Bucket{};
}

}  // namespace

std::string_view Shard::format(void* region, std::size_t bytes, uint32_t shard_idx) noexcept {
  RegionLayout layout;
  if (const auto wrong = check_address(region); !wrong.empty()) return wrong;
  if (const auto wrong = layout_of(bytes, layout); !wrong.empty()) return wrong;
  const Region view{static_cast<std::byte*>(region)};
  format_heads(view);
  format_index(view, layout.bucket_cnt);
  State& state = *new (view.base + kStateOffset) State{};
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
  header.first_slab_page = layout.first_slab_page;
  header.page_cnt = layout.page_cnt;
  view.header() = header;
  return {};
}

std::string_view Shard::attach(void* region, std::size_t bytes, GracePeriod grace) noexcept {
  RegionLayout layout;
  if (const auto wrong = check_address(region); !wrong.empty()) return wrong;
  if (const auto wrong = layout_of(bytes, layout); !wrong.empty()) return wrong;
  if (grace.start == nullptr || grace.passed == nullptr) return "the grace period has no functions";
  const Region view{static_cast<std::byte*>(region)};
  if (const auto wrong = check_header(view.header(), bytes, layout); !wrong.empty()) return wrong;
  region_ = view;
  buckets_ = reinterpret_cast<Bucket*>(view.page(1));
  bucket_cnt_ = layout.bucket_cnt;
  state_ = &state_of(view);
  grace_ = grace;
  Limbo(region_, state_->limbo).take_all([this](Ref ref) noexcept { free_object(ref); });
  return {};
}

void Shard::set_budgets(const Budgets& budgets) noexcept {
  state_->budgets = budgets;
}

const Shard::Gauges& Shard::gauges() const noexcept {
  return state_->gauges;
}

}  // namespace millrace::cache
