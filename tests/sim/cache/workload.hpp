// SPDX-License-Identifier: Apache-2.0
#pragma once
// What names are like: how long their answers live, how large they are, how often they are asked.
//
// TTLs are drawn from tables with weights. Two published measurements give the shape, one counted
// by name and one by query; they differ because much asked names have short TTLs (they belong to
// networks that steer by DNS), so names get theirs by rank:
//
//   every name             OpenDNS, 6.3 M names, 349 M queries (F. Denis, "On the distribution of
//                          DNS TTLs", 00f.net, 2012): <= 1 min 9.8 %, <= 2 min 16.3 %, <= 5 min
//                          39.9 %, <= 1 h 70.1 %, peaks at 4 h and 1 d, more than 1 d very rare
//   the most asked 1 %     1.6 M answers (F. Denis, "Stop using ridiculously low DNS TTLs", APNIC
//                          blog, 2019): half <= 1 min, three quarters <= 5 min, more than 1 h rare
//                          but for a bump at 1 d
//
// Where the sources leave steps open the usual round values fill them. Negative TTLs are SOA
// minima, cut at an hour as our default config does. Sizes follow from the wire format (RFC 1035
// section 4.1.3: 12 octets and the data for a record with a compressed owner); how often each kind
// of answer comes is our assumption, 12 % negative answers also (9 % NXDOMAIN at four sites:
// Brandhorst and Pras, "DNS: a statistical analysis of name server traffic", EUNICE 2006; the rest
// NODATA).
//
// Threads: none of its own. Memory: as much as the names need.

#include "tests/sim/random.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace::cachesim {

using sim::Random;

// One name and the answer to it. Everything that a cache needs to know about it.
struct Object {
  uint32_t ttl_s;  // 0: never kept
  uint16_t body_bytes;
  uint8_t name_bytes;  // wire form
  uint8_t ttl_cnt : 7;
  bool negative : 1;
};
static_assert(sizeof(Object) == 8);

struct Weighted {
  uint32_t value;
  uint32_t weight;
};

// Values with weights.
class Mix {
 public:
  explicit Mix(std::vector<Weighted> values);
  uint32_t draw(Random& random) const;

 private:
  std::vector<Weighted> values_;
  uint32_t total_ = 0;
};

// How TTLs go with names.
struct TtlMix {
  Mix popular;  // of the most asked hundredth
  Mix every;    // of the others
  Mix negative;
};

// "dns": as above. "short": the popular names' table for all. "SECONDS[:WEIGHT],...": that table
// for all. Nothing: the text is none of these.
std::optional<TtlMix> ttl_mix_of(const std::string& text);

Object draw_positive(const Mix& ttls, Random& random);
Object draw_negative(const Mix& ttls, Random& random);

// Ranks [0, n) by Zipf's law: P(rank) ~ 1 / (rank + 1)^exponent. Walker's alias method: a draw
// costs two reads however many ranks there are.
class Zipf {
 public:
  Zipf(uint32_t n, double exponent);
  uint32_t draw(Random& random) const {
    const uint32_t column = random.below(static_cast<uint32_t>(keep_.size()));
    return static_cast<uint32_t>(random.next() >> 32) < keep_[column] ? column : alias_[column];
  }

 private:
  std::vector<uint32_t> keep_;  // chance to stay in the column, of 2^32
  std::vector<uint32_t> alias_;
};

}  // namespace millrace::cachesim
