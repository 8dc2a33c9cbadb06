// SPDX-License-Identifier: Apache-2.0
// A worker and pools whose answers differ by the client's subnet (A89, RFC 7871). Nothing here is
// called for others.
//
//   hit ──▶ for all: as it is
//       └─▶ directory ──▶ the variant for this client: hit, and refreshed ahead of its end
//                    └──▶ none: miss
//   miss ─▶ asked with the client's subnet, one question in flight for each
//   answer ─▶ for another subnet: a stray ─▶ REFUSED or FORMERR: once more without ─▶ stored
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/worker/worker.hpp"

namespace millrace::dp {

using abi::Event;
using abi::Outcome;

bool Worker::read_asker(const Frame& frame, const wire::Query& query,
                        SubnetAsker& asker) const noexcept {
  asker = {};
  if (!settings_.by_subnet(query.pool)) return true;
  const abi::Address client =
      is_slow(frame) ? slow_head(frame).client : wire::source_of(frame, query.packet);
  return dp::read_asker(client, frame.data + query.packet.dns_off, query.options_at,
                        settings_.service().pool[query.pool], asker);
}

// A hit on a directory, or of a query whose options have to be looked at.
void Worker::hit_by_subnet(StepIo& io, uint32_t i) noexcept {
  Frame& frame = *burst_->frame[i];
  const wire::Query& query = burst_->query[i];
  const cache::Entry* entry = burst_->lookup[i].entry;
  SubnetAsker asker;
  if (!read_asker(frame, query, asker)) {
    counters_.count(Outcome::fmt_subnet);
    reply_error(io, frame, query, Outcome::fmt_subnet);
    return;
  }
  if (cache::is_directory(*entry)) {
    const FoundVariant found = find_variant(*entry, burst_->key[i], asker);
    if (found.entry == nullptr) {
      miss(io, i);
      return;
    }
    entry = found.entry;
    if (now_ms_ >= cache::ageing_ms_of(*entry, ageing_ms_per_s_)) {
      judge_refresh(io, *entry, query, found.hash, asker.asked);
    }
    cache::touch(*entry);
  }
  answer_at_length(io, frame, query, *entry);
}

FoundVariant Worker::find_variant(const cache::Entry& directory, const Key& key,
                                  const SubnetAsker& asker) const noexcept {
  return dp::find_variant(*to_.shards[shard_of(key.hash)], subnet_context(), directory, key, asker);
}

// The SCOPE of an answer to this try, for who waits and for the cache. False: it is not for the
// subnet that was asked for.
bool Worker::take_scope(Pending& pending, const Try& entry, const uint8_t* msg, uint16_t len,
                        bool negative) noexcept {
  uint8_t scope = 0;
  if (entry.with_subnet && !wire::read_scope(msg, len, pending.subnet, scope)) return false;
  // What does not exist exists for nobody (section 7.4).
  pending.scope = negative ? uint8_t{0} : scope;
  return true;
}

// An upstream may have policies on whose subnet it takes, and refuse the question for that (section
// 7.3); FORMERR comes from those that know EDNS and not the option.
bool Worker::ask_without_subnet(StepIo& io, uint32_t idx, uint32_t try_idx,
                                const wire::ParsedAnswer& parsed) noexcept {
  Pending& pending = inflight_.at(idx);
  const bool refused =
      parsed.rcode == wire::rcode::refused || parsed.rcode == wire::rcode::formerr;
  if (!refused || !pending.tries[try_idx].with_subnet) return false;
  pending.subnet_refused = true;
  if (!ask_again(io, idx, pending.tries[try_idx].backend, true)) return false;
  counters_.count(Event::up_subnet_fallback);
  return true;
}

cache::InsertResult Worker::insert(const Pending& pending, const AnswerView& view) noexcept {
  cache::Shard& shard = *to_.shards[shard_of(pending.key.hash)];
  if (pending.subnet.family == 0) [[likely]] return shard.insert(pending.key, view, now_ms_);
  // The pool went while the question was in flight, or asks by subnet no more.
  if (!settings_.by_subnet(pending.pool)) return cache::InsertResult::kept;
  const SubnetInsert done = insert_by_subnet(
      shard, subnet_context(), settings_.service().pool[pending.pool],
      settings_.service().stale.kept_s, pending.key, {pending.subnet, pending.scope, view});
  if (done.limited) counters_.count(Event::ins_skip_subnet);
  return done.result;
}

}  // namespace millrace::dp
