// SPDX-License-Identifier: Apache-2.0
#pragma once
// Workers among clients and upstreams that a fuzzer plays: any frame in, at most one frame out for
// it, and everything that goes out judged.
//
// The bytes choose a config (access rules, forwarding, local zones, cookies, ANY, prefetch, stale,
// pool policies, hedging, ...), then one act after another: a query, an answer with the right port
// and id or with one of them wrong, a frame of raw bytes, time, another config, a flush. Octets of
// whatever is built can be changed on its way.

#include "tests/fuzz/bench.hpp"
#include "tests/fuzz/choices.hpp"
#include "tests/support/packet_reader.hpp"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace millrace::test {

// Makes the checksums right of an untagged IPv4 or IPv6 frame without extension headers; false: it
// is none. A fuzzer does not guess those.
bool mend_sums(Bytes& frame);

class FrameWorld {
 public:
  explicit FrameWorld(Choices& from);
  void run();

 private:
  static constexpr uint32_t kAskedMax = 32;  // remembered: older ones can no longer be answered

  enum class Rule : uint8_t { serve, refuse, drop };

  // A frame that went in by a client's side.
  struct Arrived {
    Bytes frame;
    uint8_t port;
    bool must_answer;
    uint32_t reply_cnt = 0;
  };
  // A question of ours on its way.
  struct Asked {
    uint32_t worker;
    uint8_t port;
    ReadFrame frame;
    ReadMessage message;
  };
  // What an upstream said; its number is in the data.
  struct Answer {
    Bytes name;  // folded
    uint16_t type;
    uint32_t ttl_s;
    uint64_t given_ms;
    bool forged;
  };

  // frame_world.cpp
  void configure();
  void configure_pools();
  void configure_names();
  void act();
  void ask();
  void answer();
  void write_answer(DnsBuilder& message, const ReadQuestion& question, bool forged);
  Bytes numbered(const ReadQuestion& question, uint32_t ttl_s, bool forged);
  void send_raw();
  void arrive(const Bytes& frame, bool must_answer);
  void pass_time();
  void reconfigure();
  void flush();
  Bytes message();
  OptFields opt(bool flag_do);

  // frame_oracle.cpp
  Rule rule_of(const abi::Address& client) const;
  void sent(uint32_t worker, const sim::Cargo& cargo, const Bytes& bytes, uint8_t port);
  void check_asked(const Asked& asked, const Bytes& bytes) const;
  void check_reply_frame(const Arrived& to, const ReadFrame& reply, const Bytes& bytes) const;
  void check_data(const ReadMessage& reply, const Bytes& bytes) const;
  void note_name(const Bytes& payload);
  void note_cookie(const ReadMessage& reply);
  void check_end() const;

  Choices& from_;
  bool has_rules_ = false;
  bool has_forward_ = false;
  bool has_local_ = false;
  bool has_edited_ = false;      // answers may be those of anything
  bool has_unreadable_ = false;  // queries may be for any name
  uint32_t kept_s_max_ = 0;      // past their time
  uint32_t tries_max_ = 1;
  uint64_t mails_ = 0;
  Bytes cookie_;  // of the last reply that had one
  std::vector<Arrived> arrived_;
  std::vector<Asked> asked_;
  std::vector<Answer> answers_;
  std::set<Bytes> names_;  // that clients asked for, folded
  Bench bench_;
};

}  // namespace millrace::test
