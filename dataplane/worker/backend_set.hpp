// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which upstream to ask: health, load and choice, as one worker sees them.
//
// Silence to questions is no proof of death: there are names that a healthy resolver cannot answer,
// and a client may ask for nothing else. After `down_after` tries in a row without an answer, and
// kSilenceNs without a sign of life, a backend is *suspect*: still in use, but probed at once, or
// as soon as the interval since its last probe is over. When the probe, too, finds silence it is
// out of use, on every worker that has had no sign of life since the probe went out, and back with
// the first sign of life of any kind (an RCODE, or a datagram that cannot be parsed: what it says
// is another matter).
//
// Probes are sent by a backend's *home* worker (index modulo workers), which tells the others
// through a word in its statistics cell what came of it: a worker that has asked nothing need not
// find out by a client's question. No matter how many cores, an upstream sees one probe per
// interval at most, and a dead one sees nothing else (A64).
//
// Choice: among the backends offered that are reachable, up, below their limit of queries in flight
// and not yet tried for this question, by the policy of the pool:
//
//   least_outstanding  the fewest outstanding queries of ours; ties at random
//   round_robin        the next one by number
//   weighted           at random by weight
//   first_available    the lowest number, which is the order of the config
//   consistent_hash    the highest hash of name and backend's address (rendezvous hashing): one
//                      more takes its share of the names, and nothing else moves
//
// Time: a try waits for the smoothed round trip and four times its mean deviation (RFC 6298), not
// less than kTryWaitMinNs, and twice as long after each timeout until the next answer. Before the
// first answer, and at most, it waits for the time of the config.
//
// EDNS: a backend that has answered a question without OPT, and refused it with one just before, is
// asked without for kPlainNs, unless a client wants DNSSEC (A69; RFC 6891, section 7).
//
// Threads: private to its worker, except for the cells in the statistics area, each written by one
// worker only. Cost: a loop over at most 32 backends per query sent upstream.

#include <array>
#include <cstdint>

#include "dataplane/abi/stats_page.hpp"
#include "dataplane/base/csprng.hpp"
#include "dataplane/base/held_clock.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/worker/settings.hpp"

namespace millrace::dp {

class BackendSet {
 public:
  static constexpr uint64_t kSilenceNs = 1'000'000'000;
  static constexpr uint64_t kPlainNs = 60'000'000'000;
  static constexpr uint64_t kTryWaitMinNs = 50'000'000;

  // `cells`: the backend rows of the statistics area, one array per worker.
  BackendSet(uint32_t worker, uint32_t workers,
             abi::BackendCell (*cells)[abi::kBackendsMax]) noexcept;

  // Health, load and counts of a backend that stays move along with it.
  void apply(const Remap& remap, uint32_t backends) noexcept;

  // The time of everything that is reported until the next call.
  void begin_turn(uint64_t now_ns) noexcept { now_ns_ = now_ns; }

  struct Wanted {
    uint32_t pool;     // whose policy holds
    uint32_t members;  // bit i: backend i
    uint32_t tried;    // if possible none of these
    const Key& key;    // the question
  };
  // The backend for the next try of a question; kGone: none can be asked now.
  uint8_t choose(const Settings& settings, const Wanted& wanted, Csprng& random) noexcept;
  // Those of them that are up and can be reached.
  uint32_t askable(const Settings& settings, uint32_t backends) const noexcept;
  // Whether one of them could be asked but for its limit.
  bool any_full(const Settings& settings, uint32_t members) const noexcept;
  // How long a try waits, `first_ns` at most.
  uint64_t try_wait_ns(uint32_t backend, uint64_t first_ns) const noexcept;

  void on_sent(uint32_t backend) noexcept;
  // A datagram from it that belongs to a try of ours, whatever is in it. `probe`: of a probe.
  void on_sign_of_life(uint32_t backend, bool probe) noexcept;
  // An answer of any kind; a sign of life, too.
  void on_answer(uint32_t backend, uint64_t rtt_ns, bool probe) noexcept;
  void on_failure(uint32_t backend) noexcept;  // an answer without data; comes after on_answer
  void on_edns_refused(uint32_t backend) noexcept;
  // A try ended without an answer and the question went on: counts against the backend.
  void on_timeout(uint32_t backend, uint32_t down_after) noexcept;
  // A probe, sent then, was given its time and got no answer.
  void on_silent_probe(uint32_t backend, uint64_t sent_ns) noexcept;
  // ICMP says of a try that it did not arrive: counts against the backend, but only silence of a
  // probe takes it out of use, and a probe at each interval brings it back (A65).
  void on_unreachable(uint32_t backend, uint32_t down_after) noexcept;
  // Nobody waits for this try any more; says nothing about health.
  void on_abandoned(uint32_t backend) noexcept;
  // Nor for this one, because another backend, asked later, was quicker. Many in a row may mean
  // that it is dead: with hedging no try may ever last long enough to time out.
  void on_overtaken(uint32_t backend, uint32_t down_after) noexcept;

  bool takes_edns(uint32_t backend) const noexcept {
    return now_ns_ >= state_[backend].plain_until_ns;
  }
  bool up(uint32_t backend) const noexcept { return state_[backend].health != Health::down; }
  // Of the backends at home here, the one whose probe is due for longest; kGone: none is due. Marks
  // it as sent.
  uint8_t take_probe(const Settings& settings, uint64_t now_ns) noexcept;
  // When the next probe of a backend at home here is due; kNothingDue: none is wanted.
  uint64_t next_probe_ns(const Settings& settings) const noexcept;
  // Reads the other workers' words; to be called a few times a second.
  void share() noexcept;

 private:
  enum class Health : uint8_t { up, suspect, down };
  struct State {
    uint32_t outstanding = 0;
    uint32_t timeouts_in_row = 0;
    Health health = Health::up;
    uint64_t alive_ns = 0;  // the last sign of life
    uint64_t silent_since_ns =
        0;  // first packet since the last sign of life; 0: nothing asked since
    uint64_t rtt_ns = 0;          // smoothed, 7/8 old
    uint64_t deviation_ns = 0;    // mean, 3/4 old
    uint32_t doublings = 0;       // timeouts since the last answer
    uint64_t probed_ns = 0;  // the last time; 0: never
    uint64_t plain_until_ns = 0;
    uint64_t verdict_seen = 0;  // of the home worker's cell
  };

  bool probe_wanted(uint32_t backend) const noexcept;
  uint64_t probe_due_ns(const Settings& settings, uint32_t backend) const noexcept;
  uint32_t home_of(uint32_t backend) const noexcept { return backend % workers_; }
  abi::BackendCell& cell(uint32_t backend) noexcept { return cells_[worker_][backend]; }
  bool is_full(const Settings& settings, uint32_t backend) const noexcept;
  uint8_t pick(const Settings& settings, const Wanted& wanted, uint32_t from,
               Csprng& random) noexcept;
  uint8_t pick_least_loaded(uint32_t from, Csprng& random) const noexcept;
  void note_silence(uint32_t backend, uint32_t down_after) noexcept;
  void set_health(uint32_t backend, Health health) noexcept;
  void tell(uint32_t backend, bool alive, uint64_t since_ns) noexcept;

  uint32_t worker_;
  uint32_t workers_;
  uint64_t now_ns_ = 0;
  uint32_t backends_ = 0;
  abi::BackendCell (*cells_)[abi::kBackendsMax];
  std::array<State, abi::kBackendsMax> state_;
  std::array<uint8_t, abi::kPoolsMax> turn_{};  // of round_robin: who comes next
};

}  // namespace millrace::dp
