// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/cache/trace.hpp"

#include <utility>

namespace millrace::cachesim {

namespace {

constexpr uint32_t kPopularPart = 100;  // the most asked hundredth has TTLs of its own

class Maker {
 public:
  Maker(const TracePlan& plan, uint64_t seed) : plan_(plan), zipf_(plan.names, plan.zipf) {
    Random root(seed);
    choices_ = root.fork();
    objects_ = root.fork();
    flood_ = root.fork();
  }

  Trace make() {
    trace_.name = plan_.name;
    trace_.about = plan_.about;
    trace_.names = plan_.names;
    trace_.qps = uint64_t{plan_.qps} * (plan_.flood ? 2 : 1);
    make_names();
    trace_.asks.reserve(uint64_t{plan_.queries} * (plan_.flood ? 2 : 1));
    for (uint32_t i = 0; i < plan_.queries; ++i) {
      trace_.asks.push_back(ordinary(i));
      if (plan_.flood) trace_.asks.push_back(add(draw_negative(plan_.ttls.negative, flood_)));
    }
    trace_.counted_from = static_cast<uint32_t>(trace_.asks.size() / 3);
    return std::move(trace_);
  }

 private:
  void make_names() {
    for (uint32_t i = 0; i < plan_.names; ++i) {
      const bool popular = i < plan_.names / kPopularPart;
      const Mix& ttls = popular ? plan_.ttls.popular : plan_.ttls.every;
      add(objects_.chance(plan_.negative_per_mille) ? draw_negative(plan_.ttls.negative, objects_)
                                                    : draw_positive(ttls, objects_));
      name_of_rank_.push_back(i);
    }
  }

  uint32_t add(const Object& object) {
    trace_.objects.push_back(object);
    return static_cast<uint32_t>(trace_.objects.size() - 1);
  }

  uint32_t ordinary(uint32_t query) {
    const bool scans = query >= plan_.queries / 2 && query < plan_.queries / 3 * 2;
    if (scans && choices_.chance(plan_.scan_per_mille)) return scanned_++ % plan_.names;
    if (choices_.chance(plan_.one_hit_per_mille)) {
      return add(draw_positive(plan_.ttls.every, objects_));
    }
    const uint32_t rank = zipf_.draw(choices_);
    const uint32_t name = name_of_rank_[rank];
    if (choices_.chance(plan_.drift_per_mille)) {
      std::swap(name_of_rank_[rank], name_of_rank_[choices_.below(plan_.names)]);
    }
    return name;
  }

  const TracePlan& plan_;
  Zipf zipf_;
  Random choices_{0}, objects_{0}, flood_{0};
  std::vector<uint32_t> name_of_rank_;
  uint32_t scanned_ = 0;
  Trace trace_;
};

}  // namespace

Trace make_trace(const TracePlan& plan, uint64_t seed) {
  return Maker(plan, seed).make();
}

std::vector<TracePlan> standard_plans(uint32_t queries, uint32_t names) {
  const auto plan = [&](const char* name, const char* about) {
    TracePlan made;
    made.name = name;
    made.about = about;
    made.queries = queries;
    made.names = names;
    return made;
  };
  std::vector<TracePlan> plans;
  for (const auto& [exponent, name] :
       {std::pair{0.8, "zipf-0.8"}, {1.0, "zipf-1.0"}, {1.2, "zipf-1.2"}}) {
    plans.push_back(plan(name, "popularity by Zipf's law"));
    plans.back().zipf = exponent;
  }
  plans.push_back(plan("one-hit", "zipf-1.0; 30 % of the queries for names that come once"));
  plans.back().one_hit_per_mille = 300;
  plans.push_back(plan("drift", "zipf-1.0; a name stays popular for 200 queries"));
  plans.back().drift_per_mille = 5;
  plans.push_back(plan("scan", "zipf-1.0; for a sixth of the time half the queries scan"));
  plans.back().scan_per_mille = 500;
  plans.push_back(plan("dns", "zipf-1.0; 10 % come once, popular for 1000 queries"));
  plans.back().one_hit_per_mille = 100;
  plans.back().drift_per_mille = 1;
  plans.push_back(plans.back());
  plans.back().name = "flood";
  plans.back().about = "dns, and as many queries again for random subdomains";
  plans.back().flood = true;
  return plans;
}

}  // namespace millrace::cachesim
