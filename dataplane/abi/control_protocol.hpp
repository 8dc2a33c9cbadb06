// SPDX-License-Identifier: Apache-2.0
#pragma once
// What millraced and millrace-dataplane say to each other.
//
// A SOCK_SEQPACKET Unix socket, `<run-dir>/dataplane.sock`, on which the data plane listens: it
// outlives the control plane and lets the next one in. One control plane at a time; a new
// connection replaces the old. One request, one reply, in order. Descriptors travel as SCM_RIGHTS
// with the packet that names them.
//
// Threads: main lcore on one side, the control thread on the other. Never a worker.
// Failure: a packet of the wrong size, version or op gets `bad_request` and changes nothing.

#include <cstdint>
#include <type_traits>

#include "dataplane/abi/abi_base.hpp"
#include "dataplane/abi/config_image.hpp"

namespace millrace::abi {

enum class Op : uint32_t {
  hello = 1,           // reply: HelloReply, one descriptor: the StatsArea
  install_config = 2,  // one descriptor: ConfigImage; reply when every core runs it
  install_routes = 3,  // one descriptor: RoutesImage; reply when every core runs it
  cache_lookup = 4,    // CacheQuery; reply: CacheReply
  cache_flush = 5,     // CacheQuery; reply (CacheReply::removed) when every core has walked
  stop = 6,            // the data plane answers, then ends
  install_sockets = 7,  // SocketsRequest, with that many descriptors
  advance_clock = 8,    // ClockRequest; reply when all that became due has been done; for tests
};

enum class ReplyCode : uint32_t {
  ok = 0,
  bad_request = 1,
  rejected = 2,   // the image was verified and refused; nothing changed
  timed_out = 3,  // some core did not pass; `text` names it
  not_found = 4,
  needs_restart = 5,  // the boot section differs from the one this process started with
};

struct Request {
  uint32_t abi_version;
  Op op;
  uint64_t sequence;  // echoed
};

// TCP sockets that listen, one at each address, in the order of the descriptors that come along.
// They take the place of those before.
struct SocketsRequest {
  Request request;
  uint32_t cnt;
  Address address[kBindsMax];
};

// How far a clock of ClockMode::manual goes on.
struct ClockRequest {
  Request request;
  uint64_t by_ns;  // at most kAdvanceNsMax
};
inline constexpr uint64_t kAdvanceNsMax = 1'000'000'000ull * 86'400 * 366;

struct Reply {
  uint32_t abi_version;
  ReplyCode code;
  uint64_t sequence;
  char text[240];  // for people; empty when ok
};
static_assert(sizeof(Reply) == 256);

struct HelloReply {
  Reply reply;
  uint32_t pid;
  uint32_t workers;
  uint64_t config_generation;  // 0: none installed
  uint64_t routes_generation;
  uint64_t boot_checksum;      // snapshot::boot_checksum of the image it started with
};

enum class NameMatch : uint8_t { all = 0, exact = 1, suffix = 2 };

struct CacheQuery {
  Request request;
  uint16_t qtype;  // 0: any type
  NameMatch match;
  uint8_t name_bytes;  // wire length, root label included; 0 with `all`
  uint8_t negative_only;
  uint8_t packet_cache;  // index, 0xff: every cache
  uint8_t reserved[2];
  uint8_t name[256];  // wire form, any case
};

inline constexpr uint32_t kCacheRowsMax = 32;

// One entry as the operator sees it.
struct CacheRow {
  uint16_t qtype;
  uint8_t rcode;
  uint8_t flag_do;
  uint8_t flag_cd;
  uint8_t negative;
  uint8_t packet_cache;
  uint8_t authentic_data;
  uint32_t ttl_s;       // left; 0: past its time
  uint32_t lifetime_s;  // when stored
  uint32_t stale_s;     // past its time: for how long it may still be served (serve_stale); else 0
  uint16_t an_cnt, ns_cnt, ar_cnt;
  uint16_t body_bytes;
  uint8_t name_bytes;   // wire length, root label included
  uint8_t name[255];    // of the question: wire form, lower case as in the key
  uint8_t subnet_family;  // of the clients that it is for (RFC 7871): 1 IPv4, 2 IPv6; 0: all
  uint8_t subnet_bits;
  uint8_t subnet_scope;   // as the upstream said
  uint8_t subnet_exact;   // 1: only for who tells just this subnet
  uint8_t subnet[8];      // wire order, zeroes behind the bits
  uint8_t body[1400];   // answer without header, question and OPT, TTLs as stored, cut to fit
};

struct CacheReply {
  Reply reply;
  uint64_t removed;
  uint32_t rows;
  uint32_t rows_total;  // may exceed `rows`
  CacheRow row[kCacheRowsMax];
};
static_assert(std::is_trivially_copyable_v<CacheReply>);
static_assert(sizeof(CacheReply) <= 64 * 1024);  // one packet of the socket

}  // namespace millrace::abi
