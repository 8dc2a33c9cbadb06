// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an operator can say, as plain structs.
//
// A Config comes from load_config_text() and is then whole: every default is filled in, everything
// left to the machine (`auto`) is decided, every reference leads somewhere. fields.def lists each
// member again as a key with its range and reload class; a test holds the two together.
// Units are in the names: a TTL is in seconds, a timeout in milliseconds, a size in bytes.

#include "control/config/endpoint.hpp"
#include "control/config/prefix.hpp"
#include "dataplane/abi/config_image.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::ctl {

// A port of the data plane: where packets come from and go to. Exactly one of the two ways.
struct Port {
  std::string name;
  std::string interface {};  // kernel interface, driven over AF_XDP; the ordinary case
  std::string device{};      // DPDK device: a PCI address, or a vdev with its arguments
  bool operator==(const Port&) const = default;
};

// An address that clients send their queries to.
struct Bind {
  std::string name;
  Endpoint listen_address;
  std::string pool = "default";  // who answers what the cache does not know
  bool operator==(const Bind&) const = default;
};

// A recursive resolver behind us.
struct Backend {
  std::string name;
  Endpoint address;
  std::vector<std::string> pools = {"default"};  // in which it serves
  uint16_t weight = 1;                           // its share in pools of policy `weighted`
  uint16_t max_in_flight = 0;                    // questions outstanding at a time; 0 = no limit
  bool trust_ad = false;                         // its AD bit reaches clients
  bool operator==(const Backend&) const = default;
};

// A set of backends that give the same answers, and the cache in front of them.
struct Pool {
  std::string name;
  std::string packet_cache = "default";
  abi::PoolPolicy policy = abi::PoolPolicy::least_outstanding;
  bool client_subnet = false;            // RFC 7871; tells backends about clients, grows the cache
  uint16_t client_subnet_ipv4 = 24;      // bits of a client's address that are told (RFC: 24, 56)
  uint16_t client_subnet_ipv6 = 56;
  uint16_t client_subnet_variants = 16;  // answers kept for one question; raise while
                                         // ins_skip_subnet counts
  bool operator==(const Pool&) const = default;
};

// Rules for what is kept. Caches never share answers; their memory is one store of the summed size.
struct PacketCache {
  std::string name;
  uint64_t size_bytes = 64ull << 20;   // raise when evictions show while the hit ratio is low
  uint32_t max_ttl_s = 86400;          // nothing is kept longer (RFC 8767: at most 7 days)
  uint32_t min_ttl_s = 0;              // raises shorter TTLs; 0 = off, as RFC 2181 would have it
  uint32_t min_cacheable_ttl_s = 0;    // shorter answers pass by the cache; 0 = off
  uint32_t max_negative_ttl_s = 3600;  // NXDOMAIN and NODATA (RFC 2308: 1 to 3 hours)
  uint32_t failure_ttl_s = 5;        // how long a first failure is remembered (RFC 9520: 1 to 300)
  uint32_t max_failure_ttl_s = 300;  // further ones, each twice as long as the one before
  uint32_t maximum_entry_size_bytes = 4096;  // larger answers pass by the cache
  bool operator==(const PacketCache&) const = default;
};

// Who is served, and from which pool: the first rule that matches decides, and what none matches is
// allowed.
struct AccessRule {
  std::string name;
  std::vector<Prefix> sources;
  std::vector<std::string> binds{};  // at which it holds; empty = all
  abi::RuleAction action = abi::RuleAction::allow;
  std::string pool{};  // with `allow`, in place of the bind's; empty = that of the bind
  bool operator==(const AccessRule&) const = default;
};

// Names that are asked of another pool: each suffix and all below it. The longest suffix decides.
struct ForwardRule {
  std::string name;
  std::vector<std::string> suffixes;  // lower case, without the closing dot; "." = all names
  std::string pool;
  std::vector<std::string> from{};  // pools that would be asked otherwise; empty = all
  bool operator==(const ForwardRule&) const = default;
};

inline constexpr int kAutoCore = -1;
inline constexpr uint32_t kAutoShards = 0;

// The packet-handling process.
struct Dataplane {
  uint32_t workers = 1;       // one per NIC queue; raise when a core is saturated
  std::vector<int> cores;     // the CPU of each worker; empty = auto, before resolve() only
  int main_core = kAutoCore;  // the CPU of the main thread; likewise
  abi::IdleMode idle = abi::IdleMode::adaptive;  // poll: lowest latency, one CPU burnt per worker
  bool hugepages = true;  // false: ordinary memory, slower, needs no reservation
  std::string hugepage_dir = "/dev/hugepages/millrace";
  uint32_t shards = kAutoShards;        // of the cache; a power of two
  uint32_t buffers_per_worker = 16384;  // raise when ports report that they ran out
  uint32_t flows = 65536;  // verdicts of access rules, per worker; raise when flow_evict counts
  std::vector<uint16_t> vlans{};  // whose tagged frames are taken; empty = untagged ones only
  bool operator==(const Dataplane&) const = default;
};

// Source ports of upstream queries; half-open.
struct PortRange {
  uint16_t first = 10000;
  uint16_t end = 32001;
  bool operator==(const PortRange&) const = default;
};

// How a miss is asked.
struct Upstream {
  PortRange port_range;                    // wide, and out of the kernel's ephemeral range
  uint32_t try_timeout_ms = 400;           // before another is tried; shorter once RTTs are known
  uint32_t hedge_ms = 0;                   // another is asked already after this; 0 = never
  uint32_t give_up_ms = 5000;              // then the client gets SERVFAIL
  uint32_t tries = 3;                      // per client query, all backends together
  uint32_t down_after = 3;                 // failed tries in a row that make a backend suspect
  uint32_t probe_interval_ms = 5000;       // a backend that is down gets one query per interval
  uint16_t udp_payload_size_bytes = 1232;  // what we advertise to backends (RFC 9715: <= 1400)
  bool randomize_case = true;              // forgers have to guess it; off if a backend changes it
  bool cookies = true;                     // RFC 7873, as a client
  // Resolvers take such records out themselves; what is left of them is mostly of servers that put
  // a chain in another order, and there clients may still find what they asked for.
  abi::UnrelatedRecords unrelated_records = abi::UnrelatedRecords::relay;
  bool operator==(const Upstream&) const = default;
};

// Clients that come over TCP (RFC 7766, RFC 9210).
struct Tcp {
  uint32_t connections = 10'000;          // 0 = no service over TCP
  uint32_t connections_per_source = 100;  // raise when many clients share an address
  uint32_t queries_per_connection = 100;  // misses in work at a time
  uint32_t idle_timeout_ms = 10'000;      // RFC 9210: some seconds
  bool operator==(const Tcp&) const = default;
};

// Answers that clients want are asked for again before their time is over.
struct Prefetch {
  uint32_t remaining_percent = 10;  // of the TTL; 0 = off
  uint32_t min_ttl_s = 10;          // shorter ones are left to expire
  uint32_t rate = 1000;             // started per second and core; lower to spare weak resolvers
  bool operator==(const Prefetch&) const = default;
};

// Answers past their time, for when no new one can be had (RFC 8767).
struct ServeStale {
  uint32_t keep_s = 0;              // past their time; 0 = never served
  uint32_t client_timer_ms = 1800;  // shorter than clients' patience, longer than upstreams' (RFC)
  uint32_t recheck_s = 30;          // a question that failed is left alone for so long
  uint32_t shown_ttl_s = 30;        // so long clients believe them
  bool operator==(const ServeStale&) const = default;
};

// What one domain or one client may take of what is there for all.
struct Limits {
  uint32_t misses_per_domain = abi::kPendings / 2;  // in flight at each worker; 0 = no limit
  uint32_t misses_per_client = abi::kWaiters / 2;   // that wait at each worker; 0 = no limit
  uint32_t responses_per_second = 0;  // over UDP, to one prefix; 0 = no limit: clients are known
  uint16_t slip = 2;                  // each so many-th one above it says TC; 0 = none
  uint32_t prefix_v4 = 24;
  uint32_t prefix_v6 = 56;
  bool operator==(const Limits&) const = default;
};

// EDNS towards clients.
struct Edns {
  uint16_t udp_payload_size_bytes = 1232;  // larger answers are truncated
  bool cookies = true;                     // RFC 7873
  // 32 hexadecimal digits each. The first makes cookies, both know them; empty = random ones, of
  // each data plane its own.
  std::vector<std::string> cookie_secrets{};
  std::string nsid{};  // RFC 5001; empty = none
  bool operator==(const Edns&) const = default;
};

// Names that are answered here and never asked upstream; control/config/local_zones.hpp has the
// list.
struct LocalZones {
  bool builtin = true;
  std::vector<std::string> except{};  // of the built-in ones, by name or by prefix of addresses
  std::vector<std::string> also{};    // names that do not exist, nor does any name below them
  bool operator==(const LocalZones&) const = default;
};

enum class RecursionNotDesired : uint8_t { refuse = 0, cache_only = 1 };
enum class AnyOverUdp : uint8_t { minimal = 0, forward = 1 };

// Choices where the RFCs leave one.
struct Dns {
  RecursionNotDesired recursion_not_desired = RecursionNotDesired::refuse;  // queries with RD=0
  AnyOverUdp any_over_udp = AnyOverUdp::minimal;                            // RFC 8482
  std::string version{};   // version.bind and version.server; empty = REFUSED
  std::string identity{};  // id.server and hostname.bind; likewise
  bool operator==(const Dns&) const = default;
};

// The numbers stand in ServiceSection::log_level and are those of spdlog.
enum class LogLevel : uint32_t { trace = 0, debug = 1, info = 2, warning = 3, error = 4 };

struct Logging {
  LogLevel level = LogLevel::info;
  bool operator==(const Logging&) const = default;
};

// For tests of millrace itself.
struct Testing {
  abi::ClockMode clock = abi::ClockMode::real;  // manual: see dataplane/base/held_clock.hpp
  bool operator==(const Testing&) const = default;
};

struct Config {
  std::vector<Port> ports;
  std::vector<Bind> binds;
  std::vector<Backend> backends;
  std::vector<Pool> pools;                 // empty = `default`, before resolve() only
  std::vector<PacketCache> packet_caches;  // likewise
  std::vector<AccessRule> access;
  std::vector<ForwardRule> forward;
  Dataplane dataplane;
  Upstream upstream;
  Tcp tcp;
  Prefetch prefetch;
  ServeStale serve_stale;
  Limits limits;
  Edns edns;
  Dns dns;
  LocalZones local_zones;
  Logging logging;
  Testing testing;
  bool operator==(const Config&) const = default;
};

}  // namespace millrace::ctl
