// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: bytes choose the calls of a shard; the model (shard_driver.hpp) judges.
#include "tests/fuzz/shard_bytes.hpp"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  GTEST_FLAG_SET(break_on_failure, true);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  millrace::test::drive_shard(data, size);
  return 0;
}
