// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who asks: good queries for popular and one-shot names, and hostile packets of every kind in table
// B.

#include "tests/sim/names.hpp"
#include "tests/sim/oracle.hpp"
#include "tests/sim/plan.hpp"

#include <cstdint>
#include <vector>

namespace millrace::sim {

class Clients {
 public:
  Clients(const Plan& plan, Random random);

  // A packet and what is to come of it; the oracle gives it its number.
  Query good();
  Query good_for(const Bytes& name, uint16_t type, uint8_t bind);
  Query hostile();

  const std::vector<Bytes>& popular() const { return popular_; }
  Bytes fresh_name(Shape shape);
  Shape draw_shape();
  // What is asked for, as soon as it is certain who asks.
  void choose_key(Query& query) const;
  // A new port and id for a query whose own are taken.
  void retarget(Query& query);

 private:
  struct Sender {
    uint32_t client;
    uint16_t port;
  };
  Query begin(uint8_t bind);
  test::FrameBuilder frame_for(const Query& query);
  void finish(Query& query);
  Bytes payload_of(Query& query);
  bool spoil_message(Query& query);
  bool spoil_packet(Query& query);
  void mutate(Query& query);

  const Plan& plan_;
  Random random_;
  std::vector<Bytes> popular_;
  uint64_t one_shots_ = 0;
};

}  // namespace millrace::sim
