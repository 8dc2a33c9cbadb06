// SPDX-License-Identifier: Apache-2.0
#pragma once
// One or more workers on a bench: bursts go in by hand, what comes out is kept in `out`.
//
// The plane and the frame pool are those of the simulation (tests/sim/plane.hpp), so every frame is
// accounted for here, too: the destructor wants all of them back.

#include "tests/sim/plane.hpp"
#include "tests/support/packet_reader.hpp"
#include "tests/unit/worker/images.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::test {

using abi::Event;
using abi::Outcome;

// A frame that a worker sent.
struct Out {
  uint32_t worker;
  uint8_t port;
  ReadFrame frame;
  ReadMessage message;

  bool is_reply() const { return frame.source.port_be == __builtin_bswap16(53); }
  uint32_t backend() const { return frame.target.bytes[3] - 10u; }
  std::string name() const {
    return std::string(message.questions.at(0).name.begin(), message.questions.at(0).name.end());
  }
};

class Rig {
 public:
  // `dial`: as in sim::Plane; with it step_all() gives the slow path a turn, too.
  explicit Rig(uint32_t workers = 1, uint32_t backends = 2, uint32_t pendings = 64,
               uint32_t waiters = 64, slow::TcpUpstreams::Dial dial = nullptr);
  ~Rig();

  // --- config
  abi::ServiceSection& service() { return config->service; }
  void publish();  // `config` as it stands, under the next generation, and routes to all of it
  void publish_config();
  // Bit i: backend i. It leaves by port 0 unless it is said to leave by port 1.
  void publish_routes(uint32_t usable = 0xffff'ffff, uint32_t by_port_1 = 0);

  // --- packets in
  void arrive(const Bytes& frame, uint32_t worker = 0, uint8_t port = 0);
  void ask(const std::string& name, uint16_t port, uint32_t worker = 0, uint16_t type = kTypeA);
  DnsBuilder query(const std::string& name, uint16_t type = kTypeA) const;
  void ask(const DnsBuilder& query, uint16_t port, uint32_t worker = 0);
  // An answer to `asked`, a query of ours; by default one A record of this TTL.
  DnsBuilder answer_to(const Out& asked) const;
  DnsBuilder data_for(const Out& asked, uint32_t ttl_s = 300) const;
  void answer(const Out& asked, const DnsBuilder& message);
  void answer_from(const DnsBuilder& message, const std::string& from, uint16_t from_port,
                   uint16_t to_port, uint32_t worker, uint8_t in_by = 0);

  // --- time
  void step(uint32_t worker = 0);
  void step_all(uint32_t rounds = 1);
  void wait_ms(uint64_t ms);  // in turns of 5 ms, every worker
  void jump_ms(uint64_t ms) { now_ns += ms * kMs; }

  // --- what came out
  std::vector<Out> replies() const;
  std::vector<Out> asked() const;  // probes excepted
  std::vector<Out> probes() const;
  Out only_reply() const;
  Out only_asked() const;
  void clear() { out.clear(); }

  // Of the workers.
  uint64_t outcome(Outcome which) const { return plane.outcome(which); }
  uint64_t event(Event which) const { return plane.event(which); }

  sim::Random random{1};
  sim::Plan plan;
  sim::Plane plane;
  sim::FramePool frames;
  std::unique_ptr<abi::ConfigImage> config;
  std::unique_ptr<abi::RoutesImage> routes;
  std::vector<Out> out;
  uint64_t now_ns = 100'000 * kMs;
  bool has_slow_path;
  bool stocked = true;  // whether steps get spare frames

 private:
  static sim::Plan plan_of(uint32_t workers, uint32_t pendings, uint32_t waiters);
  std::vector<std::unique_ptr<abi::ConfigImage>> old_configs_;
  std::vector<std::unique_ptr<abi::RoutesImage>> old_routes_;
  uint64_t generation_ = 0;
  uint64_t routes_generation_ = 0;
  uint64_t received_ = 0;
};

}  // namespace millrace::test
