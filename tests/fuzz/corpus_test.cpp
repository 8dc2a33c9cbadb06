// SPDX-License-Identifier: Apache-2.0
// Stands in for libFuzzer: gives each file of a corpus once to the target that it is linked with,
// and bytes at random, which a target that takes them for decisions makes stories of.
//
// MILLRACE_FUZZ_RUNS says how many of those, MILLRACE_FUZZ_SEED which is the first.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

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

uint32_t number_of(const char* name, uint32_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
}

TEST(Corpus, BytesAtRandom) {
  const uint32_t first = number_of("MILLRACE_FUZZ_SEED", 1);
  const uint32_t runs = number_of("MILLRACE_FUZZ_RUNS", 100);
  for (uint32_t seed = first; seed < first + runs; ++seed) {
    std::mt19937 random(seed);
    std::vector<uint8_t> bytes(random() % 800);
    for (uint8_t& octet : bytes)
      octet = static_cast<uint8_t>(random());
    std::fprintf(stderr, "MILLRACE_FUZZ_SEED=%u\n", seed);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
}

}  // namespace
}  // namespace millrace::test
