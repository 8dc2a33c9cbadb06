// SPDX-License-Identifier: Apache-2.0
#pragma once
// One worker: everything that happens to a packet, as a function of (burst in, now) -> burst out.
//
// A turn takes its frames through stages; each stage handles the whole burst before the next
// begins, so that the memory latency of one packet hides behind the work on the others.
//
//   rx ─▶ classify ─▶ parse ─▶ judge ─▶ look up ─▶ answer ───────────▶ tx
//            │          │         │                │ miss
//            │          │         └─▶ refused      ├─▶ a local zone: answer
//            │          └─▶ error reply            ▼
//            │                              owner of the key: ours ─▶ join / ask ─▶ tx upstream
//            │                                      │ another's
//            ▼                                      ▼
//        upstream answer ─▶ owner of the port     ring to that worker
//                              │ ours
//                              ▼
//                  check ─▶ parse ─▶ store ─▶ answer all who wait
//
// worker_query.cpp has the upper row, worker_miss.cpp asking, worker_answer.cpp what comes back,
// worker_guard.cpp what makes that hard to forge, worker_limits.cpp who gets too much,
// worker_prefetch.cpp asking ahead of need, worker_stale.cpp serving past the time,
// worker_subnet.cpp answers that differ by the client's subnet, worker_stream.cpp what the slow
// path does for us and we for it, worker_icmp.cpp errors about what we sent, worker_upkeep.cpp what
// is done between bursts.
//
// Threads: one object per core; only that core calls step(). Other cores are reached through rings,
// the main core through the mailbox and the snapshot boards. The caller reports quiescence after
// step(). Memory: all of it allocated by the constructor. step() allocates nothing, locks nothing,
// makes no system call and reads no clock: time, frames and randomness come in from outside.
// Failure: no packet and no order of packets makes step() fail; every received frame ends in
// exactly one outcome (abi/outcomes.def).

#include "dataplane/abi/stats_page.hpp"
#include "dataplane/base/answer_view.hpp"
#include "dataplane/base/check.hpp"
#include "dataplane/base/csprng.hpp"
#include "dataplane/base/key_hash.hpp"
#include "dataplane/base/wall_clock.hpp"
#include "dataplane/cache/lookup.hpp"
#include "dataplane/cache/shard.hpp"
#include "dataplane/snapshot/board.hpp"
#include "dataplane/stats/core_counters.hpp"
#include "dataplane/wire/reply.hpp"
#include "dataplane/wire/upstream.hpp"
#include "dataplane/worker/answer_guards.hpp"
#include "dataplane/worker/backend_set.hpp"
#include "dataplane/worker/direct_replies.hpp"
#include "dataplane/worker/failure_memory.hpp"
#include "dataplane/worker/former_endpoints.hpp"
#include "dataplane/worker/forward_table.hpp"
#include "dataplane/worker/inflight.hpp"
#include "dataplane/worker/mailbox.hpp"
#include "dataplane/worker/policy_stage.hpp"
#include "dataplane/worker/prefetch.hpp"
#include "dataplane/worker/recheck.hpp"
#include "dataplane/worker/response_limit.hpp"
#include "dataplane/worker/settings.hpp"
#include "dataplane/worker/slow_frame.hpp"
#include "dataplane/worker/step_io.hpp"
#include "dataplane/worker/subnet_cache.hpp"

#include <array>
#include <cstdint>
#include <memory>

namespace millrace::dp {

using ConfigBoard = snapshot::SnapshotBoard<abi::ConfigImage>;
using RoutesBoard = snapshot::SnapshotBoard<abi::RoutesImage>;

// What a worker is connected to. Everything pointed at outlives the worker.
struct Connections {
  uint32_t worker = 0;
  uint32_t workers = 1;
  cache::Shard* const* shards = nullptr;  // all of them; this worker owns those of owner_of()
  uint32_t shard_cnt = 1;                 // a power of two
  const HashSecret* secret = nullptr;
  WorkRing* const* from = nullptr;        // [workers]: rings that end here; null at [worker]
  WorkRing* const* to = nullptr;          // [workers]: rings that begin here
  WorkRing* from_slow = nullptr;          // both or none: without a slow path nothing is asked
  WorkRing* to_slow = nullptr;            //   over TCP
  const ConfigBoard* config = nullptr;
  const RoutesBoard* routes = nullptr;
  abi::StatsArea* stats = nullptr;
  Mailbox* mailbox = nullptr;
  const uint8_t* seed = nullptr;          // Csprng::kSeedBytes
  const WallClock* wall = nullptr;        // none: the time of step() is Unix time
  uint32_t pendings = abi::kPendings;
  uint32_t waiters = abi::kWaiters;
  uint32_t flows = 65536;
};

// The worker that writes a shard.
inline uint32_t owner_of(uint32_t shard, uint32_t workers) noexcept { return shard % workers; }

// The shard that has a key.
inline uint32_t shard_of(uint64_t hash, uint32_t shard_cnt) noexcept {
  return static_cast<uint32_t>(hash >> 32) & (shard_cnt - 1);
}

class Worker {
 public:
  static constexpr uint32_t kDeadlineBudget = 32;  // questions looked at in one turn
  // Between a config and its routes: how long at most, and how often a question looks for them.
  static constexpr uint64_t kRoutesDueNs = 1'000'000'000;
  static constexpr uint64_t kRoutesWaitNs = 5'000'000;
  // Of the cache, for answers past their time. They give way first wherever there is need.
  static constexpr uint8_t kStale64ths = 32;

  explicit Worker(const Connections& to);

  // One turn. Returns how much there was to do; 0: idle.
  uint32_t step(StepIo& io, uint64_t now_ns) noexcept;

  // When there will be something to do even if nothing comes; kNothingDue: never. Expiry is not
  // among it: it only gives memory back.
  uint64_t next_due_ns() const noexcept {
    return std::min(inflight_.next_due_ns(),
                    std::max(backends_.next_probe_ns(settings_), share_due_ns_));
  }
  // The next turn publishes, whatever the time.
  void publish_soon() noexcept { publish_due_ns_ = 0; }

  // Frames that the loop could not send after all.
  void count_tx_dropped(uint32_t n) noexcept { counters_.count(abi::Event::tx_dropped, n); }
  void count_rx_missed(uint64_t n) noexcept { counters_.count(abi::Event::rx_missed, n); }
  void count_sleep() noexcept { counters_.count(abi::Event::sleeps); }

  const stats::CoreCounters& counters() const noexcept { return counters_; }
  uint64_t generation() const noexcept { return settings_.generation(); }
  uint64_t routes_generation() const noexcept { return settings_.routes_generation(); }
  abi::IdleMode idle_mode() const noexcept { return settings_.service().idle; }

 private:
  // Queries of one burst between the stages.
  struct Burst {
    uint32_t cnt = 0;
    uint32_t plain_cnt = 0;   // the first ones; of their queries only packet and pool are known
    uint32_t other_cnt = 0;
    Frame* other[kBurstMax];  // not in the burst, and not looked into yet
    Frame* frame[kBurstMax];  // in StepIo::rx
    wire::Query query[kBurstMax];
    cache::Lookup lookup[kBurstMax];
    Key key[kBurstMax];
  };

  // --- worker_query.cpp: per burst
  void load_snapshots() noexcept;
  void keep_former(uint32_t next_give_up_ms) noexcept;
  void receive(StepIo& io) noexcept;
  void begin_lookup(Frame& frame, uint32_t slot) noexcept;
  void finish_burst(StepIo& io) noexcept;
  bool finish_query(const Frame& frame, uint32_t i) noexcept;
  void take_others(StepIo& io) noexcept;
  void take_other(StepIo& io, Frame& frame) noexcept;
  bool take_late(StepIo& io, const Frame& frame, abi::Outcome outcome,
                 wire::Packet& packet) noexcept;
  void take_query(StepIo& io, Frame& frame) noexcept;
  void judge(StepIo& io) noexcept;
  // The pool of a query under the forwarding rules; so far it is that of its bind or access rule.
  void redirect(wire::Query& query, const Key& key) const noexcept {
    if (!forward_.active()) return;
    query.pool = forward_.pool_for(key.bytes + kKeyHeadBytes,
                                   static_cast<uint32_t>(key.len - kKeyHeadBytes), query.pool);
  }
  void end_early(StepIo& io, Frame& frame, wire::Query& query, const Key& key,
                 abi::Outcome outcome) noexcept;
  void answer_any(StepIo& io, Frame& frame, const wire::Query& query, const Key& key) noexcept;
  abi::Outcome judge_one(const Frame& frame, wire::Query& query) noexcept;
  void count_flows(uint32_t known, uint32_t all) noexcept;
  void take_upstream(StepIo& io, const Frame& frame, const wire::Packet& packet,
                     ring::ItemKind kind, uint16_t port) noexcept;
  abi::Outcome from_upstream(StepIo& io, const Frame& frame, const wire::Packet& packet,
                             ring::ItemKind kind) noexcept;
  void answer(StepIo& io) noexcept;
  void answer_with_care(StepIo& io, uint32_t i) noexcept;
  void answer_at_length(StepIo& io, Frame& frame, const wire::Query& query,
                        const cache::Entry& entry) noexcept;
  void miss(StepIo& io, uint32_t i) noexcept;
  void answer_locally(StepIo& io, Frame& frame, const wire::Query& query, abi::Outcome outcome,
                      const AnswerView& answer) noexcept;
  void reply_error(StepIo& io, Frame& frame, const wire::Query& query,
                   abi::Outcome outcome) noexcept;
  void finish_reply(StepIo& io, Frame& frame, const wire::Query& query,
                    const wire::Reply& reply) noexcept;
  wire::ReplyLimits limits_of(const Frame& frame, const wire::Query& query,
                              const cache::Entry& entry) noexcept {
    return replies_.limits_of(frame, query,
                              has_subnet_options(query) ? scope_of(entry) : uint8_t{0});
  }
  void send(StepIo& io, const Frame& frame) noexcept { send(io, frame, frame.len); }
  // The length apart: a copy of a frame whose `len` was written a moment ago waits for that store.
  void send(StepIo& io, const Frame& frame, uint16_t len) noexcept {
    MR_DCHECK(io.tx_room() > 0);
    counters_.count(abi::Event::tx_packets);
    counters_.count(abi::Event::tx_bytes, len);
    Frame& sent = io.tx[io.tx_cnt++];
    sent = frame;
    sent.len = len;
  }
  void give_back(StepIo& io, const Frame& frame) noexcept {
    if (is_slow(frame)) {
      push_to_slow(ring::ItemKind::reply, frame, 0);
    } else {
      io.done[io.done_cnt++] = frame;
    }
  }

  // --- worker_limits.cpp: who gets too much
  abi::Outcome limit_reply(const Frame& frame, const wire::Query& query,
                           abi::Outcome outcome) noexcept;
  void count_limited(abi::Outcome outcome) noexcept;

  // --- worker_miss.cpp: the owner of a key asks upstream
  uint32_t drain_rings(StepIo& io) noexcept;
  void take_item(StepIo& io, const ring::WorkItem& item) noexcept;
  void take_miss(StepIo& io, const ring::WorkItem& item) noexcept;
  bool find_service(const ring::WorkItem& item, wire::Query& query) const noexcept;
  abi::Outcome adopt(const ring::WorkItem& item, wire::Query& query, Key& key) noexcept;
  bool answer_late_hit(StepIo& io, Frame& frame, const wire::Query& query, const Key& key) noexcept;
  // What becomes of a miss: `miss`, and the client waits from now on; `stale`, and it is to get
  // this entry; or the error that it is to get.
  struct Asked {
    abi::Outcome outcome;
    const cache::Entry* stale = nullptr;
  };
  Asked ask_owner(StepIo& io, const Frame& frame, const wire::Query& query,
                  const Key& key) noexcept;
  Asked hand_to_owner(StepIo& io, const Frame& frame, const wire::Query& query,
                      const Key& key) noexcept;
  Asked ask(StepIo& io, const Frame& frame, const wire::Query& query, const Key& key) noexcept;
  bool any_route(uint32_t pool) const noexcept;
  bool routes_are_due(uint32_t pool) const noexcept;
  uint32_t allowed_backends(const Pending& pending) const noexcept;
  uint32_t untried_backends(const Pending& pending) const noexcept;
  bool send_try(StepIo& io, uint32_t pending) noexcept;
  bool send_to(StepIo& io, uint32_t pending, uint8_t backend, bool with_edns) noexcept;
  void send_packet(StepIo& io, uint32_t pending, uint8_t backend, bool with_edns) noexcept;
  uint64_t end_ns_of(const Pending& pending) const noexcept {
    return pending.started_ns + uint64_t{settings_.service().upstream_give_up_ms} * 1'000'000;
  }
  uint16_t random_port() noexcept;
  void send_probes(StepIo& io) noexcept;

  // --- worker_prefetch.cpp: what is near its end is asked for again
  void refresh_ageing(StepIo& io, uint32_t ageing) noexcept;
  void judge_refresh(StepIo& io, const cache::Entry& entry, const wire::Query& query,
                     uint64_t hash, const wire::Subnet& subnet) noexcept;
  void refresh_at_owner(StepIo& io, const cache::Entry& entry, uint64_t hash, uint8_t pool,
                        const wire::Subnet& subnet) noexcept;
  void take_refresh(StepIo& io, const ring::WorkItem& item) noexcept;
  void refresh(StepIo& io, const cache::Entry& entry, uint64_t hash, uint8_t pool,
               const wire::Subnet& subnet) noexcept;

  // --- worker_stale.cpp: answers past their time
  FoundVariant stale_of(const Key& key, const SubnetAsker& asker) const noexcept;
  const cache::Entry* stale_at_once(const Key& key, const SubnetAsker& asker,
                                    uint32_t known) const noexcept;
  uint64_t client_due_ns(uint64_t started_ns) const noexcept;
  wire::Reply write_stale(const Frame& frame, const wire::Query& query,
                          const cache::Entry& entry) noexcept;
  bool answer_waiters_stale(uint32_t pending) noexcept;
  void drop_stale(const Pending& pending) noexcept;
  void set_stale_budget() noexcept;

  // --- worker_subnet.cpp: answers by the client's subnet
  // Of a query whose options have to be looked at before it gets any answer.
  bool has_subnet_options(const wire::Query& query) const noexcept {
    return query.options_at != 0 && settings_.by_subnet(query.pool);
  }
  bool read_asker(const Frame& frame, const wire::Query& query, SubnetAsker& asker) const noexcept;
  void hit_by_subnet(StepIo& io, uint32_t i) noexcept;
  SubnetContext subnet_context() const noexcept { return {*to_.secret, to_.shard_cnt, now_ms_}; }
  FoundVariant find_variant(const cache::Entry& directory, const Key& key,
                            const SubnetAsker& asker) const noexcept;
  bool take_scope(Pending& pending, const Try& entry, const uint8_t* msg, uint16_t len,
                  bool negative) noexcept;
  bool ask_without_subnet(StepIo& io, uint32_t pending, uint32_t try_idx,
                          const wire::ParsedAnswer& parsed) noexcept;
  cache::InsertResult insert(const Pending& pending, const AnswerView& view) noexcept;

  // --- worker_stream.cpp: what the slow path does for us
  void push_to_slow(ring::ItemKind kind, Frame frame, uint16_t len, uint64_t about = 0) noexcept;
  bool ask_stream(StepIo& io, uint32_t pending, uint32_t try_idx) noexcept;
  bool ask_next_stream(StepIo& io, uint32_t pending) noexcept;
  void take_stream_answer(StepIo& io, const ring::WorkItem& item) noexcept;
  bool finish_stream(StepIo& io, uint32_t pending, const uint8_t* msg, uint16_t len) noexcept;
  void stream_failed(StepIo& io, uint32_t pending) noexcept;
  void answer_truncated(uint32_t pending) noexcept;

  // --- worker_answer.cpp: what comes back
  abi::Outcome upstream_answer(StepIo& io, const Frame& frame, const wire::Packet& packet) noexcept;
  abi::Outcome match(StepIo& io, const Frame& frame, const wire::Packet& packet) noexcept;
  abi::Outcome matched(StepIo& io, uint32_t pending, uint32_t try_idx, const uint8_t* msg,
                       uint16_t len) noexcept;
  void note_stray(StepIo& io, uint16_t port) noexcept;
  void answered(uint32_t pending, uint32_t try_idx, wire::ParsedAnswer& parsed) noexcept;
  void failed(StepIo& io, uint32_t pending, uint32_t try_idx,
              const wire::ParsedAnswer& parsed) noexcept;
  bool ask_without_edns(StepIo& io, uint32_t pending, uint32_t try_idx,
                        const wire::ParsedAnswer& parsed) noexcept;
  void keep_trusted_ad(const Try& entry, AnswerView& view) const noexcept;
  void store(const Pending& pending, const wire::ParsedAnswer& parsed) noexcept;
  bool ask_again(StepIo& io, uint32_t pending, uint8_t backend, bool with_edns) noexcept;
  template <class Write>
  void answer_waiters(uint32_t pending, abi::Event counted, Write write) noexcept;
  void retry_or_fail(StepIo& io, uint32_t pending) noexcept;
  void give_up(uint32_t pending) noexcept;
  void end(uint32_t pending, bool answered = false) noexcept;
  void queue_reply(Frame& frame, const wire::Query& query, const wire::Reply& reply) noexcept;
  void note_timeouts(Pending& pending) noexcept;
  bool hedge(StepIo& io, uint32_t pending) noexcept;
  void wait_for_tries(uint32_t pending) noexcept;
  uint32_t run_deadlines(StepIo& io) noexcept;

  // --- worker_guard.cpp: what must be right about an answer beside its tuple
  uint16_t write_query(uint8_t* msg, uint16_t id, const Pending& pending,
                       const Try& entry) const noexcept;
  abi::Outcome distrust(StepIo& io, uint32_t pending, uint32_t try_idx, Guard lacks) noexcept;
  void judge_stream_answer(Pending& pending, const uint8_t* msg, wire::Verdict verdict,
                           const wire::ParsedAnswer& parsed) noexcept;
  void note_breach(uint8_t backend, Guard guard) noexcept;
  bool ask_with_new_cookie(StepIo& io, uint32_t pending, uint32_t try_idx,
                           const wire::ParsedAnswer& parsed) noexcept;

  // --- worker_icmp.cpp: queries of which ICMP says that they did not arrive
  bool take_icmp(StepIo& io, const Frame& frame, const wire::Packet& packet) noexcept;
  abi::Outcome icmp_error(StepIo& io, const Frame& frame, const wire::Packet& packet) noexcept;
  void go_on_elsewhere(StepIo& io, uint32_t pending) noexcept;

  // --- worker_upkeep.cpp: between bursts
  void upkeep(StepIo& io) noexcept;
  uint32_t send_backlog(StepIo& io) noexcept;
  void serve_mailbox() noexcept;
  void walk_slice() noexcept;
  void mark_flushed_in_flight(const abi::CacheQuery& query) noexcept;
  void publish() noexcept;

  uint32_t shard_of(uint64_t hash) const noexcept { return dp::shard_of(hash, to_.shard_cnt); }
  uint32_t port_owner(uint16_t port) const noexcept {
    return port % to_.workers;  // whatever the range, so that it outlives a change of it
  }

  Connections to_;
  uint64_t now_ns_ = 0;
  uint64_t now_ms_ = 0;
  Settings settings_;
  stats::CoreCounters counters_;
  Csprng random_;
  Inflight inflight_;
  FormerEndpoints former_;
  BackendSet backends_;
  AnswerGuards guards_;
  FailureMemory failures_;
  uint32_t stream_cnt_ = 0;  // ask_stream sent, stream_answer not yet come
  PolicyStage policy_;
  ForwardTable forward_;
  ResponseLimit response_limit_;
  bool sorts_ = false;  // there are access rules, forwarding rules or a limit of responses
  DirectReplies replies_;
  Prefetch prefetch_;
  Recheck recheck_;
  uint32_t ageing_ms_per_s_ = 1000;
  uint64_t config_ns_ = 0;  // since when it runs
  std::unique_ptr<Burst> burst_;
  std::unique_ptr<wire::AnswerScratch> scratch_;

  // Replies to clients that waited, ready to be sent when a turn has room. len 0: give back only.
  std::unique_ptr<Frame[]> backlog_;
  uint32_t backlog_capacity_;
  uint32_t backlog_head_ = 0;
  uint32_t backlog_cnt_ = 0;

  uint64_t icmp_since_ms_ = 0;
  uint32_t icmp_cnt_ = 0;  // since then
  uint32_t upkeep_shard_ = 0;
  uint64_t publish_due_ns_ = 0;
  uint64_t share_due_ns_ = 0;
  uint64_t mail_ = 0;            // number of the mailbox request in work or last done
  bool walking_ = false;
  uint32_t walk_shard_ = 0;
  uint64_t walk_cursor_ = 0;
};

// `write` makes the reply in the frame of a query. The question ends.
template <class Write>
void Worker::answer_waiters(uint32_t idx, abi::Event counted, Write write) noexcept {
  const uint8_t scope =
      counted == abi::Event::waiter_answered ? inflight_.at(idx).scope : uint8_t{0};
  Waiter waiter;
  while (inflight_.take_waiter(idx, waiter)) {
    const wire::Reply reply = write(waiter.frame.data + waiter.query.packet.dns_off, waiter.query,
                                    replies_.limits_of(waiter.frame, waiter.query, scope));
    if (reply.truncated) counters_.count(abi::Event::reply_truncated);
    counters_.count(counted);
    queue_reply(waiter.frame, waiter.query, reply);
  }
  end(idx, counted == abi::Event::waiter_answered);
}

}  // namespace millrace::dp
