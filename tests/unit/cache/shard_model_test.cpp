// SPDX-License-Identifier: Apache-2.0
// Shard against a std::map (shard_driver.hpp): more than a million seeded steps, shared among the
// eviction policies and the scenarios.
//
// MILLRACE_MODEL_STEPS sets the number of steps for each of both, MILLRACE_MODEL_SEED the seed;
// without, it is another one each time, and printed.
#include "tests/unit/cache/shard_driver.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <tuple>

namespace millrace::cache {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kSteps = 15'000;
#else
constexpr uint64_t kSteps = 90'000;
#endif
constexpr uint64_t kStepsBetweenChecks = 4096;

uint64_t from_env(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

template <class Shard>
void agree_with_a_map(const Scenario& scenario) {
  const uint64_t seed = from_env("MILLRACE_MODEL_SEED", std::random_device{}());
  const uint64_t steps = from_env("MILLRACE_MODEL_STEPS", kSteps);
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("MILLRACE_MODEL_SEED=%llu, %llu steps\n", number(seed), number(steps));
  SCOPED_TRACE(testing::Message() << "MILLRACE_MODEL_SEED=" << seed);
  std::mt19937_64 random(seed);
  ShardDriver<Shard> driver(scenario, [&random](uint64_t bound) { return random() % bound; });
  for (uint64_t i = 0; i < steps; ++i) {
    ASSERT_NO_FATAL_FAILURE(driver.step()) << "step " << i;
    if (i % kStepsBetweenChecks != 0) continue;
    ASSERT_NO_FATAL_FAILURE(driver.check()) << "step " << i;
  }
  EXPECT_GT(driver.hits(), steps / 50) << "the run tested nothing";
  EXPECT_EQ(driver.stale_most() > 0, scenario.stale_window_s > 0);
  const ShardGauges gauges = driver.gauges();
  ASSERT_NO_FATAL_FAILURE(driver.end());
  std::printf("  hits %llu, stale %llu, evicted %llu, expired %llu, pages moved %llu\n",
              number(driver.hits()), number(driver.stale_hits()), number(gauges.evicted),
              number(gauges.expired), number(gauges.pages_moved));
  std::printf(
      "  stored %llu, replaced %llu, no memory %llu, kept %llu\n",
      number(driver.results(InsertResult::stored)), number(driver.results(InsertResult::replaced)),
      number(driver.results(InsertResult::no_memory)), number(driver.results(InsertResult::kept)));
}

struct Subject {
  const char* name;
  void (*agree_with_a_map)(const Scenario&);
};
constexpr Subject kSubjects[] = {
    {"Sieve", agree_with_a_map<BasicShard<Sieve>>},
    {"S3Fifo", agree_with_a_map<BasicShard<S3Fifo>>},
};

class ShardModel : public ::testing::TestWithParam<std::tuple<Subject, Scenario>> {};

TEST_P(ShardModel, AgreesWithAMap) {
  const auto& [subject, scenario] = GetParam();
  subject.agree_with_a_map(scenario);
}

INSTANTIATE_TEST_SUITE_P(Policies, ShardModel,
                         ::testing::Combine(::testing::ValuesIn(kSubjects),
                                            ::testing::ValuesIn(kScenarios)),
                         [](const auto& of) {
                           return std::string(std::get<0>(of.param).name) + "_" +
                                  std::get<1>(of.param).name;
                         });

}  // namespace
}  // namespace millrace::cache
