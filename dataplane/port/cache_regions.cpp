// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/cache_regions.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "dataplane/port/eal.hpp"

namespace millrace::dp {
namespace {

std::string shard_file(const std::string& folder, uint32_t shard) {
  char name[32];
  std::snprintf(name, sizeof name, "/shard-%03u", shard);
  return folder + name;
}

}  // namespace

CacheRegions::CacheRegions(const abi::BootSection& boot, const std::string& instance)
    : bytes_(boot.cache_bytes / boot.shards) {
  if (boot.hugepages != 0) {
    parent_ = boot.hugepage_dir;
    folder_ = parent_ + "/" + instance;
    for (const std::string& folder : {parent_, folder_}) {
      if (mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) continue;
      throw Failed("cannot make " + folder + ": " + std::strerror(errno) +
                   "; dataplane.hugepage_dir must lie on a hugetlbfs");
    }
  }
  for (uint32_t s = 0; s < boot.shards; ++s) {
    if (folder_.empty()) {
      map_plain();
    } else {
      map_file(s);
    }
  }
}

void CacheRegions::map_file(uint32_t shard) {
  const std::string path = shard_file(folder_, shard);
  // A file that a crashed predecessor left has the wrong hash secret: its pages go back first.
  unlink(path.c_str());
  const int fd = open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) throw Failed("cannot make " + path + ": " + std::strerror(errno));
  void* at = MAP_FAILED;
  if (ftruncate(fd, static_cast<off_t>(bytes_)) == 0) {
    at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  }
  const int error = errno;
  close(fd);
  if (at == MAP_FAILED) {
    throw Failed("no hugepages for shard " + std::to_string(shard) + " of the cache (" +
                 std::to_string(bytes_ >> 20) + " MiB): " + std::strerror(error) +
                 "; reserve more, e.g. echo N > /proc/sys/vm/nr_hugepages, or make "
                 "packet_caches[].size smaller");
  }
  regions_.push_back(at);
}

void CacheRegions::map_plain() {
  void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (at == MAP_FAILED) {
    throw Failed("no memory for the cache: " + std::string(std::strerror(errno)));
  }
  regions_.push_back(at);
}

CacheRegions::~CacheRegions() {
  for (uint32_t s = 0; s < regions_.size(); ++s) {
    munmap(regions_[s], bytes_);
    if (!folder_.empty()) unlink(shard_file(folder_, s).c_str());
  }
  // The parent goes too unless another instance is in it.
  if (!folder_.empty() && rmdir(folder_.c_str()) == 0) rmdir(parent_.c_str());
}

}  // namespace millrace::dp
