// SPDX-License-Identifier: Apache-2.0
// CLIENT-SUBNET (A89, B23): which options can be, what goes upstream, which answers are ours.
#include "dataplane/wire/subnet.hpp"
#include "tests/unit/wire/wire_test.hpp"

#include <random>

namespace millrace::test {
namespace {

using wire::Subnet;

constexpr uint16_t kSubnetOption = 8;

std::optional<Subnet> read(const Bytes& data) {
  const ExactCopy copy(data);
  Subnet subnet{};
  if (!wire::read_subnet(copy.data(), copy.len(), subnet)) return {};
  return subnet;
}

TEST(Subnet, A89_an_option_is_read) {
  EXPECT_EQ(read({0, 1, 24, 0, 198, 18, 5}), (Subnet{uint64_t{0xc612'05} << 40, 1, 24}));
  EXPECT_EQ(read({0, 1, 17, 0, 198, 18, 0x80}), (Subnet{uint64_t{0xc612'80} << 40, 1, 17}));
  EXPECT_EQ(read({0, 1, 32, 0, 198, 18, 5, 9}), (Subnet{uint64_t{0xc612'0509} << 32, 1, 32}));
  EXPECT_EQ(read({0, 2, 56, 0, 0xfd, 0, 0, 0x18, 0, 0, 7}),
            (Subnet{0xfd00'0018'0000'0700, 2, 56}));
  const Bytes whole = {0, 2, 128, 0, 0xfd, 0, 0, 0x18, 0, 0, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(read(whole), (Subnet{0xfd00'0018'0000'0708, 2, 64})) << "as far as we go";
  for (const uint8_t family : Bytes{0, 1, 2}) {
    EXPECT_EQ(read({0, family, 0, 0}), (Subnet{0, 1, 0})) << "nothing is told, whatever of";
  }
}

TEST(Subnet, B23_what_cannot_be) {
  const std::vector<Bytes> broken = {
      {},
      {0, 1, 24},
      {0, 1, 24, 0},                                    // too few octets
      {0, 1, 24, 0, 198, 18},                           //
      {0, 1, 24, 0, 198, 18, 0, 0},                     // too many
      {0, 1, 24, 24, 198, 18, 0},                       // a SCOPE in a query
      {0, 1, 23, 0, 198, 18, 1},                        // a bit behind SOURCE
      {0, 1, 33, 0, 198, 18, 0, 0, 0},                  // longer than the address
      {0, 2, 129, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
      {0, 0, 8, 0, 198},                                // of no family
      {0, 3, 8, 0, 198},
      {1, 1, 8, 0, 198},
      {0, 1, 0, 0, 0},
  };
  for (const Bytes& data : broken) EXPECT_FALSE(read(data).has_value()) << data.size();
}

TEST(Subnet, prefixes_are_cut_and_contain) {
  const Subnet whole = wire::subnet_of(address_of("198.18.5.9"));
  EXPECT_EQ(whole, (Subnet{uint64_t{0xc612'0509} << 32, 1, 32}));
  EXPECT_EQ(wire::cut(whole, 24), (Subnet{uint64_t{0xc612'05} << 40, 1, 24}));
  EXPECT_EQ(wire::cut(whole, 40), whole);
  const Subnet v6 = wire::subnet_of(address_of("fd00:18::53"));
  EXPECT_EQ(v6, (Subnet{0xfd00'0018'0000'0000, 2, 64}));
  EXPECT_EQ(wire::cut(v6, 0), wire::cut(whole, 0)) << "who tells nothing is like all others";
  EXPECT_TRUE(wire::contains(wire::cut(whole, 24), whole));
  EXPECT_TRUE(wire::contains(whole, whole));
  EXPECT_FALSE(wire::contains(whole, wire::cut(whole, 24)));
  EXPECT_FALSE(wire::contains(wire::cut(wire::subnet_of(address_of("198.18.6.9")), 24), whole));
  EXPECT_FALSE(wire::contains({0, 2, 0}, whole));
}

// Only where it is asked by subnet is there anything to be done about the option.
TEST(Subnet, A88_A89_the_option_is_noted_where_it_is_on) {
  const Bytes query = DnsBuilder()
                          .rd()
                          .question(kQname, kTypeA)
                          .opt({.options = {{65001, {1}}, {kSubnetOption, {0, 1, 0, 0}}}})
                          .build();
  const ExactCopy copy(query);
  wire::Query seen{};
  Key key;
  EXPECT_EQ(wire::parse_query(copy.data(), copy.len(), seen, key), kGoOn);
  EXPECT_EQ(seen.options_at, 0);
  EXPECT_EQ(wire::parse_query(copy.data(), copy.len(), seen, key, true, true), kGoOn);
  ASSERT_EQ(seen.options_at, query.size() - 8 - 5);
  const wire::ClientOptions options = wire::read_options(copy.data(), seen.options_at);
  EXPECT_EQ(options.subnet_bytes, 4u);
  EXPECT_EQ(options.subnet, copy.data() + query.size() - 4);
}

class SubnetAnswer : public ::testing::Test {
 protected:
  static DnsBuilder answer(const std::vector<Option>& options) {
    return DnsBuilder()
        .response()
        .question(kQname, kTypeA)
        .answer(Name::pointer(12), kTypeA, 300, rdata_a("198.18.7.7"))
        .opt({.options = options});
  }
  // The SCOPE, or nothing: dropped.
  std::optional<int> scope(const Bytes& message) const {
    const ExactCopy copy(message);
    uint8_t scope = 0xee;
    if (!wire::read_scope(copy.data(), copy.len(), asked, scope)) return {};
    return scope;
  }
  std::optional<int> scope_with(const Bytes& data) const {
    return scope(answer({{65001, {1, 2}}, {kSubnetOption, data}}).build());
  }

  Subnet asked{uint64_t{0xc612'05} << 40, 1, 24};
};

TEST_F(SubnetAnswer, A89_it_says_for_whom_it_is) {
  EXPECT_EQ(scope_with({0, 1, 24, 16, 198, 18, 5}), 16);
  EXPECT_EQ(scope_with({0, 1, 24, 32, 198, 18, 5}), 32);
  EXPECT_EQ(scope(answer({}).build()), 0);
  EXPECT_EQ(scope(DnsBuilder().response().question(kQname, kTypeA).build()), 0);
  EXPECT_EQ(scope(Bytes(12, 0)), 0);
}

TEST_F(SubnetAnswer, A89_for_another_subnet_it_is_not_ours) {
  EXPECT_FALSE(scope_with({0, 2, 24, 24, 198, 18, 5}));
  EXPECT_FALSE(scope_with({0, 1, 23, 24, 198, 18, 4}));
  EXPECT_FALSE(scope_with({0, 1, 24, 24, 198, 18, 6}));
  EXPECT_FALSE(scope_with({0, 1, 24, 33, 198, 18, 5}));
  EXPECT_FALSE(scope_with({0, 1, 24, 24, 198, 18, 5, 0}));
  EXPECT_FALSE(scope_with({0, 1, 24, 24, 198, 18}));
  EXPECT_FALSE(scope_with({0, 1}));
}

// RFC 7871 section 7.3: who told nothing may be told for whom it was made.
TEST_F(SubnetAnswer, A89_who_told_nothing) {
  asked = {0, 1, 0};
  EXPECT_EQ(scope_with({0, 1, 0, 0}), 0);
  EXPECT_EQ(scope_with({0, 2, 0, 48}), 48);
  EXPECT_EQ(scope_with({0, 1, 0, 24, 198, 18, 5}), 24);
  EXPECT_FALSE(scope_with({0, 1, 24, 24, 198, 18, 5}));
}

TEST_F(SubnetAnswer, A89_what_is_appended_is_read_again) {
  std::mt19937_64 random(7);
  const Key key = key_for(kQname, kTypeA);
  for (int i = 0; i < 20'000; ++i) {
    const bool v6 = (random() & 1) != 0;
    const auto bits = static_cast<uint32_t>(random() % (v6 ? 65 : 33));
    asked = wire::cut({random() & wire::subnet_mask(v6 ? 64 : 32),
                       v6 ? wire::kSubnetIpv6 : wire::kSubnetIpv4,
                       static_cast<uint8_t>(v6 ? 64 : 32)},
                      bits);
    Bytes message = DnsBuilder().response().question(kQname, kTypeA).opt().build();
    const auto len = static_cast<uint16_t>(message.size());
    message.resize(message.size() + wire::kSubnetBytesMax);
    message.resize(wire::add_subnet(message.data(), len, key, asked));
    std::string why;
    const auto seen = read_message(message, &why);
    ASSERT_TRUE(seen.has_value()) << why;
    const Bytes& rdata = seen->opt()->rdata;
    ASSERT_EQ(read(Bytes(rdata.begin() + 4, rdata.end())), asked);
    ASSERT_EQ(scope(message), 0);
    asked.prefix ^= wire::subnet_mask(1);
    ASSERT_EQ(scope(message).has_value(), bits == 0);
  }
}

// Nothing is read beyond the end of whatever comes (ExactCopy and the sanitizers look on).
TEST_F(SubnetAnswer, cut_short_anywhere_it_says_nothing) {
  const Bytes whole = answer({{kSubnetOption, {0, 1, 24, 16, 198, 18, 5}}}).build();
  for (std::size_t len = 12; len < whole.size(); ++len) {
    EXPECT_EQ(scope(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(len))), 0);
  }
}

}  // namespace
}  // namespace millrace::test
