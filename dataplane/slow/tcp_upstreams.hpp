// SPDX-License-Identifier: Apache-2.0
#pragma once
// TCP connections to upstreams: questions go out on one that is open, several at a time, and
// answers come back in any order (RFC 7766 section 6.2.1).
//
//   ask ─▶ connection to that address, with the fewest questions ─▶ answer ─▶ `done`
//              │ closed with questions open
//              └─▶ each on a new connection, once without progress ─▶ `done` without an answer
//
// Each question gets an id of its own, chosen at random and unique on its connection. Whether an
// answer is one to the question is for `done` to find out; what has an id that nobody waits for is
// dropped.
//
// Threads: one. Memory: fixed numbers of connections and questions, the latter bounded by who asks.
// Failure: `done` is called exactly once for each ask(), at the latest after the timeout, and never
// from within ask(). Sources: RFC 7766, RFC 9210.

#include "dataplane/abi/abi_base.hpp"
#include "dataplane/base/csprng.hpp"
#include "dataplane/slow/stream_reader.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace millrace::slow {

// Who asks, and what about: given back with the answer.
struct Asker {
  uint32_t worker;
  uint64_t question;
};

class TcpUpstreams {
 public:
  static constexpr uint32_t kPerAddressMax = 2;
  static constexpr uint32_t kAsksPerConnection = 64;  // before a second connection is made
  static constexpr uint32_t kConnectionsMax = 64;
  static constexpr uint64_t kIdleNs = 10'000'000'000;
  static constexpr uint64_t kTag = uint64_t{1} << 63;

  // `answer`: the message, empty if none came.
  using Done = std::function<void(const Asker&, std::span<const uint8_t> answer)>;

  // Begins to connect: a non-blocking socket, or -1.
  using Dial = std::function<int(const abi::Address& to)>;

  TcpUpstreams(int epoll, Csprng& random, Dial dial, Done done);
  ~TcpUpstreams();
  TcpUpstreams(const TcpUpstreams&) = delete;
  TcpUpstreams& operator=(const TcpUpstreams&) = delete;

  // `message`: a query, whose id is replaced.
  void ask(const Asker& asker, const abi::Address& to, std::span<const uint8_t> message,
           uint64_t now_ns, uint64_t timeout_ns);
  void on_event(uint64_t data, uint32_t events, uint64_t now_ns);
  // Ends what has taken too long, and connections that nobody uses.
  void run_timers(uint64_t now_ns);
  uint64_t next_due_ns() const noexcept;  // run_timers() has nothing to do before

  uint32_t open_cnt() const noexcept { return open_cnt_; }  // questions without an answer
  uint32_t connection_cnt() const noexcept;

 private:
  struct Ask {
    Asker asker;
    uint64_t due_ns;
    uint64_t sent_ns;
    uint64_t answers_before;  // of its connection
    bool again;               // it was on one that closed and had brought none since
    std::vector<uint8_t> message;
  };
  struct Connection {
    int fd = -1;
    uint32_t serial = 0;
    abi::Address to{};
    bool connected = false;
    uint32_t watched = 0;
    uint64_t used_ns = 0;
    uint64_t heard_ns = 0;  // when a whole message came last
    uint64_t answers = 0;   // to questions of ours
    StreamReader reader;
    std::vector<uint8_t> unsent;
    std::unordered_map<uint16_t, Ask> asks;  // ids are ours
  };

  void place(Ask ask, const abi::Address& to, uint64_t now_ns);
  Connection* choose(const abi::Address& to);
  Connection* connect(const abi::Address& to, uint64_t now_ns);
  void read(Connection& connection, uint64_t now_ns);
  void flush(Connection& connection);
  void watch(Connection& connection);
  void close(Connection& connection, uint64_t now_ns);
  void fail(Ask ask);
  uint64_t data_of(const Connection& connection) const noexcept;

  int epoll_;
  Csprng& random_;
  Dial dial_;
  Done done_;
  uint32_t open_cnt_ = 0;
  std::unique_ptr<Connection[]> connections_;  // kConnectionsMax
  std::vector<Ask> failed_;                    // to be reported by run_timers()
  std::unique_ptr<uint8_t[]> buffer_;
};

// By the kernel's routes; TcpUpstreams::Dial.
int dial_tcp(const abi::Address& to) noexcept;

}  // namespace millrace::slow
