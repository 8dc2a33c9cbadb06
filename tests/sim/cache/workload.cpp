// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/cache/workload.hpp"

#include <cmath>
#include <cstdlib>
#include <utility>

namespace millrace::cachesim {

namespace {

// Weights are per mille.
const Mix& ttls_by_name() {
  static const Mix mix({{0, 2},
                        {20, 18},
                        {30, 20},
                        {60, 58},
                        {120, 65},
                        {180, 35},
                        {300, 201},
                        {600, 110},
                        {900, 40},
                        {1800, 60},
                        {3600, 92},
                        {7200, 40},
                        {14400, 110},
                        {43200, 30},
                        {86400, 110},
                        {172800, 9}});
  return mix;
}

const Mix& ttls_by_query() {
  static const Mix mix({{0, 2},
                        {10, 28},
                        {20, 70},
                        {30, 120},
                        {60, 280},
                        {120, 60},
                        {180, 40},
                        {300, 150},
                        {600, 80},
                        {900, 50},
                        {1800, 40},
                        {3600, 60},
                        {86400, 20}});
  return mix;
}

const Mix& negative_ttls() {
  static const Mix mix({{60, 150}, {300, 200}, {900, 300}, {1800, 150}, {3600, 200}});
  return mix;
}

// Octets of the name: the root label, a few labels, long ones of cloud services.
const Mix& name_sizes() {
  static const Mix mix({{13, 80}, {16, 200}, {20, 250}, {25, 220}, {31, 130}, {40, 80}, {58, 40}});
  return mix;
}

struct Body {
  uint16_t bytes;
  uint8_t records;
};

Body draw_body(Random& random) {
  // One A; one AAAA; two, four A; CNAME and A, AAAA, more; two CNAMEs; MX; TXT; signed answers.
  static const Mix kinds({{0, 250},
                          {1, 120},
                          {2, 80},
                          {3, 60},
                          {4, 150},
                          {5, 90},
                          {6, 90},
                          {7, 70},
                          {8, 30},
                          {9, 35},
                          {10, 25}});
  static constexpr Body kBodies[] = {{16, 1},  {28, 1},  {32, 2}, {64, 4},  {52, 2}, {64, 2},
                                     {100, 4}, {150, 5}, {90, 3}, {280, 3}, {420, 4}};
  return kBodies[kinds.draw(random)];
}

}  // namespace

Mix::Mix(std::vector<Weighted> values) : values_(std::move(values)) {
  for (const Weighted& value : values_)
    total_ += value.weight;
}

uint32_t Mix::draw(Random& random) const {
  uint32_t left = random.below(total_);
  for (const Weighted& value : values_) {
    if (left < value.weight) return value.value;
    left -= value.weight;
  }
  return values_.back().value;
}

std::optional<TtlMix> ttl_mix_of(const std::string& text) {
  if (text == "dns") return TtlMix{ttls_by_query(), ttls_by_name(), negative_ttls()};
  if (text == "short") return TtlMix{ttls_by_query(), ttls_by_query(), negative_ttls()};
  constexpr unsigned long kNumberMax = 1'000'000;  // TTLs of 11 days; weights add up below 2^32
  std::vector<Weighted> values;
  const char* at = text.c_str();
  while (values.size() < 1000) {
    char* end = nullptr;
    if (*at < '0' || *at > '9') return std::nullopt;
    const unsigned long ttl_s = std::strtoul(at, &end, 10);
    unsigned long weight = 1;
    if (*end == ':') {
      at = end + 1;
      if (*at < '0' || *at > '9') return std::nullopt;
      weight = std::strtoul(at, &end, 10);
    }
    if (ttl_s > kNumberMax || weight == 0 || weight > kNumberMax) return std::nullopt;
    values.push_back({static_cast<uint32_t>(ttl_s), static_cast<uint32_t>(weight)});
    if (*end == '\0') return TtlMix{Mix(values), Mix(values), negative_ttls()};
    if (*end != ',') return std::nullopt;
    at = end + 1;
  }
  return std::nullopt;
}

Object draw_positive(const Mix& ttls, Random& random) {
  const Body body = draw_body(random);
  Object object{};
  object.ttl_s = ttls.draw(random);
  object.body_bytes = body.bytes;
  object.name_bytes = static_cast<uint8_t>(name_sizes().draw(random));
  object.ttl_cnt = body.records & 0x7f;
  object.negative = false;
  return object;
}

Object draw_negative(const Mix& ttls, Random& random) {
  Object object{};
  object.ttl_s = ttls.draw(random);
  object.body_bytes = static_cast<uint16_t>(random.between(60, 100));  // an SOA with two names
  object.name_bytes = static_cast<uint8_t>(name_sizes().draw(random));
  object.ttl_cnt = 1;
  object.negative = true;
  return object;
}

Zipf::Zipf(uint32_t n, double exponent) : keep_(n), alias_(n) {
  std::vector<double> share(n);
  double sum = 0;
  for (uint32_t rank = 0; rank < n; ++rank)
    sum += share[rank] = std::pow(rank + 1.0, -exponent);
  std::vector<uint32_t> small, large;
  for (uint32_t rank = 0; rank < n; ++rank) {
    share[rank] *= n / sum;
    (share[rank] < 1 ? small : large).push_back(rank);
    keep_[rank] = UINT32_MAX;
    alias_[rank] = rank;
  }
  // Each column holds 1/n: a small rank and what a large one lends it.
  while (!small.empty() && !large.empty()) {
    const uint32_t poor = small.back(), rich = large.back();
    small.pop_back();
    keep_[poor] = static_cast<uint32_t>(share[poor] * 4294967295.0);
    alias_[poor] = rich;
    share[rich] -= 1 - share[poor];
    if (share[rich] < 1) {
      large.pop_back();
      small.push_back(rich);
    }
  }
}

}  // namespace millrace::cachesim
