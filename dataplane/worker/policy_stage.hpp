// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who is served, and from which pool: the access rules of the config behind a cache of verdicts.
//
//   queries of a burst ─▶ flow keys ─▶ flow cache ─┬─ known ──────────────────────▶ verdicts
//                                                  └─ not ─▶ walk the rules, remember ─▶
//
// The first rule that matches decides; what none matches is allowed. A flow is a prefix of source
// addresses, a service and a port, and the prefix is as long as the longest of that family in the
// rules: so all of a flow gets the same verdict, and a verdict is a function of the flow's key.
//
// Threads: one, the worker whose stage it is. Memory: allocated by the constructor, flow/ says how
// much; a worker without rules never touches it after that.
// Cost: without rules whoever asks active(), nothing else. A known flow as flow/ says; another one
// some 5 instructions for each prefix of the rules (256 at most), and an insert.
// Failure: none. With more flows than there is room for, some are walked again. Each config makes
// all verdicts void, so a rule holds from the first burst that runs under it.

#include "dataplane/abi/config_image.hpp"
#include "dataplane/base/frame.hpp"
#include "dataplane/flow/flow_cache.hpp"
#include "dataplane/wire/query.hpp"

#include <cstdint>
#include <memory>

namespace millrace::dp {

// kGoOn, with the pool that the query is asked of; or how it ends.
inline abi::Outcome follow(const flow::Verdict& verdict, wire::Query& query) noexcept {
  switch (verdict.action) {
    case flow::Action::refuse:
      return abi::Outcome::refused_acl;
    case flow::Action::drop:
      return abi::Outcome::drop_acl;
    case flow::Action::pool:
      query.pool = static_cast<uint8_t>(verdict.index);
      break;
    case flow::Action::allow:
      break;
  }
  return wire::kGoOn;
}

class PolicyStage {
 public:
  // A verdict ends with its generation; this gives the room of flows back that have ended.
  static constexpr uint32_t kVerdictTtlS = 60;

  // `flows` verdicts are remembered; `secret` outlives the stage.
  PolicyStage(uint32_t flows, const HashSecret& secret);

  // Takes the rules of a verified config over.
  void load(const abi::ConfigImage& config) noexcept;

  bool active() const noexcept { return rule_cnt_ != 0; }

  // Fills verdicts[i] for queries[i], which stands in *frames[i], and returns how many of them were
  // known. n <= kBurstMax. Of a query only the packet is looked at.
  uint32_t judge(const Frame* const frames[], const wire::Query queries[], uint32_t n,
                 uint64_t now_ms, flow::Verdict verdicts[]) noexcept;

  // For a client of a TCP stream; walks the rules.
  flow::Verdict judge_stream(const abi::Address& client, uint16_t service) const noexcept;

  // Gives back the room of verdicts whose time is over; looks at no more than `budget`.
  void expire(uint64_t now_ms, uint32_t budget) noexcept { flows_.expire(now_ms, budget); }

  const flow::FlowGauges& gauges() const noexcept { return flows_.gauges(); }

 private:
  struct alignas(kCacheLineBytes) Line {
    std::byte bytes[kCacheLineBytes];
  };
  // The source of a flow key is in it if it is `value` where `mask` has ones.
  struct Prefix {
    uint64_t value[2];
    uint64_t mask[2];
    uint64_t family;
  };

  flow::FlowKey key_of(const Frame& frame, const wire::Packet& packet) const noexcept;
  flow::Verdict walk(const flow::FlowKey& key) const noexcept;

  uint32_t rule_cnt_ = 0;
  uint32_t prefix_bits4_ = flow::kPrefixBitsMin4;  // of a flow
  uint32_t prefix_bits6_ = flow::kPrefixBitsMin6;
  uint64_t generation_ = 0;
  flow::FlowCache flows_;
  std::unique_ptr<Line[]> memory_;
  abi::RuleConfig rule_[abi::kRulesMax];
  Prefix prefix_[abi::kPrefixesMax];
};

}  // namespace millrace::dp
