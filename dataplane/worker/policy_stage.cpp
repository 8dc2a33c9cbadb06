// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/policy_stage.hpp"

#include "dataplane/wire/eth_ip_udp.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace millrace::dp {
namespace {

constexpr uint8_t kProtocolTcp = 6;

flow::Verdict verdict_of(const abi::RuleConfig& rule, uint32_t rule_no) noexcept {
  const auto index = static_cast<uint16_t>(rule_no);
  switch (rule.action) {
    case abi::RuleAction::refuse:
      return {flow::Action::refuse, 0, index};
    case abi::RuleAction::drop:
      return {flow::Action::drop, 0, index};
    case abi::RuleAction::allow:
      break;
  }
  if (rule.pool == abi::kPoolOfBind) return {flow::Action::allow, 0, 0};
  return {flow::Action::pool, 0, rule.pool};
}

}  // namespace

void PolicyStage::load(const abi::ConfigImage& config) noexcept {
  const abi::ServiceSection& service = config.service;
  generation_ = config.header.generation;
  rule_cnt_ = service.rules;
  std::copy_n(service.rule, service.rules, rule_);
  prefix_bits4_ = flow::kPrefixBitsMin4;
  prefix_bits6_ = flow::kPrefixBitsMin6;
  for (uint32_t i = 0; i < service.prefixes; ++i) {
    const abi::PrefixConfig& from = service.prefix[i];
    uint32_t& flow_bits = from.family == flow::kFamily4 ? prefix_bits4_ : prefix_bits6_;
    flow_bits = std::max<uint32_t>(flow_bits, from.bits);
    uint8_t mask[16] = {};
    for (uint32_t bit = 0; bit < from.bits; ++bit) {
      mask[bit / 8] = static_cast<uint8_t>(mask[bit / 8] | 0x80u >> bit % 8);
    }
    Prefix& to = prefix_[i];
    std::memcpy(to.value, from.bytes, sizeof to.value);
    std::memcpy(to.mask, mask, sizeof to.mask);
    to.family = from.family;
  }
}

flow::FlowKey PolicyStage::key_of(const Frame& frame, const wire::Packet& packet) const noexcept {
  const flow::FlowPath path{packet.service, frame.port, wire::kProtocolUdp};
  const uint8_t* ip = frame.data + packet.l3_off;
  return packet.v6
             ? flow::make_flow_key(flow::kFamily6, ip + wire::kIpv6SourceAt, prefix_bits6_, path)
             : flow::make_flow_key(flow::kFamily4, ip + wire::kIpv4SourceAt, prefix_bits4_, path);
}

// The key has all bits of the source that a prefix can ask for.
flow::Verdict PolicyStage::walk(const flow::FlowKey& key) const noexcept {
  uint64_t source[2];
  std::memcpy(source, key.source, sizeof source);
  const Prefix* prefix = prefix_;
  for (uint32_t r = 0; r < rule_cnt_; ++r) {
    const Prefix* const end = prefix + rule_[r].prefixes;
    if ((rule_[r].binds >> key.service & 1) == 0) prefix = end;
    for (; prefix != end; ++prefix) {
      const uint64_t differs = ((source[0] & prefix->mask[0]) ^ prefix->value[0]) |
                               ((source[1] & prefix->mask[1]) ^ prefix->value[1]);
      if (differs == 0 && prefix->family == key.family) return verdict_of(rule_[r], r);
    }
  }
  return {flow::Action::allow, 0, 0};
}

flow::Verdict PolicyStage::judge_stream(const abi::Address& client,
                                        uint16_t service) const noexcept {
  const uint32_t bits = client.family == flow::kFamily4 ? prefix_bits4_ : prefix_bits6_;
  return walk(flow::make_flow_key(client.family, client.bytes, bits,
                                  {service, kSlowPort, kProtocolTcp}));
}

uint32_t PolicyStage::judge(const Frame* const frames[], const wire::Query queries[], uint32_t n,
                            uint64_t now_ms, flow::Verdict verdicts[]) noexcept {
  if (n == 0) return 0;
  flow::FlowKey keys[kBurstMax];
  for (uint32_t i = 0; i < n; ++i)
    keys[i] = key_of(*frames[i], queries[i].packet);
  const uint32_t known = flows_.lookup_burst(keys, n, generation_, now_ms, verdicts);
  for (uint32_t i = 0; i < n; ++i) {
    if ((known >> i & 1) != 0) continue;
    verdicts[i] = walk(keys[i]);
    flows_.insert(keys[i], verdicts[i], kVerdictTtlS, generation_, now_ms);
  }
  return static_cast<uint32_t>(std::popcount(known));
}

}  // namespace millrace::dp
