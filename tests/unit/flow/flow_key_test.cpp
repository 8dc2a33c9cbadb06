// SPDX-License-Identifier: Apache-2.0
// FlowKey: every prefix length of both families against bit-by-bit arithmetic.
#include "dataplane/flow/flow_key.hpp"

#include <gtest/gtest.h>

namespace millrace::flow {
namespace {

constexpr FlowPath kPath{.service = 3, .ingress = 1, .protocol = 17};

void check_every_prefix(uint8_t family, uint32_t from, uint32_t to) {
  const uint32_t bits = family == kFamily4 ? 32 : 128;
  uint8_t address[16];
  for (uint32_t i = 0; i < sizeof address; ++i)
    address[i] = static_cast<uint8_t>(0xff - i);
  for (uint32_t prefix = from; prefix <= to; ++prefix) {
    const FlowKey key = make_flow_key(family, address, prefix, kPath);
    for (uint32_t bit = 0; bit < 128; ++bit) {
      const bool set = key.source[bit / 8] >> (7 - bit % 8) & 1;
      const bool wanted = bit < prefix && (address[bit / 8] >> (7 - bit % 8) & 1);
      ASSERT_EQ(set, wanted) << "/" << prefix << ", bit " << bit;
    }
    for (uint32_t bit = 0; bit < bits; ++bit) {
      uint8_t other[16];
      std::memcpy(other, address, sizeof other);
      other[bit / 8] ^= static_cast<uint8_t>(0x80 >> bit % 8);
      ASSERT_EQ(same_key(key, make_flow_key(family, other, prefix, kPath)), bit >= prefix);
    }
  }
}

TEST(FlowKey, KeepsThePrefixAndNothingElse) {
  check_every_prefix(kFamily4, kPrefixBitsMin4, kPrefixBitsMax4);
  check_every_prefix(kFamily6, kPrefixBitsMin6, kPrefixBitsMax6);
}

TEST(FlowKey, EachFieldTellsKeysApart) {
  const uint8_t address[16] = {192, 0, 2, 1};
  const FlowKey key = make_flow_key(kFamily4, address, 32, kPath);
  EXPECT_TRUE(same_key(key, make_flow_key(kFamily4, address, 32, kPath)));
  for (const FlowPath& path : {FlowPath{4, 1, 17}, FlowPath{3, 2, 17}, FlowPath{3, 1, 6}})
    EXPECT_FALSE(same_key(key, make_flow_key(kFamily4, address, 32, path)));
  EXPECT_FALSE(same_key(key, make_flow_key(kFamily6, address, 128, kPath)))
      << "c000:201:: is not 192.0.2.1";
}

}  // namespace
}  // namespace millrace::flow
