// SPDX-License-Identifier: Apache-2.0
// A worker asks for answers again before their time is over (A121).
#include "dataplane/worker/worker.hpp"

#include <bit>
#include <cstring>

namespace millrace::dp {

using abi::Event;

// The hits of the burst that are near their end, by bit, before they are answered. Of a directory
// it is the variant that matters (worker_subnet.cpp).
void Worker::refresh_ageing(StepIo& io, uint32_t ageing) noexcept {
  const Burst& burst = *burst_;
  for (; ageing != 0; ageing &= ageing - 1) {
    const auto i = static_cast<uint32_t>(std::countr_zero(ageing));
    const cache::Entry& entry = *burst.lookup[i].entry;
    if (i < burst.plain_cnt) finish_query(*burst.frame[i], i);
    SubnetAsker asker;
    if (cache::is_directory(entry) || !read_asker(*burst.frame[i], burst.query[i], asker)) continue;
    judge_refresh(io, entry, burst.query[i], burst.key[i].hash, asker.asked);
  }
}

// Of a hit that is near its end.
void Worker::judge_refresh(StepIo& io, const cache::Entry& entry, const wire::Query& query,
                           uint64_t hash, const wire::Subnet& subnet) noexcept {
  switch (prefetch_.judge(entry, query, settings_.service().prefetch, now_ms_)) {
    case Prefetch::Verdict::no:
      break;
    case Prefetch::Verdict::limited:
      counters_.count(Event::prefetch_limited);
      break;
    case Prefetch::Verdict::yes:
      refresh_at_owner(io, entry, hash, query.pool, subnet);
      break;
  }
}

void Worker::refresh_at_owner(StepIo& io, const cache::Entry& entry, uint64_t hash, uint8_t pool,
                              const wire::Subnet& subnet) noexcept {
  const uint32_t owner = owner_of(shard_of(hash), to_.workers);
  if (owner == to_.worker) {
    cache::mark_refreshed(entry);
    refresh(io, entry, hash, pool, subnet);
  } else if (to_.to[owner]->push(
                 refresh_item(entry, hash, pool, subnet, settings_.generation()))) {
    cache::mark_refreshed(entry);
    counters_.count(Event::ring_sent);
  } else {
    counters_.count(Event::prefetch_ring_full);  // the next hit tries again
  }
}

void Worker::take_refresh(StepIo& io, const ring::WorkItem& item) noexcept {
  // Meanwhile the entry may have gone, or the pool may have another number.
  const auto& entry = *static_cast<const cache::Entry*>(item.refresh.entry);
  if (item.generation == static_cast<uint32_t>(settings_.generation()) &&
      to_.shards[shard_of(item.hash)]->holds(item.hash, entry)) {
    refresh(io, entry, item.hash, item.query.pool, item.refresh.subnet);
  }
}

// Of an entry of ours. It stays as it is until the answer takes its place.
void Worker::refresh(StepIo& io, const cache::Entry& entry, uint64_t hash, uint8_t pool,
                     const wire::Subnet& subnet) noexcept {
  const cache::KeyView of_entry = cache::key_of(entry);
  Key key;
  key.len = static_cast<uint16_t>(kKeyHeadBytes + name_bytes_of(of_entry));
  std::memset(key.bytes, 0, sizeof key.bytes);
  std::memcpy(key.bytes, of_entry.bytes, key.len);
  key.hash = key.len == of_entry.len ? hash : hash_key(*to_.secret, key);
  if (inflight_.find(key, subnet) != kNone) return;
  // Nobody waits for it, so it gives way to those who do.
  const bool busy = inflight_.open_cnt() >= inflight_.capacity() / 2;
  if (busy || !inflight_.room() || io.stock_cnt == 0) {
    counters_.count(Event::prefetch_limited);
    return;
  }
  const uint32_t pending = inflight_.open(key, now_ns_, client_due_ns(now_ns_));
  inflight_.at(pending).pool = pool;
  inflight_.at(pending).subnet = subnet;
  inflight_.at(pending).refresh = true;
  if (send_try(io, pending)) {
    counters_.count(Event::prefetch_sent);
  } else {
    counters_.count(Event::prefetch_failed);
    inflight_.close(pending);
  }
}

}  // namespace millrace::dp
