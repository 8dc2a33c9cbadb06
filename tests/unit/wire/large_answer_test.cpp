// SPDX-License-Identifier: Apache-2.0
// Answers that are too large for an entry get what all others get. Aim: nothing depends on where in
// the message it stands. Method: messages up to 65535 octets, whose second half no pointer reaches.
#include "dataplane/wire/answer_chain.hpp"
#include "tests/unit/wire/wire_test.hpp"

namespace millrace::test {
namespace {

using wire::Verdict;

constexpr std::size_t kMessageBytesMax = 65'535;
constexpr uint16_t kTypeBlob = 65'280;

// An answer for `name` whose next record stands behind what a pointer can reach.
DnsBuilder long_answer(const Name& name = kQname, uint16_t type = kTypeBlob) {
  DnsBuilder builder = DnsBuilder().response().rd().question(name, type);
  return builder.answer(Name::pointer(12), type, 300, Bytes(0x4000, 7));
}

ParsedUpstream judged(const DnsBuilder& builder, const Name& name = kQname,
                      uint16_t type = kTypeBlob) {
  return parse_upstream(builder.build(), key_for(name, type));
}

// The reply over TCP of a client that spells the name in this way.
ReadMessage shown_to(const Name& name, uint16_t type, const ParsedUpstream& answer) {
  Bytes block = DnsBuilder().rd().add_flags(kFlagAd).question(name, type).opt().build();
  const auto query_bytes = static_cast<uint16_t>(block.size());
  block.resize(kMessageBytesMax);
  wire::Query query{};
  Key key;
  EXPECT_EQ(wire::parse_query(block.data(), query_bytes, query, key), kGoOn);
  const wire::Reply reply =
      wire::write_reply(block.data(), query, answer.view(), 0,
                        {.udp_bytes_max = 1232, .room = kMessageBytesMax, .stream = true});
  block.resize(reply.len);
  std::string why;
  const auto read = read_message(block, &why);
  EXPECT_TRUE(read.has_value()) << why;
  return read.value_or(ReadMessage{});
}

TEST(LargeAnswer, A38_A41_ttls_are_capped_and_levelled) {
  DnsBuilder builder = long_answer();
  builder.answer(Name::pointer(12), kTypeBlob, 0xffff'ffff, {1});
  builder.answer("WWW.example.com", kTypeBlob, 200, {2});
  builder.authority("example.com", kTypeNsec, 0x8000'0000, rdata_name("a.example"));
  builder.additional("a.example", kTypeA, 100, rdata_a("198.18.2.1"));
  const ParsedUpstream result = judged(builder);
  ASSERT_EQ(result.verdict, Verdict::answer);
  EXPECT_EQ(result.ttls(), (std::vector<uint32_t>{200, 200, 200, 86400, 100}));
  EXPECT_EQ(result.view().lifetime_s, 100u);
  EXPECT_FALSE(result.parsed.cacheable);
  EXPECT_EQ(result.parsed.skip, Event::ins_skip_size);
}

TEST(LargeAnswer, A2_A8_A24_A25_A31_what_clients_get) {
  DnsBuilder builder = long_answer("wWw.ExAmPlE.cOm").add_flags(kFlagAd);
  builder.answer("WWW.EXAMPLE.COM", kTypeBlob, 300, {1});
  const std::size_t end = builder.offset();
  builder.authority("example.com", kTypeNs, 300, rdata_name("ns.evil.example"));
  builder.additional("ns.evil.example", kTypeA, 50, rdata_a("198.18.6.6"));
  builder.opt({.options = {{100, {1, 2}}}});
  builder.additional("late.example", kTypeA, 40, rdata_a("198.18.6.6"));
  const ParsedUpstream result = judged(builder);
  EXPECT_EQ(result.view().body_bytes, end - 33);
  EXPECT_EQ(result.view().lifetime_s, 40u);
  const Name spelt = "Www.Example.Com";
  const ReadMessage shown = shown_to(spelt, kTypeBlob, result);
  EXPECT_EQ(shown.questions.at(0).name, spelt.bytes());
  EXPECT_EQ(shown.records.at(0).owner, spelt.bytes());
  EXPECT_EQ(shown.records.at(1).owner, Name(kQname).bytes()) << "not as it was asked upstream";
  EXPECT_TRUE(shown.has(kFlagAd));
  ASSERT_EQ(shown.records.size(), 3u);
  EXPECT_EQ(shown.opt()->cls, 1232);
  EXPECT_TRUE(shown.opt()->rdata.empty());
}

// A name behind the reach of pointers is spelt out or points at one in front of it; nobody can
// point at it.
TEST(LargeAnswer, B3_names_beyond_the_reach_of_pointers) {
  DnsBuilder builder = long_answer();
  builder.answer(Name::pointer(12), kTypeBlob, 300, {1});
  const std::size_t behind = builder.offset();
  builder.additional("far.example.net", kTypeA, 300, rdata_a("198.18.2.1"));
  builder.additional(Name::with_pointer("mail", 16), kTypeA, 300, rdata_a("198.18.2.2"));
  const ReadMessage shown = shown_to(kQname, kTypeBlob, judged(builder));
  ASSERT_EQ(shown.records.size(), 5u);
  EXPECT_EQ(shown.records.at(2).offset, behind);
  EXPECT_EQ(shown.records.at(2).owner, Name("far.example.net").bytes());
  EXPECT_EQ(shown.records.at(3).owner, Name("mail.example.com").bytes());

  // What 14 bits hold of `behind` is somewhere else: inside the RDATA of the first record.
  const auto cut = static_cast<uint16_t>(behind & 0x3fff);
  builder.additional(Name::pointer(cut), kTypeA, 300, rdata_a("198.18.2.3"));
  EXPECT_EQ(judged(builder).verdict, Verdict::malformed);
}

TEST(LargeAnswer, the_longest_message) {
  const Bytes head = DnsBuilder().response().question(".", kTypeBlob).build();
  for (const std::size_t spare : {0u, 11u}) {
    DnsBuilder builder = DnsBuilder().response().question(".", kTypeBlob);
    const std::size_t blob = kMessageBytesMax - head.size() - 11 - spare;
    builder.answer(".", kTypeBlob, 300, Bytes(blob, 1));
    if (spare != 0) builder.opt();
    ASSERT_EQ(builder.build().size(), kMessageBytesMax);
    const ParsedUpstream result = judged(builder, ".");
    ASSERT_EQ(result.verdict, Verdict::answer);
    EXPECT_EQ(result.view().body_bytes, blob + 11);
    EXPECT_EQ(result.parsed.skip, Event::ins_skip_size);
  }
}

TEST(LargeAnswer, as_many_records_as_fit) {
  DnsBuilder builder = DnsBuilder().response().question(".", kTypeBlob);
  constexpr std::size_t kCnt = (kMessageBytesMax - 17) / 11;
  for (uint32_t i = 0; i < kCnt; ++i) builder.answer(".", kTypeBlob, 300 + i, {});
  const ParsedUpstream result = judged(builder, ".");
  ASSERT_EQ(result.verdict, Verdict::answer);
  EXPECT_EQ(result.ttls(), std::vector<uint32_t>(kCnt, 300));
}

TEST(LargeAnswer, A26_A45_A46_are_judged_alike) {
  DnsBuilder stray = long_answer();
  stray.answer("www.bank.test", kTypeBlob, 300, {1});
  EXPECT_EQ(judged(stray).parsed.skip, Event::ins_skip_chain);

  DnsBuilder denial = DnsBuilder().response().rcode(3).question(kQname, kTypeBlob);
  denial.authority("example.com", kTypeBlob, 300, Bytes(0x4000, 7));
  EXPECT_EQ(judged(denial).parsed.skip, Event::ins_skip_soa);
  denial.authority("example.com", kTypeSoa, 900, rdata_soa({.minimum = 60}));
  const ParsedUpstream result = judged(denial);
  EXPECT_TRUE(result.view().negative);
  EXPECT_EQ(result.ttls(), (std::vector<uint32_t>{300, 60}));
  EXPECT_EQ(result.parsed.skip, Event::ins_skip_size);

  const ParsedUpstream refused = judged(long_answer().rcode(5).opt());
  EXPECT_EQ(refused.verdict, Verdict::failure);
  EXPECT_EQ(refused.parsed.rcode, 5);
  EXPECT_EQ(judged(long_answer().add_flags(kFlagTc)).verdict, Verdict::truncated);
  EXPECT_EQ(judged(long_answer("www.bank.test")).verdict, Verdict::question);
}

TEST(LargeAnswer, every_cut_is_malformed) {
  DnsBuilder builder = long_answer();
  builder.additional("far.example.net", kTypeA, 300, rdata_a("198.18.2.1"));
  builder.additional(Name::with_pointer("mail", 16), kTypeMx, 300, rdata_mx(1, Name::pointer(12)));
  const Bytes whole = builder.build();
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += bytes < 0x4000 ? 977 : 1) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<long>(bytes));
    EXPECT_EQ(parse_upstream(cut, key_for(kQname, kTypeBlob)).verdict, Verdict::malformed) << bytes;
  }
}

// Owners of 255 octets in 12: by turns, so that each is another than the one before it.
TEST(LargeAnswer, decompression_is_bounded) {
  const std::string label(63, 'x');
  const Name longest = label + "." + label + "." + label + "." + std::string(61, 'y');
  const auto made = [&](uint32_t cnt) {
    DnsBuilder builder = DnsBuilder().response().question(longest, kTypeBlob);
    builder.answer(Name::pointer(12), kTypeBlob, 300, {});
    const uint16_t other = builder.offset();
    builder.answer(longest, kTypeBlob, 300, {});
    for (uint32_t i = 0; i < cnt; ++i) {
      builder.answer(Name::pointer(i % 2 == 0 ? 12 : other), kTypeBlob, 300, {});
    }
    return builder;
  };
  constexpr uint32_t kCnt = wire::kOwnerBytesMax / 255;
  ASSERT_LE(made(kCnt).build().size(), kMessageBytesMax);
  EXPECT_EQ(judged(made(kCnt - 2), longest).verdict, Verdict::answer);
  EXPECT_NE(judged(made(kCnt - 2), longest).parsed.skip, Event::ins_skip_chain) << "all are QNAME";
  EXPECT_EQ(judged(made(kCnt), longest).verdict, Verdict::malformed);
  // The same owner again and again costs nothing.
  DnsBuilder same = DnsBuilder().response().question(longest, kTypeBlob);
  for (uint32_t i = 0; i < 5000; ++i) same.answer(Name::pointer(12), kTypeBlob, 300, {});
  EXPECT_EQ(judged(same, longest).verdict, Verdict::answer);
}

TEST(LargeAnswer, A28_dnames_are_bounded) {
  for (const uint32_t cnt : {wire::kDnamesMax, wire::kDnamesMax + 1}) {
    DnsBuilder builder = DnsBuilder().response().rd().question(kQname, kTypeA);
    for (uint32_t i = 0; i < cnt; ++i) {
      builder.answer(Name::pointer(16), kTypeDname, 300,
                     rdata_name("n" + std::to_string(i) + ".example"));
    }
    builder.answer(Name::pointer(12), kTypeA, 300, rdata_a("198.18.2.1"));
    const ParsedUpstream result = judged(builder, kQname, kTypeA);
    EXPECT_EQ(result.verdict, Verdict::answer);
    EXPECT_EQ(result.parsed.cacheable, cnt == wire::kDnamesMax);
  }
}

}  // namespace
}  // namespace millrace::test
