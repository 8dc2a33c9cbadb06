// SPDX-License-Identifier: Apache-2.0
#pragma once
// Checks the laws on what goes into the data plane and what comes out of it.
//
// The oracle sees frames, the clock, the public counters and the configs that were published; it
// knows nothing of what is inside a worker, and takes packets apart with the tests' own reader.
//
//   oracle_client.cpp    replies: A1, A2, A130, laws 4 and 6, headers and sizes, silence
//   oracle_upstream.cpp  queries that we send: A57, A62, A129, probes, tuples, next hops
//   oracle_stream.cpp    what differs over TCP
//   oracle_subnet.cpp    whom an answer is for: A88, A89
//   oracle_counts.cpp    law 3, law 5, gauges; flushes (A125)

#include "tests/sim/geography.hpp"
#include "tests/sim/plane.hpp"
#include "tests/sim/subnets.hpp"
#include "tests/sim/trace.hpp"
#include "tests/sim/zone.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace millrace::sim {

enum class Expect : uint8_t {
  data,    // a good query: what the upstreams say, or SERVFAIL
  cached,  // RD=0 under a policy that answers from the cache: data, or REFUSED
  formerr,
  notimp,
  badvers,
  refused,
  silence,
  anything,  // mutated: any answer that is well-formed, or none
};

// One packet of a client, which the network may bring more than once; or a message over TCP.
struct Query {
  Expect expect = Expect::data;
  uint8_t bind = 0;
  uint8_t port = 0;
  uint16_t tag = 0;
  uint64_t stream = 0;  // number of the TCP connection; 0: UDP
  abi::Address client{};
  abi::Address service{};
  Bytes payload;
  Bytes frame;
  // What a good query says.
  Bytes name;
  uint16_t type = 0;
  bool has_opt = false, flag_do = false, flag_cd = false, flag_rd = true;
  Bytes told;  // its CLIENT-SUBNET option; empty: none
  uint16_t udp_bytes = 512;
  uint32_t cookie_bytes = 0;  // 8: only its own, to which the reply adds 16; 0: none
  std::string key;

  uint32_t seen_cnt = 0;
  uint32_t reply_cnt = 0;
  uint64_t first_seen_ns = 0;
  uint64_t last_seen_ns = 0;
};

// A query of ours on its way to an upstream.
struct Sent {
  uint32_t backend = 0;  // in the world's numbering
  uint32_t worker = 0;
  bool probe = false;
  abi::Address source{};  // with our port
  Bytes frame;
  Ask ask{};
};

class Oracle {
 public:
  Oracle(const Plan& plan, Plane& plane, Zone& zone, Trace& trace);

  // --- clients
  uint32_t add(Query query);
  Query& query(uint32_t index) { return queries_[index]; }
  std::string tell(const Query& query) const;
  uint32_t query_cnt() const { return static_cast<uint32_t>(queries_.size()); }
  void query_seen(uint32_t index, uint64_t now_ns);
  void reply(uint32_t worker, const Bytes& frame, const test::ReadFrame& read, uint8_t port,
             uint64_t now_ns);
  void check_silence(uint64_t now_ns);
  // Cores stopped or the clock jumped: what was due before is due later.
  void time_was_lost(uint64_t now_ns) { awake_ns_ = now_ns; }
  uint32_t unanswered() const {
    return static_cast<uint32_t>(waiting_.size() + stream_waiting_.size());
  }

  // --- upstreams
  Sent sent(uint32_t worker, const Bytes& frame, const test::ReadFrame& read, uint64_t now_ns);
  void answer_seen(uint32_t worker, const Cargo& cargo, uint64_t now_ns);

  // --- over TCP
  void stream_seen(uint32_t index, uint64_t now_ns);
  void stream_reply(uint32_t index, const Bytes& message, uint64_t now_ns);
  void stream_abandoned(uint32_t index);  // its client has hung up
  Ask stream_asked(uint32_t backend, const Bytes& message, uint64_t now_ns);
  void stream_answer_passed(uint32_t number);
  void take_stream_answers(uint32_t worker, uint64_t now_ns);
  void after_slow_turn();

  // --- any frame that came back without being sent
  void given_back(uint32_t worker, const Cargo& cargo, uint64_t now_ns);

  // --- control
  void config_published(const abi::ConfigImage& image);
  void routes_published(const abi::RoutesImage& image);
  void flush_asked(const abi::CacheQuery& query, uint64_t now_ns);
  void flush_answered(uint64_t now_ns);
  void packets_delivered(uint64_t n) { delivered_ += n; }

  void after_step(uint32_t worker, uint64_t now_ns);
  // Nothing is on its way any more.
  void check_quiet();

  uint64_t answered_with_data() const { return data_cnt_; }
  uint64_t answered_stale() const { return stale_cnt_; }
  uint64_t hits() const { return plane_.outcome(abi::Outcome::hit); }

 private:
  struct Waiting {
    uint32_t query;
    uint32_t nth;  // which of its copies
    uint64_t seen_ns;
    bool overdue = false;
    std::array<uint64_t, 4> steps{};
    uint64_t slow_steps = 0;
  };
  struct KeyState {
    std::vector<uint32_t> open;  // queries that wait
    uint32_t worker = 0;         // that sends for it
    uint64_t sent_ns = 0;
    uint32_t sent_in_row = 0;  // without an answer that ends the question
    std::array<uint32_t, kBackends> sent_to{};  // the same, by backend
    uint64_t anew_ns = 0;      // when a question last ended
    uint32_t spare = 0;        // packets that it had left by then
    std::array<bool, kBackends> refused_edns{};  // by backend, ever
    bool wanted_cookie = false;                  // some backend, ever
    uint64_t opened_ns = 0;    // 0: surely no question is outstanding
    uint64_t failed_then = 0;  // the sender's failures at the last packet
    uint64_t alarms_then = 0;  // likewise its up_spoof_alarm
    uint64_t streams_then = 0;  // likewise how often TCP had come to an end
    uint64_t alarmed_ns = 0;   // the last time that this had risen between two packets
    uint64_t progress_ns = 0;  // a true answer was looked at
    uint64_t bare_ns = 0;      // ... one without any number
    uint64_t truncated_ns = 0;
    uint64_t failed_ns = 0;  // a client was told so
    uint32_t newest = kNoNumber;
  };
  // What all share who ask a question, for whomever.
  struct QuestionState {
    uint64_t ageing_ms = UINT64_MAX;  // from then on an answer may be asked for again
    std::size_t bytes_max = 0;
  };
  struct Flush {
    abi::CacheQuery query;
    uint64_t asked_ns;
    std::array<uint64_t, 4> accepted_ns{};
    uint64_t done_ns = 0;
  };
  struct Health {
    uint64_t probe_ns = 0;  // 0: none since it was last heard or the config changed
  };

  // oracle_client.cpp
  uint32_t asked_by(const Bytes& frame, const test::ReadFrame& read) const;
  void check_message(uint32_t index, const Bytes& message, const Bytes& packet, uint64_t now_ns);
  std::size_t limit_of(const Query& query) const;
  void check_waiting(std::deque<Waiting>& waiting, uint64_t time_ms, uint64_t now_ns);
  void check_frame(const Query& query, const Bytes& frame, const test::ReadFrame& read,
                   uint8_t port) const;
  void check_header(const Query& query, const test::ReadMessage& message, const Bytes& frame) const;
  void check_opt(const Query& query, const test::ReadMessage& message, const Bytes& frame) const;
  void check_error(const Query& query, const test::ReadMessage& message, std::size_t bytes,
                   const Bytes& frame) const;
  void check_data(Query& query, const test::ReadMessage& message, const Bytes& frame,
                  uint64_t now_ns);
  void check_empty(const Query& query, const test::ReadMessage& message, const Bytes& frame);
  uint64_t truncated_until_ns(const KeyState& state) const;
  bool is_slip(const Query& query, const test::ReadMessage& message) const;
  bool is_stale(const Query& query, const Answer& answer, const test::ReadMessage& message,
                uint64_t now_ns) const;
  void check_stale(const Query& query, uint32_t number, const test::ReadMessage& message,
                   const Bytes& frame, uint64_t now_ns);
  void check_origin(const Query& query, uint32_t number, const Bytes& frame, uint64_t now_ns,
                    bool stale);
  void check_sections(const Query& query, const Answer& answer, const test::ReadMessage& message,
                      const Bytes& frame, uint64_t now_ns, bool stale) const;
  void check_servfail(const Query& query, const Bytes& frame) const;
  void close(Query& query, uint32_t index);
  std::vector<std::string> keys_of(const Query& query) const;
  std::vector<std::string> may_ask(const Query& query) const;

  // oracle_upstream.cpp
  void note_answer(uint32_t worker, uint32_t number, uint64_t now_ns);
  uint32_t backend_at(uint32_t worker, const test::ReadFrame& read, const Bytes& frame) const;
  void check_question(const test::ReadMessage& message, const Sent& sent, const Bytes& frame) const;
  void check_cookie(const Sent& sent, const Bytes& frame);
  void check_edns(const KeyState& state, const Sent& sent, const Bytes& frame) const;
  uint64_t failed_of(uint32_t worker) const;
  uint32_t packets_max(const KeyState& state) const;
  void begin_anew(KeyState& state, uint64_t now_ns) const;
  void check_once(KeyState& state, const Sent& sent, const Bytes& frame, uint64_t now_ns);
  uint64_t ageing_ms_of(const Answer& answer) const;
  void check_not_known(const KeyState& state, const Bytes& frame, uint64_t now_ns) const;
  void check_probe(const Sent& sent, const Bytes& frame, uint64_t now_ns);

  // oracle_subnet.cpp
  void read_options(Sent& sent, const test::ReadMessage& message, const Bytes& frame);
  bool may_have(const Query& query, const Answer& answer) const;
  void check_subnet(const Query& query, const Answer& answer, const test::ReadMessage& message,
                    const Bytes& frame) const;

  // oracle_counts.cpp
  bool flushed(const Query& query, const Answer& answer, const KeyState& state) const;
  bool flush_names(const Flush& flush, const Bytes& asked, uint16_t type, uint32_t view) const;
  bool beside_flushed(const Sent& sent, uint64_t now_ns) const;
  void check_limited() const;
  void check_page(uint32_t worker) const;

  const Plan& plan_;
  Plane& plane_;
  Zone& zone_;
  Trace& trace_;

  std::deque<Query> queries_;
  std::unordered_map<std::string, uint32_t> by_tuple_;
  std::unordered_map<std::string, KeyState> keys_;
  std::unordered_map<std::string, QuestionState> questions_;
  std::deque<Waiting> waiting_;
  std::deque<Waiting> stream_waiting_;
  std::vector<uint32_t> stream_answers_;  // by number, on their way to a worker
  std::array<uint64_t, 4> received_{};    // from rings, by worker
  std::array<uint64_t, 4> failed_{};      // questions, before this turn of each worker
  std::array<std::vector<uint64_t>, 4> turns_ns_;  // when each worker had its turns
  uint64_t slow_steps_ = 0;
  uint64_t awake_ns_ = 0;
  uint64_t delivered_ = 0;
  uint64_t data_cnt_ = 0;
  uint64_t stale_cnt_ = 0;
  uint64_t slip_cnt_ = 0;     // replies of TC alone, where responses are limited
  uint64_t limited_cnt_ = 0;  // queries that were dropped there
  uint64_t mail_changes_ = 0;

  std::map<uint64_t, abi::ServiceSection> configs_;
  std::map<uint64_t, abi::RoutesImage> routes_;
  bool subnets_off_ = false;  // there was a config whose near pool does not ask by subnet
  std::array<uint64_t, 4> generation_{};
  std::vector<Flush> flushes_;
  std::array<Health, kBackends> health_{};
  std::array<Bytes, kBackends> client_cookie_;  // ours for each of them
};

}  // namespace millrace::sim
