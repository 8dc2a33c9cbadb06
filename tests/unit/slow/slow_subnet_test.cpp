// SPDX-License-Identifier: Apache-2.0
// A89 over TCP: the client's address is that of its connection, and the answers are those that UDP
// clients of its subnet get.
#include "tests/unit/slow/slow_rig.hpp"
#include "tests/unit/worker/subnet_rig.hpp"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

class SlowSubnet : public ::testing::Test {
 protected:
  SlowSubnet() {
    abi::PoolConfig& pool = rig.rig.service().pool[0];
    pool.subnet_variants = 4;
    pool.subnet_bits4 = 24;
    pool.subnet_bits6 = 56;
    rig.rig.publish();
  }
  static Bytes query(const std::optional<Bytes>& told) {
    OptFields opt;
    if (told) opt.options = {{kSubnetOption, *told}};
    return DnsBuilder().id(1).rd().question(kSubnetName, kTypeA).opt(opt).build();
  }
  // The reply; what goes upstream is noted in `told`, and answered with this SCOPE.
  ReadMessage ask(const std::string& from, const std::optional<Bytes>& option = {},
                  uint8_t scope = 24) {
    auto client = rig.client(from);
    told.reset();
    rig.rig.clear();
    client->send_message(query(option));
    rig.run();
    if (!rig.rig.asked().empty()) {
      const Out asked = rig.rig.only_asked();
      told = subnet_in(asked.message);
      EXPECT_TRUE(told.has_value());
      const Bytes back = with_scope(told.value_or(Bytes(4)), scope);
      rig.rig.answer(asked, rig.rig.data_for(asked).opt({.options = {{kSubnetOption, back}}}));
      rig.rig.clear();
      rig.run();
    }
    const auto replies = client->messages();
    EXPECT_EQ(replies.size(), 1u);
    return replies.empty() ? ReadMessage{} : rig.read(replies[0]);
  }

  SlowRig rig;
  std::optional<Bytes> told;  // upstream; nothing: it was not asked
};

TEST_F(SlowSubnet, A89_the_connection_says_who_asks) {
  EXPECT_EQ(ask("198.18.5.9").count(Section::answer), 1u);
  EXPECT_EQ(told, ipv4_subnet(5));
  EXPECT_EQ(ask("198.18.5.10").count(Section::answer), 1u);
  EXPECT_FALSE(told);
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
  ask("198.18.6.9");
  EXPECT_EQ(told, ipv4_subnet(6));
  ask("fd00:18:1:2ff::9");
  EXPECT_EQ(told, (Bytes{0, 2, 56, 0, 0xfd, 0, 0, 0x18, 0, 1, 2}));
}

TEST_F(SlowSubnet, A89_the_option_is_heard_and_comes_back) {
  const Bytes wide = {0, 1, 16, 0, 198, 18};
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(subnet_in(ask("198.18.5.9", wide, 16)), with_scope(wide, 16));
    EXPECT_EQ(told.has_value(), i == 0);
  }
  EXPECT_FALSE(subnet_in(ask("198.18.7.9")));
  EXPECT_FALSE(told) << "in the /16";
  EXPECT_EQ(subnet_in(ask("198.18.7.9", Bytes{0, 1, 0, 0}, 0)), (Bytes{0, 1, 0, 0}));
  EXPECT_EQ(told, (Bytes{0, 1, 0, 0}));
}

TEST_F(SlowSubnet, A89_B23_what_cannot_be_is_a_format_error) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ask("198.18.5.9", Bytes{0, 1, 24, 0, 198, 18}).rcode(), 1);
    EXPECT_EQ(ask("198.18.5.9").rcode(), 0);
  }
  EXPECT_EQ(rig.outcome(Outcome::fmt_subnet), 2u);
}

TEST_F(SlowSubnet, A121_A89_a_hit_near_the_end_has_it_asked_again) {
  ask("198.18.5.9");
  ask("198.18.5.10");
  rig.rig.jump_ms(280'000);
  auto client = rig.client("198.18.5.11");
  rig.rig.clear();
  client->send_message(query({}));
  rig.run();
  EXPECT_EQ(client->messages().size(), 1u);
  EXPECT_EQ(subnet_in(rig.rig.only_asked().message), ipv4_subnet(5));
}

// What was asked over TCP because it came truncated tells the same, and is for the same.
TEST_F(SlowSubnet, A89_asked_over_tcp) {
  auto client = rig.client("198.18.5.9");
  client->send_message(query(ipv4_subnet(5)));
  rig.run();
  const Out asked = rig.rig.only_asked();
  rig.rig.answer(asked, rig.rig.answer_to(asked).add_flags(kFlagTc).opt(
                            {.options = {{kSubnetOption, ipv4_subnet(5, 24, 24)}}}));
  rig.rig.clear();
  rig.run();
  ASSERT_EQ(rig.upstreams.size(), 1u);
  const auto streamed = rig.upstreams[0]->messages();
  ASSERT_EQ(streamed.size(), 1u);
  const ReadMessage question = rig.read(streamed[0]);
  EXPECT_EQ(subnet_in(question), ipv4_subnet(5));
  rig.upstreams[0]->send_message(
      DnsBuilder()
          .id(question.id)
          .response()
          .rd()
          .question(kSubnetName, kTypeA)
          .answer(Name::pointer(12), kTypeA, 300, rdata_a("198.51.100.5"))
          .opt({.options = {{kSubnetOption, ipv4_subnet(5, 24, 22)}}})
          .build());
  rig.run(6);
  const auto replies = client->messages();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(subnet_in(rig.read(replies[0])), ipv4_subnet(5, 24, 22));
  EXPECT_EQ(ask("198.18.6.9").count(Section::answer), 1u);
  EXPECT_FALSE(told) << "in the /22";
}

}  // namespace
}  // namespace millrace::test
