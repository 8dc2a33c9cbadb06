// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/backend_set.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <iterator>

namespace millrace::dp {
namespace {

// The cell has one writer, so a plain read-modify-write is enough; readers want a recent value
// only.
void add(std::atomic<uint64_t>& counter, uint64_t n = 1) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

// In BackendCell::reserved: [0] what this worker found out as home: since when (ns), above one bit
// (1: alive, 0: silent); [1] whether it considers it suspect or down.
constexpr uint32_t kVerdict = 0;
constexpr uint32_t kWantsProbe = 1;

constexpr uint32_t kDoublingsMax = 8;

// What moves along with a backend from row to row.
constexpr std::atomic<uint64_t> abi::BackendCell::*kCounts[] = {
    &abi::BackendCell::sent, &abi::BackendCell::answered, &abi::BackendCell::timeouts,
    &abi::BackendCell::failures};

}  // namespace

BackendSet::BackendSet(uint32_t worker, uint32_t workers,
                       abi::BackendCell (*cells)[abi::kBackendsMax]) noexcept
    : worker_(worker), workers_(workers), cells_(cells) {}

void BackendSet::apply(const Remap& remap, uint32_t backends) noexcept {
  std::array<State, abi::kBackendsMax> next{};
  uint64_t counts[abi::kBackendsMax][std::size(kCounts)] = {};
  for (uint32_t o = 0; o < backends_; ++o) {
    const uint8_t n = remap.backend[o];
    if (n == Remap::kGone) continue;
    next[n] = state_[o];
    for (std::size_t c = 0; c < std::size(kCounts); ++c) {
      counts[n][c] = (cell(o).*kCounts[c]).load(std::memory_order_relaxed);
    }
  }
  state_ = next;
  turn_.fill(0);
  backends_ = backends;
  for (uint32_t i = 0; i < abi::kBackendsMax; ++i) {
    abi::BackendCell& row = cell(i);
    for (std::size_t c = 0; c < std::size(kCounts); ++c) {
      (row.*kCounts[c]).store(counts[i][c], std::memory_order_relaxed);
    }
    row.rtt_us.store(state_[i].rtt_ns / 1000, std::memory_order_relaxed);
    row.up.store(i < backends && up(i) ? 1 : 0, std::memory_order_relaxed);
    row.reserved[kWantsProbe].store(i < backends && state_[i].health != Health::up ? 1 : 0,
                                    std::memory_order_relaxed);
    state_[i].verdict_seen =
        cells_[home_of(i)][i].reserved[kVerdict].load(std::memory_order_relaxed);
  }
}

bool BackendSet::is_full(const Settings& settings, uint32_t backend) const noexcept {
  const uint32_t limit = settings.service().backend[backend].in_flight_max;
  return limit != 0 && state_[backend].outstanding >= (limit + workers_ - 1) / workers_;
}

uint32_t BackendSet::askable(const Settings& settings, uint32_t backends) const noexcept {
  uint32_t found = 0;
  for (uint32_t i = 0; i < backends_; ++i) {
    const bool good = (backends >> i & 1) != 0 && up(i) && settings.hop(i).usable != 0;
    if (good) found |= uint32_t{1} << i;
  }
  return found;
}

bool BackendSet::any_full(const Settings& settings, uint32_t members) const noexcept {
  for (uint32_t left = askable(settings, members); left != 0; left &= left - 1) {
    if (is_full(settings, static_cast<uint32_t>(std::countr_zero(left)))) return true;
  }
  return false;
}

uint8_t BackendSet::choose(const Settings& settings, const Wanted& wanted,
                           Csprng& random) noexcept {
  uint32_t from = askable(settings, wanted.members);
  for (uint32_t left = from; left != 0; left &= left - 1) {
    const auto i = static_cast<uint32_t>(std::countr_zero(left));
    if (is_full(settings, i)) from &= ~(uint32_t{1} << i);
  }
  // First those that were not asked yet; then any (a lost packet is no reason to give up on the
  // only resolver there is).
  if ((from & ~wanted.tried) != 0) from &= ~wanted.tried;
  return from == 0 ? Remap::kGone : pick(settings, wanted, from, random);
}

uint8_t BackendSet::pick_least_loaded(uint32_t from, Csprng& random) const noexcept {
  uint8_t best = Remap::kGone;
  uint32_t best_load = UINT32_MAX;
  uint32_t ties = 0;
  for (uint32_t left = from; left != 0; left &= left - 1) {
    const auto i = static_cast<uint8_t>(std::countr_zero(left));
    const uint32_t load = state_[i].outstanding;
    if (load > best_load) continue;
    ties = load == best_load ? ties + 1 : 1;
    if (ties == 1 || random.below(ties) == 0) best = i;
    best_load = load;
  }
  return best;
}

// `from` is not empty.
uint8_t BackendSet::pick(const Settings& settings, const Wanted& wanted, uint32_t from,
                         Csprng& random) noexcept {
  const abi::ServiceSection& service = settings.service();
  const auto first_of = [](uint32_t backends) {
    return static_cast<uint8_t>(std::countr_zero(backends));
  };
  switch (service.pool[wanted.pool].policy) {
    case abi::PoolPolicy::first_available:
      return first_of(from);
    case abi::PoolPolicy::round_robin: {
      uint8_t& turn = turn_[wanted.pool];
      const uint32_t later = from & ~((uint32_t{1} << turn) - 1);
      const uint8_t next = first_of(later != 0 ? later : from);
      turn = static_cast<uint8_t>((next + 1) % abi::kBackendsMax);
      return next;
    }
    case abi::PoolPolicy::weighted: {
      uint32_t sum = 0;
      for (uint32_t left = from; left != 0; left &= left - 1)
        sum += service.backend[first_of(left)].weight;
      uint32_t rest = random.below(sum);
      while (rest >= service.backend[first_of(from)].weight) {
        rest -= service.backend[first_of(from)].weight;
        from &= from - 1;
      }
      return first_of(from);
    }
    case abi::PoolPolicy::consistent_hash: {
      // Of the name alone: all types of a name are asked in one place, on every machine of a
      // cluster.
      const uint64_t name_hash =
          XXH3_64bits(wanted.key.bytes + kKeyHeadBytes, wanted.key.len - kKeyHeadBytes);
      uint8_t best = first_of(from);
      uint64_t best_score = 0;
      for (uint32_t left = from; left != 0; left &= left - 1) {
        const abi::Address& address = service.backend[first_of(left)].address;
        const uint64_t score = XXH3_64bits_withSeed(&address, sizeof address, name_hash);
        if (score < best_score) continue;
        best = first_of(left);
        best_score = score;
      }
      return best;
    }
    case abi::PoolPolicy::least_outstanding:
      break;
  }
  return pick_least_loaded(from, random);
}

uint64_t BackendSet::try_wait_ns(uint32_t backend, uint64_t first_ns) const noexcept {
  const State& state = state_[backend];
  if (state.rtt_ns == 0) return first_ns;
  const uint64_t wait_ns = (state.rtt_ns + 4 * state.deviation_ns) << state.doublings;
  return std::min(std::max(wait_ns, kTryWaitMinNs), first_ns);
}

void BackendSet::on_sent(uint32_t backend) noexcept {
  State& state = state_[backend];
  state.outstanding += 1;
  if (state.silent_since_ns == 0) state.silent_since_ns = now_ns_;
  add(cell(backend).sent);
}

void BackendSet::on_sign_of_life(uint32_t backend, bool probe) noexcept {
  State& state = state_[backend];
  state.timeouts_in_row = 0;
  state.alive_ns = now_ns_;
  state.silent_since_ns = state.outstanding > 0 ? now_ns_ : 0;
  const bool news = probe || state.health != Health::up;
  if (state.health != Health::up) set_health(backend, Health::up);
  if (news) tell(backend, true, now_ns_);
}

void BackendSet::on_answer(uint32_t backend, uint64_t rtt_ns, bool probe) noexcept {
  State& state = state_[backend];
  if (state.outstanding > 0) state.outstanding -= 1;
  on_sign_of_life(backend, probe);
  if (state.rtt_ns == 0) {
    state.rtt_ns = rtt_ns;
    state.deviation_ns = rtt_ns / 2;
  } else {
    const uint64_t off_ns = rtt_ns > state.rtt_ns ? rtt_ns - state.rtt_ns : state.rtt_ns - rtt_ns;
    state.deviation_ns = (state.deviation_ns * 3 + off_ns) / 4;
    state.rtt_ns = (state.rtt_ns * 7 + rtt_ns) / 8;
  }
  state.doublings = 0;
  add(cell(backend).answered);
  cell(backend).rtt_us.store(state.rtt_ns / 1000, std::memory_order_relaxed);
}

void BackendSet::on_failure(uint32_t backend) noexcept { add(cell(backend).failures); }

void BackendSet::on_edns_refused(uint32_t backend) noexcept {
  state_[backend].plain_until_ns = now_ns_ + kPlainNs;
}

void BackendSet::on_timeout(uint32_t backend, uint32_t down_after) noexcept {
  State& state = state_[backend];
  state.doublings = std::min(state.doublings + 1, kDoublingsMax);
  add(cell(backend).timeouts);
  note_silence(backend, down_after);
}

void BackendSet::on_overtaken(uint32_t backend, uint32_t down_after) noexcept {
  on_abandoned(backend);
  note_silence(backend, down_after);
}

void BackendSet::on_unreachable(uint32_t backend, uint32_t down_after) noexcept {
  on_failure(backend);
  on_overtaken(backend, down_after);
}

void BackendSet::note_silence(uint32_t backend, uint32_t down_after) noexcept {
  State& state = state_[backend];
  state.timeouts_in_row += 1;
  // probed_ns stays: a probe may have gone out for another worker a moment ago.
  const bool silent = now_ns_ - state.silent_since_ns >= kSilenceNs;
  if (state.health == Health::up && silent && state.timeouts_in_row >= down_after) {
    set_health(backend, Health::suspect);
  }
}

void BackendSet::on_silent_probe(uint32_t backend, uint64_t sent_ns) noexcept {
  add(cell(backend).timeouts);
  if (state_[backend].alive_ns >= sent_ns) return;  // the probe was lost, the backend was not
  set_health(backend, Health::down);
  tell(backend, false, sent_ns);
}

void BackendSet::on_abandoned(uint32_t backend) noexcept {
  if (state_[backend].outstanding > 0) state_[backend].outstanding -= 1;
}

void BackendSet::set_health(uint32_t backend, Health health) noexcept {
  state_[backend].health = health;
  if (health == Health::up) state_[backend].timeouts_in_row = 0;
  cell(backend).up.store(health != Health::down ? 1 : 0, std::memory_order_relaxed);
  cell(backend).reserved[kWantsProbe].store(health != Health::up ? 1 : 0,
                                            std::memory_order_relaxed);
}

void BackendSet::tell(uint32_t backend, bool alive, uint64_t since_ns) noexcept {
  if (home_of(backend) != worker_) return;
  cell(backend).reserved[kVerdict].store(since_ns << 1 | (alive ? 1 : 0),
                                         std::memory_order_relaxed);
}

bool BackendSet::probe_wanted(uint32_t backend) const noexcept {
  for (uint32_t w = 0; w < workers_; ++w) {
    // Relaxed: a wish by itself; a probe sent late or in vain does no harm.
    if (cells_[w][backend].reserved[kWantsProbe].load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

// By the interval of the running config, whatever it was when the last one was sent.
uint64_t BackendSet::probe_due_ns(const Settings& settings, uint32_t backend) const noexcept {
  const uint64_t last_ns = state_[backend].probed_ns;
  if (last_ns == 0) return 0;
  return last_ns + uint64_t{settings.service().probe_interval_ms} * 1'000'000;
}

uint64_t BackendSet::next_probe_ns(const Settings& settings) const noexcept {
  uint64_t next_ns = kNothingDue;
  for (uint32_t i = worker_; i < backends_; i += workers_) {
    if (settings.hop(i).usable == 0 || !probe_wanted(i)) continue;
    next_ns = std::min(next_ns, probe_due_ns(settings, i));
  }
  return next_ns;
}

uint8_t BackendSet::take_probe(const Settings& settings, uint64_t now_ns) noexcept {
  uint8_t longest = Remap::kGone;
  for (uint32_t i = worker_; i < backends_; i += workers_) {
    if (settings.hop(i).usable == 0 || now_ns < probe_due_ns(settings, i)) continue;
    if (!probe_wanted(i)) continue;
    if (longest == Remap::kGone || state_[i].probed_ns < state_[longest].probed_ns) {
      longest = static_cast<uint8_t>(i);
    }
  }
  if (longest != Remap::kGone) state_[longest].probed_ns = now_ns;
  return longest;
}

void BackendSet::share() noexcept {
  for (uint32_t i = 0; i < backends_; ++i) {
    if (home_of(i) == worker_) continue;
    // Relaxed is enough: the word says only "look at it afresh"; nothing else is read through it.
    const uint64_t seen = cells_[home_of(i)][i].reserved[kVerdict].load(std::memory_order_relaxed);
    if (seen == state_[i].verdict_seen) continue;
    state_[i].verdict_seen = seen;
    const bool alive = (seen & 1) != 0;
    if (alive && state_[i].health != Health::up) set_health(i, Health::up);
    if (!alive && state_[i].alive_ns < seen >> 1) set_health(i, Health::down);
  }
}

}  // namespace millrace::dp
