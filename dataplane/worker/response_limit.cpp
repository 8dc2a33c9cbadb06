// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/response_limit.hpp"

#include "dataplane/flow/flow_key.hpp"

#include <cstring>

namespace millrace::dp {

void ResponseLimit::load(const abi::LimitsConfig& config, uint32_t workers) noexcept {
  const uint32_t share = (config.responses_per_second + workers - 1) / workers;
  step_ = share == 0 ? 0 : kWindow / share;
  slip_ = config.slip;
  prefix_bits4_ = config.prefix_bits4;
  prefix_bits6_ = config.prefix_bits6;
}

ResponseLimit::Verdict ResponseLimit::judge(const HashSecret& secret, bool v6,
                                            const uint8_t* source, uint64_t now_ns) noexcept {
  const flow::FlowKey prefix = flow::make_flow_key(
      v6 ? flow::kFamily6 : flow::kFamily4, source, v6 ? prefix_bits6_ : prefix_bits4_, {});
  uint8_t block[32] = {};  // the unit in which hash_blocks reads
  static_assert(sizeof prefix <= sizeof block);
  std::memcpy(block, &prefix, sizeof prefix);
  const uint64_t hash = hash_blocks(secret, block, sizeof prefix);
  if (admit(hash, static_cast<uint32_t>(now_ns >> kUnitShift))) return Verdict::pass;
  over_cnt_ += 1;
  return slip_ != 0 && over_cnt_ % slip_ == 0 ? Verdict::slip : Verdict::drop;
}

bool ResponseLimit::admit(uint64_t hash, uint32_t now) noexcept {
  Line& line = lines_[hash % kLines];
  const auto tag = static_cast<uint32_t>(hash >> 32);
  Entry* chosen = nullptr;
  uint32_t ahead = UINT32_MAX;
  for (Entry& entry : line.entry) {
    // A time that is further ahead than any can be has passed.
    const uint32_t here = entry.empty_at - now <= kWindow ? entry.empty_at - now : 0;
    if (entry.tag == tag) {
      chosen = &entry;
      ahead = here;
      break;
    }
    if (here >= ahead) continue;
    chosen = &entry;
    ahead = here;
  }
  if (ahead + step_ > kWindow) return false;
  *chosen = {tag, now + ahead + step_};
  return true;
}

}  // namespace millrace::dp
