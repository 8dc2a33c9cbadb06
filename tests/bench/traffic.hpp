// SPDX-License-Identifier: Apache-2.0
#pragma once
// The queries that the benchmarks of the path ask, and what must come back.
//
// Name n is text made from n, and its one A record is 198.n in the low 24 bits: an answer says of
// itself to which name it belongs. Query i comes from client 10.i (IPv6: fd00:18:2::i): a reply
// says of itself to which query it belongs, so samples of a run can be checked afterwards.
//
// Threads: immutable after construction. Memory: one word per packet; frames are made on demand.

#include "tests/support/packet_builder.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::test {

inline constexpr uint32_t kAnswerTtlS = 86400;
inline constexpr uint16_t kEdnsUdpBytes = 1232;  // what make_config() sets

struct TrafficPlan {
  uint32_t names = 1000;
  uint32_t packets = 250'000;
  bool zipf = false;  // else every name is as likely; 1/rank
  bool v6 = false;
  uint32_t edns_percent = 50;  // of the queries
  bool udp_checksum = true;    // IPv4 only: false sends 0
};

class Traffic {
 public:
  explicit Traffic(const TrafficPlan& plan);

  uint32_t packet_cnt() const { return plan_.packets; }
  uint32_t distinct_names() const;  // that are asked for

  static std::string name(uint32_t n);
  static uint32_t address_of_name(uint32_t n) { return 198u << 24 | n; }

  Bytes message(uint32_t i) const;  // the DNS message of query i
  Bytes frame(uint32_t i) const;    // the Ethernet frame around it
  // The reply to it, octet for octet, when its TTL has come down to `ttl_s`. Made by the builders
  // of the tests, which share no code with the product.
  Bytes reply(uint32_t i, uint32_t ttl_s) const;
  // To which query a reply belongs; packet_cnt() if to none. Sets where its TTL stands.
  uint32_t query_of(const uint8_t* reply, std::size_t bytes, std::size_t& ttl_at) const;

 private:
  bool has_opt(uint32_t i) const;
  std::string client(uint32_t i) const;
  FrameBuilder addressed(uint32_t i, bool back) const;

  TrafficPlan plan_;
  std::vector<uint32_t> name_of_;
};

// The frames as a capture file (pcap, Ethernet). False: it could not be written.
bool write_capture(const Traffic& traffic, const std::string& path);

}  // namespace millrace::test
