// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/inflight.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dataplane/base/check.hpp"

namespace millrace::dp {

uint32_t Inflight::port_bucket(uint16_t port) const noexcept {
  return static_cast<uint32_t>((port * 0x9e37'79b9'7f4a'7c15ULL) >> 40) & mask_;
}

uint32_t Inflight::find(const Key& key, const wire::Subnet& subnet) const noexcept {
  for (uint32_t i = key_heads_[key_bucket(key.hash)]; i != kNone; i = pending_[i].chain_next) {
    const Key& other = pending_[i].key;
    if (!pending_[i].flushed && other.hash == key.hash && other.len == key.len &&
        std::memcmp(other.bytes, key.bytes, key.len) == 0 && pending_[i].subnet == subnet) {
      return i;
    }
  }
  return kNone;
}

uint32_t Inflight::open(const Key& key, uint64_t now_ns, uint64_t client_due_ns) noexcept {
  const uint32_t idx = free_pending_;
  if (idx == kNone) return kNone;
  Pending& pending = pending_[idx];
  free_pending_ = pending.chain_next;
  pending.key = key;
  pending.subnet = {};
  pending.started_ns = now_ns;
  pending.try_due_ns = pending.due_ns = 0;
  pending.client_due_ns = client_due_ns;
  pending.waiter_first = pending.waiter_last = kNone;
  pending.waiter_cnt = 0;
  pending.due_slot = kNone;
  pending.backends_tried = 0;
  pending.try_cnt = 0;
  pending.failure_cnt = 0;
  pending.servfail_cnt = 0;
  pending.pool = 0;
  pending.in_use = true;
  pending.flushed = false;
  pending.probe = false;
  pending.refresh = false;
  pending.on_stream = false;
  pending.alarmed = false;
  pending.truncated = false;
  pending.subnet_refused = false;
  pending.scope = 0;
  pending.stray_cnt = 0;
  pending.serial += 1;
  pending.domain = MissCounts::kUncounted;
  uint32_t& head = key_heads_[key_bucket(key.hash)];
  pending.chain_next = head;
  head = idx;
  open_cnt_ += 1;
  return idx;
}

void Inflight::count_domain(uint32_t idx, MissCounts::Mark domain) noexcept {
  Pending& pending = pending_[idx];
  MR_DCHECK(pending.in_use && pending.domain == MissCounts::kUncounted);
  pending.domain = domain;
  domains_.raise(domain);
}

void Inflight::close(uint32_t idx) noexcept {
  Pending& pending = pending_[idx];
  MR_CHECK(pending.in_use && pending.waiter_first == kNone);
  domains_.lower(pending.domain);
  unlink_due(idx);
  for (uint32_t t = 0; t < pending.try_cnt; ++t) {
    const uint32_t self = idx * kTriesMax + t;
    uint32_t* link = &port_heads_[port_bucket(pending.tries[t].port)];
    while (*link != self) link = &pending_[*link / kTriesMax].tries[*link % kTriesMax].chain_next;
    *link = pending.tries[t].chain_next;
  }
  uint32_t* link = &key_heads_[key_bucket(pending.key.hash)];
  while (*link != idx) link = &pending_[*link].chain_next;
  *link = pending.chain_next;
  pending.in_use = false;
  pending.chain_next = free_pending_;
  free_pending_ = idx;
  open_cnt_ -= 1;
}

bool Inflight::add_waiter(uint32_t idx, const Frame& frame, const wire::Query& query,
                          MissCounts::Mark client) noexcept {
  Pending& pending = pending_[idx];
  const uint32_t w = free_waiter_;
  if (w == kNone || pending.waiter_cnt >= kWaitersPerPending) return false;
  free_waiter_ = waiter_[w].next;
  waiter_[w] = {.frame = frame, .query = query, .next = kNone, .client = client};
  if (pending.waiter_first == kNone) {
    pending.waiter_first = w;
  } else {
    waiter_[pending.waiter_last].next = w;
  }
  pending.waiter_last = w;
  pending.waiter_cnt += 1;
  waiters_used_ += 1;
  clients_.raise(client);
  MR_DCHECK(clients_.total() <= waiters_used_);
  return true;
}

bool Inflight::take_waiter(uint32_t idx, Waiter& out) noexcept {
  Pending& pending = pending_[idx];
  const uint32_t w = pending.waiter_first;
  if (w == kNone) return false;
  out = waiter_[w];
  out.query.pool = pending.pool;  // its own is of the config that it came under
  pending.waiter_first = out.next;
  pending.waiter_cnt -= 1;
  waiter_[w].next = free_waiter_;
  free_waiter_ = w;
  waiters_used_ -= 1;
  clients_.lower(out.client);
  return true;
}

template <class Wanted>
bool Inflight::find_at_port(uint16_t port, Wanted wanted, uint32_t& pending,
                            uint32_t& try_idx) const noexcept {
  for (uint32_t i = port_heads_[port_bucket(port)]; i != kNone;) {
    const Try& entry = pending_[i / kTriesMax].tries[i % kTriesMax];
    if (entry.port == port && wanted(entry)) {
      pending = i / kTriesMax;
      try_idx = i % kTriesMax;
      return true;
    }
    i = entry.chain_next;
  }
  return false;
}

bool Inflight::find_try(uint16_t port, uint16_t id, uint32_t& pending,
                        uint32_t& try_idx) const noexcept {
  return find_at_port(
      port, [id](const Try& entry) { return entry.id == id; }, pending, try_idx);
}

bool Inflight::find_sent(uint16_t port, uint16_t udp_checksum, uint32_t& pending,
                         uint32_t& try_idx) const noexcept {
  return find_at_port(
      port, [udp_checksum](const Try& entry) { return entry.udp_checksum == udp_checksum; },
      pending, try_idx);
}

bool Inflight::tuple_in_use(uint16_t port, uint16_t id) const noexcept {
  uint32_t pending;
  uint32_t try_idx;
  return find_try(port, id, pending, try_idx);
}

uint32_t Inflight::note_stray(uint16_t port) noexcept {
  uint32_t alarmed = kNone;
  for (uint32_t i = port_heads_[port_bucket(port)]; i != kNone;) {
    Pending& pending = pending_[i / kTriesMax];
    const Try& entry = pending.tries[i % kTriesMax];
    if (entry.port == port && entry.live && !pending.probe) {
      if (pending.stray_cnt <= kStraysMax) pending.stray_cnt += 1;
      if (pending.stray_cnt > kStraysMax) alarmed = i / kTriesMax;
    }
    i = entry.chain_next;
  }
  if (alarmed != kNone) pending_[alarmed].stray_cnt = 0;
  return alarmed;
}

Try& Inflight::add_try(uint32_t idx, uint16_t port, uint16_t id) noexcept {
  Pending& pending = pending_[idx];
  MR_CHECK(pending.try_cnt < kTriesMax);
  const uint32_t t = pending.try_cnt++;
  Try& entry = pending.tries[t];
  uint32_t& head = port_heads_[port_bucket(port)];
  entry.port = port;
  entry.id = id;
  entry.live = true;
  entry.overdue = false;
  entry.edns_refused = false;
  entry.cookie_refused = false;
  entry.wants_stream = false;
  entry.was_streamed = false;
  entry.lacks = Guard::none;
  entry.with_subnet = false;
  entry.chain_next = head;
  head = idx * kTriesMax + t;
  return entry;
}

void Inflight::apply(const std::array<uint8_t, abi::kBackendsMax>& backend,
                     const std::array<uint8_t, abi::kPoolsMax>& pool) noexcept {
  uint32_t left = open_cnt_;
  for (uint32_t i = 0; left != 0; ++i) {
    Pending& pending = pending_[i];
    if (!pending.in_use) continue;
    --left;
    if (pending.pool != kNoPool) pending.pool = pool[pending.pool];
    uint32_t tried = 0;
    for (uint32_t t = 0; t < pending.try_cnt; ++t) {
      uint8_t& from = pending.tries[t].backend;
      if (from != kNoBackend) from = backend[from];
      if (from != kNoBackend) tried |= uint32_t{1} << from;
    }
    pending.backends_tried = tried;
  }
}

void Inflight::unlink_due(uint32_t idx) noexcept {
  Pending& pending = pending_[idx];
  if (pending.due_slot == kNone) return;
  if (pending.due_prev == kNone) {
    due_heads_[pending.due_slot] = pending.due_next;
  } else {
    pending_[pending.due_prev].due_next = pending.due_next;
  }
  if (pending.due_next != kNone) pending_[pending.due_next].due_prev = pending.due_prev;
  pending.due_slot = kNone;
}

void Inflight::set_due(uint32_t idx, uint64_t try_due_ns) noexcept {
  pending_[idx].try_due_ns = try_due_ns;
  link_due(idx);
}

void Inflight::link_due(uint32_t idx) noexcept {
  unlink_due(idx);
  Pending& pending = pending_[idx];
  pending.due_ns = std::min(pending.try_due_ns, pending.client_due_ns);
  // Beyond the horizon it is looked at early, found not due, and put back (take_due).
  const uint64_t wanted = std::max(pending.due_ns / kDueTickNs + 1, due_tick_ + 1);
  const uint64_t tick = std::min(wanted, due_tick_ + kDueSlots - 1);
  const auto slot = static_cast<uint32_t>(tick % kDueSlots);
  pending.due_slot = slot;
  pending.due_prev = kNone;
  pending.due_next = due_heads_[slot];
  if (pending.due_next != kNone) pending_[pending.due_next].due_prev = idx;
  due_heads_[slot] = idx;
}

uint32_t Inflight::take_due(uint64_t now_ns) noexcept {
  const uint64_t now_tick = now_ns / kDueTickNs;
  if (open_cnt_ == 0 || now_tick > due_tick_ + kDueSlots) {
    // Nothing to look at, or away for longer than the horizon: every slot is due, once.
    due_tick_ = open_cnt_ == 0 ? now_tick : std::max(due_tick_, now_tick - kDueSlots);
  }
  for (;;) {
    const uint32_t idx = due_heads_[due_tick_ % kDueSlots];
    if (idx == kNone) {
      if (due_tick_ >= now_tick) return kNone;
      due_tick_ += 1;
      continue;
    }
    if (pending_[idx].due_ns <= now_ns) {
      unlink_due(idx);
      return idx;
    }
    link_due(idx);
  }
}

uint64_t Inflight::next_due_ns() const noexcept {
  if (open_cnt_ == 0) return kNothingDue;
  for (uint64_t tick = due_tick_; tick < due_tick_ + kDueSlots; ++tick) {
    if (due_heads_[tick % kDueSlots] != kNone) return tick * kDueTickNs;
  }
  return kNothingDue;
}

}  // namespace millrace::dp
