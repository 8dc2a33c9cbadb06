// SPDX-License-Identifier: Apache-2.0
#pragma once
// One run: a world made from a seed, turned step by step, then let come to rest and looked at.
//
//   turn:   clock on ─▶ what has arrived goes into the cores' queues ─▶ clients, backends and the
//           control plane act ─▶ one core takes a burst and makes a step ─▶ its frames are checked
//           and go on their way; now and then, in some of the worlds, the slow path has a turn
//   drain:  nothing new is asked, every fault ends; until all is answered
//   epilogue: with everything healthy, every name is answered and every backend gets its share

#include "tests/sim/clients.hpp"
#include "tests/sim/control.hpp"
#include "tests/sim/network.hpp"
#include "tests/sim/oracle.hpp"
#include "tests/sim/plane.hpp"
#include "tests/sim/streams.hpp"
#include "tests/sim/upstreams.hpp"

#include <cstdint>
#include <string>

namespace millrace::sim {

struct Summary {
  uint64_t hash = 0;
  uint64_t queries = 0;
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t data = 0;
  uint64_t servfail = 0;
  uint64_t sent = 0;
  uint64_t evicted = 0;
  uint64_t ring_full = 0;
  uint64_t inflight_full = 0;
  uint64_t no_frame = 0;
  uint64_t flushed = 0;
  uint64_t probes = 0;
  uint64_t prefetched = 0;
  uint64_t stale = 0;
  uint64_t limited = 0;
  uint64_t streams = 0;
  uint64_t stream_asked = 0;
  double seconds = 0;
};

class World {
 public:
  World(uint64_t seed, uint32_t steps, bool verbose);

  Summary run();

  // For the report after a violation.
  uint64_t step() const { return step_; }
  uint64_t now_ns() const { return now_ns_; }
  std::string describe() const;
  std::string counters() const;

 private:
  void turn();
  void advance_clock(uint64_t mean_ns);
  void deliver();
  void clients_act();
  // To core `busy`, or to whichever the client's address leads to.
  void ask(Query query, uint32_t busy = kSpread);
  void storm();
  void stall_somebody();
  void run_core(uint32_t w);
  void run_all();
  void fill(Core& core);
  void collect(uint32_t w);
  void sent_by(uint32_t w, const Frame& frame);

  void drain();
  bool at_rest();
  void settle(const char* what);
  void epilogue();
  void ask_every_view();
  void check_shares(uint32_t view);
  void finish();

  static constexpr uint32_t kSpread = 0xffff'ffff;

  uint64_t seed_;
  uint32_t steps_;
  Random random_;
  Plan plan_;
  Trace trace_;
  Plane plane_;
  Zone zone_;
  Oracle oracle_;
  Network network_;
  Clients clients_;
  Upstreams upstreams_;
  Control control_;
  std::unique_ptr<Streams> streams_;  // null: no slow path
  FramePool frames_;

  uint64_t step_ = 0;
  uint64_t now_ns_;
  uint64_t tempo_ns_;
  bool draining_ = false;
  std::array<uint32_t, kBackends> asked_{};  // queries sent to each backend, probes excepted
};

}  // namespace millrace::sim
