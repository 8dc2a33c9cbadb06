// SPDX-License-Identifier: Apache-2.0
// What a hit looks like on the wire (groups A-I, A-III, A-VI, A-VII and the traps of the wire-image
// approach), and the extended errors. The answers come from parse_answer, so the pair is tested as
// it is used.
#include "tests/unit/wire/wire_test.hpp"

namespace millrace::test {
namespace {


DnsBuilder ask(const Name& name = kQname, uint16_t type = kTypeA) {
  return DnsBuilder().id(0xbeef).rd().question(name, type);
}

DnsBuilder upstream(const Name& name = kQname, uint16_t type = kTypeA) {
  return DnsBuilder().id(1).response().rd().question(name, type);
}

// Two addresses, an authority NSEC (so that it stays) and an additional address.
DnsBuilder full_answer() {
  return upstream()
      .add_flags(kFlagAd)
      .answer(Name::pointer(12), kTypeA, 300, rdata_a("198.18.2.1"))
      .answer(Name::pointer(12), kTypeA, 300, rdata_a("198.18.2.2"))
      .authority(Name::pointer(16), kTypeNsec, 100, rdata_name("a.example.com"))
      .additional(Name::with_pointer("ns", 16), kTypeA, 50, rdata_a("198.18.2.3"))
      .opt({.udp_bytes = 4096, .options = {{15, {0, 3}}, {100, {1}}}});
}

class ReplyTest : public ::testing::Test {
 protected:
  void prime(const DnsBuilder& answer, const Key& key) {
    entry_ = parse_upstream(answer.build(), key);
    ASSERT_EQ(entry_.verdict, wire::Verdict::answer);
  }
  void SetUp() override { prime(full_answer(), key_for(kQname, kTypeA)); }

  Written serve(const DnsBuilder& query, uint32_t age_s = 0,
                const wire::ReplyLimits& limits = kLimits) {
    Written written = reply_to(query.build(), entry_.view(), age_s, limits);
    EXPECT_TRUE(written.message);
    if (written.message) {
      EXPECT_EQ(written.message->end, written.bytes.size());
    }
    return written;
  }

  ParsedUpstream entry_;
};

TEST_F(ReplyTest, A1_A2_id_and_question_are_the_clients_own) {
  const Written written = serve(ask("wWw.eXaMpLe.CoM"));
  EXPECT_EQ(written.message->id, 0xbeef);
  ASSERT_EQ(written.message->questions.size(), 1u);
  EXPECT_EQ(written.message->questions[0].name, Name("wWw.eXaMpLe.CoM").bytes());
  // T15: owners that point into the question take the client's spelling.
  EXPECT_EQ(written.message->records[0].owner, Name("wWw.eXaMpLe.CoM").bytes());
  EXPECT_EQ(written.message->records[3].owner, Name("ns.eXaMpLe.CoM").bytes());
}

TEST_F(ReplyTest, A7_A10_header_of_a_hit) {
  for (const uint16_t flags : std::initializer_list<uint16_t>{
           0, kFlagRd, kFlagCd, kFlagZ, kFlagAd, kFlagRd | kFlagCd | kFlagZ, kFlagAa | kFlagRa}) {
    const Written written = serve(ask().flags(flags));
    const uint16_t expected = static_cast<uint16_t>(kFlagQr | kFlagRa | (flags & kFlagRd) |
                                                    (flags & kFlagCd) |
                                                    (flags & kFlagAd));  // the entry has it
    EXPECT_EQ(written.message->flags, expected) << flags;
  }
}

TEST_F(ReplyTest, A8_A9_authentic_data_table) {
  int shown = 0;
  for (int bits = 0; bits < 8; ++bits) {
    const bool entry = bits & 1, ask_ad = bits & 2, ask_do = bits & 4;
    AnswerView view = entry_.view();
    view.authentic_data = entry;
    DnsBuilder query = ask();
    if (ask_ad) query.add_flags(kFlagAd);
    if (ask_do) query.opt({.flag_do = true});
    const Written written = reply_to(query.build(), view, 0, kLimits);
    const bool ad = written.message->has(kFlagAd);
    EXPECT_EQ(ad, entry && (ask_ad || ask_do)) << bits;
    shown += ad;
  }
  EXPECT_EQ(shown, 3);
}

TEST_F(ReplyTest, A12_A72_A73_opt_only_if_asked) {
  EXPECT_EQ(serve(ask()).message->opt(), nullptr);
  const Written written = serve(ask().opt({.udp_bytes = 4096, .flag_do = true,
                                           .other_flags = 0x7fff,
                                           .options = {{10, Bytes(8, 1)}, {65001, {5}}}}));
  const ReadRecord* opt = written.message->opt();
  ASSERT_NE(opt, nullptr);
  EXPECT_EQ(opt->owner, Bytes{0});
  EXPECT_EQ(opt->cls, 1232);
  EXPECT_EQ(opt->ttl, 0x8000u);
  EXPECT_TRUE(opt->rdata.empty());
  EXPECT_EQ(serve(ask().opt()).message->opt()->ttl, 0u);
}

TEST_F(ReplyTest, A24_A76_nothing_of_other_options_comes_out) {
  const Written written = serve(ask().opt());
  EXPECT_EQ(written.message->records.size(), 5u);
  EXPECT_TRUE(written.message->extended_errors().empty());
}

TEST_F(ReplyTest, A19_order_and_content) {
  const Written written = serve(ask());
  const auto original = read_message(full_answer().build());
  ASSERT_TRUE(original);
  ASSERT_EQ(written.message->records.size(), original->records.size() - 1);  // T6: without OPT
  for (std::size_t i = 0; i < written.message->records.size(); ++i) {
    EXPECT_EQ(written.message->records[i].section, original->records[i].section);
    EXPECT_EQ(written.message->records[i].owner, original->records[i].owner);
    EXPECT_EQ(written.message->records[i].type, original->records[i].type);
    EXPECT_EQ(written.message->records[i].rdata, original->records[i].rdata);
    EXPECT_EQ(written.message->records[i].ttl, original->records[i].ttl);
  }
}

TEST_F(ReplyTest, A36_A37_ttls_fall_and_stop_at_zero) {
  const std::vector<uint32_t> base = {300, 300, 100, 50};
  for (const uint32_t age_s : {0u, 1u, 2u, 49u, 50u, 51u, 99u, 100u, 299u, 300u, 301u,
                               0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    const Written written = serve(ask().opt(), age_s);
    for (std::size_t i = 0; i < base.size(); ++i) {
      EXPECT_EQ(written.message->records[i].ttl, base[i] > age_s ? base[i] - age_s : 0);
    }
    EXPECT_EQ(written.message->opt()->ttl, 0u);  // the field is not a TTL
  }
}

TEST_F(ReplyTest, T4_ttl_fields_at_odd_offsets) {
  // A name of odd and one of even length shift every TTL by one octet.
  for (const char* name : {"a.example", "ab.example"}) {
    const Key key = key_for(name, kTypeTxt);
    prime(upstream(name, kTypeTxt)
              .answer(Name::pointer(12), kTypeTxt, 77, rdata_txt("x"))
              .answer(Name::pointer(12), kTypeTxt, 77, rdata_txt("yy")),
          key);
    const Written written = serve(ask(name, kTypeTxt), 7);
    EXPECT_EQ(written.message->records[0].ttl, 70u);
    EXPECT_EQ(written.message->records[1].ttl, 70u);
  }
}

TEST_F(ReplyTest, A90_exact_fit_and_one_octet_over) {
  // TXT answers without additional data: only TC is left when they do not fit.
  for (const bool edns : {false, true}) {
    const std::size_t limit = edns ? 1232 : 512;
    for (const int over : {-1, 0, 1}) {
      const std::size_t fixed = 12 + 17 + 4 + (edns ? 11 : 0) + 12;
      const std::size_t rdata = limit - fixed + static_cast<std::size_t>(over + 1) - 1;
      prime(upstream(kQname, kTypeTxt).answer(Name::pointer(12), kTypeTxt, 60, Bytes(rdata, 1)),
            key_for(kQname, kTypeTxt));
      DnsBuilder query = ask(kQname, kTypeTxt);
      if (edns) query.opt({.udp_bytes = 4096});
      const Written written = serve(query);
      EXPECT_EQ(written.reply.truncated, over > 0);
      EXPECT_EQ(written.message->has(kFlagTc), over > 0);
      if (over > 0) {  // A78: header, question, OPT
        EXPECT_EQ(written.message->count(Section::answer), 0u);
        EXPECT_EQ(written.message->opt() != nullptr, edns);
        EXPECT_EQ(written.bytes.size(), 12u + 17 + 4 + (edns ? 11 : 0));
      } else {
        EXPECT_EQ(written.bytes.size(), limit + static_cast<std::size_t>(over + 1) - 1);
      }
    }
  }
}

TEST_F(ReplyTest, A90_each_bound_counts) {
  prime(upstream(kQname, kTypeTxt).answer(Name::pointer(12), kTypeTxt, 60, Bytes(700, 1)),
        key_for(kQname, kTypeTxt));
  const auto truncated = [&](uint16_t client, uint16_t own, uint16_t room) {
    return serve(ask(kQname, kTypeTxt).opt({.udp_bytes = client}), 0,
                 {.udp_bytes_max = own, .room = room})
        .reply.truncated;
  };
  EXPECT_FALSE(truncated(1232, 1232, 1232));
  EXPECT_TRUE(truncated(600, 1232, 1232));
  EXPECT_TRUE(truncated(1232, 600, 1232));
  EXPECT_TRUE(truncated(1232, 1232, 600));
}

TEST_F(ReplyTest, T5_no_room_for_the_question) {
  const Bytes query = ask().opt().build();
  for (const uint16_t room : std::initializer_list<uint16_t>{0, 12, 33, 43}) {
    const wire::ReplyLimits limits{.udp_bytes_max = 1232, .room = room};
    const ParsedQuery parsed = parse(query);
    const auto block = std::make_unique<uint8_t[]>(room);
    EXPECT_EQ(wire::write_reply(block.get(), parsed.query, entry_.view(), 0, limits).len, 0);
    EXPECT_EQ(wire::write_truncated(block.get(), parsed.query, limits).len, 0);
    EXPECT_EQ(wire::write_error(block.get(), parsed.query, Outcome::fmt_tc, limits).len, 0);
  }
  EXPECT_TRUE(serve(ask().opt(), 0, {.udp_bytes_max = 1232, .room = 44}).reply.truncated);
}

TEST_F(ReplyTest, A91_additional_data_goes_first_and_without_tc) {
  const std::size_t whole = serve(ask().opt()).bytes.size();
  const Written written =
      serve(ask().opt(), 7, {.udp_bytes_max = 1232, .room = static_cast<uint16_t>(whole - 1)});
  EXPECT_FALSE(written.reply.truncated);
  EXPECT_EQ(written.message->count(Section::answer), 2u);
  EXPECT_EQ(written.message->count(Section::authority), 1u);
  EXPECT_EQ(written.message->counts[3], 1);
  EXPECT_NE(written.message->opt(), nullptr);
  EXPECT_EQ(written.message->records[2].ttl, 93u);
}

TEST_F(ReplyTest, A91_additional_data_that_fits_exactly_stays) {
  const std::size_t whole = serve(ask().opt()).bytes.size();
  const Written written =
      serve(ask().opt(), 0, {.udp_bytes_max = 1232, .room = static_cast<uint16_t>(whole)});
  EXPECT_EQ(written.message->count(Section::additional), 2u);  // the address and OPT
}

TEST_F(ReplyTest, A91_ttls_of_what_was_cut_are_not_written) {
  const Bytes query = ask().build();
  const ParsedQuery parsed = parse(query);
  Bytes block(400, 0x5c);
  std::copy(query.begin(), query.end(), block.begin());
  const std::size_t whole = serve(ask()).bytes.size();
  const wire::Reply reply =
      wire::write_reply(block.data(), parsed.query, entry_.view(), 7,
                        {.udp_bytes_max = static_cast<uint16_t>(whole - 1), .room = 400});
  ASSERT_LT(reply.len, whole);
  EXPECT_TRUE(std::all_of(block.begin() + reply.len, block.end(),
                          [](uint8_t octet) { return octet == 0x5c; }));
}

TEST_F(ReplyTest, A92_a_larger_client_gets_all_of_a_truncated_hit) {
  prime(upstream(kQname, kTypeTxt).answer(Name::pointer(12), kTypeTxt, 60, Bytes(3000, 1)),
        key_for(kQname, kTypeTxt));
  EXPECT_TRUE(serve(ask(kQname, kTypeTxt)).reply.truncated);
  ParsedQuery parsed = parse(ask(kQname, kTypeTxt).build());
  parsed.query.udp_bytes_max = 65535;
  const Written written = write_over(ask(kQname, kTypeTxt).build(), 4096, [&](uint8_t* msg) {
    return wire::write_reply(msg, parsed.query, entry_.view(), 0,
                             {.udp_bytes_max = 65535, .room = 4096});
  });
  EXPECT_FALSE(written.message->has(kFlagTc));
  EXPECT_EQ(written.message->count(Section::answer), 1u);
}

TEST_F(ReplyTest, A9_no_ad_with_tc) {
  wire::ReplyLimits limits{.udp_bytes_max = 1232, .room = 60};
  const Written written = serve(ask().add_flags(kFlagAd), 0, limits);
  EXPECT_TRUE(written.message->has(kFlagTc));
  EXPECT_FALSE(written.message->has(kFlagAd));
}

TEST_F(ReplyTest, A16_rcode_of_a_negative_hit) {
  prime(upstream().rcode(3).authority("example.com", kTypeSoa, 900, rdata_soa({.minimum = 60})),
        key_for(kQname, kTypeA));
  const Written written = serve(ask().opt(), 10);
  EXPECT_EQ(written.message->rcode(), 3);
  EXPECT_EQ(written.message->records[0].ttl, 50u);
}

TEST_F(ReplyTest, a_remembered_failure_needs_no_body) {
  AnswerView failure{};
  failure.rcode = 2;
  failure.failure = true;
  const Written written = reply_to(ask().opt().build(), failure, 3);
  EXPECT_EQ(written.message->rcode(), 2);
  EXPECT_EQ(written.message->records.size(), 1u);
}

TEST_F(ReplyTest, truncated_reply) {
  for (const bool edns : {false, true}) {
    DnsBuilder query = ask();
    if (edns) query.opt({.flag_do = true});
    const ParsedQuery parsed = parse(query.build());
    const Written written = write_over(query.build(), 512, [&](uint8_t* msg) {
      return wire::write_truncated(msg, parsed.query, {.udp_bytes_max = 1232, .room = 512});
    });
    ASSERT_TRUE(written.message);
    EXPECT_EQ(written.message->flags, kFlagQr | kFlagTc | kFlagRd | kFlagRa);
    EXPECT_EQ(written.message->records.size(), edns ? 1u : 0u);
  }
}

// Silence would leave the client waiting (A64), and TC means nothing over TCP (A104).
TEST_F(ReplyTest, A104_what_does_not_fit_over_tcp_is_servfail) {
  const wire::ReplyLimits limits{.udp_bytes_max = 1232, .room = 60, .stream = true};
  const Written written = serve(ask().opt(), 0, limits);
  ASSERT_TRUE(written.message);
  EXPECT_EQ(written.message->rcode(), 2);
  EXPECT_FALSE(written.message->has(kFlagTc));
  EXPECT_EQ(written.message->questions.size(), 1u);
  EXPECT_NE(written.message->opt(), nullptr);
}

TEST(WriteError, A80_extended_errors_only_with_opt) {
  const std::pair<Outcome, uint16_t> expected[] = {
      {Outcome::refused_acl, 18},      {Outcome::refused_rd0, 20},
      {Outcome::servfail_cached, 13},  {Outcome::servfail_no_route, 14},
      {Outcome::servfail_upstream, 22}, {Outcome::refused_class, 21},
      {Outcome::refused_transfer, 21}, {Outcome::refused_signed, 21},
      {Outcome::fmt_meta_type, 30}};
  for (const auto& [outcome, code] : expected) {
    EXPECT_EQ(error_reply(ask().opt().build(), outcome).message->extended_errors(),
              std::vector<uint16_t>{code});
    EXPECT_EQ(error_reply(ask().build(), outcome).message->opt(), nullptr);
  }
  for (const Outcome outcome : {Outcome::servfail_ring_full, Outcome::servfail_inflight_full,
                                Outcome::fmt_cookie, Outcome::fmt_subnet, Outcome::badvers}) {
    EXPECT_TRUE(error_reply(ask().opt().build(), outcome).message->extended_errors().empty());
  }
}

TEST(WriteError, rcodes_of_the_classes) {
  for (std::size_t i = 0; i < abi::kOutcomeCnt; ++i) {
    const abi::OutcomeInfo& info = abi::kOutcomes[i];
    if (info.cls != abi::OutcomeClass::refused && info.cls != abi::OutcomeClass::error) continue;
    const Written written = error_reply(ask().opt().build(), static_cast<Outcome>(i));
    ASSERT_TRUE(written.message);
    uint8_t rcode = 1;
    if (info.cls == abi::OutcomeClass::refused) rcode = 5;
    if (info.name.starts_with("servfail")) rcode = 2;
    if (info.name == "notimp") rcode = 4;
    if (info.name == "badvers") rcode = 0;
    if (info.name == "bad_cookie") rcode = 7;  // and 16 in the OPT
    EXPECT_EQ(written.message->rcode(), rcode) << info.name;
    EXPECT_EQ(written.message->questions.size(), 1u) << info.name;
  }
}

TEST(WriteError, the_extended_error_goes_when_there_is_no_room) {
  const Bytes query = ask().opt().build();
  const Written written = error_reply(query, Outcome::refused_acl,
                                      {.udp_bytes_max = 1232,
                                       .room = static_cast<uint16_t>(query.size())});
  ASSERT_TRUE(written.message);
  EXPECT_NE(written.message->opt(), nullptr);
  EXPECT_TRUE(written.message->extended_errors().empty());
}

}  // namespace
}  // namespace millrace::test
