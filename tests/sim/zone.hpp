// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the upstreams know: a function from question to answer, and the book of all answers made.
//
// Every answer has a number of its own in its data (24 bits, with 8 bits that tell its records
// apart): in the last octets of an address, in front of a text, in the serial of a SOA. So whoever
// reads a reply knows which packet of which upstream its data came from, when, and for which
// question; forged answers are numbered too, and no client may ever see such a number.

#include "dataplane/abi/config_image.hpp"
#include "tests/sim/names.hpp"
#include "tests/support/packet_reader.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace millrace::sim {

// RDATA of no known form.
inline constexpr uint16_t kTypeOpaque = 65280;

// A question as an upstream got it.
struct Ask {
  uint16_t id = 0;
  Bytes name;
  uint16_t type = 0;
  bool flag_do = false;
  bool flag_cd = false;
  bool has_opt = true;
  Bytes cookie;  // what its COOKIE option has; empty: none
  Bytes subnet;  // likewise CLIENT-SUBNET
  uint8_t view = 0;
  uint8_t backend = 0;
  uint64_t opened_ns = 0;  // when the first packet for this question left, or earlier
  uint64_t sent_ns = 0;    // when this one left
};

struct Answer {
  std::string key;
  Shape shape = Shape::plain;
  uint8_t backend = 0;
  bool forged = false;  // or not to be told from that: in another case than the question
  bool truncated = false;
  bool failure = false;
  bool negative = false;
  bool no_edns = false;    // FORMERR or NOTIMP without OPT
  bool bad_cookie = false; // BADCOOKIE
  bool bare = false;       // no record that could tell the number
  Bytes subnet;            // of the question, and how much of it this holds for
  uint8_t scope = 0;
  bool cacheable = false;  // as far as content goes; TTLs depend on the config
  uint64_t opened_ns = 0;  // of the question, as in Ask
  uint64_t sent_ns = 0;
  test::ReadMessage message{};  // by the tests' own reader
  std::size_t body_bytes = 0;

  // Filled in by the oracle when the core that asked has looked at it for the first time.
  uint64_t seen_ns = 0;
  uint64_t seen_by_ns = 0;  // or between then and now: of what came over TCP it is not always known
  bool served = false;
  abi::PacketCacheConfig limits{};
};

struct MadeAnswer {
  uint32_t number;
  Bytes message;
};

inline constexpr uint32_t kNoNumber = 0xffff'ffff;

// How an upstream takes what is not in every query.
struct Manners {
  bool knows_edns = true;
  bool knows_cookies = false;
  uint32_t wants_cookie = 0;    // per mille of queries without a good cookie that get BADCOOKIE
  uint32_t changes_case = 0;    // per mille
  bool case_must_keep = false;  // or the answer is worth nothing
  bool stream = false;          // it is asked over TCP
  bool keeps_opt = false;       // says nothing after which it is asked in another form
};

// The cookie of an upstream for who has sent `cookie`: his part of it and 16 octets more, for the
// second in which it was made.
inline uint64_t second_of(uint64_t ns) { return ns / 1'000'000'000; }
Bytes server_cookie(uint8_t backend, const Bytes& cookie, uint64_t second);
// Whether it is one of that upstream's, made in that second or the one before.
bool is_server_cookie(uint8_t backend, const Bytes& cookie, uint64_t second);

class Zone {
 public:
  explicit Zone(Random random) : random_(random) {}

  MadeAnswer answer(const Ask& ask, const Manners& manners);
  // Well-formed data for the question, as an attacker would like to see it believed; with the
  // cookie, if there is one.
  MadeAnswer forge(const Ask& ask);
  // Word that a question did not arrive: it has a number, as answers have.
  uint32_t error(const Ask& ask, bool forged);

  Answer& at(uint32_t number) { return *answers_[number]; }
  uint32_t size() const { return static_cast<uint32_t>(answers_.size()); }

  // The number in a record; kNoNumber: it carries none, or one that was never given out.
  uint32_t number_of(const test::ReadRecord& record) const;

 private:
  struct Draft;
  void write_opt(Draft& draft);
  uint32_t new_answer(const Ask& ask, Shape shape);
  void write_shape(Draft& draft);
  void write_positive(Draft& draft);
  void write_negative(Draft& draft);
  void write_failure(Draft& draft);
  void write_data(Draft& draft, const test::Name& owner, uint32_t records);
  Bytes rdata(uint32_t number, uint32_t index, uint16_t type, uint32_t filler);
  Bytes soa(uint32_t number);
  Bytes rrsig(const Draft& draft, uint16_t covered);
  uint32_t ttl_s();

  Random random_;
  std::vector<std::unique_ptr<Answer>> answers_;
};

// Times in an answer once it went through a packet cache with `limits`, counted from the answer
// alone.
struct Times {
  std::vector<uint32_t> base_s;  // per record of Answer::message, before aging
  uint32_t lifetime_s;           // 0: not to be stored
};
Times times_of(const Answer& answer, const abi::PacketCacheConfig& limits);

}  // namespace millrace::sim
