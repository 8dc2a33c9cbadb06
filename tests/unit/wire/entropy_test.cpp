// SPDX-License-Identifier: Apache-2.0
// Spellings and options of our own queries, and that neither gets into what is kept (A67, A68).
#include "dataplane/wire/edns.hpp"
#include "dataplane/wire/spelling.hpp"
#include "tests/unit/wire/wire_test.hpp"

namespace millrace::test {
namespace {

using wire::Verdict;

Bytes spelt(Bytes name, uint64_t spelling) {
  wire::spell_name(name.data(), static_cast<uint32_t>(name.size()), spelling);
  return name;
}

TEST(Spelling, A67_each_bit_is_a_letter_and_nothing_else_changes) {
  const Bytes name = Name::wire({3, 'a', '-', 'z', 4, '0', '{', '`', 0xe9, 2, 'm', '@', 0}).bytes();
  EXPECT_EQ(spelt(name, 0), name);
  const Bytes capitals = spelt(name, ~uint64_t{0});
  EXPECT_EQ(capitals, (Bytes{3, 'A', '-', 'Z', 4, '0', '{', '`', 0xe9, 2, 'M', '@', 0}));
  EXPECT_EQ(spelt(name, 1u << 3),
            (Bytes{3, 'a', '-', 'Z', 4, '0', '{', '`', 0xe9, 2, 'm', '@', 0}));
  // Longer names use the bits again.
  Bytes longest;
  for (int i = 0; i < 127; ++i)
    longest.insert(longest.end(), {1, 'x'});
  longest.push_back(0);
  const Bytes one = spelt(longest, uint64_t{1} << 63);
  for (std::size_t at = 0; at < one.size(); ++at)
    EXPECT_EQ(one[at] == 'X', at % 64 == 63) << at;
}

TEST(Spelling, A67_one_letter_in_another_case_is_another_spelling) {
  const Bytes name = Name("www.example.com").bytes();
  const auto bytes = static_cast<uint32_t>(name.size());
  for (const uint64_t spelling : {uint64_t{0}, uint64_t{0x5a5a5}, ~uint64_t{0}}) {
    const Bytes good = spelt(name, spelling);
    EXPECT_TRUE(wire::is_spelt(good.data(), name.data(), bytes, spelling));
    for (std::size_t at = 0; at < good.size(); ++at) {
      Bytes wrong = good;
      wrong[at] ^= 0x20;
      EXPECT_FALSE(wire::is_spelt(wrong.data(), name.data(), bytes, spelling)) << at;
    }
  }
}

TEST(UpstreamQuery, A68_options_are_added_one_behind_another) {
  const Key key = key_for(Name("www.example.com"), kTypeA, true);
  Bytes message(200);
  uint16_t len = wire::write_upstream_query(message.data(), 1, key, 1232);
  const Bytes first(40, 'c'), second{1, 2, 3};
  len = wire::add_option(message.data(), len, key, 10, first.data(), 40);
  len = wire::add_option(message.data(), len, key, 8, second.data(), 3);
  message.resize(len);
  const auto read = read_message(message);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->end, message.size());
  ASSERT_NE(read->opt(), nullptr);
  const Bytes& options = read->opt()->rdata;
  ASSERT_EQ(options.size(), 51u);
  uint16_t bytes = 0;
  const uint8_t* found = wire::find_option(options.data(), 51, 10, bytes);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(Bytes(found, found + bytes), first);
  found = wire::find_option(options.data(), 51, 8, bytes);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(Bytes(found, found + bytes), second);
  EXPECT_EQ(wire::find_option(options.data(), 51, 9, bytes), nullptr);
}

TEST(UpstreamQuery, A68_longest_query_has_room_in_any_frame) {
  Bytes name;
  for (int i = 0; i < 3; ++i) {
    name.push_back(63);
    name.insert(name.end(), 63, 'x');
  }
  name.push_back(61);
  name.insert(name.end(), 61, 'x');
  name.push_back(0);
  const Key key = key_for(Name::wire(name), kTypeA);
  Bytes message(12 + 255 + 4 + 11 + 44);
  const Bytes cookie(40, 'c');
  const uint16_t len = wire::write_upstream_query(message.data(), 1, key, 1232);
  EXPECT_EQ(wire::add_option(message.data(), len, key, 10, cookie.data(), 40), message.size());
  EXPECT_TRUE(read_message(message));
}

// What stands in `rdata` of the answer's OPT, as parse_answer() finds it.
Bytes cookie_in(const Bytes& rdata) {
  const Bytes message = DnsBuilder()
                            .response()
                            .rd()
                            .question(kQname, kTypeA)
                            .answer(Name::pointer(12), kTypeA, 300, rdata_a("198.18.2.1"))
                            .opt({.raw = rdata})
                            .build();
  const ExactCopy copy(message);
  const auto scratch = std::make_unique_for_overwrite<wire::AnswerScratch>();
  wire::ParsedAnswer parsed;
  EXPECT_EQ(wire::parse_answer(copy.data(), copy.len(), key_for(kQname, kTypeA), cache_limits(),
                               *scratch, parsed),
            Verdict::answer);
  EXPECT_TRUE(parsed.has_opt && parsed.cacheable);
  if (parsed.cookie == nullptr) return {};
  return Bytes(parsed.cookie, parsed.cookie + parsed.cookie_bytes);
}

TEST(ParseAnswer, A68_cookie_is_found_and_broken_options_are_none) {
  EXPECT_EQ(cookie_in({}), Bytes{});
  EXPECT_EQ(cookie_in({0, 10, 0, 2, 7, 8}), (Bytes{7, 8}));
  EXPECT_EQ(cookie_in({0, 3, 0, 1, 'n', 0, 10, 0, 2, 7, 8}), (Bytes{7, 8}));
  EXPECT_EQ(cookie_in({0, 10, 0, 1, 7, 0, 10, 0, 1, 8}), Bytes{7}) << "the first counts";
  EXPECT_EQ(cookie_in({0, 10, 0, 3, 7, 8}), Bytes{}) << "runs over the end";
  EXPECT_EQ(cookie_in({0, 3, 0, 9, 'n', 0, 10, 0, 2, 7, 8}), Bytes{});
  EXPECT_EQ(cookie_in({0, 10, 0}), Bytes{});
}

TEST(ParseAnswer, A68_cookie_of_a_failure_without_question) {
  const Bytes cookie(16, 'k');
  const ParsedUpstream result = parse_upstream(
      DnsBuilder().response().rcode(1).opt({.options = {{10, cookie}}}).build(),
      key_for(kQname, kTypeA));
  EXPECT_EQ(result.verdict, Verdict::failure);
  EXPECT_EQ(result.parsed.cookie_bytes, 16);
}

class Copied : public testing::Test {
 protected:
  // The names that are kept of an answer to the question `asked`: owners, then targets of aliases.
  std::vector<Bytes> kept(const DnsBuilder& answer) {
    const ParsedUpstream result = parse_upstream(answer.build(), key_for(asked, kTypeA));
    EXPECT_EQ(result.verdict, Verdict::answer);
    EXPECT_TRUE(result.parsed.cacheable);
    // As a client sees it that asked in lower case.
    Bytes message = DnsBuilder()
                        .response()
                        .question(Name::wire(folded(asked.bytes())), kTypeA)
                        .ancount(result.view().an_cnt)
                        .nscount(result.view().ns_cnt)
                        .build();
    const Bytes body = result.body();
    message.insert(message.end(), body.begin(), body.end());
    const auto read = read_message(message);
    EXPECT_TRUE(read.has_value());
    std::vector<Bytes> names;
    for (const ReadRecord& record : read->records)
      names.push_back(record.owner);
    for (const ReadRecord& record : read->records) {
      if (record.type == kTypeCname) names.push_back(record.rdata);
    }
    return names;
  }
  DnsBuilder reply() const { return DnsBuilder().response().rd().question(asked, kTypeA); }

  const Name asked{"wWw.ExAmple.cOm"};
  const Bytes lower = Name("www.example.com").bytes();
};

TEST_F(Copied, A67_owners_that_repeat_the_question_do_not_keep_its_spelling) {
  const auto names = kept(reply()
                              .answer(asked, kTypeA, 60, rdata_a("192.0.2.1"))
                              .answer(Name("WWW.EXAMPLE.COM"), kTypeA, 60, rdata_a("192.0.2.2")));
  EXPECT_EQ(names, (std::vector<Bytes>{lower, lower}));
}

TEST_F(Copied, A67_other_names_stay_as_the_upstream_spells_them) {
  const Name cdn("WWW.Cdn.Net");
  DnsBuilder answer = reply();
  answer.answer(asked, kTypeCname, 60, rdata_name(cdn));
  answer.answer(Name::pointer(answer.offset() - 13), kTypeA, 60, rdata_a("192.0.2.1"));
  EXPECT_EQ(kept(answer), (std::vector<Bytes>{lower, cdn.bytes(), cdn.bytes()}));
}

// RFC 6672: the target of the CNAME that a DNAME makes has the first labels of the question.
TEST_F(Copied, A67_names_made_of_the_question_do_not_keep_its_spelling) {
  DnsBuilder answer = reply();
  answer.answer(Name("Example.com"), kTypeDname, 60, rdata_name(Name("Other.net")));
  answer.answer(asked, kTypeCname, 60, rdata_name(Name("wWw.Other.net")));
  answer.answer(Name("wWw.Other.net"), kTypeA, 60, rdata_a("192.0.2.1"));
  const Bytes target = Name("www.Other.net").bytes();
  EXPECT_EQ(kept(answer),
            (std::vector<Bytes>{Name("Example.com").bytes(), lower, target, target}));
}

}  // namespace
}  // namespace millrace::test
