// SPDX-License-Identifier: Apache-2.0
#pragma once
// A config snapshot as plain bytes.
//
// The control plane compiles the YAML into this image, seals it in a memfd and sends the descriptor
// to the data plane; the data plane verifies it whole (snapshot/config_attach.hpp) before a worker
// may see it. There are no pointers and no offsets: every table is an array with a fixed maximum,
// so "verify" is "check the header and every count and range". The same YAML gives the same bytes,
// except for `generation` and so `checksum`.
//
//     0 +----------------------+
//       | ImageHeader  (64)    |  magic, ABI version, size, generation, checksum
//    64 +----------------------+
//       | BootSection          |  what only a restart can change: workers, ports, memory
//       | ServiceSection       |  what the next burst can run under
//       +----------------------+
//
// Limits: see the k...Max constants; each is what one appliance needs with room to spare, and keeps
// an image below 32 KiB.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "dataplane/abi/abi_base.hpp"
#include "dataplane/abi/stats_page.hpp"

namespace millrace::abi {

inline constexpr uint64_t kConfigMagic = 0x3147'464e'4f43'524dULL;  // "MRCONFG1"

inline constexpr uint32_t kPortsMax = 4;
inline constexpr uint32_t kBindsMax = 32;
inline constexpr uint32_t kPoolsMax = 16;
inline constexpr uint32_t kPacketCachesMax = 8;
inline constexpr uint32_t kNameMax = 32;  // bytes, with the closing NUL
inline constexpr uint32_t kShardsMax = 256;
inline constexpr uint32_t kRulesMax = 64;
inline constexpr uint32_t kPrefixesMax = 256;  // of all rules together
inline constexpr uint32_t kFlowsMin = 1024;    // of one worker
inline constexpr uint32_t kFlowsMax = 1u << 20;
inline constexpr uint32_t kTriesMax = 4;  // each waits twice as long as the one before

struct ImageHeader {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t bytes;       // of the whole image
  uint64_t generation;  // 1, 2, 3, ...
  uint64_t checksum;    // XXH3-64 of the image with this field zero
  uint64_t reserved[4];
};
static_assert(sizeof(ImageHeader) == 64 &&
              std::has_unique_object_representations_v<ImageHeader>);

enum class IdleMode : uint8_t { adaptive = 0, poll = 1 };
enum class ClockMode : uint8_t { real = 0, manual = 1 };  // manual: stands still, for tests

struct PortConfig {
  char name[kNameMax];
  char interface[kNameMax];  // kernel interface driven over AF_XDP; empty: `device` is used
  char device[128];          // DPDK vdev with its arguments, or a PCI address; empty: AF_XDP
};
static_assert(sizeof(PortConfig) == 192);

struct BootSection {
  uint32_t workers;
  uint32_t ports;
  uint32_t shards;            // power of two, >= workers
  uint32_t frames_per_worker; // packet buffers
  uint64_t cache_bytes;       // all packet caches together; a multiple of shards * 2 MiB
  uint8_t hugepages;          // 1: cache and buffers in hugepages; 0: ordinary memory
  ClockMode clock;
  uint8_t reserved[6];
  int32_t cores[kWorkersMax + 1];  // [0] main, then one CPU per worker
  uint32_t flows_per_worker;       // verdicts that a worker remembers
  char hugepage_dir[128];
  PortConfig port[kPortsMax];
};
static_assert(std::has_unique_object_representations_v<BootSection>);

struct BindConfig {
  Address address;
  uint32_t pool;  // index
};

struct BackendConfig {
  char name[kNameMax];
  Address address;
  uint16_t weight;         // >= 1
  uint16_t in_flight_max;  // queries that all workers together may have outstanding; 0: no limit
  uint8_t trust_ad;        // 1: its AD bit reaches clients that ask for it
  uint8_t reserved[3];
};

// Which of those that can be asked gets a question; worker/backend_set.hpp.
enum class PoolPolicy : uint8_t {
  least_outstanding = 0,
  round_robin = 1,
  weighted = 2,
  first_available = 3,
  consistent_hash = 4
};

struct PoolConfig {
  char name[kNameMax];
  uint32_t packet_cache;  // index
  uint32_t backends;      // bit i: backend i serves this pool
  PoolPolicy policy;
  // CLIENT-SUBNET (RFC 7871) towards its backends. Pools that share a packet cache have the same.
  uint8_t subnet_variants;  // answers of one question at a time; 0: off, and the others are 0, too
  uint8_t subnet_bits4;     // told of an IPv4 address
  uint8_t subnet_bits6;
};
inline constexpr uint8_t kSubnetVariantsMax = 255;
inline constexpr uint8_t kSubnetBits4Max = 32, kSubnetBits6Max = 64;

// What becomes of an answer with records off the chain from its question; it is never cached.
enum class UnrelatedRecords : uint32_t { relay = 0, strip = 1, refuse = 2 };

struct PacketCacheConfig {
  char name[kNameMax];
  uint32_t ttl_s_max;
  uint32_t ttl_s_min;            // raises; 0 = off
  uint32_t ttl_s_min_cacheable;  // below: not stored
  uint32_t negative_ttl_s_max;
  uint32_t failure_ttl_s;        // how long a first failure is remembered; 1..300
  uint32_t failure_ttl_s_max;    // each further one twice as long as the one before, up to this
  uint32_t entry_bytes_max;
  UnrelatedRecords unrelated;  // the same for all; here with what else an answer is judged by
};

// Source addresses that share their first `bits` bits; the bits behind them are zero.
struct PrefixConfig {
  uint8_t bytes[16];  // as in a packet: IPv4 in the first four, the rest zero
  uint8_t family;     // 4 or 6
  uint8_t bits;       // 0..32 or 0..128
  uint8_t reserved[2];
};
static_assert(sizeof(PrefixConfig) == 20 && offsetof(PrefixConfig, bits) == 17);

enum class RuleAction : uint8_t { allow = 0, refuse = 1, drop = 2 };

// What clients get that no rule matches is RuleAction::allow with the pool of the bind; the first
// rule that matches decides.
struct RuleConfig {
  uint32_t binds;     // bit i: bind i; clients of the others are not matched
  uint16_t prefixes;  // how many; those of the rules stand one behind another
  RuleAction action;
  uint8_t pool;       // index, or kPoolOfBind; that if the action is not `allow`
};
static_assert(sizeof(RuleConfig) == 8 && kBindsMax <= 32 && kPoolsMax < 255);
inline constexpr uint8_t kPoolOfBind = 0xff;

// A name that is asked elsewhere, with all below it; worker/forward_table.hpp.
struct ForwardConfig {
  uint16_t pools;  // bit i: holds for queries that would be asked of pool i
  uint8_t pool;    // index, of whom they are asked instead
  uint8_t bytes;   // of the name, in wire form and lower case; the names stand one behind another
};
static_assert(sizeof(ForwardConfig) == 4 && kPoolsMax <= 16);
inline constexpr uint32_t kForwardsMax = 128;
inline constexpr uint32_t kForwardBytesMax = 4096;  // of all names

// TCP clients (RFC 7766).
struct TcpConfig {
  uint32_t connections_max;  // 0: no service over TCP
  uint32_t connections_per_source_max;
  uint32_t queries_per_connection_max;  // of one connection, in work at a time
  uint32_t idle_ms;                     // without a whole message: closed
};
inline constexpr uint32_t kConnectionsMax = 65'536;
inline constexpr uint32_t kQueriesPerConnectionMax = 256;
inline constexpr uint32_t kIdleMsMax = 600'000;

// Names that are answered here and never asked upstream (RFC 6303, 6761, 9462).
enum class LocalKind : uint8_t {
  empty = 0,     // a zone of its SOA and NS alone: no name below it exists
  nxdomain = 1,  // the name itself does not exist, either
  nodata = 2,    // every name exists and has nothing
  loopback = 3,  // every name has the addresses of the loopback interface
  elsewhere = 4, // none: a part of another one that is asked upstream
};
struct LocalZoneConfig {
  uint8_t name_bytes;
  LocalKind kind;
};
inline constexpr uint32_t kLocalZonesMax = 384;
inline constexpr uint32_t kLocalNameBytesMax = 10'240;  // of all their names

// What we say of ourselves where it is asked for, if it is not empty; and cookies.
inline constexpr uint32_t kCookieSecretsMax = 2;
inline constexpr uint32_t kCookieSecretBytes = 16;
struct LocalConfig {
  char version[kNameMax];   // version.bind, version.server
  char identity[kNameMax];  // id.server, hostname.bind
  char nsid[kNameMax];      // RFC 5001
  uint8_t cookies;          // 0: COOKIE is ignored; 1: RFC 7873
  uint8_t cookie_secrets;   // the first makes cookies, all know them; none: the data plane's own
  uint8_t any_over_udp;     // 0: asked upstream like others; 1: RFC 8482
  uint8_t reserved[5];
  uint8_t cookie_secret[kCookieSecretsMax][kCookieSecretBytes];
};
static_assert(sizeof(LocalConfig) == 136);
// Answers that are asked for again before their time is over, while clients want them.
struct PrefetchConfig {
  uint32_t left_percent;    // of the lifetime: from then on; 0: off
  uint32_t lifetime_s_min;  // shorter ones are left alone
  uint32_t per_second_max;  // that hits on one core may start
};
inline constexpr uint32_t kPrefetchPercentMax = 50;
inline constexpr uint32_t kPrefetchRateMax = 1'000'000;

// Answers served past their time while no new one can be had (RFC 8767).
struct StaleConfig {
  uint32_t kept_s;           // past their time; 0: never served
  uint32_t client_timer_ms;  // clients wait so long for a new answer
  uint32_t recheck_s;        // a question that failed is not asked again for so long
  uint32_t ttl_s;            // that is shown
};
inline constexpr uint32_t kStaleKeptSMax = 259'200;  // 3 days
inline constexpr uint32_t kStaleTimerMsMax = 30'000;
inline constexpr uint32_t kStaleSMax = 3600;  // of the others

// What one domain or one client may take of what is there for all.
struct LimitsConfig {
  uint32_t domain_misses_max;    // questions below one name in flight, at each worker; 0: no limit
  uint32_t client_misses_max;    // queries of one client that wait, at each worker; 0: no limit
  uint32_t responses_per_second; // over UDP to one prefix, all workers together; 0: no limit
  uint16_t slip;                 // above that each so many-th says TC; 0: none does
  uint8_t prefix_bits4;
  uint8_t prefix_bits6;
};
inline constexpr uint32_t kPendings = 4096;  // questions that each worker may have in flight
inline constexpr uint32_t kWaiters = 8192;   // queries that may wait there
inline constexpr uint32_t kResponseRateMax = 100'000;
inline constexpr uint32_t kSlipMax = 1000;
inline constexpr uint32_t kLimitBitsMin4 = 8;
inline constexpr uint32_t kLimitBitsMin6 = 16;

inline constexpr uint32_t kVlans = 4095;  // 0 and 1..4094 (IEEE 802.1Q); 4095 is reserved
inline constexpr uint32_t kVlanWords = 128;

struct ServiceSection {
  uint32_t binds;
  uint32_t backends;
  uint32_t pools;
  uint32_t packet_caches;
  uint32_t rules;
  uint32_t prefixes;                // of all rules
  uint32_t forwards;
  uint32_t forward_bytes;           // of all of them
  uint32_t local_zones;
  uint32_t local_name_bytes;        // of all local zones
  uint16_t edns_udp_bytes;          // our own limit towards clients
  uint16_t upstream_edns_udp_bytes; // what we advertise upstream
  uint16_t upstream_port_first;     // host order, source ports of upstream queries: [first, end)
  uint16_t upstream_port_end;
  uint32_t upstream_try_ms;         // longest timeout of a first try
  uint32_t upstream_hedge_ms;       // a second backend is asked after this; 0: never
  uint32_t upstream_give_up_ms;     // SERVFAIL after this
  uint32_t upstream_tries_max;      // per client query, all upstreams together
  uint32_t probe_interval_ms;       // a backend that is down gets one query per interval
  uint32_t down_after;              // failed tries in a row that take a backend out of use
  IdleMode idle;
  uint8_t answer_rd0;               // 0: REFUSED; 1: from the cache only
  uint8_t upstream_randomize_case;  // 1: of the names that are asked for
  uint8_t upstream_cookies;         // 1: RFC 7873, as a client
  uint32_t log_level;
  TcpConfig tcp;
  LocalConfig local;
  PrefetchConfig prefetch;
  StaleConfig stale;
  LimitsConfig limits;
  uint32_t vlan[kVlanWords];        // bit v % 32 of word v / 32: frames tagged with v are taken
  BindConfig bind[kBindsMax];
  BackendConfig backend[kBackendsMax];
  PoolConfig pool[kPoolsMax];
  PacketCacheConfig packet_cache[kPacketCachesMax];
  RuleConfig rule[kRulesMax];
  PrefixConfig prefix[kPrefixesMax];
  ForwardConfig forward[kForwardsMax];
  uint8_t forward_name[kForwardBytesMax];
  LocalZoneConfig local_zone[kLocalZonesMax];
  uint8_t local_name[kLocalNameBytesMax];  // wire form, lower case; one behind another
  uint32_t reserved_end;
};
static_assert(std::has_unique_object_representations_v<ServiceSection>);

struct ConfigImage {
  ImageHeader header;
  BootSection boot;
  ServiceSection service;
};
static_assert(std::is_trivially_copyable_v<ConfigImage> && alignof(ConfigImage) == 8);
static_assert(offsetof(ConfigImage, boot) == 64 && sizeof(ConfigImage) < 32 * 1024);
static_assert(std::has_unique_object_representations_v<ConfigImage>, "no hidden padding");

}  // namespace millrace::abi
