// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/stats_mapping.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "dataplane/abi/abi_base.hpp"

namespace millrace::ctl {

Result<std::shared_ptr<const abi::StatsArea>> map_stats(UniqueFd fd) {
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0) {
    return Status(Code::error, "data plane sent no statistics area with its hello");
  }
  // Reading a mapping past the end of its file would be SIGBUS.
  if (static_cast<uint64_t>(info.st_size) < sizeof(abi::StatsArea)) {
    return Status(Code::error, "statistics area has " + std::to_string(info.st_size) +
                                   " bytes, needed: " + std::to_string(sizeof(abi::StatsArea)));
  }
  void* at = ::mmap(nullptr, sizeof(abi::StatsArea), PROT_READ, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) {
    return Status(Code::error, std::string("cannot map the statistics area: ") +
                                   std::strerror(errno));
  }
  std::shared_ptr<const abi::StatsArea> area(
      static_cast<const abi::StatsArea*>(at), [](const abi::StatsArea* mapped) {
        ::munmap(const_cast<abi::StatsArea*>(mapped), sizeof *mapped);
      });
  if (area->magic != abi::kStatsMagic || area->abi_version != abi::kAbiVersion ||
      area->workers == 0 || area->workers > abi::kWorkersMax) {
    return Status(Code::error, "statistics area is of another version");
  }
  return area;
}

}  // namespace millrace::ctl
