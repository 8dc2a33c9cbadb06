// SPDX-License-Identifier: Apache-2.0
#pragma once
// Workers and a slow path on a bench: the rig of the workers, with clients that come over TCP and
// upstreams that can be reached over it.

#include "tests/unit/slow/peer.hpp"
#include "tests/unit/worker/rig.hpp"

#include <memory>
#include <string>
#include <vector>

namespace millrace::test {

class SlowRig {
 public:
  explicit SlowRig(uint32_t workers = 1, uint32_t backends = 1)
      : rig(workers, backends, 1024, 1024, [this](const abi::Address& to) { return dial(to); }) {
    rig.plane.slow_turn(rig.now_ns);
  }

  slow::SlowPath& slow() { return rig.plane.slow(); }
  uint64_t outcome(Outcome which) { return slow().counters().of(which); }
  uint64_t event(Event which) { return slow().counters().of(which); }

  std::unique_ptr<Peer> client(const std::string& from = "198.18.0.9",
                               const std::string& to = kServiceV4) {
    auto peer = std::make_unique<Peer>();
    slow().adopt(peer->give_end(), address_of(from, 40'000), address_of(to, 53), rig.now_ns);
    return peer;
  }
  static Bytes query(const std::string& name, uint16_t id = 0x77, uint16_t type = kTypeA) {
    return DnsBuilder().id(id).rd().question(name, type).build();
  }
  static ReadMessage read(const Bytes& bytes) {
    std::string why;
    auto message = read_message(bytes, &why);
    EXPECT_TRUE(message.has_value()) << why;
    return message.value_or(ReadMessage{});
  }

  // Everything that is under way between the slow path and the workers.
  void run(uint32_t rounds = 3) { rig.step_all(rounds); }
  void answer_all(uint32_t ttl_s = 300) {
    for (const Out& asked : rig.asked())
      rig.answer(asked, rig.data_for(asked, ttl_s));
    rig.clear();
    run();
  }

  // Connections that were made to upstreams, in order.
  std::vector<std::unique_ptr<Peer>> upstreams;
  bool reachable = true;

 private:
  int dial(const abi::Address&) {
    if (!reachable) return -1;
    upstreams.push_back(std::make_unique<Peer>());
    return upstreams.back()->give_end();
  }

 public:
  Rig rig;  // last: its end wants everybody else to be there
};

}  // namespace millrace::test
