// SPDX-License-Identifier: Apache-2.0
#pragma once
// Everything over TCP in a run: clients, upstreams, and the slow path's turns between them.
//
//   client ── pieces of a stream ─▶ socket pair ─▶ slow path ─▶ socket pair ─▶ upstream
//          ◀────────────── reply ──              ◀────────────── answer ──
//
// The kernel is in it with socket pairs only, and everybody is in one thread: what is written is
// there at once, and epoll tells of it in the order of the writes. So a seed does the same each
// time. Clients send several questions at a time in pieces of any size, read late, shut down their
// side, or hang up; upstreams let connections fail, close them, answer in any order, late, in
// pieces, something else, or not at all.

#include "tests/sim/clients.hpp"
#include "tests/sim/oracle.hpp"
#include "tests/sim/plane.hpp"
#include "tests/sim/upstreams.hpp"
#include "tests/support/wire.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

namespace millrace::sim {

class Streams {
 public:
  Streams(const Plan& plan, Plane& plane, Oracle& oracle, Zone& zone, Upstreams& upstreams,
          Trace& trace, Random random);

  // TcpUpstreams::Dial.
  int dial(const abi::Address& to);

  // What clients and upstreams do between two turns of the slow path; and, now and then, one of it.
  // `names`: what is often asked for.
  void act(uint64_t now_ns, const std::vector<Bytes>& names);
  // From now on nobody begins anything, and every fault has ended: a turn for everybody.
  void settle(uint64_t now_ns);
  bool at_rest() const;
  // Nothing is left of what was begun.
  void check_quiet() const;

 private:
  // A message in a stream that is being written: its end, in octets from the beginning.
  struct Mark {
    uint32_t number;
    std::size_t end;
  };
  struct Client {
    test::Wire wire;
    uint64_t serial = 0;
    uint8_t bind = 0;
    abi::Address address{};
    Bytes unsent;
    std::size_t queued = 0;           // octets ever
    std::deque<Mark> marks;           // queries that have not left as a whole
    std::map<uint16_t, uint32_t> open;  // queries without a reply, by id
    uint16_t next_id = 0;
    std::size_t taken = 0;            // octets of what came
    uint64_t whole_ns = 0;            // when it came, or its last query had left
    uint64_t reads_ns = 0;            // not before
    bool shuts = false;               // as soon as all is sent
    bool late = false;                // it has not read what came in the last turn
  };
  struct Upstream {
    test::Wire wire;
    uint32_t backend = 0;
    std::size_t taken = 0;
    std::multimap<uint64_t, std::pair<uint32_t, Bytes>> due;  // answers, by when they are written
    Bytes unsent;
    std::size_t queued = 0;
    std::deque<Mark> marks;
    std::vector<uint32_t> unread;  // answers that are whole, but not looked at
    bool shuts = false;
  };

  void turn(uint64_t now_ns);

  // stream_clients.cpp
  void clients_act(uint64_t now_ns, const std::vector<Bytes>& names);
  void connect(uint64_t now_ns);
  void ask(Client& client, const std::vector<Bytes>& names);
  void write(Client& client, uint64_t now_ns, bool all);
  void read(Client& client, uint64_t now_ns);
  void check_end(const Client& client, uint64_t now_ns);
  void abandon(const Client& client);

  // stream_upstreams.cpp
  void upstreams_act(uint64_t now_ns, bool all);
  bool has_large(const Upstream& upstream) const;
  void read(Upstream& upstream, uint64_t now_ns);
  void asked(Upstream& upstream, const Bytes& message, uint64_t now_ns);

  const Plan& plan_;
  Plane& plane_;
  Oracle& oracle_;
  Zone& zone_;
  Upstreams& upstreams_;
  Trace& trace_;
  Random random_;
  Clients makes_;  // of queries
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Upstream>> backends_;
  uint64_t serial_ = 0;
  uint64_t stalled_until_ns_ = 0;
  bool settling_ = false;
};

}  // namespace millrace::sim
