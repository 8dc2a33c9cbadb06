// SPDX-License-Identifier: Apache-2.0
#pragma once
// A shard driven by bytes: the first one chooses the scenario, the rest are the numbers that the
// driver asks for, as many bytes as a number needs. When they are used up the shard is emptied and
// must be free to the last byte. Fails as gtest fails.

#include "tests/unit/cache/shard_driver.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace millrace::test {

inline void drive_shard(const uint8_t* data, std::size_t size) {
  using cache::kScenarios;
  if (size == 0) return;
  std::size_t at = 1;
  const auto choose = [&](uint64_t bound) {
    uint64_t number = 0;
    const auto bytes = (static_cast<uint32_t>(std::bit_width(bound - 1)) + 7) / 8;
    for (uint32_t i = 0; i < bytes && at < size; ++i)
      number = number << 8 | data[at++];
    return number % bound;
  };
  // Small: what a run costs is mostly the memory that it begins and ends with.
  cache::Scenario scenario = kScenarios[data[0] % std::size(kScenarios)];
  scenario.region_bytes = cache::kRegionBytesMin;
  scenario.keys = 500;
  cache::ShardDriver driver(scenario, choose);
  while (at < size && !::testing::Test::HasFatalFailure())
    driver.step();
  driver.end();
}

}  // namespace millrace::test
