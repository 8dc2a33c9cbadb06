// SPDX-License-Identifier: Apache-2.0
#pragma once
// A shard driven by bytes: the first one chooses the scenario and the eviction policy, the rest are
// the numbers that the driver asks for, as many bytes as a number needs. When they are used up the
// shard is emptied and must be free to the last byte. Fails as gtest fails.

#include "tests/unit/cache/shard_driver.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace millrace::test {

template <class Shard>
void drive(cache::Scenario scenario, const uint8_t* data, std::size_t size) {
  std::size_t at = 0;
  const auto choose = [&](uint64_t bound) {
    uint64_t number = 0;
    const auto bytes = (static_cast<uint32_t>(std::bit_width(bound - 1)) + 7) / 8;
    for (uint32_t i = 0; i < bytes && at < size; ++i)
      number = number << 8 | data[at++];
    return number % bound;
  };
  // Small: what a run costs is mostly the memory that it begins and ends with.
  scenario.region_bytes = cache::kRegionBytesMin;
  scenario.keys = 500;
  cache::ShardDriver<Shard> driver(scenario, choose);
  while (at < size && !::testing::Test::HasFatalFailure())
    driver.step();
  driver.end();
}

inline void drive_shard(const uint8_t* data, std::size_t size) {
  using cache::kScenarios;
  if (size == 0) return;
  const cache::Scenario& scenario = kScenarios[data[0] % std::size(kScenarios)];
  if (data[0] / std::size(kScenarios) % 2 == 0) {
    drive<cache::BasicShard<cache::Sieve>>(scenario, data + 1, size - 1);
  } else {
    drive<cache::BasicShard<cache::S3Fifo>>(scenario, data + 1, size - 1);
  }
}

}  // namespace millrace::test
