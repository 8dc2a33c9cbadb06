// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: the first byte chooses between the reader of TCP streams and all of the slow
// path.
#include "tests/fuzz/bench.hpp"
#include "tests/fuzz/stream_oracle.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  millrace::test::run_or_abort([&] {
    millrace::test::Choices from(data, size);
    if (from.flag()) {
      millrace::test::check_slow_path(from);
    } else {
      millrace::test::check_reader(from);
    }
  });
  return 0;
}
