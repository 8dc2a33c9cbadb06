// SPDX-License-Identifier: Apache-2.0
#include "dataplane/cache/region_layout.hpp"

namespace millrace::cache {

namespace {

uint32_t pages_for(std::size_t bytes) noexcept {
  return static_cast<uint32_t>((bytes + kPageBytes - 1) / kPageBytes);
}

}  // namespace

std::string_view layout_of(std::size_t bytes, std::size_t policy_bytes_per_bucket,
                           RegionLayout& layout) noexcept {
  if (bytes < kRegionBytesMin)
    return "the region is smaller than 512 KiB; give the shard more memory";
  if (bytes > kRegionBytesMax) return "the region is larger than 256 GiB; use more shards";
  layout.page_cnt = static_cast<uint32_t>(bytes / kPageBytes);
  layout.bucket_cnt = static_cast<uint32_t>(bytes / kRegionBytesPerBucket);
  layout.first_policy_page = 1 + pages_for(std::size_t{layout.bucket_cnt} * sizeof(Bucket));
  layout.first_slab_page =
      layout.first_policy_page + pages_for(layout.bucket_cnt * policy_bytes_per_bucket);
  return {};
}

}  // namespace millrace::cache
