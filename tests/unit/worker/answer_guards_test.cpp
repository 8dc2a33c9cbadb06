// SPDX-License-Identifier: Apache-2.0
// What is known of an upstream, and whose it is.
#include "dataplane/worker/answer_guards.hpp"
#include "tests/support/packet_reader.hpp"
#include "tests/unit/worker/images.hpp"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

// We are somebody else there: it must not learn who we were (RFC 7873, section 5.1).
TEST(Guards, A68_at_another_address_of_ours_nothing_is_known) {
  HashSecret secret{};
  dp::AnswerGuards guards(secret);
  abi::ServiceSection service{};
  service.upstream_cookies = 1;
  dp::Remap remap;
  remap.backend.fill(dp::Remap::kGone);
  guards.apply(remap, service);
  guards.begin_turn(1);
  const uint8_t seed[Csprng::kSeedBytes] = {};
  Csprng random(seed);
  Key key{};
  key.len = kKeyHeadBytes + 1;
  const auto armed = [&](const char* source) {
    dp::Try entry{};
    entry.source = address_of(source);
    entry.target = backend_address(0);
    entry.with_edns = true;
    guards.arm(entry, random);
    return entry;
  };
  const auto cookie = [&](const dp::Try& entry) {
    Bytes message(100);
    const uint16_t len = wire::write_upstream_query(message.data(), 1, key, 1232);
    message.resize(guards.dress(message.data(), len, key, entry));
    const Bytes rdata = read_message(message).value().opt()->rdata;
    return Bytes(rdata.begin() + 4, rdata.end());
  };
  const dp::Try here = armed("198.18.1.2");
  const Bytes ours = cookie(here);
  Bytes theirs = ours;
  theirs.insert(theirs.end(), 16, 's');
  wire::ParsedAnswer parsed{};
  parsed.cookie = theirs.data();
  parsed.cookie_bytes = static_cast<uint16_t>(theirs.size());
  guards.on_good(here, wire::Verdict::answer, parsed);
  EXPECT_EQ(cookie(here), theirs);
  const dp::Try there = armed("198.18.1.3");
  EXPECT_EQ(cookie(there).size(), 8u);
  EXPECT_NE(cookie(there), ours);
  const Bytes answer(12);
  const auto lacks = [&](const dp::Try& entry) {
    return guards.judge(entry, key, answer.data(), wire::Verdict::failure, {});
  };
  EXPECT_EQ(lacks(here), dp::Guard::cookie);
  EXPECT_EQ(lacks(there), dp::Guard::none);
}

TEST(Guards, A67_what_is_known_moves_with_its_upstream) {
  HashSecret secret{};
  dp::AnswerGuards guards(secret);
  abi::ServiceSection service{};
  service.upstream_randomize_case = 1;
  dp::Remap remap;
  remap.backend.fill(dp::Remap::kGone);
  guards.apply(remap, service);
  const uint8_t seed[Csprng::kSeedBytes] = {};
  Csprng random(seed);
  const auto is_spelt = [&](uint8_t backend) {
    dp::Try entry{};
    entry.backend = backend;
    guards.arm(entry, random);
    return entry.spelling != 0;
  };
  for (uint32_t i = 1; i < dp::AnswerGuards::kBreachesMax; ++i)
    EXPECT_FALSE(guards.on_breach(0, dp::Guard::spelling));
  EXPECT_TRUE(guards.on_breach(0, dp::Guard::spelling));
  EXPECT_FALSE(is_spelt(0));
  remap.backend[0] = 2;
  guards.apply(remap, service);
  EXPECT_TRUE(is_spelt(0)) << "another upstream";
  EXPECT_FALSE(is_spelt(2));
  remap.backend.fill(dp::Remap::kGone);
  guards.apply(remap, service);
  EXPECT_TRUE(is_spelt(2)) << "gone, or at another address";
}

}  // namespace
}  // namespace millrace::test
