// SPDX-License-Identifier: Apache-2.0
#pragma once
// Names the reader that holds a grace period up.
//
// A reader that is stuck between two quiescent states stops all reclamation. Whoever keeps the
// readers asks now and then: the watch takes a fresh token, notes which readers have not passed it,
// and when one has not for kStallLimitNs says so once; and once more when it is over. A reader that
// sleeps is offline and never counts.
//
// A check that comes late says that we were stopped ourselves, perhaps with the whole machine: what
// was waited for until then is forgotten, so that nobody is accused for our own pause.
//
// Threads: one. Cost: per check one token and one load for each reader; a few checks a second.

#include <array>
#include <cstdint>

namespace millrace {

inline constexpr uint64_t kStallLimitNs = 1'000'000'000;
inline constexpr uint64_t kStallCheckPeriodNs = 250'000'000;
inline constexpr uint64_t kReaderOffline = 0;  // as in rte_rcu_qsbr and base/qsbr.hpp

struct Stall {
  uint32_t reader;
  uint64_t since_ns;
  bool over;  // false: it has just been noticed
};

template <uint32_t kReadersMax>
class StallWatch {
 public:
  explicit StallWatch(uint32_t readers) noexcept : readers_(readers) {}

  // `token` was made just now; seen(reader) is the token that the reader has last reported, or
  // kReaderOffline. Calls tell(const Stall&) for what begins and what ends.
  template <class Seen, class Tell>
  void check(uint64_t now_ns, uint64_t token, Seen&& seen, Tell&& tell) {
    const bool late = now_ns - checked_ns_ > 2 * kStallCheckPeriodNs;
    checked_ns_ = now_ns;
    for (uint32_t i = 0; i < readers_; ++i) {
      Watched& reader = watched_[i];
      const uint64_t at = seen(i);
      const bool passes = at == kReaderOffline || at >= reader.token;
      if (passes && reader.told) tell(Stall{i, reader.since_ns, true});
      if (passes || (late && !reader.told)) {
        reader = Watched{token, now_ns, false};
      } else if (!reader.told && now_ns - reader.since_ns >= kStallLimitNs) {
        reader.told = true;
        tell(Stall{i, reader.since_ns, false});
      }
    }
  }

 private:
  struct Watched {
    uint64_t token = 0;  // that it has to pass; every reader has passed 0
    uint64_t since_ns = 0;
    bool told = false;
  };

  uint32_t readers_;
  uint64_t checked_ns_ = 0;
  std::array<Watched, kReadersMax> watched_{};
};

}  // namespace millrace
