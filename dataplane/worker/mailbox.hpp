// SPDX-License-Identifier: Apache-2.0
#pragma once
// How the main core asks a worker to walk its shards: cache flush and cache lookup.
//
// One request at a time. The main core fills `query`, then stores `asked`; the worker walks its
// shards in slices between bursts, then stores `answered` with the same number. Removal belongs to
// the owner of the shard, so this is a request, never a reach into another core's memory.
//
// Threads: main core writes query and asked; the worker writes the rest. `asked` (release) pairs
// with the worker's acquire load, `answered` (release) with the main core's acquire load: whoever
// sees the number sees what was written before it. Cost: the worker reads one line a turn.

#include <atomic>
#include <cstdint>

#include "dataplane/abi/control_protocol.hpp"
#include "dataplane/base/cache_line.hpp"

namespace millrace::dp {

struct Mailbox {
  alignas(kWriterSpacingBytes) std::atomic<uint64_t> asked{0};
  bool remove = false;  // true: flush; false: lookup
  abi::CacheQuery query{};

  alignas(kWriterSpacingBytes) std::atomic<uint64_t> answered{0};
  uint64_t removed = 0;
  uint32_t rows = 0;
  uint32_t rows_total = 0;
  abi::CacheRow row[abi::kCacheRowsMax];
};

}  // namespace millrace::dp
