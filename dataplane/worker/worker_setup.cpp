// SPDX-License-Identifier: Apache-2.0
// Start-up of a worker: the only part of it that allocates.
#include <algorithm>
#include <bit>

#include "dataplane/base/check.hpp"
#include "dataplane/worker/worker.hpp"

namespace millrace::dp {

Inflight::Inflight(uint32_t pendings, uint32_t waiters)
    : pending_cnt_(pendings),
      mask_(std::bit_ceil(pendings * 2) - 1),
      pending_(new Pending[pendings]()),
      waiter_(new Waiter[waiters]()),
      key_heads_(new uint32_t[mask_ + 1]),
      port_heads_(new uint32_t[mask_ + 1]) {
  MR_CHECK(pendings > 0 && waiters > 0);
  std::fill_n(key_heads_.get(), mask_ + 1, kNone);
  std::fill_n(port_heads_.get(), mask_ + 1, kNone);
  std::fill_n(due_heads_, kDueSlots, kNone);
  for (uint32_t i = pendings; i-- > 0;) {
    pending_[i].chain_next = free_pending_;
    pending_[i].due_slot = kNone;
    free_pending_ = i;
  }
  for (uint32_t i = waiters; i-- > 0;) {
    waiter_[i].next = free_waiter_;
    free_waiter_ = i;
  }
}

static_assert(abi::kFlowsMax == flow::kFlowsMax);

PolicyStage::PolicyStage(uint32_t flows, const HashSecret& secret) {
  // Left as it comes: format() touches little of it, and the rest is not used before a flow is.
  const std::size_t bytes = flow::FlowCache::bytes_for(flows);
  static_assert(sizeof(Line) == kCacheLineBytes);
  memory_.reset(new Line[(bytes + sizeof(Line) - 1) / sizeof(Line)]);
  MR_CHECK(flow::FlowCache::format(memory_.get(), bytes, flows).empty());
  MR_CHECK(flows_.attach(memory_.get(), bytes, secret).empty());
}

ResponseLimit::ResponseLimit() : lines_(new Line[kLines]()) {}

Worker::Worker(const Connections& to)
    : to_(to),
      random_(to.seed),
      inflight_(to.pendings, to.waiters),
      backends_(to.worker, to.workers, to.stats->backends),
      guards_(*to.secret),
      policy_(to.flows, *to.secret),
      replies_(settings_, to.wall, now_ns_, counters_),
      burst_(new Burst),
      scratch_(new wire::AnswerScratch),
      backlog_(new Frame[to.waiters]),
      backlog_capacity_(to.waiters) {
  MR_CHECK(to.worker < to.workers && to.workers <= abi::kWorkersMax);
  MR_CHECK(to.shard_cnt >= to.workers && (to.shard_cnt & (to.shard_cnt - 1)) == 0);
}

}  // namespace millrace::dp
