// SPDX-License-Identifier: Apache-2.0
// A worker serves answers past their time while no new one can be had (A122, RFC 8767).
//
//   miss ──▶ failed less than `recheck` ago, or in flight for longer than `client_timer`: at once
//       └──▶ asked ──▶ after `client_timer`: whoever waits; the question goes on
//                 ├──▶ failed, or given up: whoever still waits; noted (recheck.hpp)
//                 └──▶ cannot be asked: at once
#include "dataplane/worker/worker.hpp"

#include <cstring>

namespace millrace::dp {

using abi::Event;
using abi::Outcome;

namespace {

// What is in the cache for the asker past its time, however long, as `stale`.
FoundVariant past_of(const cache::ShardView& shard, const SubnetContext& context, const Key& key,
                     const SubnetAsker& asker) noexcept {
  const cache::ShardView* const shards[1] = {&shard};
  const Key* const keys[1] = {&key};
  cache::Found found[1];
  cache::lookup_burst(shards, keys, 1, context.now_ms, found);
  const cache::Entry* const there = found[0].entry != nullptr ? found[0].entry : found[0].stale;
  if (there != nullptr && cache::is_directory(*there)) {
    return find_variant(shard, context, *there, key, asker);
  }
  return {nullptr, found[0].stale, key.hash};
}

}  // namespace

// The answer past its time that may be served for the key, as `stale`; null: there is none. Any
// core may look.
FoundVariant Worker::stale_of(const Key& key, const SubnetAsker& asker) const noexcept {
  const uint32_t kept_s = settings_.service().stale.kept_s;
  if (kept_s == 0) return {};
  const FoundVariant last = past_of(*to_.shards[shard_of(key.hash)], subnet_context(), key, asker);
  const bool usable = last.stale != nullptr &&
                      cache::kind_of(*last.stale) != cache::Kind::failure &&
                      cache::stale_s_of(*last.stale, now_ms_) < kept_s;
  return usable ? last : FoundVariant{};
}

// The same for a question that should not be asked, or has been in flight for too long.
const cache::Entry* Worker::stale_at_once(const Key& key, const SubnetAsker& asker,
                                          uint32_t known) const noexcept {
  const bool late = known != kNone && now_ns_ >= client_due_ns(inflight_.at(known).started_ns);
  return late || recheck_.holds(key.hash, now_ms_) ? stale_of(key, asker).stale
                                                     : nullptr;
}

uint64_t Worker::client_due_ns(uint64_t started_ns) const noexcept {
  const abi::StaleConfig& stale = settings_.service().stale;
  if (stale.kept_s == 0) return kNever;
  return started_ns + uint64_t{stale.client_timer_ms} * 1'000'000;
}

wire::Reply Worker::write_stale(const Frame& frame, const wire::Query& query,
                                const cache::Entry& entry) noexcept {
  cache::touch(entry);
  const wire::Reply reply =
      wire::write_stale_reply(frame.data + query.packet.dns_off, query, cache::view_of(entry),
                              settings_.service().stale.ttl_s, limits_of(frame, query, entry));
  if (reply.truncated) counters_.count(Event::reply_truncated);
  return reply;
}

// All who wait; the question goes on. False: there is nothing that they could get.
bool Worker::answer_waiters_stale(uint32_t idx) noexcept {
  const Pending& pending = inflight_.at(idx);
  const cache::Entry* const entry =
      stale_of(pending.key, {pending.subnet, pending.subnet}).stale;
  if (entry == nullptr) return false;
  Waiter waiter;
  while (inflight_.take_waiter(idx, waiter)) {
    counters_.count(Event::waiter_answered);
    counters_.count(Event::waiter_stale);
    queue_reply(waiter.frame, waiter.query, write_stale(waiter.frame, waiter.query, *entry));
  }
  return true;
}

// A new answer came that is not to be stored: what it says is true even so, and what is past its
// time is not; nor may it be served later, under another config.
void Worker::drop_stale(const Pending& pending) noexcept {
  if (pending.flushed) return;
  const FoundVariant last = past_of(*to_.shards[shard_of(pending.key.hash)], subnet_context(),
                                    pending.key, {pending.subnet, pending.subnet});
  if (last.stale == nullptr) return;
  const cache::KeyView of_entry = cache::key_of(*last.stale);
  Key key = pending.key;
  std::memcpy(key.bytes, of_entry.bytes, of_entry.len);
  key.len = of_entry.len;
  key.hash = last.hash;
  to_.shards[shard_of(key.hash)]->remove(key);
}

// With these the shards of this worker keep answers past their time, or no longer.
void Worker::set_stale_budget() noexcept {
  const uint32_t kept_s = settings_.service().stale.kept_s;
  const cache::Budgets budgets{.stale_64ths = kept_s == 0 ? uint8_t{0} : kStale64ths,
                               .stale_window_s = kept_s};
  for (uint32_t s = to_.worker; s < to_.shard_cnt; s += to_.workers)
    to_.shards[s]->set_budgets(budgets);
}

}  // namespace millrace::dp
