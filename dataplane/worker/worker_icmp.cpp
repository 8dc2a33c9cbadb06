// SPDX-License-Identifier: Apache-2.0
// A worker as the one that asked and is told by ICMP that its query did not arrive (A65, B43).
//
// Such a try is over at once, and the next upstream is asked. Nothing else changes by ICMP: what
// does not fit a query under way is ignored, whoever guesses wrong is not even noted as a stray,
// probes wait for their answers, and no backend is out of use before a probe was silent. So even
// somebody who guesses right takes one try away.
#include "dataplane/wire/icmp_error.hpp"
#include "dataplane/worker/worker.hpp"

#include <cstring>

namespace millrace::dp {

using abi::Outcome;

namespace {

// Of one core. Anybody can send errors, and nobody gets to fill the rings with them; who sends
// honest ones limits himself (Linux to 1000 in a second for all receivers).
constexpr uint32_t kErrorsPerSecond = 1000;

}  // namespace

// False: it is no error about a query of ours.
bool Worker::take_icmp(StepIo& io, const Frame& frame, const wire::Packet& packet) noexcept {
  wire::IcmpError error;
  if (!wire::read_icmp_error(frame, settings_.endpoints(), packet, error)) return false;
  if (now_ms_ - icmp_since_ms_ >= 1000) {
    icmp_since_ms_ = now_ms_;
    icmp_cnt_ = 0;
  }
  if (++icmp_cnt_ > kErrorsPerSecond) {
    counters_.count(Outcome::icmp_ignored);
    give_back(io, frame);
    return true;
  }
  take_upstream(io, frame, packet, ring::ItemKind::icmp,
                __builtin_bswap16(error.source.port_be));
  return true;
}

// The caller gives the frame back. It was looked at before, but perhaps by another core, under
// another config.
Outcome Worker::icmp_error(StepIo& io, const Frame& frame, const wire::Packet& packet) noexcept {
  wire::IcmpError error;
  if (!wire::read_icmp_error(frame, settings_.endpoints(), packet, error)) {
    return Outcome::icmp_ignored;
  }
  const uint16_t port = __builtin_bswap16(error.source.port_be);
  uint32_t idx;
  uint32_t try_idx;
  const bool known = error.has_id ? inflight_.find_try(port, error.id, idx, try_idx)
                                  : inflight_.find_sent(port, error.udp_checksum, idx, try_idx);
  if (!known) return Outcome::icmp_ignored;
  Pending& pending = inflight_.at(idx);
  Try& entry = pending.tries[try_idx];
  if (!entry.live || pending.probe || frame.port != entry.left_by ||
      std::memcmp(&error.target, &entry.target, sizeof error.target) != 0 ||
      std::memcmp(error.source.bytes, entry.source.bytes, sizeof error.source.bytes) != 0) {
    return Outcome::icmp_ignored;
  }
  entry.live = false;
  if (entry.backend != kNoBackend) {
    backends_.on_unreachable(entry.backend, settings_.service().down_after);
  }
  go_on_elsewhere(io, idx);
  return Outcome::icmp_unreachable;
}

// With nobody else to ask the question keeps its pace: who is being started again is there soon,
// and asking twice in a moment would not help.
void Worker::go_on_elsewhere(StepIo& io, uint32_t idx) noexcept {
  const Pending& pending = inflight_.at(idx);
  if (pending.on_stream) return;
  const bool tries_left = pending.try_cnt < settings_.service().upstream_tries_max;
  if (!tries_left || untried_backends(pending) != 0) retry_or_fail(io, idx);
}

}  // namespace millrace::dp
