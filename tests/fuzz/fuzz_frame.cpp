// SPDX-License-Identifier: Apache-2.0
// libFuzzer target. The first byte chooses: one frame as it came, and the same with checksums made
// right, through the parsers and back; or workers in a world of clients and upstreams.
#include "tests/fuzz/frame_world.hpp"
#include "tests/fuzz/oracles.hpp"

namespace {

void expect_holds(const millrace::test::Bytes& frame) {
  const std::string wrong = millrace::test::check_frame(frame.data(), frame.size());
  if (!wrong.empty()) millrace::sim::violate("frame", wrong, frame);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace millrace::test;
  run_or_abort([&] {
    Choices from(data, size);
    if (from.flag()) {
      FrameWorld(from).run();
      return;
    }
    Bytes frame = from.bytes(size);
    expect_holds(frame);
    if (mend_sums(frame)) expect_holds(frame);
  });
  return 0;
}
