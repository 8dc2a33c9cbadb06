// SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory of the cache: one region per shard.
//
// With hugepages a region is a file of ours on hugetlbfs, `<hugepage_dir>/<instance>/shard-NNN`.
// (The names must not contain "map_": DPDK removes such files of whoever does not hold them.)
// Without, it is ordinary memory. Regions are taken at start and never grow.
//
// Threads: main, at start and stop. Failure: throws Failed: what is missing and what to do.

#include <cstddef>
#include <string>
#include <vector>

#include "dataplane/abi/config_image.hpp"

namespace millrace::dp {

class CacheRegions {
 public:
  CacheRegions(const abi::BootSection& boot, const std::string& instance);
  ~CacheRegions();
  CacheRegions(const CacheRegions&) = delete;
  CacheRegions& operator=(const CacheRegions&) = delete;

  void* region(uint32_t shard) const noexcept { return regions_[shard]; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  void map_file(uint32_t shard);
  void map_plain();

  std::string parent_;
  std::string folder_;  // empty: ordinary memory
  std::size_t bytes_;
  std::vector<void*> regions_;
};

}  // namespace millrace::dp
