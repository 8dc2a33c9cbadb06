// SPDX-License-Identifier: Apache-2.0
// What an upstream answer may become: groups A-II to A-IV and the upstream rows of table B.
#include <random>

#include "tests/unit/wire/wire_test.hpp"

namespace millrace::test {
namespace {

using wire::Verdict;

constexpr uint16_t kQnamePointer = 12;

DnsBuilder reply(const Name& name = kQname, uint16_t type = kTypeA) {
  return DnsBuilder().response().rd().question(name, type);
}

DnsBuilder& add_a(DnsBuilder& builder, uint32_t ttl = 300) {
  return builder.answer(Name::pointer(kQnamePointer), kTypeA, ttl, rdata_a("198.18.2.1"));
}

DnsBuilder good(uint32_t ttl = 300) {
  DnsBuilder builder = reply();
  return add_a(builder, ttl);
}

ParsedUpstream take(const DnsBuilder& builder, const Name& name = kQname, uint16_t type = kTypeA,
                    const abi::PacketCacheConfig& limits = cache_limits()) {
  return parse_upstream(builder.build(), key_for(name, type), limits);
}

void expect_cacheable(const DnsBuilder& builder, const Name& name = kQname,
                      uint16_t type = kTypeA) {
  const ParsedUpstream result = take(builder, name, type);
  EXPECT_EQ(result.verdict, Verdict::answer);
  EXPECT_TRUE(result.parsed.cacheable);
  EXPECT_EQ(result.parsed.skip, Event::count_);
}

void expect_relay(const DnsBuilder& builder, Event skip, const Name& name = kQname,
                  uint16_t type = kTypeA) {
  const ParsedUpstream result = take(builder, name, type);
  EXPECT_EQ(result.verdict, Verdict::answer);
  EXPECT_FALSE(result.parsed.cacheable);
  EXPECT_EQ(result.parsed.skip, skip);
}

void expect_malformed(const DnsBuilder& builder) {
  EXPECT_EQ(take(builder).verdict, Verdict::malformed);
}

TEST(UpstreamQuery, A13_A15_A79_header_question_opt) {
  const Bytes name = Name("www.example.com").bytes();
  for (int bits = 0; bits < 4; ++bits) {
    const bool flag_do = bits & 1, flag_cd = bits & 2;
    Bytes message(12 + name.size() + 4 + 11);
    const Key key = key_for(Name("www.example.com"), 28, flag_do, flag_cd);
    const uint16_t len = wire::write_upstream_query(message.data(), 0xabcd, key, 1400);
    ASSERT_EQ(len, message.size());
    const auto read = read_message(message);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->id, 0xabcd);
    EXPECT_EQ(read->flags, kFlagRd | kFlagAd | (flag_cd ? kFlagCd : 0));
    ASSERT_EQ(read->questions.size(), 1u);
    EXPECT_EQ(read->questions[0].name, name);
    EXPECT_EQ(read->questions[0].type, 28);
    EXPECT_EQ(read->questions[0].cls, 1);
    ASSERT_NE(read->opt(), nullptr);
    EXPECT_EQ(read->records.size(), 1u);
    EXPECT_EQ(read->opt()->cls, 1400);
    EXPECT_EQ(read->opt()->ttl, flag_do ? 0x8000u : 0u);
    EXPECT_TRUE(read->opt()->rdata.empty());
  }
}

TEST(UpstreamQuery, A69_without_edns) {
  const Key key = key_for(Name("www.example.com"), 28, true, true);
  Bytes message(100);
  message.resize(wire::write_upstream_query(message.data(), 1, key, 0));
  const auto read = read_message(message);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->end, message.size());
  EXPECT_EQ(read->flags, kFlagRd | kFlagAd | kFlagCd);
  EXPECT_TRUE(read->records.empty());
}

TEST(AnswerHead, A55_first_look) {
  const auto look = [](const Bytes& message) {
    const ExactCopy copy(message);
    uint16_t id = 0;
    const Outcome outcome = wire::check_answer_head(copy.data(), copy.len(), id);
    if (outcome == kGoOn) {
      EXPECT_EQ(id, 0x1234);
    }
    return outcome;
  };
  EXPECT_EQ(look(good().build()), kGoOn);
  EXPECT_EQ(look(Bytes(11, 0xff)), Outcome::up_drop_short);
  EXPECT_EQ(look({}), Outcome::up_drop_short);
  EXPECT_EQ(look(good().flags(0).build()), Outcome::up_drop_qr);
  EXPECT_EQ(look(good().opcode(4).build()), Outcome::up_drop_opcode);
}

TEST(ParseAnswer, A21_a_plain_answer) {
  const ParsedUpstream result = take(good().add_flags(kFlagAd).opt());
  ASSERT_EQ(result.verdict, Verdict::answer);
  EXPECT_TRUE(result.parsed.cacheable);
  EXPECT_EQ(result.parsed.rcode, 0);
  const AnswerView& view = result.view();
  EXPECT_EQ(view.body_bytes, 16);
  EXPECT_EQ(view.an_cnt, 1);
  EXPECT_EQ(view.ns_cnt + view.ar_cnt, 0);
  EXPECT_EQ(view.an_end, 16);
  EXPECT_EQ(view.ns_end, 16);
  EXPECT_EQ(view.ttl_cnt, 1);
  EXPECT_EQ(view.ttl_offsets[0], 6);
  EXPECT_EQ(view.lifetime_s, 300u);
  EXPECT_TRUE(view.authentic_data);
  EXPECT_FALSE(view.negative || view.failure);
  EXPECT_FALSE(take(good()).view().authentic_data);
}

TEST(ParseAnswer, A55_another_question) {
  const Key key = key_for(kQname, kTypeA);
  const auto verdict = [&](const DnsBuilder& builder) {
    return parse_upstream(builder.build(), key).verdict;
  };
  EXPECT_EQ(verdict(reply("ww.example.com")), Verdict::question);
  EXPECT_EQ(verdict(reply("xww.example.com")), Verdict::question);
  EXPECT_EQ(verdict(reply(kQname, kTypeAaaa)), Verdict::question);
  EXPECT_EQ(verdict(DnsBuilder().response().question(kQname, kTypeA, kClassCh)),
            Verdict::question);
  EXPECT_EQ(verdict(DnsBuilder().response()), Verdict::question);
  EXPECT_EQ(verdict(good().question(kQname, kTypeA)), Verdict::malformed);
}

TEST(ParseAnswer, T3_case_of_the_question_does_not_matter_here) {
  DnsBuilder builder = reply("WWW.eXample.COM");
  expect_cacheable(add_a(builder));
}

TEST(ParseAnswer, T2_compressed_question) {
  // The name of the second question would be legal in itself: a pointer, forwards and backwards.
  expect_malformed(DnsBuilder().response().question(Name::with_pointer("www", 12), kTypeA));
  expect_malformed(DnsBuilder().response().question(Name::pointer(12), kTypeA));
}

TEST(ParseAnswer, A59_no_question) {
  EXPECT_EQ(take(DnsBuilder().response().rcode(1)).verdict, Verdict::failure);
  EXPECT_EQ(take(DnsBuilder().response().rcode(5).opt()).verdict, Verdict::failure);
  EXPECT_EQ(take(DnsBuilder().response().rcode(3)).verdict, Verdict::question);
  EXPECT_EQ(take(DnsBuilder().response().opt({.extended_rcode = 1})).verdict, Verdict::failure);
}

TEST(ParseAnswer, A23_truncated) {
  const ParsedUpstream result = take(good().add_flags(kFlagTc));
  EXPECT_EQ(result.verdict, Verdict::truncated);
  EXPECT_EQ(result.parsed.skip, Event::ins_skip_tc);
  EXPECT_FALSE(result.parsed.cacheable);
  // The records may be cut anywhere.
  EXPECT_EQ(take(reply().add_flags(kFlagTc).ancount(3).raw({0xc0})).verdict, Verdict::truncated);
  EXPECT_EQ(take(reply("other.example").add_flags(kFlagTc)).verdict, Verdict::question);
}

TEST(ParseAnswer, A33_size_limits) {
  abi::PacketCacheConfig limits = cache_limits();
  limits.entry_bytes_max = 12 + 17 + 4 + 16;
  EXPECT_TRUE(take(good(), kQname, kTypeA, limits).parsed.cacheable);
  --limits.entry_bytes_max;
  const ParsedUpstream result = take(good(), kQname, kTypeA, limits);
  EXPECT_EQ(result.verdict, Verdict::answer);
  EXPECT_EQ(result.parsed.skip, Event::ins_skip_size);

  DnsBuilder fits = reply(kQname, kTypeTxt);
  fits.answer(Name::pointer(12), kTypeTxt, 60, Bytes(4096 - 33 - 12, 1));
  ASSERT_EQ(fits.build().size(), 4096u);
  expect_cacheable(fits, kQname, kTypeTxt);
  DnsBuilder over = reply(kQname, kTypeTxt);
  over.answer(Name::pointer(12), kTypeTxt, 60, Bytes(4096 - 33 - 11, 1));
  expect_relay(over, Event::ins_skip_size, kQname, kTypeTxt);
}

TEST(ParseAnswer, as_many_records_as_fit) {
  DnsBuilder builder = reply(".", 65280);
  for (uint32_t i = 0; i < (4096 - 17) / 11; ++i) builder.answer(".", 65280, 300 + i, {});
  ASSERT_LE(builder.build().size(), 4096u);
  expect_relay(builder, Event::ins_skip_chain, ".", 65280);  // all the same: duplicates
  const ParsedUpstream result = take(builder, ".", 65280);
  EXPECT_EQ(result.ttls(), std::vector<uint32_t>((4096 - 17) / 11, 300));
}

TEST(ParseAnswer, A17_A18_rdata_is_not_altered) {
  std::mt19937 random(7);
  Bytes rdata(300);
  for (uint8_t& octet : rdata) octet = static_cast<uint8_t>(random());
  DnsBuilder builder = reply(kQname, 65280);
  builder.answer(Name::pointer(12), 65280, 60, rdata);
  const ParsedUpstream result = take(builder, kQname, 65280);
  EXPECT_TRUE(result.parsed.cacheable);
  const Bytes body = result.body();
  EXPECT_EQ(Bytes(body.end() - 300, body.end()), rdata);
  expect_cacheable(reply(kQname, 65280).answer(Name::pointer(12), 65280, 60, {}), kQname, 65280);
}

TEST(ParseAnswer, A20_duplicates_are_not_cached) {
  DnsBuilder twice = good();
  expect_relay(add_a(twice), Event::ins_skip_chain);
  DnsBuilder differ = good();
  expect_cacheable(differ.answer(Name::pointer(12), kTypeA, 300, rdata_a("198.18.2.2")));
}

TEST(ParseAnswer, A22_signed_and_meta_and_other_classes) {
  expect_relay(good().additional("key", kTypeTsig, 0, Bytes(20, 0)), Event::ins_skip_class);
  Bytes sig0(19, 0);
  expect_relay(good().additional(".", kTypeSig, 0, sig0), Event::ins_skip_class);
  expect_relay(good().additional("a.example", 249, 60, {}), Event::ins_skip_class);
  DnsBuilder other = good();
  other.record(Section::additional, "a.example", kTypeA, 60, Bytes(7, 0), kClassCh);
  expect_relay(other, Event::ins_skip_class);
  EXPECT_EQ(take(good().answer("key", kTypeTsig, 0, Bytes(20, 0))).verdict, Verdict::malformed);
}

TEST(ParseAnswer, A22_A70_T10_extended_rcodes_are_failures) {
  const ParsedUpstream badvers = take(good().opt({.extended_rcode = 1}));
  EXPECT_EQ(badvers.verdict, Verdict::failure);
  EXPECT_EQ(badvers.parsed.rcode, 16);
  EXPECT_EQ(take(good().rcode(7).opt({.extended_rcode = 1})).parsed.rcode, 23);
  EXPECT_EQ(take(good().rcode(15).opt({.extended_rcode = 255})).parsed.rcode, 255);
}

TEST(ParseAnswer, A50_B64_failures) {
  for (uint8_t rcode = 1; rcode < 16; ++rcode) {
    if (rcode == 3) continue;
    const ParsedUpstream result = take(reply().rcode(rcode).opt());
    EXPECT_EQ(result.verdict, Verdict::failure) << int{rcode};
    EXPECT_EQ(result.parsed.rcode, rcode);
    EXPECT_FALSE(result.parsed.cacheable);
    EXPECT_EQ(result.parsed.skip, Event::ins_skip_rcode);
    EXPECT_TRUE(result.view().failure);
    EXPECT_EQ(result.view().rcode, 2);
    EXPECT_EQ(result.view().body_bytes, 0);
    EXPECT_EQ(result.view().lifetime_s, 5u);
  }
}

TEST(ParseAnswer, A24_T6_opt_is_removed) {
  const ParsedUpstream with = take(good().opt({.options = {{100, {1, 2}}, {15, {0, 1}}}}));
  EXPECT_EQ(with.body(), take(good()).body());
  EXPECT_EQ(with.view().ar_cnt, 0);
}

TEST(ParseAnswer, A25_T1_T7_records_behind_opt_are_cut_with_it) {
  // SRV keeps its additional section, since there is no authority section.
  const Bytes srv = {0, 1, 0, 1, 0, 53, 3, 's', 'r', 'v', 0xc0, 16};
  DnsBuilder builder = reply(kQname, 33);
  builder.answer(Name::pointer(12), 33, 300, srv);
  const uint16_t target = static_cast<uint16_t>(builder.offset() - 6);
  builder.additional(Name::pointer(target), kTypeA, 200, rdata_a("198.18.2.5"));
  builder.opt({.options = {{100, {3, 'o', 'p', 't', 0}}}});
  builder.additional("late.example", kTypeA, 90, rdata_a("198.18.2.6"));
  const ParsedUpstream result = take(builder, kQname, 33);
  ASSERT_EQ(result.verdict, Verdict::answer);
  EXPECT_TRUE(result.parsed.cacheable);
  EXPECT_EQ(result.view().an_cnt, 1);
  EXPECT_EQ(result.view().ar_cnt, 1);
  EXPECT_EQ(result.ttls(), (std::vector<uint32_t>{300, 200}));
  EXPECT_EQ(result.view().lifetime_s, 90u);  // A30: the scan does not stop at OPT
}

TEST(ParseAnswer, A25_the_first_transport_record_is_where_the_cut_is) {
  DnsBuilder builder = good();
  builder.additional("a.example", kTypeA, 200, rdata_a("198.18.2.5"));
  builder.opt();
  builder.additional("b.example", kTypeA, 90, rdata_a("198.18.2.6"));
  builder.additional("key", kTypeTsig, 0, Bytes(20, 0));
  const ParsedUpstream result = take(builder);
  EXPECT_EQ(result.view().ar_cnt, 1);
  EXPECT_EQ(result.ttls(), (std::vector<uint32_t>{300, 200}));
}

TEST(ParseAnswer, T7_a_pointer_into_opt) {
  DnsBuilder builder = good();
  builder.opt({.options = {{100, {3, 'o', 'p', 't', 0}}}});
  const uint16_t inside = static_cast<uint16_t>(builder.offset() - 5);
  expect_malformed(builder.additional(Name::pointer(inside), kTypeA, 60, rdata_a("198.18.2.6")));
}

TEST(ParseAnswer, T11_B17_B18_opt_in_the_wrong_place) {
  expect_malformed(good().opt({}, Section::answer));
  expect_malformed(good().opt({}, Section::authority));
  expect_malformed(good().opt().opt());
  expect_malformed(good().opt({.owner = "a"}));
}

TEST(ParseAnswer, A26_B51_records_off_the_chain) {
  DnsBuilder other = reply();
  other.answer("www.bank.test", kTypeA, 300, rdata_a("198.18.6.6"));
  expect_relay(other, Event::ins_skip_chain);
  DnsBuilder extra = good();
  expect_relay(extra.answer("www.bank.test", kTypeA, 300, rdata_a("198.18.6.6")),
               Event::ins_skip_chain);
  DnsBuilder type = good();
  expect_relay(type.answer(Name::pointer(12), kTypeTxt, 300, rdata_txt("x")),
               Event::ins_skip_chain);
  DnsBuilder before = reply();
  before.answer("b.example", kTypeA, 300, rdata_a("198.18.2.1"));
  before.answer(Name::pointer(12), kTypeCname, 300, rdata_name("b.example"));
  expect_relay(before, Event::ins_skip_chain);
}

TEST(ParseAnswer, A27_alias_chains) {
  DnsBuilder chain = reply();
  chain.answer(Name::pointer(12), kTypeCname, 300, rdata_name(Name::with_pointer("B", 16)));
  chain.answer("b.example.com", kTypeCname, 40, rdata_name("c.example.net"));
  DnsBuilder without_end = chain;
  chain.answer("C.example.net", kTypeA, 200, rdata_a("198.18.2.1"));
  expect_cacheable(chain);
  EXPECT_EQ(take(chain).view().lifetime_s, 40u);
  EXPECT_EQ(take(chain).view().an_cnt, 3);
  // A chain that stops needs the SOA of where it stops.
  expect_relay(without_end, Event::ins_skip_soa);
  DnsBuilder wrong_zone = without_end;
  expect_relay(wrong_zone.authority("example.com", kTypeSoa, 60, rdata_soa({})),
               Event::ins_skip_soa);
  expect_cacheable(without_end.authority("example.net", kTypeSoa, 60, rdata_soa({})));
  // Asking for the CNAME itself follows nothing.
  DnsBuilder cname = reply(kQname, kTypeCname);
  cname.answer(Name::pointer(12), kTypeCname, 300, rdata_name("b.example"));
  expect_cacheable(cname, kQname, kTypeCname);
}

TEST(ParseAnswer, A27_B61_loops_and_long_chains) {
  DnsBuilder loop = reply("a.example");
  for (int i = 0; i < 50; ++i) {
    loop.answer("a.example", kTypeCname, 60, rdata_name("b.example"));
    loop.answer("b.example", kTypeCname, 60, rdata_name("a.example"));
  }
  expect_relay(loop, Event::ins_skip_chain, "a.example");
  for (const int aliases : {16, 17}) {
    DnsBuilder chain = reply("n0.example");
    for (int i = 0; i < aliases; ++i) {
      chain.answer("n" + std::to_string(i) + ".example", kTypeCname, 60,
                   rdata_name("n" + std::to_string(i + 1) + ".example"));
    }
    chain.answer("n" + std::to_string(aliases) + ".example", kTypeA, 60, rdata_a("198.18.2.1"));
    if (aliases == 16) {
      expect_cacheable(chain, "n0.example");
    } else {
      expect_relay(chain, Event::ins_skip_chain, "n0.example");
    }
  }
}

TEST(ParseAnswer, A26_signatures_belong_to_what_they_sign) {
  DnsBuilder chain = reply();
  chain.answer(Name::pointer(12), kTypeCname, 300, rdata_name("b.example"));
  chain.answer(Name::pointer(12), kTypeRrsig, 300, rdata_rrsig({.covered = kTypeCname}));
  chain.answer("b.example", kTypeA, 300, rdata_a("198.18.2.1"));
  chain.answer("b.example", kTypeRrsig, 300, rdata_rrsig({.covered = kTypeA}));
  expect_cacheable(chain);
  DnsBuilder stray_alias = chain;
  expect_relay(stray_alias.answer("c.example", kTypeRrsig, 300,
                                  rdata_rrsig({.covered = kTypeCname})),
               Event::ins_skip_chain);
  DnsBuilder stray = good();
  expect_relay(
      stray.answer("b.example", kTypeRrsig, 300, rdata_rrsig({.covered = kTypeA})),
      Event::ins_skip_chain);
}

TEST(ParseAnswer, A28_dname) {
  DnsBuilder dname = reply();
  dname.answer("example.com", kTypeDname, 300, rdata_name("example.net"));
  dname.answer("example.com", kTypeRrsig, 300, rdata_rrsig({.covered = kTypeDname}));
  dname.answer(Name::pointer(12), kTypeCname, 300, rdata_name("www.example.net"));
  dname.answer("www.example.net", kTypeA, 300, rdata_a("198.18.2.1"));
  expect_cacheable(dname);
  DnsBuilder aside = good();
  expect_relay(aside.answer("example.org", kTypeDname, 300, rdata_name("example.net")),
               Event::ins_skip_chain);
  DnsBuilder too_long = reply().rcode(6);
  too_long.answer("example.com", kTypeDname, 300, rdata_name("example.net"));
  expect_cacheable(too_long);
  EXPECT_EQ(take(too_long).view().rcode, 6);
}

TEST(ParseAnswer, A34_any_answers_stand_alone) {
  DnsBuilder any = reply(kQname, kTypeAny);
  any.answer(Name::pointer(12), kTypeA, 300, rdata_a("198.18.2.1"));
  any.answer(Name::pointer(12), kTypeTxt, 300, rdata_txt("x"));
  expect_cacheable(any, kQname, kTypeAny);
}

TEST(ParseAnswer, A30_lifetime_is_the_lowest_ttl_of_all_sections) {
  DnsBuilder builder = good(300);
  builder.authority(Name::pointer(16), kTypeNsec, 200, rdata_name("b.example"));
  EXPECT_EQ(take(builder).view().lifetime_s, 200u);
  builder.additional("ns.example", kTypeA, 100, rdata_a("198.18.2.2"));
  EXPECT_EQ(take(builder).view().lifetime_s, 100u);
  DnsBuilder first = good(300);
  first.opt().additional("ns.example", kTypeA, 50, rdata_a("198.18.2.2"));
  EXPECT_EQ(take(first).view().lifetime_s, 50u);
}

TEST(ParseAnswer, A31_the_tail_of_a_positive_answer) {
  DnsBuilder tail = good();
  tail.authority(Name::pointer(16), kTypeNs, 300, rdata_name("ns.example"));
  tail.authority(Name::pointer(16), kTypeRrsig, 300, rdata_rrsig({.covered = kTypeNs}));
  tail.additional("ns.example", kTypeA, 300, rdata_a("198.18.6.6"));
  tail.opt();
  const ParsedUpstream result = take(tail);
  EXPECT_TRUE(result.parsed.cacheable);
  EXPECT_EQ(result.body(), take(good()).body());
  EXPECT_EQ(result.view().ns_cnt + result.view().ar_cnt, 0);
  EXPECT_EQ(result.view().ttl_cnt, 1);
  EXPECT_FALSE(result.parsed.has_signatures);

  DnsBuilder proof = good();
  proof.authority(Name::pointer(16), kTypeNs, 300, rdata_name("ns.example"));
  proof.authority(Name::pointer(16), kTypeNsec, 300, rdata_name("b.example"));
  EXPECT_EQ(take(proof).view().ns_cnt, 2);
}

TEST(ParseAnswer, A32_lame_answers) {
  DnsBuilder referral = reply();
  referral.authority("example.com", kTypeNs, 300, rdata_name("ns.example"));
  EXPECT_EQ(take(referral).verdict, Verdict::failure);
  EXPECT_EQ(take(referral).parsed.skip, Event::ins_skip_soa);
  EXPECT_EQ(take(DnsBuilder().flags(kFlagQr).question(kQname, kTypeA)).verdict, Verdict::failure);
  EXPECT_EQ(
      take(DnsBuilder().flags(kFlagQr | kFlagAa).question(kQname, kTypeA)).verdict,
      Verdict::answer);
}

TEST(ParseAnswer, A35_A45_negative_answers) {
  struct Case {
    uint32_t ttl, minimum, expected;
  };
  for (const Case& one : {Case{900, 60, 60}, Case{60, 900, 60}, Case{90000, 90000, 3600}}) {
    for (const uint8_t rcode : std::initializer_list<uint8_t>{0, 3}) {
      DnsBuilder builder = reply().rcode(rcode);
      builder.authority("example.com", kTypeSoa, one.ttl, rdata_soa({.minimum = one.minimum}));
      builder.authority("example.com", kTypeRrsig, one.ttl, rdata_rrsig({.covered = kTypeSoa}));
      const ParsedUpstream result = take(builder);
      EXPECT_TRUE(result.parsed.cacheable);
      EXPECT_TRUE(result.view().negative);
      EXPECT_EQ(result.view().rcode, rcode);
      EXPECT_EQ(result.view().lifetime_s, one.expected);  // T12
      EXPECT_EQ(result.ttls(), (std::vector<uint32_t>{one.expected, one.expected}));
    }
  }
}

TEST(ParseAnswer, A46_A47_B62_negative_without_a_usable_soa) {
  for (const uint8_t rcode : std::initializer_list<uint8_t>{0, 3}) {
    expect_relay(reply().rcode(rcode), Event::ins_skip_soa);
    for (const char* owner : {"example.net", "a.www.example.com", "ample.com", "xexample.com"}) {
      DnsBuilder wrong = reply().rcode(rcode);
      expect_relay(wrong.authority(owner, kTypeSoa, 60, rdata_soa({})), Event::ins_skip_soa);
    }
    for (const char* owner : {"www.example.com", "EXAMPLE.com", "com", "."}) {
      DnsBuilder right = reply().rcode(rcode);
      expect_cacheable(right.authority(owner, kTypeSoa, 60, rdata_soa({})));
    }
    DnsBuilder two = reply().rcode(rcode);
    two.authority("example.com", kTypeSoa, 60, rdata_soa({}));
    expect_relay(two.authority("com", kTypeSoa, 60, rdata_soa({})), Event::ins_skip_soa);
  }
}

TEST(ParseAnswer, A48_proofs_stay_with_a_negative_answer) {
  DnsBuilder builder = reply().rcode(3);
  builder.authority("example.com", kTypeSoa, 60, rdata_soa({}));
  builder.authority("a.example.com", kTypeNsec, 60, rdata_name("z.example.com"));
  builder.authority("a.example.com", kTypeRrsig, 60, rdata_rrsig({.covered = kTypeNsec}));
  const ParsedUpstream result = take(builder.opt());
  EXPECT_TRUE(result.parsed.cacheable);
  EXPECT_EQ(result.view().ns_cnt, 3);
}

TEST(ParseAnswer, nxdomain_with_data_is_not_cached) {
  expect_relay(good().rcode(3).authority("example.com", kTypeSoa, 60, rdata_soa({})),
               Event::ins_skip_chain);
}

TEST(ParseAnswer, A38_A39_B60_ttls_are_unsigned_and_capped) {
  for (const uint32_t ttl : {86401u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    const ParsedUpstream result = take(good(ttl));
    EXPECT_EQ(result.view().lifetime_s, 86400u);
    EXPECT_EQ(result.ttls(), std::vector<uint32_t>{86400});
    EXPECT_TRUE(result.parsed.cacheable);
  }
  EXPECT_EQ(take(good(86400)).view().lifetime_s, 86400u);
  EXPECT_EQ(take(good(1)).view().lifetime_s, 1u);
}

TEST(ParseAnswer, A40_ttl_0_is_relayed_only) {
  expect_relay(good(0), Event::ins_skip_ttl);
  EXPECT_EQ(take(good(0)).view().lifetime_s, 0u);
  EXPECT_EQ(take(good(0)).view().an_cnt, 1);
}

TEST(ParseAnswer, A41_T13_ttls_of_an_rrset_are_levelled) {
  DnsBuilder builder = reply();
  builder.answer("www.example.com", kTypeA, 300, rdata_a("198.18.2.1"));
  builder.answer(Name::pointer(12), kTypeA, 100, rdata_a("198.18.2.2"));
  builder.answer("WWW.EXAMPLE.COM", kTypeRrsig, 200, rdata_rrsig({.covered = kTypeA}));  // A42
  builder.authority("example.com", kTypeNsec, 250, rdata_name("a.example"));
  const ParsedUpstream result = take(builder);
  EXPECT_EQ(result.ttls(), (std::vector<uint32_t>{100, 100, 100, 250}));
  EXPECT_EQ(result.view().lifetime_s, 100u);
}

TEST(ParseAnswer, A42_signatures_end_an_entry) {
  DnsBuilder builder = good();
  builder.answer(Name::pointer(12), kTypeRrsig, 300, rdata_rrsig({.expiration = 1000}));
  builder.authority("example.com", kTypeNsec, 300, rdata_name("a.example"));
  builder.authority("example.com", kTypeRrsig, 300,
                    rdata_rrsig({.covered = kTypeNsec, .expiration = 900}));
  const ParsedUpstream result = take(builder);
  ASSERT_TRUE(result.parsed.has_signatures);
  EXPECT_EQ(result.parsed.signatures_expire_s, 900u);
  const auto life = [&](uint32_t now_s) {
    wire::ParsedAnswer parsed = result.parsed;
    wire::cap_lifetime_by_signatures(parsed, now_s);
    EXPECT_EQ(parsed.cacheable, parsed.view.lifetime_s != 0);
    return parsed.view.lifetime_s;
  };
  EXPECT_EQ(life(100), 300u);
  EXPECT_EQ(life(800), 100u);
  EXPECT_EQ(life(899), 1u);
  EXPECT_EQ(life(900), 0u);
  EXPECT_EQ(life(5000), 0u);
  EXPECT_EQ(life(0xffffff00u), 300u);  // the clock is about to wrap, the signature already has
}

TEST(ParseAnswer, A43_minimum_raises_the_life_but_no_ttl) {
  abi::PacketCacheConfig limits = cache_limits();
  limits.ttl_s_min = 60;
  const ParsedUpstream result = take(good(10), kQname, kTypeA, limits);
  EXPECT_EQ(result.view().lifetime_s, 60u);
  EXPECT_EQ(result.ttls(), std::vector<uint32_t>{10});
  EXPECT_FALSE(take(good(0), kQname, kTypeA, limits).parsed.cacheable);
  limits.ttl_s_min = 0;
  limits.ttl_s_min_cacheable = 20;
  EXPECT_EQ(take(good(19), kQname, kTypeA, limits).parsed.skip, Event::ins_skip_ttl);
  EXPECT_TRUE(take(good(20), kQname, kTypeA, limits).parsed.cacheable);
}

TEST(ParseAnswer, B2_B3_B4_pointers_that_lead_nowhere) {
  const uint16_t here = good().offset();
  for (const uint16_t target : std::initializer_list<uint16_t>{
           here, static_cast<uint16_t>(here + 2), 0x3fff, 0, 11,
           13,     // inside a label of the question
           29,     // QTYPE
           31}) {  // QCLASS
    expect_malformed(good().answer(Name::pointer(target), kTypeA, 60, rdata_a("198.18.2.1")));
  }
  expect_malformed(good().answer(Name::wire({1, 'a', 0xc0, static_cast<uint8_t>(here)}), kTypeA,
                                 60, rdata_a("198.18.2.1")));
  // The same inside RDATA: a client would follow it.
  DnsBuilder rdata = reply(kQname, kTypeCname);
  const uint16_t at = static_cast<uint16_t>(rdata.offset() + 12);
  EXPECT_EQ(take(rdata.answer(Name::pointer(12), kTypeCname, 60, rdata_name(Name::pointer(at))),
                 kQname, kTypeCname)
                .verdict,
            Verdict::malformed);
  // Every label start of the question is a good target, its root label too.
  for (const uint16_t target : std::initializer_list<uint16_t>{12, 16, 24, 28}) {
    EXPECT_EQ(take(good().additional(Name::pointer(target), kTypeA, 60, rdata_a("198.18.2.2")))
                  .verdict,
              Verdict::answer);
  }
}

TEST(ParseAnswer, B5_long_chains_of_pointers_and_long_names) {
  for (const int pointers : {127, 128}) {
    DnsBuilder builder = good(60);
    uint16_t target = 12;
    for (int i = 1; i < pointers; ++i) {
      const uint16_t here = builder.offset();
      builder.additional(Name::pointer(target), 65280, 60, Bytes{static_cast<uint8_t>(i)});
      target = here;
    }
    const DnsBuilder last = builder.additional(Name::pointer(target), 65280, 60, Bytes{0xff});
    EXPECT_EQ(take(last).verdict, pointers == 127 ? Verdict::answer : Verdict::malformed);
  }
  const std::string label(63, 'x');
  const std::string prefix = label + "." + label + "." + label + ".";
  // 3 * 64 + 46 + 17 octets of question are 255, one more is too long.
  for (const std::size_t rest : {45u, 46u}) {
    DnsBuilder builder = good();
    builder.additional(Name::with_pointer(prefix + std::string(rest, 'y'), 12), kTypeA, 60,
                       rdata_a("198.18.2.2"));
    EXPECT_EQ(take(builder).verdict, rest == 45 ? Verdict::answer : Verdict::malformed);
  }
}

TEST(ParseAnswer, B6_B7_label_types_and_cut_names) {
  expect_malformed(good().additional(Name::wire({0x41, 'a', 0}), kTypeA, 60, Bytes(4, 1)));
  expect_malformed(good().additional(Name::wire({0x80, 0}), kTypeA, 60, Bytes(4, 1)));
  expect_malformed(good().arcount(1).raw({5, 'a'}));
  expect_malformed(good().arcount(1).raw({0xc0}));
  expect_malformed(good().arcount(1));
  expect_malformed(good().arcount(65535));
}

TEST(ParseAnswer, B9_labels_are_octets) {
  const Name name = "a\\000\\.\\255*.example";
  DnsBuilder builder = reply(name);
  expect_cacheable(add_a(builder), name);
}

TEST(ParseAnswer, B15_rdlengths) {
  for (const std::size_t bytes : {0u, 3u, 5u}) {
    expect_malformed(reply().answer(Name::pointer(12), kTypeA, 60, Bytes(bytes, 1)));
    expect_malformed(good().additional("a", kTypeAaaa, 60, Bytes(bytes, 1)));
  }
  expect_malformed(good().record_with_rdlen(Section::additional, "a", 65280, 60, 10, Bytes(9, 1)));
  expect_malformed(good().additional("a", kTypeMx, 60, {0, 1}));
  expect_malformed(good().additional("a", kTypeMx, 60, {0, 1, 0, 0}));
  expect_malformed(good().additional("a", kTypeSoa, 60, Bytes(21, 0)));
  expect_malformed(good().additional("a", kTypeRrsig, 60, Bytes(18, 0)));
  expect_malformed(good().additional("a", 35, 60, {0, 1, 0, 1, 9, 'u'}));  // NAPTR
  expect_cacheable(good().additional("a", 35, 60, {0, 1, 0, 1, 1, 'u', 0, 0, 0}));
}

TEST(ParseAnswer, B16_trailing_octets_are_cut) {
  EXPECT_EQ(take(good().raw(Bytes(40, 7))).body(), take(good()).body());
  EXPECT_TRUE(take(good().raw(Bytes(40, 7))).parsed.cacheable);
}

TEST(ParseAnswer, every_cut_of_an_answer_is_survived) {
  DnsBuilder builder = good();
  builder.authority("example.com", kTypeSoa, 60, rdata_soa({}));
  builder.additional(Name::with_pointer("ns", 16), kTypeAaaa, 60, rdata_aaaa("fd00:18::1"));
  builder.opt({.options = {{10, Bytes(24, 1)}}});
  const Bytes whole = builder.build();
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<long>(bytes));
    EXPECT_EQ(parse_upstream(cut, key_for(kQname, kTypeA)).verdict, Verdict::malformed) << bytes;
  }
}

}  // namespace
}  // namespace millrace::test
