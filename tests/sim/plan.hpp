// SPDX-License-Identifier: Apache-2.0
#pragma once
// What kind of world a seed makes: sizes, tempo, and how much goes wrong.

#include "tests/sim/random.hpp"

#include <cstdint>

namespace millrace::sim {

inline constexpr uint64_t kMs = 1'000'000;  // in ns
inline constexpr uint32_t kStaleTtlS = 29;  // of no fresh answer
inline constexpr uint32_t kTcpIdleMs = 10'000;

struct Plan {
  // --- the data plane
  uint32_t workers = 1;
  uint32_t shards = 1;
  uint32_t region_bytes = 512 << 10;  // per shard
  uint32_t pendings = 64;
  uint32_t waiters = 256;
  uint32_t flows = 1024;
  uint32_t frames = 2048;

  // --- tempo
  uint64_t turn_ns = 50'000;       // mean time between two turns of any worker
  uint32_t query_per_mille = 300;  // queries per turn
  uint32_t storm_per_mille = 0;    // chance per turn of a burst of queries for one name
  uint32_t popular_names = 50;
  uint32_t one_shot_per_mille = 100;
  bool large_one_shots = false;  // one-shot names have large answers: they push others out

  // --- what goes wrong; all of it 0 in a calm world
  bool calm = false;
  uint32_t client_loss = 0, client_duplicate = 0;
  uint32_t upstream_loss = 0, upstream_duplicate = 0;
  uint32_t failing_names = 0;    // per mille of the names
  uint32_t hostile = 0;          // per mille of what clients send
  uint32_t forged = 0;           // per mille of upstream queries that draw forged answers
  bool old_backends = false;     // there are some that do not know EDNS
  uint32_t changes_case = 0;     // per mille of answers whose question comes back in another case
  uint32_t wants_cookie = 0;     // per mille of queries without a good cookie that get BADCOOKIE
  uint32_t guessed = 0;          // per mille of upstream queries whose id somebody tries to guess
  uint32_t unreachable = 0;      // per mille of queries to a dead backend of which ICMP tells
  uint32_t backend_trouble = 0;  // per 100000 turns
  uint32_t stall = 0;            // per 100000 turns: a core stops for a while
  uint32_t starve = 0;           // per 100000 turns: a core gets no spare frames for a while
  uint32_t tx_drop = 0;          // per mille of sent frames for which the port has no room
  uint32_t clock_jump = 0;       // per 100000 turns
  uint32_t reconfigure = 0;      // per 100000 turns
  uint32_t reroute = 0;          // per 100000 turns
  uint32_t mail = 0;             // per 100000 turns: cache flush or lookup
  uint32_t tcp_trouble = 0;      // per mille of connections and questions to upstreams

  // --- config
  uint16_t edns_udp_bytes = 1232;
  uint32_t try_ms = 200;
  uint32_t hedge_ms = 0;
  uint32_t in_flight_max = 0;  // of each backend
  uint32_t policy = 0;         // of all pools
  uint32_t give_up_ms = 1000;
  uint32_t tries_max = 3;
  uint32_t down_after = 3;
  uint32_t probe_interval_ms = 500;
  bool answer_rd0 = false;
  uint32_t prefetch_percent = 0;
  uint32_t stale_kept_s = 0;
  uint32_t stale_timer_ms = 1800;
  bool randomize_case = false;
  bool cookies = false;  // towards upstreams
  uint32_t domain_misses_max = 0;
  uint32_t client_misses_max = 0;
  uint32_t responses_per_second = 0;  // until the drain
  uint32_t slip = 2;
  uint32_t subnet_variants = 0;  // of the near pool; 0: it does not ask by subnet
  uint32_t subnet_bits4 = 0, subnet_bits6 = 0;
  bool tcp = false;         // there is a slow path
  uint32_t tcp_queries_max = 100;  // in work, of a connection
  bool late_start = false;  // traffic before there is a config, and before there are routes
};

Plan make_plan(Random& random);

}  // namespace millrace::sim
