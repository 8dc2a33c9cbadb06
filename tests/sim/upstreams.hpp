// SPDX-License-Identifier: Apache-2.0
#pragma once
// The resolvers behind the data plane, and whoever pretends to be one of them.
//
//   upstreams.cpp    answers, true and forged
//   unreachable.cpp  ICMP errors, true and forged

#include "tests/sim/network.hpp"
#include "tests/sim/plan.hpp"
#include "tests/sim/zone.hpp"

#include <array>
#include <cstdint>
#include <set>
#include <utility>

namespace millrace::sim {

class Upstreams {
 public:
  Upstreams(const Plan& plan, Zone& zone, Network& network, Trace& trace, Random random);

  // A query of ours has left: it is lost or arrives, and an attacker may answer first.
  void sent(const Sent& sent, uint64_t now_ns);
  // A query of ours has arrived.
  void arrived(const Sent& sent, uint64_t now_ns);
  // One chance for a backend to fail, slow down or recover.
  void act();
  void heal();
  // Somebody was found not to keep to letter case or cookies, and is asked without: what lacks only
  // that is not to be told from an answer any more.
  void disarm_guards() { guarded_ = false; }
  bool heard(uint32_t backend) const { return mood_[backend] != Mood::dead; }

 private:
  enum class Mood : uint8_t { good, slow, dead };

  uint64_t delay_ns(Mood mood);
  void deliver(uint64_t at_ns, Cargo cargo, const abi::Address& from, const abi::Address& to,
               uint8_t in_by, Bytes message);
  void forge(const Sent& sent, uint64_t now_ns);
  void guess(const Sent& sent, uint64_t now_ns);

  void note_sent(const Sent& sent);
  void tell_unreachable(const Sent& sent, uint64_t now_ns, bool forged);

  const Plan& plan_;
  Zone& zone_;
  Network& network_;
  Trace& trace_;
  Random random_;
  std::array<Mood, kBackends> mood_{};
  bool guarded_ = true;
  // What an ICMP error may quote: our port, and behind it the id or the UDP checksum of a query.
  std::set<std::pair<uint16_t, uint16_t>> quotable_;
};

}  // namespace millrace::sim
