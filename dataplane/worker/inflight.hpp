// SPDX-License-Identifier: Apache-2.0
#pragma once
// The questions that a worker has asked upstream, and the clients that wait for the answers.
//
// Three kinds of records, all in arrays made at start, linked by index:
//
//   key hash ──▶ Pending ──▶ Waiter ──▶ Waiter ──▶ ...   clients, each keeping its query's frame
//                   │
//                   └─ Try[0..3] ◀── hash of port   packets on the wire that may be answered
//
// A Pending is one question of one key, and where it is asked by subnet of one subnet: identical
// misses join it (A57), so at most one is open over all cores, because one worker owns the key.
// Only a flush leaves a question behind that nobody joins any more; it ends as it would have,
// beside the new one (A125). Each packet sent for it is a Try with a port and an id of its own;
// every Try stays answerable until the Pending ends, so a slow answer to the first packet still
// counts after a second was sent. Tries are found by their port, and there by their id, so that a
// packet with a wrong id can be laid to those it may be aimed at.
//
// Threads: private to its worker. Memory: fixed; full means "say so", never "grow".
// Cost: O(1) expected for every call; chains are walked over keyed or random hashes only. The tries
// of one port are one chain: as many as are outstanding for each port that we have.
// Limits: kWaitersPerPending bounds how many answers one upstream packet can release (DNSBomb,
// CVE-2024-33655). How many questions of one domain and waiters of one client there are is counted
// here (miss_counts.hpp), and judged by the caller.

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/abi/config_image.hpp"
#include "dataplane/base/frame.hpp"
#include "dataplane/base/held_clock.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/wire/query.hpp"
#include "dataplane/worker/miss_counts.hpp"
#include "dataplane/wire/subnet.hpp"

namespace millrace::dp {

inline constexpr uint32_t kNone = 0xffff'ffff;
using abi::kTriesMax;
inline constexpr uint32_t kWaitersPerPending = 512;
// Late and repeated answers are strays, too: a port has a few of them now and then.
inline constexpr uint8_t kStraysMax = 10;

struct Waiter {
  Frame frame;
  wire::Query query;
  uint32_t next;
  MissCounts::Mark client;  // where it is counted
};

// What an answer may lack though it matches in all else (answer_guards.hpp).
enum class Guard : uint8_t { none, spelling, cookie };

struct Try {
  abi::Address target;   // who may answer
  abi::Address source;   // at which of our addresses
  uint16_t port;         // our source port, host order
  uint16_t id;
  uint16_t udp_checksum; // as it stands in the packet
  uint8_t left_by;       // Frame::port, by which the answer must come in
  uint8_t backend;       // index under the config that sent it; kNoBackend after that config went
  bool live;             // may still be answered
  bool overdue;          // its time passed without an answer
  bool with_edns;
  bool edns_refused;     // that is why it is asked without
  bool with_cookie;
  bool cookie_refused;   // BADCOOKIE
  bool with_subnet;
  bool wants_stream;     // to be asked over TCP, where another is being asked
  bool was_streamed;     // asked over TCP
  Guard lacks;           // of an answer that was dropped for it
  uint64_t spelling;     // of the name in the question
  uint64_t sent_ns;
  uint64_t due_ns;       // overdue from then on
  uint32_t chain_next;   // same bucket of ports
};
inline constexpr uint8_t kNoBackend = 0xff;
inline constexpr uint8_t kNoPool = 0xff;
inline constexpr uint64_t kNever = UINT64_MAX;

struct Pending {
  Key key;
  wire::Subnet subnet;     // family 0: not asked by subnet
  uint64_t started_ns;
  uint64_t try_due_ns;     // when a try is overdue, a second one is due, the question is given up
  uint64_t client_due_ns;  // when its clients have waited long enough; kNever: they wait on
  uint64_t due_ns;         // the earlier one
  uint32_t chain_next;     // same key bucket; free list when not in use
  uint32_t waiter_first;
  uint32_t waiter_last;
  uint32_t waiter_cnt;
  uint32_t due_prev;       // deadline list
  uint32_t due_next;
  uint32_t due_slot;       // kNone: in no list
  uint32_t backends_tried; // bit i: backend i of the running config
  uint8_t try_cnt;
  uint8_t failure_cnt;     // upstreams that answered with a failure
  uint8_t servfail_cnt;    // those of them that said SERVFAIL
  uint8_t pool;            // index under the running config; kNoPool after it went
  bool in_use;
  bool flushed;            // asked before a flush of its key: nobody joins, nothing is stored
  bool probe;              // ours, to see whether a backend is back; has no waiters
  bool refresh;            // begun for an entry near its end, not for a client
  bool on_stream;          // it is being asked over TCP
  bool alarmed;            // somebody may be guessing at its answer
  bool truncated;          // an answer came over UDP, of which no more was to be had over TCP
  bool subnet_refused;     // it is told no more
  uint8_t scope;           // of the last answer
  uint8_t stray_cnt;       // packets to its ports that answered nothing
  uint8_t stream_try;      // whose backend is asked so
  uint32_t serial;         // another one for each question that this record is used for
  MissCounts::Mark domain; // where it is counted
  Try tries[kTriesMax];
};

class Inflight {
 public:
  Inflight(uint32_t pendings, uint32_t waiters);

  // --- questions
  // The one that may be joined; kNone: not in flight.
  uint32_t find(const Key& key, const wire::Subnet& subnet = {}) const noexcept;
  // kNone: full.
  uint32_t open(const Key& key, uint64_t now_ns, uint64_t client_due_ns = kNever) noexcept;
  // Ends the question: its tries can no longer be answered. It must have no waiters left.
  void close(uint32_t pending) noexcept;
  Pending& at(uint32_t pending) noexcept { return pending_[pending]; }
  const Pending& at(uint32_t pending) const noexcept { return pending_[pending]; }
  uint32_t open_cnt() const noexcept { return open_cnt_; }
  uint32_t capacity() const noexcept { return pending_cnt_; }
  // A client's question; once, after open().
  void count_domain(uint32_t pending, MissCounts::Mark domain) noexcept;
  const MissCounts& domains() const noexcept { return domains_; }

  // --- waiters
  // False: no room, in the table or with this question.
  bool add_waiter(uint32_t pending, const Frame& frame, const wire::Query& query,
                  MissCounts::Mark client = MissCounts::kUncounted) noexcept;
  // Takes the first waiter out; false: none left.
  bool take_waiter(uint32_t pending, Waiter& out) noexcept;
  uint32_t waiter_cnt() const noexcept { return waiters_used_; }
  const MissCounts& clients() const noexcept { return clients_; }
  bool room() const noexcept { return free_pending_ != kNone && free_waiter_ != kNone; }

  // --- tries
  bool tuple_in_use(uint16_t port, uint16_t id) const noexcept;
  Try& add_try(uint32_t pending, uint16_t port, uint16_t id) noexcept;  // try_cnt < kTriesMax
  // The try that (port, id) belongs to; false: nothing outstanding there.
  bool find_try(uint16_t port, uint16_t id, uint32_t& pending, uint32_t& try_idx) const noexcept;

  // The same by the UDP checksum of its packet: what an ICMP error quotes at least.
  bool find_sent(uint16_t port, uint16_t udp_checksum, uint32_t& pending,
                 uint32_t& try_idx) const noexcept;

  // A packet that answers nothing came to this port: noted with every question that may be answered
  // there. Answers one that has had more than kStraysMax of them since the last time, or kNone.
  uint32_t note_stray(uint16_t port) noexcept;

  // --- a new config: translates the indices kept here (worker/settings.hpp, Remap)
  void apply(const std::array<uint8_t, abi::kBackendsMax>& backend,
             const std::array<uint8_t, abi::kPoolsMax>& pool) noexcept;

  // --- deadlines
  // The time of this try; it comes earlier if that of the clients does.
  void set_due(uint32_t pending, uint64_t try_due_ns) noexcept;
  // Next question whose time has come, taken out of the deadline list; kNone: none.
  uint32_t take_due(uint64_t now_ns) noexcept;
  // Before this time take_due() gives nothing. Walks the deadline lists' heads.
  uint64_t next_due_ns() const noexcept;

 private:
  static constexpr uint32_t kDueSlots = 1024;          // of kDueTickNs each: a horizon of 8 s
  static constexpr uint64_t kDueTickNs = 8'000'000;

  uint32_t key_bucket(uint64_t hash) const noexcept { return static_cast<uint32_t>(hash) & mask_; }
  uint32_t port_bucket(uint16_t port) const noexcept;
  void link_due(uint32_t pending) noexcept;
  void unlink_due(uint32_t pending) noexcept;
  template <class Wanted>
  bool find_at_port(uint16_t port, Wanted wanted, uint32_t& pending,
                    uint32_t& try_idx) const noexcept;

  uint32_t pending_cnt_;
  uint32_t mask_;
  uint32_t free_pending_ = kNone;
  uint32_t free_waiter_ = kNone;
  uint32_t open_cnt_ = 0;
  uint32_t waiters_used_ = 0;
  MissCounts domains_;
  MissCounts clients_;
  uint64_t due_tick_ = 0;
  std::unique_ptr<Pending[]> pending_;
  std::unique_ptr<Waiter[]> waiter_;
  std::unique_ptr<uint32_t[]> key_heads_;
  std::unique_ptr<uint32_t[]> port_heads_;  // of pending * kTriesMax + try
  uint32_t due_heads_[kDueSlots];
};

}  // namespace millrace::dp
