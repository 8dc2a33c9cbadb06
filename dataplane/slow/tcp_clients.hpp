// SPDX-License-Identifier: Apache-2.0
#pragma once
// The TCP connections of clients: framing, limits, order of closing. What a message means is the
// business of whoever feed() hands it to.
//
//   listener ── adopt ─▶ connection ── on_event ─▶ messages ─▶ `take` ─┬─▶ reply, at once
//                            ▲                                         └─▶ in work ─▶ reply, later
//                            └── closed: idle, over a limit, by the peer, on an error
//
// A connection is idle since its last whole message; partial messages do not keep it alive (RFC
// 7766 section 6.2.3), and one with questions in work is not idle. When there are too many, of one
// source (an IPv4 address, an IPv6 /64) or in all, the longest idle one makes room for the new one
// (RFC 9210 section 4.2).
//
// Back-pressure: nothing more is read from a connection whose replies wait for their reader
// (kUnsentStopBytes), or whose next message waits for a place among those in work. A message that
// has waited for a place for too long is late: it gets a reply all the same, but nothing is begun
// for it. Messages that are not whole and replies that are not sent have kBytesMax bytes for all
// connections together; beyond it the one that has most of them is closed.
//
// Whoever sends what is no DNS gets the replies to what came before; then he is told the end, and
// what else comes is thrown away until he closes or is idle for too long, since a close with octets
// unread would take from him what he has not read yet (RFC 1122 section 4.2.2.13).
//
// Threads: one. Memory: about 300 bytes for an idle connection, and bounded for a busy one by the
// numbers here. Failure: of a connection, which is then closed; the descriptor is ours from adopt
// on. Sources: RFC 7766, RFC 9210.

#include "dataplane/abi/config_image.hpp"
#include "dataplane/base/held_clock.hpp"
#include "dataplane/slow/stream_reader.hpp"
#include "dataplane/stats/core_counters.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace millrace::slow {

// Says which connection, beyond its life: the slot and how often it was used.
using ClientId = uint64_t;

enum class Took : uint8_t {
  done,   // answered, or in work
  later,  // keep it, and ask again after resume()
  close,  // the peer does not speak DNS: nothing more of it, but answers to what came before
};

struct ClientInfo {
  ClientId id;
  abi::Address client;
  abi::Address service;  // the address and port that it connected to
  bool late;             // the message has waited too long to be put in work
};

class TcpClients {
 public:
  static constexpr std::size_t kUnsentStopBytes = 64 * 1024;
  static constexpr std::size_t kBytesMax = std::size_t{64} << 20;
  static constexpr std::size_t kReadBytes = 64 * 1024;

  using Take = std::function<Took(const ClientInfo&, std::span<const uint8_t> message)>;

  // `epoll`: descriptor that the sockets are watched by, under kTag in the top bits of the data.
  TcpClients(int epoll, stats::CoreCounters& counters, Take take);
  ~TcpClients();
  TcpClients(const TcpClients&) = delete;
  TcpClients& operator=(const TcpClients&) = delete;

  static constexpr uint64_t kTag = uint64_t{1} << 62;

  struct SourceKey {
    uint64_t bits;  // of the address
    uint64_t family;
    auto operator<=>(const SourceKey&) const = default;
  };
  static SourceKey source_of(const abi::Address& client) noexcept;

  // `patience_ms`: how long a message may wait.
  void set_limits(const abi::TcpConfig& limits, uint32_t patience_ms) noexcept {
    limits_ = limits;
    patience_ns_ = uint64_t{patience_ms} * 1'000'000;
  }

  // A connected socket, non-blocking.
  void adopt(int fd, const abi::Address& client, const abi::Address& service, uint64_t now_ns);
  void on_event(uint64_t data, uint32_t events, uint64_t now_ns);

  // From within `take`: the message is in work; end_work() follows, once.
  void begin_work(ClientId id) noexcept;
  // The reply to a message in work, empty if there is none. Where the connection is gone, nothing.
  void end_work(ClientId id, std::span<const uint8_t> reply);
  // From within `take`: the reply at once.
  void reply(ClientId id, std::span<const uint8_t> message);

  // Gives messages that had to wait another try, of at most that many connections.
  void resume(uint32_t connections, uint64_t now_ns);
  void close_idle(uint64_t now_ns);
  void close_longest_idle();
  // Nothing is idle, and nothing late, before.
  uint64_t next_due_ns() const noexcept;

  uint32_t cnt() const noexcept { return cnt_; }
  bool waiting() const noexcept { return !waiting_.empty(); }

 private:
  static constexpr uint32_t kNobody = 0xffff'ffff;

  // Two lists run through all connections, each from the longest idle to the latest: of all, and of
  // one source.
  struct Link {
    uint32_t before = kNobody;
    uint32_t after = kNobody;
  };
  struct List {
    uint32_t first = kNobody;
    uint32_t last = kNobody;
    uint32_t cnt = 0;
  };
  enum Which : uint32_t { kOfAll, kOfSource, kLists };

  struct Connection {
    int fd = -1;
    uint32_t serial = 0;
    abi::Address client{};
    abi::Address service{};
    SourceKey source{};
    StreamReader reader;
    std::vector<uint8_t> unsent;  // from unsent_at on
    std::size_t unsent_at = 0;
    std::size_t bytes = 0;   // that were counted in bytes_
    uint64_t active_ns = 0;  // when it came, or its last whole message
    uint64_t held_ns = 0;    // since when messages wait; nothing is read meanwhile
    uint32_t in_work = 0;
    uint32_t watched = 0;     // epoll events
    bool ended = false;       // nothing more is read; closed when all that came is answered
    bool refused = false;     // ended for what came
    bool lingers = false;     // its sender has been told the end
    bool held = false;        // a whole message waits in `reader`
    bool in_waiting = false;  // stands in waiting_
    bool broken = false;      // to be closed as soon as nobody is using it
    Link link[kLists];
  };

  ClientId id_of(uint32_t slot) const noexcept {
    return kTag | uint64_t{connections_[slot]->serial & 0x3fff'ffff} << 32 | slot;
  }
  uint32_t slot_of(ClientId id) const noexcept;  // kNobody: gone
  ClientInfo info_of(uint32_t slot, bool late) const noexcept;
  void read(uint32_t slot, uint64_t now_ns);
  void take_messages(uint32_t slot, std::span<const uint8_t> bytes, uint64_t now_ns);
  void settle(uint32_t slot);  // send what there is to send; close it or watch it for what is next
  void watch(uint32_t slot);
  void weigh(uint32_t slot, std::size_t bytes);
  void close_largest();
  static bool may_take(const Connection& connection) noexcept;
  void flush(Connection& connection) noexcept;
  void close(uint32_t slot);
  void make_room(List& among, Which which);
  uint32_t take_slot();
  void append(List& list, Which which, uint32_t slot) noexcept;
  void remove(List& list, Which which, uint32_t slot) noexcept;
  void touch(uint32_t slot, uint64_t now_ns) noexcept;
  uint32_t longest_idle(const List& list, Which which) const noexcept;

  int epoll_;
  stats::CoreCounters& counters_;
  Take take_;
  abi::TcpConfig limits_{};
  uint64_t patience_ns_ = 0;
  uint32_t cnt_ = 0;
  std::size_t bytes_ = 0;  // of all connections: not yet whole, or not yet sent
  std::set<std::pair<std::size_t, uint32_t>> weights_;  // of those that have any, with their slot
  std::vector<std::unique_ptr<Connection>> connections_;  // by slot; never shrinks below its peak
  std::vector<uint32_t> free_slots_;
  List all_;
  std::map<SourceKey, List> sources_;  // a tree: nobody can choose addresses that share a bucket
  std::deque<ClientId> waiting_;
  std::unique_ptr<uint8_t[]> buffer_;  // kReadBytes
};

}  // namespace millrace::slow
