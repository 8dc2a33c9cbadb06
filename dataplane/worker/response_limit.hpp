// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many responses over UDP the clients of one prefix get in a second (B44).
//
// Queries with the source address of a victim make us send it answers that it never asked for. What
// is above the limit gets no records: most of it nothing, and each so many-th an empty reply with
// TC ("slip"), by which a real client in a limited prefix learns to come by TCP.
//
//   source prefix ──keyed hash──▶ a line of 8 entries: [ tag | when its bucket is empty ]
//
// The bucket of a prefix is one time: each response puts it 1/rate later, and none may put it more
// than a second ahead of now. So buckets leak by themselves and nobody walks them; a second's worth
// may come at once. (Virtual scheduling: ITU-T I.371, GCRA.)
//
// A prefix that is not in its line takes the entry whose bucket is the emptiest, with what is in it
// (Space-Saving: Metwally, Agrawal, El Abbadi, 2005). So nobody gets rid of his own bucket by
// filling the table; a newcomer begins with an empty one as long as one of the eight is; and he is
// limited for others only if all eight are at their limit: while 1000 prefixes are, that is 1
// newcomer in 130,000, with 4000 of them 1 in 20. Sources at random, few packets each, keep all
// eight in use from some 8000 times the rate on.
//
// Threads: private to its worker. Each worker allows its share of the rate, rounded up: flows of a
// prefix spread over the queues, so that all together get the rate, and one flow alone gets less.
// Memory: 64 KiB, whoever comes. Cost: one line, a hash, 8 compares. Failure: none.
// Limits: times are kept modulo 2^32 units of 256 ns, so a bucket that has been left alone for 18.3
// minutes counts as in use for one second more.

#include "dataplane/abi/config_image.hpp"
#include "dataplane/base/cache_line.hpp"
#include "dataplane/base/key_hash.hpp"

#include <cstdint>
#include <memory>

namespace millrace::dp {

class ResponseLimit {
 public:
  static constexpr uint32_t kLines = 1024;
  static constexpr uint32_t kWays = 8;

  enum class Verdict : uint8_t { pass, slip, drop };

  ResponseLimit();

  // Takes over what a verified config says; buckets stay as full as they are.
  void load(const abi::LimitsConfig& config, uint32_t workers) noexcept;

  bool active() const noexcept { return step_ != 0; }

  // For one more response to `source`, in wire form. Only while active().
  Verdict judge(const HashSecret& secret, bool v6, const uint8_t* source, uint64_t now_ns) noexcept;

 private:
  struct Entry {
    uint32_t tag;
    uint32_t empty_at;
  };
  struct alignas(kCacheLineBytes) Line {
    Entry entry[kWays];
  };
  static_assert(sizeof(Line) == kCacheLineBytes);

  static constexpr uint32_t kUnitShift = 8;                            // ns
  static constexpr uint32_t kWindow = 1'000'000'000 >> kUnitShift;  // a second
  static_assert(kWindow / abi::kResponseRateMax >= 32, "3 % is as coarse as it gets");

  bool admit(uint64_t hash, uint32_t now) noexcept;

  uint32_t step_ = 0;  // by which a response puts the time later; 0: no limit
  uint32_t slip_ = 0;
  uint32_t over_cnt_ = 0;
  uint8_t prefix_bits4_ = 0;
  uint8_t prefix_bits6_ = 0;
  std::unique_ptr<Line[]> lines_;
};

}  // namespace millrace::dp
