// SPDX-License-Identifier: Apache-2.0
// What adds up, what only grows, and what a flush promises.
#include "dataplane/snapshot/config_attach.hpp"
#include "tests/sim/oracle.hpp"

#include <algorithm>

namespace millrace::sim {

using namespace millrace::test;
using abi::Event;
using abi::Outcome;

Oracle::Oracle(const Plan& plan, Plane& plane, Zone& zone, Trace& trace)
    : plan_(plan), plane_(plane), zone_(zone), trace_(trace) {}

void Oracle::config_published(const abi::ConfigImage& image) {
  const std::string why = snapshot::verify_config(&image, sizeof image);
  if (!why.empty()) violate("simulator", why);
  configs_[image.header.generation] = image.service;
  const abi::PoolConfig* const pools = image.service.pool;
  subnets_off_ |= std::any_of(pools, pools + image.service.pools, [](const abi::PoolConfig& pool) {
    return pool.packet_cache == 0 && pool.subnet_variants == 0;
  });
  for (Health& health : health_)
    health.probe_ns = 0;  // another core may be in charge of it
}

void Oracle::routes_published(const abi::RoutesImage& image) {
  routes_[image.header.generation] = image;
}

void Oracle::after_step(uint32_t worker, uint64_t now_ns) {
  const dp::Worker& subject = *plane_.core(worker).worker;
  const stats::CoreCounters& counters = subject.counters();
  demand(counters.rx_packets == counters.outcome_sum(), "law 3", "rx is not the sum of outcomes");
  demand(plane_.rx_packets() <= delivered_, "law 3", "more packets counted than there were");
  demand(plane_.in_rings() < UINT64_MAX / 2, "law 3",
         "more items came out of the rings than went in");

  demand(subject.generation() >= generation_[worker], "law 5", "a generation went back");
  generation_[worker] = subject.generation();
  const abi::ConfigImage* running = plane_.config().load();
  demand(running == nullptr || subject.generation() == running->header.generation, "law 5",
         "a turn under a config that is not the published one");

  for (Flush& flush : flushes_) {
    if (flush.accepted_ns[worker] == 0) flush.accepted_ns[worker] = now_ns;
  }
  turns_ns_[worker].push_back(now_ns);
  failed_[worker] = failed_of(worker);
  if (plane_.core(worker).steps % 64 == 0) check_page(worker);
}

// What the control plane sees is the state between two bursts.
void Oracle::check_page(uint32_t worker) const {
  const stats::CoreSnapshot page = plane_.page(worker);
  uint64_t sum = 0;
  for (const uint64_t n : page.outcome)
    sum += n;
  demand(page.rx_packets == sum, "law 3", "a statistics page that does not add up");
  demand(page.memory_used <= page.memory_total, "law 7", "more memory in use than there is");
  demand(page.waiters <= plan_.waiters && page.inflight <= plan_.pendings, "law 7",
         "more in flight than the tables hold");
}

void Oracle::check_quiet() {
  demand(plane_.in_rings() == 0, "law 3", "items were lost in the rings");
  demand(plane_.rx_packets() == delivered_, "law 3", "not every packet was counted once");
  const uint64_t misses =
      plane_.outcome(Outcome::miss) + (plan_.tcp ? plane_.slow().counters().of(Outcome::miss) : 0);
  const uint64_t ended = plane_.event(Event::waiter_answered) + plane_.event(Event::waiter_failed);
  demand(misses == ended, "law 3", "misses are not the waiters that were answered or failed");
  check_limited();
  const auto all_of = [this](Outcome which) { return plane_.outcome(which); };
  demand(plan_.hostile != 0 || all_of(Outcome::fmt_counts) == 0, "law 3",
         "FORMERR for good queries");
  for (const Query& query : queries_) {
    if (query.expect == Expect::silence || query.expect == Expect::anything) continue;
    demand(query.reply_cnt == query.seen_cnt, "A64", "a query was never answered", query.frame);
  }
}

// Whoever got nothing, or TC alone, was counted as limited. Mutated queries may have been, too.
void Oracle::check_limited() const {
  const uint64_t dropped = plane_.outcome(Outcome::rrl_drop);
  demand(plan_.hostile == 0 ? dropped == limited_cnt_ : dropped >= limited_cnt_, "B44",
         "dropped queries that were not counted as limited");
  demand(slip_cnt_ <= plane_.outcome(Outcome::rrl_slip) + plane_.event(Event::reply_truncated),
         "B44", "more slips than were counted");
}

void Oracle::flush_asked(const abi::CacheQuery& query, uint64_t now_ns) {
  flushes_.push_back({.query = query, .asked_ns = now_ns});
}

void Oracle::flush_answered(uint64_t now_ns) {
  flushes_.back().done_ns = now_ns;
}

bool Oracle::flush_names(const Flush& flush, const Bytes& asked, uint16_t type,
                         uint32_t view) const {
  const abi::CacheQuery& what = flush.query;
  if (what.packet_cache != 0xff && what.packet_cache != view) return false;
  if (what.qtype != 0 && what.qtype != type) return false;
  if (what.match == abi::NameMatch::all) return true;
  const Bytes name = folded(asked);
  const Bytes wanted = folded(Bytes(what.name, what.name + what.name_bytes));
  if (what.match == abi::NameMatch::exact) return name == wanted;
  for (std::size_t at = 0; at < name.size(); at += 1u + name[at]) {
    if (Bytes(name.begin() + static_cast<std::ptrdiff_t>(at), name.end()) == wanted) return true;
    if (name[at] == 0) break;
  }
  return false;
}

// After a flush was reported done, nobody may get an answer to a question asked before it.
bool Oracle::flushed(const Query& query, const Answer& answer, const KeyState& state) const {
  return std::any_of(flushes_.begin(), flushes_.end(), [&](const Flush& flush) {
    return flush.done_ns != 0 && flush.done_ns < query.first_seen_ns &&
           answer.sent_ns <= flush.accepted_ns[state.worker] &&
           (flush.query.negative_only == 0 || answer.negative) &&
           flush_names(flush, query.name, query.type, kBind[query.bind].view);
  });
}

// A question from before a flush goes on for its time, beside the one that was asked after it.
bool Oracle::beside_flushed(const Sent& sent, uint64_t now_ns) const {
  const uint64_t time_ns = (uint64_t{plan_.give_up_ms} + plan_.try_ms) * 1'000'000;
  return std::any_of(flushes_.begin(), flushes_.end(), [&](const Flush& flush) {
    const uint64_t accepted_ns = flush.accepted_ns[sent.worker];
    return accepted_ns != 0 && now_ns <= accepted_ns + time_ns &&
           flush_names(flush, sent.ask.name, sent.ask.type, sent.ask.view);
  });
}

}  // namespace millrace::sim
