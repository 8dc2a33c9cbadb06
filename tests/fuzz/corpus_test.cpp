// SPDX-License-Identifier: Apache-2.0
// Stands in for libFuzzer: gives each file of a corpus once to the target that it is linked with.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size);

namespace millrace::test {
namespace {

TEST(Corpus, Holds) {
  uint32_t inputs = 0;
  for (const auto& file : std::filesystem::directory_iterator(MR_CORPUS)) {
    std::ifstream stream(file.path(), std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(stream), {});
    // Most targets abort: then this is the last that was said.
    std::fprintf(stderr, "%s\n", file.path().c_str());
    SCOPED_TRACE(file.path().string());
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ++inputs;
  }
  EXPECT_GT(inputs, 0u) << MR_CORPUS;
}

}  // namespace
}  // namespace millrace::test
