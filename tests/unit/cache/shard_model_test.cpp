// SPDX-License-Identifier: Apache-2.0
// Shard against a std::map (shard_driver.hpp): more than a million seeded steps.
//
// MILLRACE_MODEL_STEPS sets the number of steps for each scenario, MILLRACE_MODEL_SEED the seed;
// without, it is another one each time, and printed.
#include "tests/unit/cache/shard_driver.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>

namespace millrace::cache {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kSteps = 40'000;
#else
constexpr uint64_t kSteps = 260'000;
#endif
constexpr uint64_t kStepsBetweenChecks = 4096;

uint64_t from_env(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

class ShardModel : public ::testing::TestWithParam<Scenario> {};

TEST_P(ShardModel, AgreesWithAMap) {
  const uint64_t seed = from_env("MILLRACE_MODEL_SEED", std::random_device{}());
  const uint64_t steps = from_env("MILLRACE_MODEL_STEPS", kSteps);
  std::printf("MILLRACE_MODEL_SEED=%llu, %llu steps\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(steps));
  SCOPED_TRACE(testing::Message() << "MILLRACE_MODEL_SEED=" << seed);
  std::mt19937_64 random(seed);
  ShardDriver driver(GetParam(), [&random](uint64_t bound) { return random() % bound; });
  for (uint64_t i = 0; i < steps; ++i) {
    ASSERT_NO_FATAL_FAILURE(driver.step()) << "step " << i;
    if (i % kStepsBetweenChecks != 0) continue;
    ASSERT_NO_FATAL_FAILURE(driver.check()) << "step " << i;
  }
  EXPECT_GT(driver.hits(), steps / 50) << "the run tested nothing";
  const Shard::Gauges gauges = driver.gauges();
  ASSERT_NO_FATAL_FAILURE(driver.end());
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("  hits %llu, evicted %llu, expired %llu, pages moved %llu\n", number(driver.hits()),
              number(gauges.evicted), number(gauges.expired), number(gauges.pages_moved));
  std::printf(
      "  stored %llu, replaced %llu, no memory %llu, kept %llu\n",
      number(driver.results(InsertResult::stored)), number(driver.results(InsertResult::replaced)),
      number(driver.results(InsertResult::no_memory)), number(driver.results(InsertResult::kept)));
}

INSTANTIATE_TEST_SUITE_P(Scenarios, ShardModel, ::testing::ValuesIn(kScenarios),
                         [](const auto& scenario) { return std::string(scenario.param.name); });

}  // namespace
}  // namespace millrace::cache
