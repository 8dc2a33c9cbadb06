// SPDX-License-Identifier: Apache-2.0
#include "dataplane/slow/slow_path.hpp"

#include "dataplane/base/check.hpp"
#include "dataplane/base/socket_address.hpp"
#include "dataplane/wire/dns_format.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace millrace::slow {

using abi::Event;
using abi::Outcome;

namespace {

constexpr uint32_t kEvents = 128;     // taken in one turn
constexpr uint32_t kAccepts = 64;     // of one listener in one turn
constexpr uint32_t kRingBudget = 64;  // items of one worker in one turn
constexpr uint32_t kResumes = 64;     // connections in one turn
constexpr uint32_t kPartOfFree = 3;
constexpr uint32_t kFirstPlaces = dp::kSlowQueriesMax / 5;  // for sources that have none
constexpr uint64_t kPublishPeriodNs = 5'000'000;
constexpr uint64_t kTimerPeriodNs = 50'000'000;
// Workers cannot wake us (they make no system calls), so the rings are looked at this often: while
// something is under way, and while nothing is.
constexpr long kBusyWaitNs = 100'000;
constexpr long kIdleWaitNs = 1'000'000;

int make_epoll() {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "epoll");
  return fd;
}

// All that a reply takes from a message: header and question, and the options if they ask for some.
std::size_t bytes_kept(const uint8_t* msg, const wire::Query& query) {
  if (query.options_at != 0) return query.options_at + load_be16(msg + query.options_at - 2);
  return wire::kDnsHeaderBytes +
         (query.qname_len == 0 ? 0 : query.qname_len + wire::kQuestionTailBytes);
}

}  // namespace

SlowPath::SlowPath(const SlowConnections& to)
    : to_(to),
      epoll_(make_epoll()),
      random_(to.seed),
      policy_(abi::kFlowsMin, *to.secret),
      replies_(settings_, to.wall, now_ns_, counters_),
      store_(dp::kSlowQueriesMax + to.workers * dp::kStreamsPerWorkerMax),
      clients_(epoll_, counters_,
               [this](const ClientInfo& from, std::span<const uint8_t> message) {
                 return take_message(from, message);
               }),
      upstreams_(epoll_, random_, to.dial,
                 [this](const Asker& asker, std::span<const uint8_t> answer) {
                   tell_answer(asker, answer);
                 }) {
  MR_CHECK(scratch_store_.take(scratch_));
}

SlowPath::~SlowPath() {
  for (const Listener& listener : listeners_)
    close(listener.fd);
  for (const Listener& listener : next_)
    close(listener.fd);
  close(epoll_);
}

uint32_t SlowPath::turn(uint64_t now_ns) {
  now_ns_ = now_ns;
  now_ms_ = now_ns / 1'000'000;
  load_config();
  take_listeners(now_ns);
  uint32_t work = take_events(now_ns);
  work += drain_rings(now_ns);
  if (clients_.waiting()) clients_.resume(kResumes, now_ns);
  if (now_ns >= timers_due_ns_) {
    timers_due_ns_ = now_ns + kTimerPeriodNs;
    clients_.close_idle(now_ns);
    upstreams_.run_timers(now_ns);
    work += 1;  // the rings may have got something
  }
  counters_.count(Event::steps);
  if (now_ns >= publish_due_ns_) publish(now_ns);
  return work;
}

uint64_t SlowPath::next_due_ns() const noexcept {
  const uint64_t next_ns = std::min(clients_.next_due_ns(), upstreams_.next_due_ns());
  return std::max(next_ns, timers_due_ns_);
}

void SlowPath::wait() noexcept {
  const bool busy = queries_out_ != 0 || upstreams_.open_cnt() != 0 || clients_.waiting();
  const timespec pause{0, busy ? kBusyWaitNs : kIdleWaitNs};
  pollfd ready{epoll_, POLLIN, 0};
  ppoll(&ready, 1, &pause, nullptr);
}

void SlowPath::load_config() {
  const abi::ConfigImage* config = to_.config->load();
  if (config == nullptr || config->header.generation == settings_.generation()) return;
  settings_.apply(*config);
  policy_.load(*config);
  forward_.load(config->service);
  replies_.load(config->service, *to_.secret);
  clients_.set_limits(config->service.tcp, config->service.upstream_give_up_ms);
  publish_due_ns_ = 0;
}

void SlowPath::publish(uint64_t now_ns) {
  publish_due_ns_ = now_ns + kPublishPeriodNs;
  stats::publish(counters_, settings_.generation(), *to_.page);
}

// --- sockets

void SlowPath::listen_on(std::vector<Listener> listeners) {
  const std::lock_guard lock(mutex_);
  for (const Listener& listener : next_)
    close(listener.fd);
  next_ = std::move(listeners);
  next_set_ = true;
}

void SlowPath::take_listeners(uint64_t now_ns) {
  std::vector<Listener> next;
  {
    const std::lock_guard lock(mutex_);
    if (!next_set_) return;
    next = std::move(next_);
    next_.clear();
    next_set_ = false;
  }
  for (const Listener& listener : listeners_) {
    accept_all(listener, now_ns);  // whoever waits there would be turned away
    // The control plane has a copy, so closing ours alone would leave it watched.
    epoll_ctl(epoll_, EPOLL_CTL_DEL, listener.fd, nullptr);
    close(listener.fd);
  }
  listeners_ = std::move(next);
  for (uint32_t i = 0; i < listeners_.size(); ++i) {
    epoll_event event{EPOLLIN, {.u64 = i}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, listeners_[i].fd, &event);
  }
}

uint32_t SlowPath::take_events(uint64_t now_ns) {
  epoll_event events[kEvents];
  const int cnt = epoll_wait(epoll_, events, kEvents, 0);
  for (int i = 0; i < cnt; ++i) {
    const uint64_t data = events[i].data.u64;
    if ((data & TcpUpstreams::kTag) != 0) {
      upstreams_.on_event(data, events[i].events, now_ns);
    } else if ((data & TcpClients::kTag) != 0) {
      clients_.on_event(data, events[i].events, now_ns);
    } else if (data < listeners_.size()) {
      accept_all(listeners_[data], now_ns);
    }
  }
  return cnt > 0 ? static_cast<uint32_t>(cnt) : 0;
}

void SlowPath::accept_all(const Listener& listener, uint64_t now_ns) {
  for (uint32_t i = 0; i < kAccepts; ++i) {
    SocketAddress peer;
    const int fd = accept4(listener.fd, peer.get(), peer.room(), SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      // Without a descriptor to give, the kernel does not even say whether somebody waits.
      const bool out_of_descriptors = errno == EMFILE || errno == ENFILE;
      pollfd waits{listener.fd, POLLIN, 0};
      // The longest idle gives way, as at a limit of ours.
      if (out_of_descriptors && poll(&waits, 1, 0) > 0) clients_.close_longest_idle();
      return;
    }
    clients_.adopt(fd, peer.to_abi(), listener.address, now_ns);
  }
}

// --- clients

Took SlowPath::take_message(const ClientInfo& from, std::span<const uint8_t> message) {
  if (message.size() < wire::kDnsHeaderBytes) {
    counters_.rx_packets += 1;
    counters_.count(Outcome::drop_short);
    return Took::close;
  }
  wire::Query query{};
  Key key;
  Outcome outcome = wire::parse_query(message.data(), static_cast<uint16_t>(message.size()), query,
                                      key, replies_.cookies(), replies_.subnets());
  // Nobody connects in another's name, so here an answer is no harm to anybody else (A104).
  if (outcome == Outcome::drop_junk) outcome = Outcome::fmt_qdcount;
  if (query.options_at != 0 && outcome == wire::kGoOn &&
      !wire::read_options(message.data(), query.options_at).keepalive_empty) {
    outcome = Outcome::fmt_opt_len;
  }
  if (outcome == wire::kGoOn) outcome = judge(from, query, key);
  dp::slow_head(scratch_) = {from.client, from.service, from.id};
  scratch_.len = static_cast<uint16_t>(bytes_kept(message.data(), query));
  std::memcpy(scratch_.data, message.data(), scratch_.len);
  return outcome == wire::kGoOn ? look_up(from, query, key) : end_early(from, query, outcome);
}

// What the access rules say of a client. kGoOn: it is served, from query.pool.
Outcome SlowPath::rule(const ClientInfo& from, wire::Query& query) {
  const uint32_t service = settings_.service_at(from.service);
  // The address was taken out of the config while the client was connected.
  if (service >= settings_.service().binds) return Outcome::refused_acl;
  query.packet.service = static_cast<uint8_t>(service);
  query.pool = settings_.endpoints().service[service].pool;
  if (!policy_.active()) return wire::kGoOn;
  return dp::follow(policy_.judge_stream(from.client, static_cast<uint16_t>(service)), query);
}

// kGoOn: the query may be looked up, and `key` is whole.
Outcome SlowPath::judge(const ClientInfo& from, wire::Query& query, Key& key) {
  if (!query.flag_rd && settings_.service().answer_rd0 == 0) return Outcome::refused_rd0;
  if (const Outcome ruled = rule(from, query); ruled != wire::kGoOn) return ruled;
  if (forward_.active()) {
    query.pool = forward_.pool_for(key.bytes + kKeyHeadBytes,
                                   static_cast<uint32_t>(key.len - kKeyHeadBytes), query.pool);
  }
  key.bytes[3] = settings_.cache_idx_of_pool(query.pool);
  key.hash = hash_key(*to_.secret, key);
  return wire::kGoOn;
}

// A query that is not looked up; as over UDP, the access rules come before any other error.
Took SlowPath::end_early(const ClientInfo& from, wire::Query& query, Outcome outcome) {
  const abi::OutcomeClass cls = abi::kOutcomes[static_cast<std::size_t>(outcome)].cls;
  if (cls != abi::OutcomeClass::dropped) {
    if (const Outcome ruled = rule(from, query); ruled != wire::kGoOn) outcome = ruled;
  }
  AnswerView local;
  outcome = replies_.conclude(scratch_, query, outcome, local);
  if (outcome == Outcome::local_identity) return answer_locally(from, outcome, query, local);
  return finish(from, outcome, query);
}

Took SlowPath::look_up(const ClientInfo& from, const wire::Query& query, const Key& key) {
  dp::SubnetAsker asker;
  if (settings_.by_subnet(query.pool) &&
      !dp::read_asker(from.client, scratch_.data, query.options_at,
                      settings_.service().pool[query.pool], asker)) {
    return finish(from, Outcome::fmt_subnet, query);
  }
  const uint32_t shard_no = dp::shard_of(key.hash, to_.shard_cnt);
  const cache::ShardView* const shard = to_.shards[shard_no];
  const Key* const keys[1] = {&key};
  cache::Found found[1];
  cache::lookup_burst(&shard, keys, 1, now_ms_, found);
  dp::FoundVariant hit{found[0].entry, nullptr, key.hash};
  if (hit.entry != nullptr && cache::is_directory(*hit.entry)) {
    hit = dp::find_variant(*shard, {*to_.secret, to_.shard_cnt, now_ms_}, *hit.entry, key, asker);
  }
  if (hit.entry == nullptr) {
    AnswerView local;
    if (replies_.local().find(query, key, local)) {
      return answer_locally(from, Outcome::local_zone, query, local);
    }
    if (!query.flag_rd) return finish(from, Outcome::refused_rd0, query);
    return hand_to_owner(from, query, key, dp::owner_of(shard_no, to_.workers));
  }
  const cache::Entry& entry = *hit.entry;
  prefetch(entry, query, hit.hash, asker.asked);
  cache::touch(entry);
  const AnswerView view = cache::view_of(entry);
  if (view.failure) return finish(from, Outcome::servfail_cached, query);
  counters_.rx_packets += 1;
  counters_.count(Outcome::hit);
  reply(from,
        wire::write_reply(scratch_.data, query, view, cache::age_s_of(entry, now_ms_),
                          replies_.limits_of(scratch_, query, dp::scope_of(entry))));
  return Took::done;
}

Took SlowPath::answer_locally(const ClientInfo& from, Outcome outcome, const wire::Query& query,
                              const AnswerView& answer) {
  counters_.rx_packets += 1;
  counters_.count(outcome);
  reply(from, replies_.write_local(scratch_, query, answer));
  return Took::done;
}

// As Worker::refresh_ageing; the owner is always another.
void SlowPath::prefetch(const cache::Entry& entry, const wire::Query& query, uint64_t hash,
                        const wire::Subnet& subnet) {
  const abi::PrefetchConfig& config = settings_.service().prefetch;
  if (now_ms_ < cache::ageing_ms_of(entry, dp::ageing_ms_per_s(config))) return;
  const dp::Prefetch::Verdict verdict = prefetch_.judge(entry, query, config, now_ms_);
  if (verdict == dp::Prefetch::Verdict::limited) counters_.count(Event::prefetch_limited);
  if (verdict != dp::Prefetch::Verdict::yes) return;
  const uint32_t owner = dp::owner_of(dp::shard_of(hash, to_.shard_cnt), to_.workers);
  if (to_.to[owner]->free_slots() <= dp::kSlowItemsMax) {
    counters_.count(Event::prefetch_ring_full);
    return;
  }
  push(owner, dp::refresh_item(entry, hash, query.pool, subnet, settings_.generation()));
  cache::mark_refreshed(entry);
}

Took SlowPath::hand_to_owner(const ClientInfo& from, const wire::Query& query, const Key& key,
                             uint32_t owner) {
  if (from.late) return finish(from, Outcome::servfail_inflight_full, query);
  Frame frame;
  if (!may_begin(from.client) || !store_.take(frame)) return Took::later;
  dp::slow_head(frame) = dp::slow_head(scratch_);
  frame.len = scratch_.len;
  std::memcpy(frame.data, scratch_.data, frame.len);
  push(owner, ring::miss_item(frame, query, key, settings_.generation()));
  queries_out_ += 1;
  queries_of_[TcpClients::source_of(from.client)] += 1;
  clients_.begin_work(from.id);
  counters_.rx_packets += 1;
  counters_.count(Outcome::miss);
  return Took::done;
}

// Of the places for queries in work, a fifth is for the first one of a source. Of the others it
// gets one more only while it has less than a third of what is free. So alone it gets a fifth of
// all, and each of n sources one of n + 3 parts of the others in the long run.
bool SlowPath::may_begin(const abi::Address& client) const {
  const auto of_source = queries_of_.find(TcpClients::source_of(client));
  const uint32_t has = of_source == queries_of_.end() ? 0 : of_source->second;
  const uint32_t free = dp::kSlowQueriesMax - queries_out_;
  return has == 0 ? free != 0 : kPartOfFree * has + kFirstPlaces < free;
}

// For a query that ends here without an answer from the cache.
Took SlowPath::finish(const ClientInfo& from, Outcome outcome, const wire::Query& query) {
  counters_.rx_packets += 1;
  counters_.count(outcome);
  // What is dropped over UDP has no business here, either (A104).
  if (!dp::DirectReplies::gets_a_reply(outcome)) return Took::close;
  reply(from, replies_.write_error(scratch_, query, outcome));
  return Took::done;
}

void SlowPath::reply(const ClientInfo& from, const wire::Reply& reply) {
  if (reply.len != 0) clients_.reply(from.id, {scratch_.data, reply.len});
}

// --- rings

void SlowPath::push(uint32_t worker, const ring::WorkItem& item) {
  MR_CHECK(to_.to[worker]->push(item));  // slow_frame.hpp has the sum
  counters_.count(Event::ring_sent);
}

uint32_t SlowPath::drain_rings(uint64_t now_ns) {
  uint32_t taken = 0;
  ring::WorkItem items[kRingBudget];
  for (uint32_t worker = 0; worker < to_.workers; ++worker) {
    const uint32_t cnt = to_.from[worker]->pop(items, kRingBudget);
    for (uint32_t i = 0; i < cnt; ++i)
      take_item(worker, items[i], now_ns);
    taken += cnt;
  }
  if (taken != 0) counters_.count(Event::ring_received, taken);
  return taken;
}

void SlowPath::forget_query(const abi::Address& client) {
  queries_out_ -= 1;
  const auto of_source = queries_of_.find(TcpClients::source_of(client));
  of_source->second -= 1;
  if (of_source->second == 0) queries_of_.erase(of_source);
}

void SlowPath::take_item(uint32_t worker, const ring::WorkItem& item, uint64_t now_ns) {
  switch (item.kind) {
    case ring::ItemKind::reply:
      forget_query(dp::slow_head(item.frame).client);
      clients_.end_work(dp::slow_head(item.frame).owner, {item.frame.data, item.frame.len});
      store_.give(item.frame);
      return;
    case ring::ItemKind::ask_stream:
      ask_upstream(worker, item, now_ns);
      return;
    case ring::ItemKind::give_back:
      store_.give(item.frame);
      return;
    default:
      MR_CHECK(false);
  }
}

void SlowPath::ask_upstream(uint32_t worker, const ring::WorkItem& item, uint64_t now_ns) {
  abi::Address to;
  std::memcpy(&to, item.frame.data, sizeof to);
  upstreams_.ask({worker, item.hash}, to,
                 {item.frame.data + dp::kAskMessageAt, item.frame.data + item.frame.len}, now_ns,
                 uint64_t{settings_.service().upstream_give_up_ms} * 1'000'000);
  ring::WorkItem back{};
  back.frame = item.frame;
  back.kind = ring::ItemKind::give_back;
  push(worker, back);
}

void SlowPath::tell_answer(const Asker& asker, std::span<const uint8_t> answer) {
  ring::WorkItem item{};
  item.kind = ring::ItemKind::stream_answer;
  item.hash = asker.question;
  if (!answer.empty()) {
    MR_CHECK(store_.take(item.frame));  // one for each question that a worker may ask
    item.frame.len = static_cast<uint16_t>(answer.size());
    std::memcpy(item.frame.data, answer.data(), answer.size());
  }
  push(asker.worker, item);
}

}  // namespace millrace::slow
