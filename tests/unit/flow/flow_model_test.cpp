// SPDX-License-Identifier: Apache-2.0
// FlowCache against a std::unordered_map with times: a million random insertions, lookups, turns of
// the wheel and changes of generation.
//
// A flow may vanish only by eviction or because it is void; what is found is the last verdict of
// that key, within its TTL and under its generation. While nothing was evicted, nothing is missing.
// MILLRACE_MODEL_STEPS sets the number of steps of each run, MILLRACE_MODEL_SEED the seed.
#include "tests/unit/flow/flow_fixture.hpp"

#include <random>
#include <unordered_map>

namespace millrace::flow {
namespace {

uint64_t from_env(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct Scenario {
  uint32_t flows;
  uint32_t keys;
  uint32_t ttl_s_max;
};

template <class Policy>
class FlowModel : public FlowTest<Policy> {
 protected:
  using FlowTest<Policy>::cache_;
  using FlowTest<Policy>::generation_;

  struct Stored {
    Verdict verdict;
    uint64_t generation;
    uint64_t expires_ms;
  };

  uint64_t below(uint64_t n) { return random_() % n; }

  void step_insert() {
    const auto number = static_cast<uint32_t>(below(scenario_.keys));
    const auto ttl_s = static_cast<uint32_t>(below(scenario_.ttl_s_max));
    const Verdict verdict{static_cast<Action>(below(4)), 0, static_cast<uint16_t>(below(65536))};
    cache_.insert(key_of(number), verdict, ttl_s, generation_, now_ms_);
    model_[number] = Stored{verdict, generation_, now_ms_ + uint64_t{ttl_s} * 1000};
  }

  void step_lookup() {
    const auto n = static_cast<uint32_t>(1 + below(kBurstMax));
    uint32_t numbers[kBurstMax];
    FlowKey keys[kBurstMax];
    Verdict verdicts[kBurstMax];
    for (uint32_t i = 0; i < n; ++i) {
      numbers[i] = static_cast<uint32_t>(below(scenario_.keys));
      keys[i] = key_of(numbers[i]);
    }
    const uint32_t found = cache_.lookup_burst(keys, n, generation_, now_ms_, verdicts);
    if (n < 32) {
      ASSERT_EQ(found >> n, 0u);
    }
    for (uint32_t i = 0; i < n; ++i) {
      const auto stored = model_.find(numbers[i]);
      const bool holds = stored != model_.end() && stored->second.generation == generation_ &&
                         now_ms_ < stored->second.expires_ms;
      if ((found >> i & 1) == 0) {
        ASSERT_TRUE(!holds || cache_.gauges().evicted > 0) << "lost";
        continue;
      }
      ++hits_;
      ASSERT_TRUE(holds);
      ASSERT_EQ(std::memcmp(&verdicts[i], &stored->second.verdict, sizeof(Verdict)), 0);
    }
  }

  void step() {
    const uint64_t what = below(1000);
    if (what < 450) return step_insert();
    if (what < 900) return step_lookup();
    if (what < 998) {
      const auto budget = static_cast<uint32_t>(below(60));
      ASSERT_LE(cache_.expire(now_ms_, budget), budget);
      now_ms_ += below(20) == 0 ? below(8000) : below(60);
      return;
    }
    ++generation_;
  }

  void run(const Scenario& scenario) {
    scenario_ = scenario;
    const uint64_t seed = from_env("MILLRACE_MODEL_SEED", 20240811);
    const uint64_t steps = from_env("MILLRACE_MODEL_STEPS", 350'000);
    SCOPED_TRACE(testing::Message() << "MILLRACE_MODEL_SEED=" << seed);
    this->make(scenario_.flows);
    random_.seed(seed);
    now_ms_ = below(uint64_t{1} << 36);
    for (uint64_t i = 0; i < steps; ++i) {
      ASSERT_NO_FATAL_FAILURE(step()) << "step " << i;
      if (i % 16384 == 0) {
        ASSERT_NO_FATAL_FAILURE(this->check()) << "step " << i;
      }
    }
    ASSERT_NO_FATAL_FAILURE(this->check());
    EXPECT_GT(hits_, steps / 50) << "the run tested nothing";
    const FlowGauges& gauges = cache_.gauges();
    std::printf(
        "  %llu steps: hits %llu, inserted %llu, replaced %llu, evicted %llu, expired %llu\n",
        static_cast<unsigned long long>(steps), static_cast<unsigned long long>(hits_),
        static_cast<unsigned long long>(gauges.inserted),
        static_cast<unsigned long long>(gauges.replaced),
        static_cast<unsigned long long>(gauges.evicted),
        static_cast<unsigned long long>(gauges.expired));
    cache_.expire(now_ms_ + uint64_t{scenario_.ttl_s_max + 2} * 1000, UINT32_MAX);
    EXPECT_EQ(gauges.flows, 0u);
    ASSERT_NO_FATAL_FAILURE(this->check());
  }

  Scenario scenario_{};
  std::mt19937_64 random_;
  uint64_t now_ms_ = 0;
  uint64_t hits_ = 0;
  std::unordered_map<uint32_t, Stored> model_;
};

TYPED_TEST_SUITE(FlowModel, Policies, PolicyNames);

TYPED_TEST(FlowModel, Roomy) {
  this->run({20'000, 3000, 100});
}
TYPED_TEST(FlowModel, Full) {
  this->run({1000, 3000, 400});
}
TYPED_TEST(FlowModel, Tiny) {
  this->run({12, 40, 60});
}

}  // namespace
}  // namespace millrace::flow
