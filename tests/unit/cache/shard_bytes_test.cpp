// SPDX-License-Identifier: Apache-2.0
// What the fuzzer does, without it: bytes at random.
#include "tests/fuzz/shard_bytes.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>

namespace millrace::test {
namespace {

TEST(ShardBytes, RandomBytesHold) {
  const char* const given = std::getenv("MILLRACE_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  std::printf("MILLRACE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  SCOPED_TRACE(testing::Message() << "MILLRACE_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 100; ++round) {
    std::vector<uint8_t> bytes(1 + random() % 4096);
    for (uint8_t& byte : bytes)
      byte = static_cast<uint8_t>(random());
    ASSERT_NO_FATAL_FAILURE(drive_shard(bytes.data(), bytes.size())) << "round " << round;
  }
}

}  // namespace
}  // namespace millrace::test
