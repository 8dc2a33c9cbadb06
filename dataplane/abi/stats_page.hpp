// SPDX-License-Identifier: Apache-2.0
#pragma once
// The statistics area: one page per worker and one for the slow path, written by that thread, read
// by the control plane.
//
// The data plane makes it as a memfd and hands it over with the `hello` reply; the control plane
// maps it read-only. A page is a sequence-locked copy of the core's plain counters, made at the end
// of a turn of the loop, so that the sum rule
//     rx_packets = sum of all outcomes
// holds in every copy a reader accepts.
//
// Threads: one writer per page. Readers: read `sequence`, copy, read it again (all acquire); a
// changed or odd value means try again (see stats/stats_page_reader.hpp).
// Cost: the writer stores about 1 KiB per publication, a few hundred times a second at most.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "dataplane/abi/outcomes.hpp"

namespace millrace::abi {

inline constexpr uint32_t kWorkersMax = 16;
inline constexpr uint64_t kStatsMagic = 0x3153'5441'5453'524dULL;  // "MRSTATS1"

struct alignas(64) CorePage {
  std::atomic<uint64_t> sequence;     // odd while the writer is inside
  std::atomic<uint64_t> generation;   // config generation this core runs; 0 = not yet any
  std::atomic<uint64_t> rx_packets;
  std::atomic<uint64_t> waiters;      // gauge: clients waiting for an upstream answer
  std::atomic<uint64_t> inflight;     // gauge: upstream queries outstanding
  std::atomic<uint64_t> entries;      // gauge: cache entries in the shards this core owns
  std::atomic<uint64_t> memory_used;  // gauge: bytes of cache memory in use
  std::atomic<uint64_t> memory_total;
  std::atomic<uint64_t> outcomes[128];
  std::atomic<uint64_t> events[128];
  std::atomic<uint64_t> memory_retired;  // gauge: part of memory_used that waits for readers
  std::atomic<uint64_t> reserved[7];
};

static_assert(kOutcomeCnt <= 128 && kEventCnt <= 128);
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(CorePage) == 64 + 128 * 8 + 128 * 8 + 64);

// Upstream figures, one row per backend of the running config, written by every core into its own
// column.
inline constexpr uint32_t kBackendsMax = 32;

struct alignas(64) BackendCell {
  std::atomic<uint64_t> sent;
  std::atomic<uint64_t> answered;
  std::atomic<uint64_t> timeouts;
  std::atomic<uint64_t> failures;
  std::atomic<uint64_t> rtt_us;       // smoothed, as this core sees it
  std::atomic<uint64_t> up;           // 1 = in use, 0 = considered down by this core
  std::atomic<uint64_t> reserved[2];
};
static_assert(sizeof(BackendCell) == 64);

// What the main core has noticed of a worker. Written by the main core alone.
struct WorkerWatch {
  std::atomic<uint64_t> stuck_since_ns;  // boot clock: in one turn since then; 0: it turns
  uint64_t cpu;                          // set before anybody reads
};
static_assert(sizeof(WorkerWatch) == 16);

struct alignas(64) StatsArea {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t workers;
  uint64_t started_boot_ns;  // CLOCK_BOOTTIME when the data plane started
  uint64_t reserved[5];
  CorePage cores[kWorkersMax + 1];  // of the workers, and behind the last one that of the slow path
  BackendCell backends[kWorkersMax][kBackendsMax];
  WorkerWatch watch[kWorkersMax + 1];
};
static_assert(offsetof(StatsArea, cores) == 64);

}  // namespace millrace::abi
