// SPDX-License-Identifier: Apache-2.0
#include "dataplane/cache/region_layout.hpp"

#include "dataplane/cache/ghost.hpp"

namespace millrace::cache {

namespace {

uint32_t pages_for(std::size_t bytes) noexcept {
  return static_cast<uint32_t>((bytes + kPageBytes - 1) / kPageBytes);
}

}  // namespace

std::string_view layout_of(std::size_t bytes, RegionLayout& layout) noexcept {
  if (bytes < kRegionBytesMin)
    return "the region is smaller than 512 KiB; give the shard more memory";
  if (bytes > kRegionBytesMax) return "the region is larger than 256 GiB; use more shards";
  layout.page_cnt = static_cast<uint32_t>(bytes / kPageBytes);
  layout.bucket_cnt = static_cast<uint32_t>(bytes / kRegionBytesPerBucket);
  layout.first_ghost_page = 1 + pages_for(std::size_t{layout.bucket_cnt} * sizeof(Bucket));
  layout.first_slab_page = layout.first_ghost_page + pages_for(ghost_bytes(layout.bucket_cnt));
  return {};
}

}  // namespace millrace::cache
