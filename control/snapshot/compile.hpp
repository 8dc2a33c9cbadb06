// SPDX-License-Identifier: Apache-2.0
#pragma once
// A Config as the bytes that workers run under.
//
// Pure and deterministic: the same Config and generation give the same bytes, on any machine, with
// every unused byte zero. Names become indices: a pool, packet cache or backend has the index of
// its place in the list.
// Precondition: the config passed validate(); a broken one is a bug and ends the process.

#include "control/config/model.hpp"
#include "dataplane/abi/config_image.hpp"

#include <cstdint>

namespace millrace::ctl {

// What a shard is made of: whole hugepages.
inline constexpr uint64_t kShardBytesMin = 2ull << 20;

// Memory of all packet caches: the summed sizes rounded up to whole 2 MiB pages in every shard.
uint64_t cache_bytes(const Config& config);

// Fills the whole image, checksum included.
void compile(const Config& config, uint64_t generation, abi::ConfigImage& image);

}  // namespace millrace::ctl
