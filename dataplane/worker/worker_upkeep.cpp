// SPDX-License-Identifier: Apache-2.0
// What a worker does between bursts, in slices: expiry, reclamation, probes, the operator's walks,
// statistics.
#include <algorithm>
#include <cstring>

#include "dataplane/worker/worker.hpp"

namespace millrace::dp {

using abi::Event;

namespace {

constexpr uint32_t kExpireBudget = 16;         // entries per turn
constexpr uint32_t kFlowExpireBudget = 16;     // flows per turn
constexpr uint32_t kWalkBuckets = 64;          // index buckets per turn
constexpr uint32_t kBacklogBudget = 64;        // replies per turn
constexpr uint64_t kPublishPeriodNs = 5'000'000;
constexpr uint64_t kSharePeriodNs = 100'000'000;

// Does a key belong to what the operator named?
bool matches(const abi::CacheQuery& query, cache::KeyView key) noexcept {
  if (query.packet_cache != 0xff && key.bytes[3] != query.packet_cache) return false;
  if (query.qtype != 0 && load_be16(key.bytes) != query.qtype) return false;
  const uint8_t* name = key.bytes + kKeyHeadBytes;
  const uint32_t len = name_bytes_of(key);
  if (query.match == abi::NameMatch::all) return true;
  if (query.name_bytes > len) return false;
  if (query.match == abi::NameMatch::exact) {
    return len == query.name_bytes && std::memcmp(name, query.name, len) == 0;
  }
  // A suffix matches only from the start of a label on.
  uint32_t at = 0;
  while (len - at > query.name_bytes) at += 1u + name[at];
  return len - at == query.name_bytes && std::memcmp(name + at, query.name, len - at) == 0;
}

// For how long an entry past its time may still be served; 0: it may not. As stale_of() decides.
uint32_t stale_left_s(const cache::Entry& entry, uint64_t now_ms, uint32_t kept_s) noexcept {
  if (cache::kind_of(entry) == cache::Kind::failure) return 0;
  const uint32_t stale_s = cache::stale_s_of(entry, now_ms);
  return stale_s < kept_s ? kept_s - stale_s : 0;
}

// `stale_s`: 0 for one that is fresh.
void fill_row(abi::CacheRow& row, const cache::Entry& entry, uint32_t age_s,
              uint32_t stale_s) noexcept {
  const cache::KeyView key = cache::key_of(entry);
  const AnswerView view = cache::view_of(entry);
  row.qtype = load_be16(key.bytes);
  row.rcode = view.rcode;
  row.flag_do = (key.bytes[2] & kKeyFlagDo) != 0;
  row.flag_cd = (key.bytes[2] & kKeyFlagCd) != 0;
  row.negative = view.negative;
  row.packet_cache = key.bytes[3];
  row.authentic_data = view.authentic_data;
  row.lifetime_s = view.lifetime_s;
  row.ttl_s = stale_s != 0 ? 0 : view.lifetime_s - age_s;
  row.stale_s = stale_s;
  row.an_cnt = view.an_cnt;
  row.ns_cnt = view.ns_cnt;
  row.ar_cnt = view.ar_cnt;
  row.name_bytes = static_cast<uint8_t>(name_bytes_of(key));
  std::memcpy(row.name, key.bytes + kKeyHeadBytes, row.name_bytes);
  const Variant variant = variant_of(key);
  row.subnet_family = variant.family;
  row.subnet_bits = variant.bits;
  row.subnet_scope = variant.scope;
  row.subnet_exact = variant.exact;
  store_be64(row.subnet, variant.prefix);
  row.body_bytes = static_cast<uint16_t>(
      std::min<std::size_t>(view.body_bytes, sizeof row.body));
  std::memcpy(row.body, view.body, row.body_bytes);
}

}  // namespace

void Worker::upkeep(StepIo& io) noexcept {
  // One shard of ours per turn.
  cache::Shard& shard = *to_.shards[upkeep_shard_ * to_.workers + to_.worker];
  const uint32_t expired = shard.expire(now_ms_, kExpireBudget);
  if (expired != 0) counters_.count(Event::cache_expire, expired);
  shard.reclaim();
  const uint32_t mine = (to_.shard_cnt - to_.worker + to_.workers - 1) / to_.workers;
  upkeep_shard_ = upkeep_shard_ + 1 < mine ? upkeep_shard_ + 1 : 0;

  if (policy_.active()) policy_.expire(now_ms_, kFlowExpireBudget);

  if (now_ns_ >= share_due_ns_) {
    share_due_ns_ = now_ns_ + kSharePeriodNs;
    backends_.share();
    send_probes(io);
  }
  serve_mailbox();
}

uint32_t Worker::send_backlog(StepIo& io) noexcept {
  const uint32_t cnt = std::min({backlog_cnt_, io.tx_room(), kBacklogBudget});
  for (uint32_t i = 0; i < cnt; ++i) {
    const Frame& frame = backlog_[backlog_head_];
    if (frame.len != 0) {
      send(io, frame);
    } else {
      counters_.count(Event::tx_dropped);
      give_back(io, frame);
    }
    backlog_head_ = (backlog_head_ + 1) % backlog_capacity_;
  }
  backlog_cnt_ -= cnt;
  return cnt;
}

void Worker::serve_mailbox() noexcept {
  Mailbox& mail = *to_.mailbox;
  if (!walking_) {
    // Acquire pairs with the main core's release store: the query is whole.
    const uint64_t asked = mail.asked.load(std::memory_order_acquire);
    if (asked == mail_) return;
    mail_ = asked;
    mail.removed = 0;
    mail.rows = 0;
    mail.rows_total = 0;
    walking_ = true;
    walk_shard_ = to_.worker;
    walk_cursor_ = 0;
    if (mail.remove) mark_flushed_in_flight(mail.query);
  }
  walk_slice();
}

void Worker::walk_slice() noexcept {
  Mailbox& mail = *to_.mailbox;
  cache::Shard& shard = *to_.shards[walk_shard_];
  const abi::CacheQuery& query = mail.query;
  if (mail.remove) {
    uint32_t removed = 0;
    const auto match = [&query](const cache::Entry& entry) noexcept {
      return (query.negative_only == 0 || cache::kind_of(entry) == cache::Kind::negative) &&
             matches(query, cache::key_of(entry));
    };
    walk_cursor_ = shard.walk_remove(walk_cursor_, kWalkBuckets, match, removed);
    mail.removed += removed;
    counters_.count(Event::cache_flush, removed);
  } else {
    const uint32_t kept_s = settings_.service().stale.kept_s;
    const auto visit = [&mail, &query, kept_s,
                        now_ms = now_ms_](const cache::Entry& entry) noexcept {
      const bool fresh = cache::is_fresh(entry, now_ms);
      const uint32_t stale_s = fresh ? 0 : stale_left_s(entry, now_ms, kept_s);
      if ((!fresh && stale_s == 0) || cache::is_directory(entry) ||
          !matches(query, cache::key_of(entry))) {
        return;
      }
      if (mail.rows < abi::kCacheRowsMax) {
        fill_row(mail.row[mail.rows++], entry, cache::age_s_of(entry, now_ms), stale_s);
      }
      mail.rows_total += 1;
    };
    walk_cursor_ = shard.walk(walk_cursor_, kWalkBuckets, visit);
  }
  if (walk_cursor_ != cache::kWalkEnd) return;
  walk_cursor_ = 0;
  walk_shard_ += to_.workers;
  if (walk_shard_ < to_.shard_cnt) return;
  walking_ = false;
  // Release pairs with the main core's acquire load: rows and counts are whole.
  mail.answered.store(mail_, std::memory_order_release);
}

// An answer to a question asked before the flush must not bring back what was flushed, neither into
// the cache nor to who asks after it (A125).
void Worker::mark_flushed_in_flight(const abi::CacheQuery& query) noexcept {
  for (uint32_t i = 0; i < inflight_.capacity(); ++i) {
    Pending& pending = inflight_.at(i);
    // What waits for a route has not been asked yet.
    if (pending.in_use && !pending.probe && pending.try_cnt != 0 &&
        matches(query, {pending.key.bytes, pending.key.len})) {
      pending.flushed = true;
    }
  }
}

void Worker::publish() noexcept {
  publish_due_ns_ = now_ns_ + kPublishPeriodNs;
  counters_.waiters = inflight_.waiter_cnt();
  counters_.inflight = inflight_.open_cnt();
  counters_.entries = 0;
  counters_.memory_used = 0;
  counters_.memory_total = 0;
  counters_.memory_retired = 0;
  uint64_t evicted = 0;
  for (uint32_t s = to_.worker; s < to_.shard_cnt; s += to_.workers) {
    const auto& gauges = to_.shards[s]->gauges();
    counters_.entries += gauges.entries;
    counters_.memory_used += gauges.memory_used;
    counters_.memory_total += gauges.memory_total;
    counters_.memory_retired += gauges.memory_retired;
    evicted += gauges.evicted;
  }
  counters_.event[static_cast<std::size_t>(Event::cache_evict)] = evicted;
  counters_.event[static_cast<std::size_t>(Event::flow_evict)] = policy_.gauges().evicted;
  stats::publish(counters_, settings_.generation(), to_.stats->cores[to_.worker]);
}

}  // namespace millrace::dp
