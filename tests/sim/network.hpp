// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is on its way, in the order in which it arrives: by time, then by when it was sent.

#include "tests/sim/oracle.hpp"
#include "tests/sim/plane.hpp"

#include <cstdint>
#include <map>
#include <utility>

namespace millrace::sim {

class Network {
 public:
  struct ToCore {
    uint32_t core;
    Arrival arrival;
  };

  void to_core(uint64_t at_ns, uint32_t core, Arrival arrival) {
    to_core_.emplace(std::pair(at_ns, ++sequence_), ToCore{core, std::move(arrival)});
  }
  void to_backend(uint64_t at_ns, Sent sent) {
    to_backend_.emplace(std::pair(at_ns, ++sequence_), std::move(sent));
  }

  // Takes the next thing that has arrived by `now_ns`; false: nothing.
  bool arrived(uint64_t now_ns, ToCore& out) { return take(to_core_, now_ns, out); }
  bool arrived(uint64_t now_ns, Sent& out) { return take(to_backend_, now_ns, out); }
  bool empty() const { return to_core_.empty() && to_backend_.empty(); }

 private:
  template <class T>
  using Line = std::map<std::pair<uint64_t, uint64_t>, T>;

  template <class T>
  static bool take(Line<T>& line, uint64_t now_ns, T& out) {
    if (line.empty() || line.begin()->first.first > now_ns) return false;
    out = std::move(line.begin()->second);
    line.erase(line.begin());
    return true;
  }

  Line<ToCore> to_core_;
  Line<Sent> to_backend_;
  uint64_t sequence_ = 0;
};

}  // namespace millrace::sim
