// SPDX-License-Identifier: Apache-2.0
// A worker as the owner of keys: joins misses to questions in flight, asks upstream.
#include <algorithm>
#include <cstring>

#include "dataplane/base/check.hpp"
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/worker/worker.hpp"

namespace millrace::dp {

using abi::Event;
using abi::Outcome;

namespace {

constexpr uint32_t kRingBudget = 64;  // items taken from other cores in one turn
constexpr uint32_t kTriesPerAddress = 3;  // of one question (RFC 9520, section 3.1)
constexpr uint32_t kProbeTries = 2;       // a probe is given the time of this many first tries
static_assert(kBurstMax + kRingBudget + Worker::kDeadlineBudget + 1 <= kStockNeed);
static_assert(kStockNeed + kBurstMax <= kTxMax);  // a hit may have its answer asked for again

// The key of a query that came over a ring: the name is read from the client's packet again, the
// rest is known. (The bytes were validated by the core that received them.)
void rebuild_key(const Frame& frame, const wire::Query& query, uint8_t packet_cache, uint64_t hash,
                 Key& key) noexcept {
  const uint8_t* name = frame.data + query.packet.dns_off + 12;
  std::memset(key.bytes, 0, sizeof key.bytes);
  store_be16(key.bytes, query.qtype);
  key.bytes[2] = static_cast<uint8_t>((query.flag_do ? kKeyFlagDo : 0) |
                                      (query.flag_cd ? kKeyFlagCd : 0));
  key.bytes[3] = packet_cache;
  for (uint32_t i = 0; i < query.qname_len; ++i) {
    const uint8_t byte = name[i];
    key.bytes[kKeyHeadBytes + i] =
        static_cast<uint8_t>(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
  }
  key.len = static_cast<uint16_t>(kKeyHeadBytes + query.qname_len);
  key.hash = hash;
}

}  // namespace

uint32_t Worker::drain_rings(StepIo& io) noexcept {
  uint32_t taken = 0;
  ring::WorkItem items[kRingBudget];
  // Each turn begins with another ring, so that a busy neighbour cannot starve the others.
  const uint32_t rings = to_.workers + 1;
  const auto first = static_cast<uint32_t>(counters_.of(Event::steps) % rings);
  for (uint32_t k = 0; k < rings && taken < kRingBudget; ++k) {
    const uint32_t from = (first + k) % rings;
    WorkRing* const ring = from == to_.workers ? to_.from_slow
                           : from == to_.worker ? nullptr
                                                : to_.from[from];
    if (ring == nullptr) continue;
    const uint32_t cnt = ring->pop(items, kRingBudget - taken);
    for (uint32_t i = 0; i < cnt; ++i) take_item(io, items[i]);
    taken += cnt;
  }
  if (taken != 0) counters_.count(Event::ring_received, taken);
  return taken;
}

void Worker::take_item(StepIo& io, const ring::WorkItem& item) noexcept {
  switch (item.kind) {
    case ring::ItemKind::miss:
      take_miss(io, item);
      return;
    case ring::ItemKind::upstream:
    case ring::ItemKind::icmp:
      counters_.rx_packets += 1;
      counters_.count(from_upstream(io, item.frame, item.query.packet, item.kind));
      give_back(io, item.frame);
      return;
    case ring::ItemKind::stream_answer:
      take_stream_answer(io, item);
      return;
    case ring::ItemKind::give_back:
      give_back(io, item.frame);
      return;
    case ring::ItemKind::refresh:
      take_refresh(io, item);
      return;
    default:
      break;
  }
  MR_CHECK(item.kind == ring::ItemKind::miss);
}

void Worker::take_miss(StepIo& io, const ring::WorkItem& item) noexcept {
  Frame frame = item.frame;
  wire::Query query = item.query;
  Key key;
  Asked asked{adopt(item, query, key)};
  if (asked.outcome == wire::kGoOn) {
    if (answer_late_hit(io, frame, query, key)) return;
    asked = ask_owner(io, frame, query, key);
  }
  if (asked.outcome == Outcome::miss) return;
  if (asked.outcome == Outcome::stale) {
    counters_.count(Event::waiter_answered);
    counters_.count(Event::waiter_stale);
    finish_reply(io, frame, query, write_stale(frame, query, *asked.stale));
    return;
  }
  counters_.count(Event::waiter_failed);
  count_limited(asked.outcome);
  reply_error(io, frame, query, asked.outcome);
}

// Which service of ours the query was sent to; false: none any more.
bool Worker::find_service(const ring::WorkItem& item, wire::Query& query) const noexcept {
  if (is_slow(item.frame)) {
    query.packet.service =
        static_cast<uint8_t>(settings_.service_at(slow_head(item.frame).service));
    return query.packet.service < settings_.endpoints().service_cnt;
  }
  if (wire::classify(item.frame, settings_.endpoints(), query.packet).kind == wire::Kind::query) {
    return true;
  }
  query.packet = item.query.packet;
  return false;
}

// The query and the key of a miss. If it was received under another config, it is handled under
// ours from here on: the rules are asked again, pool and packet cache are numbered anew, and with
// another cache the key is another and may have another owner. Not kGoOn: the query's address is
// none of ours any more, or the rules have something against it.
Outcome Worker::adopt(const ring::WorkItem& item, wire::Query& query, Key& key) noexcept {
  const bool moved = item.generation != static_cast<uint32_t>(settings_.generation());
  if (moved) {
    if (!find_service(item, query)) return Outcome::servfail_upstream;
    query.pool = settings_.endpoints().service[query.packet.service].pool;
    if (const Outcome ruled = judge_one(item.frame, query); ruled != wire::kGoOn) return ruled;
  }
  rebuild_key(item.frame, query, item.packet_cache, item.hash, key);
  if (!moved) return wire::kGoOn;
  redirect(query, key);
  key.bytes[3] = settings_.cache_idx_of_pool(query.pool);
  if (key.bytes[3] != item.packet_cache) key.hash = hash_key(*to_.secret, key);
  return wire::kGoOn;
}

// Between the look-up on the core that received the query and now, the answer may have come.
bool Worker::answer_late_hit(StepIo& io, Frame& frame, const wire::Query& query,
                             const Key& key) noexcept {
  const cache::ShardView* const shard = to_.shards[shard_of(key.hash)];
  const Key* const keys[1] = {&key};
  cache::Found found[1];
  cache::lookup_burst(&shard, keys, 1, now_ms_, found);
  const cache::Entry* entry = found[0].entry;
  if (entry != nullptr && cache::is_directory(*entry)) {
    SubnetAsker asker;
    read_asker(frame, query, asker);
    entry = find_variant(*entry, key, asker).entry;
  }
  if (entry == nullptr) return false;
  const AnswerView view = cache::view_of(*entry);
  counters_.count(Event::waiter_hit_late);
  if (view.failure) {
    counters_.count(Event::waiter_failed);
    reply_error(io, frame, query, Outcome::servfail_cached);
    return true;
  }
  counters_.count(Event::waiter_answered);
  const wire::Reply reply = wire::write_reply(frame.data + query.packet.dns_off, query, view,
                                              cache::age_s_of(*entry, now_ms_),
                                              limits_of(frame, query, *entry));
  if (reply.truncated) counters_.count(Event::reply_truncated);
  finish_reply(io, frame, query, reply);
  return true;
}

// What cannot be asked is answered with what is past its time, if there is that.
Worker::Asked Worker::ask_owner(StepIo& io, const Frame& frame, const wire::Query& query,
                                const Key& key) noexcept {
  const Asked asked = hand_to_owner(io, frame, query, key);
  if (asked.outcome == Outcome::miss || asked.outcome == Outcome::stale) return asked;
  SubnetAsker asker;
  read_asker(frame, query, asker);
  const cache::Entry* const stale = stale_of(key, asker).stale;
  return stale != nullptr ? Asked{Outcome::stale, stale} : asked;
}

Worker::Asked Worker::hand_to_owner(StepIo& io, const Frame& frame, const wire::Query& query,
                                    const Key& key) noexcept {
  const uint32_t owner = owner_of(shard_of(key.hash), to_.workers);
  if (owner == to_.worker) return ask(io, frame, query, key);
  if (!to_.to[owner]->push(ring::miss_item(frame, query, key, settings_.generation()))) {
    return {Outcome::servfail_ring_full};
  }
  counters_.count(Event::ring_sent);
  return {Outcome::miss};
}

Worker::Asked Worker::ask(StepIo& io, const Frame& frame, const wire::Query& query,
                          const Key& key) noexcept {
  if (inflight_.waiter_cnt() + backlog_cnt_ >= backlog_capacity_) {
    return {Outcome::servfail_inflight_full};
  }
  SubnetAsker asker;
  read_asker(frame, query, asker);  // who received it has judged its option
  const uint32_t known = inflight_.find(key, asker.asked);
  const cache::Entry* const stale = stale_at_once(key, asker, known);
  if (stale != nullptr) return {Outcome::stale, stale};
  const abi::LimitsConfig& limits = settings_.service().limits;
  const MissCounts::Mark client = mark_of_client(*to_.secret, client_of(frame, query));
  if (inflight_.clients().is_full(client, limits.client_misses_max)) {
    return {Outcome::miss_limit_src};
  }
  if (known != kNone) {
    if (!inflight_.add_waiter(known, frame, query, client)) {
      return {Outcome::servfail_inflight_full};
    }
    counters_.count(Event::waiter_joined);
    return {Outcome::miss};
  }
  const MissCounts::Mark domain = mark_of_domain(*to_.secret, key);
  if (inflight_.domains().is_full(domain, limits.domain_misses_max)) {
    return {Outcome::miss_limit_zone};
  }
  if (io.stock_cnt == 0) counters_.count(Event::up_no_frame);
  if (!inflight_.room() || io.stock_cnt == 0) return {Outcome::servfail_inflight_full};
  const uint32_t pending = inflight_.open(key, now_ns_, client_due_ns(now_ns_));
  inflight_.count_domain(pending, domain);
  inflight_.at(pending).pool = query.pool;
  inflight_.at(pending).subnet = asker.asked;
  if (!send_try(io, pending) && routes_are_due(query.pool)) {
    inflight_.set_due(pending, now_ns_ + kRoutesWaitNs);
  } else if (inflight_.at(pending).try_cnt == 0) {
    inflight_.close(pending);
    const uint32_t members = settings_.service().pool[query.pool].backends;
    if (backends_.any_full(settings_, members)) return {Outcome::servfail_inflight_full};
    return {any_route(query.pool) ? Outcome::servfail_upstream : Outcome::servfail_no_route};
  }
  MR_CHECK(inflight_.add_waiter(pending, frame, query, client));
  return {Outcome::miss};
}

// The routes of a new config come a moment after it: who asks between the two waits for them.
bool Worker::routes_are_due(uint32_t pool) const noexcept {
  return settings_.awaits_routes() && now_ns_ < config_ns_ + kRoutesDueNs && pool != kNoPool &&
         !any_route(pool);
}

bool Worker::any_route(uint32_t pool) const noexcept {
  const uint32_t members = settings_.service().pool[pool].backends;
  for (uint32_t i = 0; i < settings_.service().backends; ++i) {
    if ((members >> i & 1) != 0 && settings_.hop(i).usable != 0) return true;
  }
  return false;
}

uint16_t Worker::random_port() noexcept {
  // Port p belongs to worker p modulo workers, which is how its answer finds us.
  const wire::Endpoints& ends = settings_.endpoints();
  const uint32_t workers = to_.workers;
  const uint32_t first = ends.upstream_port_first +
                         (to_.worker + workers - ends.upstream_port_first % workers) % workers;
  const uint32_t mine = (ends.upstream_port_end - first + workers - 1) / workers;
  return static_cast<uint16_t>(first + random_.below(mine) * workers);
}

// The backends of its pool that a question may still be sent to: those whose address, under
// whatever name, has not had its share of packets yet.
uint32_t Worker::allowed_backends(const Pending& pending) const noexcept {
  const abi::ServiceSection& service = settings_.service();
  uint32_t allowed = service.pool[pending.pool].backends;
  if (pending.try_cnt < kTriesPerAddress) return allowed;
  for (uint32_t i = 0; i < service.backends; ++i) {
    uint32_t sent = 0;
    for (uint32_t t = 0; t < pending.try_cnt; ++t) {
      const abi::Address& target = pending.tries[t].target;
      sent += std::memcmp(&target, &service.backend[i].address, sizeof target) == 0 ? 1 : 0;
    }
    if (sent >= kTriesPerAddress) allowed &= ~(uint32_t{1} << i);
  }
  return allowed;
}

// Those of them that can be asked now and have not been; none for a pool that is gone.
uint32_t Worker::untried_backends(const Pending& pending) const noexcept {
  if (pending.pool == kNoPool) return 0;
  return backends_.askable(settings_, allowed_backends(pending)) & ~pending.backends_tried;
}

bool Worker::send_try(StepIo& io, uint32_t idx) noexcept {
  const Pending& pending = inflight_.at(idx);
  if (pending.pool == kNoPool) return false;
  uint32_t allowed = allowed_backends(pending);
  // Once one has said no, who was asked already is not asked again.
  if (pending.failure_cnt != 0) allowed &= ~pending.backends_tried;
  const uint8_t backend = backends_.choose(
      settings_, {pending.pool, allowed, pending.backends_tried, pending.key}, random_);
  if (backend == Remap::kGone) return false;
  const bool flag_do = (pending.key.bytes[2] & kKeyFlagDo) != 0;
  return send_to(io, idx, backend, flag_do || backends_.takes_edns(backend));
}

bool Worker::send_to(StepIo& io, uint32_t idx, uint8_t backend, bool with_edns) noexcept {
  if (io.stock_cnt == 0) {
    counters_.count(Event::up_no_frame);
    return false;
  }
  Pending& pending = inflight_.at(idx);
  const uint32_t members = settings_.service().pool[pending.pool].backends;
  pending.backends_tried |= uint32_t{1} << backend;
  send_packet(io, idx, backend, with_edns);
  counters_.count(Event::up_sent);
  if (pending.try_cnt > 1) counters_.count(Event::up_retry);
  // With nobody left to turn to, the question is given the longest time: it may be slow, and the
  // same backend would not answer it any sooner.
  const uint32_t others = backends_.askable(settings_, members) & ~pending.backends_tried;
  const uint64_t longest_ns = uint64_t{settings_.service().upstream_try_ms} * 1'000'000;
  const uint64_t wait_ns =
      others == 0 ? longest_ns : backends_.try_wait_ns(backend, longest_ns);
  // Each further try waits twice as long as the one before.
  pending.tries[pending.try_cnt - 1].due_ns = std::min(
      now_ns_ + (wait_ns << (pending.try_cnt - 1)), std::max(end_ns_of(pending), now_ns_));
  wait_for_tries(idx);
  return true;
}

// One packet with a port and an id of its own. Needs a frame in the stock.
void Worker::send_packet(StepIo& io, uint32_t idx, uint8_t backend,
                         bool with_edns) noexcept {
  uint16_t port;
  uint16_t id;
  do {
    port = random_port();
    id = random_.u16();
  } while (inflight_.tuple_in_use(port, id));
  const abi::NextHop& hop = settings_.hop(backend);
  const abi::Address& target = settings_.service().backend[backend].address;
  Try& entry = inflight_.add_try(idx, port, id);
  entry.target = target;
  entry.source = hop.source;
  entry.left_by = hop.port;
  entry.backend = backend;
  entry.with_edns = with_edns;
  const Pending& pending = inflight_.at(idx);
  entry.with_subnet = with_edns && pending.subnet.family != 0 && !pending.subnet_refused;
  entry.sent_ns = now_ns_;
  guards_.arm(entry, random_);

  Frame frame = io.stock[--io.stock_cnt];
  const uint16_t len =
      write_query(frame.data + wire::upstream_head_bytes(hop), id, pending, entry);
  wire::write_upstream_head(frame, hop, target, port, len);
  entry.udp_checksum =
      load_raw<uint16_t>(frame.data + wire::upstream_head_bytes(hop) - sizeof entry.udp_checksum);
  send(io, frame);
  backends_.on_sent(backend);
}

void Worker::send_probes(StepIo& io) noexcept {
  const uint8_t backend = backends_.take_probe(settings_, now_ns_);
  if (backend == Remap::kGone || io.stock_cnt == 0 || !inflight_.room()) return;
  // `. NS`, under a packet cache number that no client's key can have.
  Key key{};
  store_be16(key.bytes, 2);
  key.bytes[3] = static_cast<uint8_t>(0x80 | backend);
  key.len = kKeyHeadBytes + 1;
  key.hash = hash_key(*to_.secret, key);
  const uint32_t last = inflight_.find(key);
  if (last != kNone) {
    // Its interval has passed without an answer.
    inflight_.at(last).tries[0].due_ns = now_ns_;
    note_timeouts(inflight_.at(last));
    end(last);
  }
  const uint32_t idx = inflight_.open(key, now_ns_);
  Pending& pending = inflight_.at(idx);
  pending.probe = true;
  send_packet(io, idx, backend, true);
  counters_.count(Event::probe_sent);
  pending.tries[0].due_ns =
      now_ns_ + uint64_t{kProbeTries} * settings_.service().upstream_try_ms * 1'000'000;
  inflight_.set_due(idx, pending.tries[0].due_ns);
}

}  // namespace millrace::dp
