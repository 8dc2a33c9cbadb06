// SPDX-License-Identifier: Apache-2.0
#pragma once
// What needs the kernel's sockets: clients that come over TCP, and questions to upstreams over TCP.
//
// It stands beside the workers as one more core: it reads the same cache, runs under the same
// snapshots, has rings to and from each worker, and a statistics page of its own. It owns no shard
// and asks nobody over UDP: a miss goes to the owner of its key, like every other.
//
//   client ─TCP─▶ frame messages ─▶ parse ─▶ rules ─▶ look up ──── hit ───────▶ reply
//                                                        │ miss
//                                                        ▼ ring
//                                                     owner of the key ─ ring ─▶ reply
//
//   worker ─ ring ─▶ ask_stream ─▶ upstream ─TCP─▶ stream_answer ─ ring ─▶ worker
//
// Misses of clients have a fixed number of places (kSlowQueriesMax) until their owner has replied.
// A fifth of them is for sources that have none; of the others a source gets one more only while it
// has less than a third of what is free (dynamic thresholds, Choudhury and Hahne, ToN 1998). So
// whatever some ask for that nobody answers, it takes as many more sources as there are places in
// that fifth to leave none for others. A query that finds no place waits in its connection, and
// gets SERVFAIL when it has waited for as long as upstreams are waited for (give_up).
//
// Threads: one, which calls turn() and wait(); listen_on() may be called by another. The caller
// reports to the grace period: online around turn(), offline around wait(). Memory: allocated as
// connections need it, bounded by the config (tcp_clients.hpp) and slow_frame.hpp. Cost: a system
// call or two per message; it is not the hot path and may lock and allocate.
// Failure: the constructor throws std::system_error; after that every fault ends one connection.

#include "dataplane/base/csprng.hpp"
#include "dataplane/base/key_hash.hpp"
#include "dataplane/slow/frame_store.hpp"
#include "dataplane/slow/tcp_clients.hpp"
#include "dataplane/slow/tcp_upstreams.hpp"
#include "dataplane/stats/core_counters.hpp"
#include "dataplane/worker/worker.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace millrace::slow {

// What it is connected to; all of it outlives the slow path.
struct SlowConnections {
  uint32_t workers = 1;
  cache::Shard* const* shards = nullptr;
  uint32_t shard_cnt = 1;
  const HashSecret* secret = nullptr;
  dp::WorkRing* const* from = nullptr;  // [workers]
  dp::WorkRing* const* to = nullptr;    // [workers]
  const dp::ConfigBoard* config = nullptr;
  abi::CorePage* page = nullptr;
  const uint8_t* seed = nullptr;  // Csprng::kSeedBytes
  const WallClock* wall = nullptr;  // none: the time of turn() is Unix time
  TcpUpstreams::Dial dial = dial_tcp;
};

// A socket that listens at a service address; whoever holds the Listener owns it.
struct Listener {
  int fd = -1;
  abi::Address address{};
};

class SlowPath {
 public:
  explicit SlowPath(const SlowConnections& to);
  ~SlowPath();
  SlowPath(const SlowPath&) = delete;
  SlowPath& operator=(const SlowPath&) = delete;

  // Takes these in place of all listeners so far, from the next turn on. Any thread.
  void listen_on(std::vector<Listener> listeners);

  // Everything that is there to be done. Returns how much it was.
  uint32_t turn(uint64_t now_ns);
  // Sleeps until a socket is ready, or until the rings should be looked at again.
  void wait() noexcept;

  // When a timer is due; kNothingDue: none runs.
  uint64_t next_due_ns() const noexcept;
  // The next turn publishes, whatever the time.
  void publish_soon() noexcept { publish_due_ns_ = 0; }

  // A client's connected, non-blocking socket.
  void adopt(int fd, const abi::Address& client, const abi::Address& service, uint64_t now_ns) {
    clients_.adopt(fd, client, service, now_ns);
  }

  const stats::CoreCounters& counters() const noexcept { return counters_; }
  uint64_t generation() const noexcept { return settings_.generation(); }
  uint32_t client_cnt() const noexcept { return clients_.cnt(); }
  uint32_t frames_out() const noexcept { return store_.frame_cnt() - store_.free_cnt(); }
  uint32_t asking_cnt() const noexcept { return upstreams_.open_cnt(); }

 private:
  void load_config();
  void take_listeners(uint64_t now_ns);
  void accept_all(const Listener& listener, uint64_t now_ns);
  uint32_t take_events(uint64_t now_ns);

  // --- clients
  Took take_message(const ClientInfo& from, std::span<const uint8_t> message);
  abi::Outcome rule(const ClientInfo& from, wire::Query& query);
  abi::Outcome judge(const ClientInfo& from, wire::Query& query, Key& key);
  Took end_early(const ClientInfo& from, wire::Query& query, abi::Outcome outcome);
  Took look_up(const ClientInfo& from, const wire::Query& query, const Key& key);
  Took answer_locally(const ClientInfo& from, abi::Outcome outcome, const wire::Query& query,
                      const AnswerView& answer);
  void prefetch(const cache::Entry& entry, const wire::Query& query, uint64_t hash,
                const wire::Subnet& subnet);
  Took hand_to_owner(const ClientInfo& from, const wire::Query& query, const Key& key,
                     uint32_t owner);
  bool may_begin(const abi::Address& client) const;
  Took finish(const ClientInfo& from, abi::Outcome outcome, const wire::Query& query);
  void reply(const ClientInfo& from, const wire::Reply& reply);

  // --- rings
  uint32_t drain_rings(uint64_t now_ns);
  void forget_query(const abi::Address& client);
  void take_item(uint32_t worker, const ring::WorkItem& item, uint64_t now_ns);
  void ask_upstream(uint32_t worker, const ring::WorkItem& item, uint64_t now_ns);
  void tell_answer(const Asker& asker, std::span<const uint8_t> answer);
  void push(uint32_t worker, const ring::WorkItem& item);
  void publish(uint64_t now_ns);

  SlowConnections to_;
  int epoll_;
  stats::CoreCounters counters_;
  Csprng random_;
  dp::Settings settings_;
  dp::PolicyStage policy_;
  dp::ForwardTable forward_;
  dp::DirectReplies replies_;
  dp::Prefetch prefetch_;
  FrameStore store_;
  uint32_t queries_out_ = 0;  // frames at the workers
  std::map<TcpClients::SourceKey, uint32_t> queries_of_;  // of them, by source; none is 0
  TcpClients clients_;
  TcpUpstreams upstreams_;
  uint64_t now_ns_ = 0;
  uint64_t now_ms_ = 0;
  uint64_t publish_due_ns_ = 0;
  uint64_t timers_due_ns_ = 0;
  std::vector<Listener> listeners_;
  FrameStore scratch_store_{1};
  Frame scratch_;  // a message, and the reply to it in the making

  std::mutex mutex_;
  std::vector<Listener> next_;  // under the mutex
  bool next_set_ = false;       // likewise
};

}  // namespace millrace::slow
