// SPDX-License-Identifier: Apache-2.0
#include "dataplane/cache/region_layout.hpp"

namespace millrace::cache {

std::string_view layout_of(std::size_t bytes, RegionLayout& layout) noexcept {
  if (bytes < kRegionBytesMin)
    return "the region is smaller than 512 KiB; give the shard more memory";
  if (bytes > kRegionBytesMax) return "the region is larger than 256 GiB; use more shards";
  layout.page_cnt = static_cast<uint32_t>(bytes / kPageBytes);
  layout.bucket_cnt = static_cast<uint32_t>(bytes / kRegionBytesPerBucket);
  const std::size_t index_bytes = std::size_t{layout.bucket_cnt} * sizeof(Bucket);
  layout.first_slab_page = static_cast<uint32_t>(1 + (index_bytes + kPageBytes - 1) / kPageBytes);
  return {};
}

}  // namespace millrace::cache
