// SPDX-License-Identifier: Apache-2.0
// A26: what becomes of records off the chain, by the config. Method: the same answer under each of
// the three choices; what is shown is read again by a reader of its own.
#include "tests/unit/wire/wire_test.hpp"

namespace millrace::test {
namespace {

using abi::UnrelatedRecords;
using wire::Verdict;

ParsedUpstream with_choice(UnrelatedRecords choice, const DnsBuilder& builder,
                           const Name& name = kQname) {
  abi::PacketCacheConfig limits = cache_limits();
  limits.unrelated = choice;
  return parse_upstream(builder.build(), key_for(name, kTypeA), limits);
}

struct UnrelatedTest : public testing::Test {
  UnrelatedTest() { answer_.response().rd().question(kQname, kTypeA); }

  UnrelatedTest& data(const char* address = "198.18.2.1") {
    answer_.answer(Name::pointer(12), kTypeA, 300, rdata_a(address));
    return *this;
  }
  UnrelatedTest& alias() {
    answer_.answer(Name::pointer(12), kTypeCname, 300, rdata_name("b.example"));
    return *this;
  }
  UnrelatedTest& stray(uint32_t ttl = 300) {
    answer_.answer("www.bank.test", kTypeA, ttl, rdata_a("203.0.113.66"));
    return *this;
  }
  // All three: relayed whole, not cached, counted; `stripped_bytes` of the body with `strip`, 0:
  // that is a failure; a failure with `refuse`.
  void expect_choices(std::size_t stripped_bytes) {
    const ParsedUpstream relayed = with_choice(UnrelatedRecords::relay, answer_);
    EXPECT_EQ(relayed.verdict, Verdict::answer);
    const ParsedUpstream stripped = with_choice(UnrelatedRecords::strip, answer_);
    EXPECT_EQ(stripped.verdict, stripped_bytes != 0 ? Verdict::answer : Verdict::failure);
    EXPECT_EQ(stripped.view().body_bytes, stripped_bytes);
    const ParsedUpstream refused = with_choice(UnrelatedRecords::refuse, answer_);
    EXPECT_EQ(refused.verdict, Verdict::failure);
    EXPECT_TRUE(refused.view().failure);
    EXPECT_EQ(refused.view().rcode, 2);
    EXPECT_EQ(refused.view().body_bytes, 0);
    for (const ParsedUpstream* result : {&relayed, &stripped, &refused}) {
      EXPECT_FALSE(result->parsed.cacheable);
      EXPECT_EQ(result->parsed.skip, Event::ins_skip_chain);
    }
  }

  DnsBuilder answer_;
};

TEST_F(UnrelatedTest, A26_B51_behind_the_data) {
  data().data("198.18.2.2").stray(7).stray();
  answer_.authority("example.com", kTypeSoa, 60, rdata_soa({}));
  answer_.additional("a.example", kTypeA, 60, rdata_a("203.0.113.66")).opt();
  expect_choices(2 * 16);
  const ParsedUpstream stripped = with_choice(UnrelatedRecords::strip, answer_);
  EXPECT_EQ(stripped.view().an_cnt, 2);
  EXPECT_EQ(stripped.view().ns_cnt + stripped.view().ar_cnt, 0);
  EXPECT_EQ(stripped.view().an_end, 32);
  EXPECT_EQ(stripped.view().ns_end, 32);
  EXPECT_EQ(stripped.ttls(), (std::vector<uint32_t>{300, 300}));
}

TEST_F(UnrelatedTest, A26_A27_behind_a_chain_with_its_data) {
  alias();
  answer_.answer("b.example", kTypeA, 300, rdata_a("198.18.2.1"));
  const std::size_t whole = answer_.offset() - 33;
  stray();
  expect_choices(whole);
}

// Parts of an RRset would look like all of it (RFC 2181, section 5.1).
TEST_F(UnrelatedTest, A26_between_the_data) {
  data().stray().data("198.18.2.2");
  expect_choices(0);
}

TEST_F(UnrelatedTest, A26_in_front_of_the_data) {
  stray().data();
  expect_choices(0);
}

TEST_F(UnrelatedTest, A26_a_chain_in_another_order) {
  answer_.answer("b.example", kTypeA, 300, rdata_a("198.18.2.1"));
  alias();
  expect_choices(0);
}

TEST_F(UnrelatedTest, A26_A27_behind_a_chain_without_data) {
  alias().stray();
  expect_choices(0);
}

TEST_F(UnrelatedTest, A26_in_a_denial) {
  stray();
  answer_.rcode(3).authority("example.com", kTypeSoa, 60, rdata_soa({}));
  expect_choices(0);
}

// Without the DNAME that says so, nobody can make sense of YXDOMAIN.
TEST_F(UnrelatedTest, A26_A28_a_dname_of_somebody_else) {
  answer_.rcode(6).answer("bank.test", kTypeDname, 300, rdata_name("example.net"));
  expect_choices(0);
}

TEST_F(UnrelatedTest, B61_a_chain_that_is_too_long) {
  const auto name = [](int i) { return "n" + std::to_string(i) + ".example"; };
  DnsBuilder chain = DnsBuilder().response().question(name(0), kTypeA);
  for (int i = 0; i < 17; ++i) chain.answer(name(i), kTypeCname, 60, rdata_name(name(i + 1)));
  chain.answer(name(17), kTypeA, 60, rdata_a("198.18.2.1"));
  for (const auto choice : {UnrelatedRecords::strip, UnrelatedRecords::refuse})
    EXPECT_EQ(with_choice(choice, chain, name(0)).verdict, Verdict::failure);
  EXPECT_EQ(with_choice(UnrelatedRecords::relay, chain, name(0)).verdict, Verdict::answer);
}

// Nothing else depends on it.
TEST_F(UnrelatedTest, A26_answers_without_such_records) {
  alias();
  answer_.answer("b.example", kTypeA, 300, rdata_a("198.18.2.1"));
  answer_.additional("a.example", kTypeA, 60, rdata_a("198.18.2.2"));
  const Bytes whole = with_choice(UnrelatedRecords::relay, answer_).body();
  for (const auto choice : {UnrelatedRecords::strip, UnrelatedRecords::refuse}) {
    EXPECT_TRUE(with_choice(choice, answer_).parsed.cacheable);
    EXPECT_EQ(with_choice(choice, answer_).body(), whole);
  }
}

// An OPT has 11 octets (A72).
TEST_F(UnrelatedTest, A26_A72_relayed_only_where_an_opt_has_room_too) {
  for (const std::size_t bytes : {65'524, 65'525, 65'535}) {
    DnsBuilder large = DnsBuilder().response().question(kQname, kTypeTxt);
    const std::size_t rest = bytes - large.offset() - 12 - 29;  // two heads and the stray's data
    large.answer(Name::pointer(12), kTypeTxt, 300, Bytes(rest, 0));
    large.answer("www.bank.test", kTypeA, 300, rdata_a("203.0.113.66"));
    ASSERT_EQ(large.build().size(), bytes);
    const ParsedUpstream relayed = parse_upstream(large.build(), key_for(kQname, kTypeTxt));
    EXPECT_EQ(relayed.verdict, Verdict::answer);
    EXPECT_EQ(relayed.view().an_cnt, bytes == 65'524 ? 2 : 1);
    EXPECT_EQ(relayed.parsed.skip, Event::ins_skip_chain);
  }
}

TEST_F(UnrelatedTest, A26_B51_in_a_large_answer) {
  DnsBuilder large = DnsBuilder().response().question(kQname, kTypeA);
  for (uint32_t i = 0; i < 2000; ++i) {
    large.answer(Name::pointer(12), kTypeA, 300, Bytes{198, 18, uint8_t(i >> 8), uint8_t(i)});
  }
  large.answer("www.bank.test", kTypeA, 300, rdata_a("203.0.113.66"));
  EXPECT_EQ(with_choice(UnrelatedRecords::relay, large).view().an_cnt, 2001);
  EXPECT_EQ(with_choice(UnrelatedRecords::strip, large).view().an_cnt, 2000);
  EXPECT_EQ(with_choice(UnrelatedRecords::refuse, large).verdict, Verdict::failure);
}

}  // namespace
}  // namespace millrace::test
