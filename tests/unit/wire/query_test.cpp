// SPDX-License-Identifier: Apache-2.0
// Rows B1-B24 and the items of the checklist that parse_query decides, one query each, together
// with the error that it earns.
#include "tests/unit/wire/wire_test.hpp"

namespace millrace::test {
namespace {

DnsBuilder plain(const Name& name = "www.example.com", uint16_t type = kTypeA) {
  return DnsBuilder().rd().question(name, type);
}

Outcome outcome_of(const DnsBuilder& builder) { return parse(builder.build()).outcome; }

// The reply to a query in error: RCODE, question or not, OPT or not; never larger than allowed.
void expect_error(const DnsBuilder& builder, Outcome outcome, uint8_t rcode, bool question,
                  bool opt) {
  const Bytes query = builder.build();
  ASSERT_EQ(parse(query).outcome, outcome);
  const Written written = error_reply(query);
  ASSERT_TRUE(written.message);
  const ReadMessage& message = *written.message;
  EXPECT_EQ(message.id, load_be16(query.data()));
  EXPECT_TRUE(message.has(kFlagQr));
  EXPECT_EQ(message.rcode(), rcode);
  EXPECT_EQ(message.opcode(), query[2] >> 3 & 0xf);
  EXPECT_FALSE(message.has(kFlagAa) || message.has(kFlagTc) || message.has(kFlagZ) ||
               message.has(kFlagAd));
  EXPECT_EQ(message.has(kFlagRd), (query[2] & 1) != 0);
  EXPECT_EQ(message.questions.size(), question ? 1u : 0u);
  EXPECT_EQ(message.opt() != nullptr, opt);
  EXPECT_EQ(message.records.size(), opt ? 1u : 0u);
  EXPECT_EQ(message.end, written.bytes.size());
  EXPECT_LE(written.bytes.size(), query.size() + (opt ? 6 : 0));
}

void expect_formerr(const DnsBuilder& builder, Outcome outcome, bool question, bool opt = false) {
  expect_error(builder, outcome, 1, question, opt);
}

std::string text(std::size_t labels, char octet) {
  std::string name;
  for (std::size_t i = 0; i < labels; ++i) name += std::string(1, octet) + ".";
  return name;
}

// 63 + 63 + 63 + `last` octets of labels: 255 on the wire for last = 61.
std::string long_name(std::size_t last) {
  return std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') + "." +
         std::string(last, 'd');
}

TEST(ParseQuery, reads_a_plain_query) {
  const ParsedQuery parsed = parse(plain("WwW.ExAmPlE.cOm", kTypeAaaa).build());
  ASSERT_EQ(parsed.outcome, kGoOn);
  EXPECT_EQ(parsed.query.qtype, kTypeAaaa);
  EXPECT_EQ(parsed.query.options_at, 0);
  EXPECT_EQ(parsed.query.qname_len, 17);
  EXPECT_EQ(parsed.query.udp_bytes_max, 512);
  EXPECT_EQ(parsed.query.opcode, 0);
  EXPECT_TRUE(parsed.query.flag_rd);
  EXPECT_FALSE(parsed.query.has_opt || parsed.query.flag_do || parsed.query.flag_cd ||
               parsed.query.flag_ad || parsed.query.trailing);
}

TEST(ParseQuery, A5_key_layout_and_zero_tail) {
  const ParsedQuery parsed =
      parse(plain("WWW.Example.com", 0x1234).add_flags(kFlagCd).opt({.flag_do = true}).build());
  ASSERT_EQ(parsed.outcome, kGoOn);
  Bytes expected = {0x12, 0x34, kKeyFlagDo | kKeyFlagCd, 0};
  const Bytes name = Name("www.example.com").bytes();
  expected.insert(expected.end(), name.begin(), name.end());
  ASSERT_EQ(parsed.key.len, expected.size());
  expected.resize((expected.size() + 31) / 32 * 32, 0);
  EXPECT_EQ(Bytes(parsed.key.bytes, parsed.key.bytes + expected.size()), expected);
}

TEST(ParseQuery, A5_zero_tail_for_every_name_length) {
  for (std::size_t length = 1; length <= 61; ++length) {
    for (const std::string& name : {std::string(length, 'Q'), long_name(length)}) {
      const ParsedQuery parsed = parse(plain(name).build());
      ASSERT_EQ(parsed.outcome, kGoOn);
      const Bytes wire = folded(Name(name).bytes());
      ASSERT_EQ(parsed.key.len, 4 + wire.size());
      EXPECT_TRUE(std::equal(wire.begin(), wire.end(), parsed.key.bytes + 4));
      const std::size_t end = (parsed.key.len + 31u) / 32 * 32;
      EXPECT_TRUE(std::all_of(parsed.key.bytes + parsed.key.len, parsed.key.bytes + end,
                              [](uint8_t octet) { return octet == 0; }));
    }
  }
}

TEST(ParseQuery, A5_what_is_and_is_not_in_the_key) {
  const auto key_of = [](const DnsBuilder& builder) {
    const ParsedQuery parsed = parse(builder.build());
    EXPECT_EQ(parsed.outcome, kGoOn);
    return Bytes(parsed.key.bytes, parsed.key.bytes + parsed.key.len);
  };
  const Bytes base = key_of(plain());
  EXPECT_EQ(key_of(plain("WWW.EXAMPLE.COM")), base);
  EXPECT_EQ(key_of(plain().opt()), base);
  EXPECT_EQ(key_of(plain().opt({.udp_bytes = 4096})), base);
  EXPECT_EQ(key_of(plain().flags(0)), base);  // RD=0
  EXPECT_EQ(key_of(plain().add_flags(kFlagAd)), base);
  EXPECT_EQ(key_of(plain().add_flags(kFlagZ)), base);
  EXPECT_EQ(key_of(plain().id(9)), base);
  EXPECT_EQ(key_of(plain().opt({.options = {{65001, {1, 2, 3}}}})), base);  // A76
  EXPECT_NE(key_of(plain().opt({.flag_do = true})), base);
  EXPECT_NE(key_of(plain().add_flags(kFlagCd)), base);
  EXPECT_NE(key_of(plain("www.example.com", kTypeAaaa)), base);
  EXPECT_NE(key_of(plain("www.example.co")), base);
}

TEST(ParseQuery, A3_folds_ascii_letters_only) {
  for (unsigned octet = 0; octet < 256; ++octet) {
    for (const std::size_t length : {1u, 9u, 20u}) {
      Bytes wire(1 + length, static_cast<uint8_t>(octet));
      wire[0] = static_cast<uint8_t>(length);
      wire.push_back(0);
      const ParsedQuery parsed = parse(plain(Name::wire(wire)).build());
      ASSERT_EQ(parsed.outcome, kGoOn);
      const bool upper = octet >= 'A' && octet <= 'Z';
      EXPECT_EQ(parsed.key.bytes[5], upper ? octet + 32 : octet);
      EXPECT_EQ(parsed.key.bytes[4 + length], upper ? octet + 32 : octet);
      EXPECT_EQ(parsed.key.bytes[4], length);
    }
  }
}

TEST(ParseQuery, A75_payload_size) {
  EXPECT_EQ(parse(plain().opt({.udp_bytes = 0}).build()).query.udp_bytes_max, 512);
  EXPECT_EQ(parse(plain().opt({.udp_bytes = 511}).build()).query.udp_bytes_max, 512);
  EXPECT_EQ(parse(plain().opt({.udp_bytes = 513}).build()).query.udp_bytes_max, 513);
  EXPECT_EQ(parse(plain().opt({.udp_bytes = 65535}).build()).query.udp_bytes_max, 65535);
}

TEST(ParseQuery, A76_unknown_options_are_ignored) {
  EXPECT_EQ(outcome_of(plain().opt({.options = {{100, {}}, {3, {}}, {12, Bytes(50, 7)}}})), kGoOn);
}

TEST(ParseQuery, B1_pointer_in_question) {
  const Name compressed = Name::with_pointer("www", 12);
  expect_formerr(plain(compressed), Outcome::fmt_qname_ptr, false);
  expect_formerr(plain(Name::pointer(12)), Outcome::fmt_qname_ptr, false);
}

TEST(ParseQuery, B4_pointer_into_header_or_past_the_end) {
  expect_formerr(plain(Name::pointer(0)), Outcome::fmt_qname_ptr, false);
  expect_formerr(plain(Name::pointer(0x3fff)), Outcome::fmt_qname_ptr, false);
  for (const uint16_t target : std::initializer_list<uint16_t>{0, 11, 0x3fff}) {
    expect_formerr(plain().additional(Name::pointer(target), kTypeA, 0, {}), Outcome::fmt_counts,
                   true);
  }
}

TEST(ParseQuery, B4_B5_owner_names_lead_to_a_name) {
  const auto with_owner = [](const Name& owner, const std::string& name = "www.example.com") {
    return plain(name).additional(owner, kTypeA, 0, {});
  };
  for (const uint16_t label : std::initializer_list<uint16_t>{12, 16, 24, 28})
    EXPECT_EQ(outcome_of(with_owner(Name::pointer(label))), kGoOn) << label;
  // Octets of a label, and more of them than a name may have.
  expect_formerr(with_owner(Name::pointer(13)), Outcome::fmt_counts, true);
  EXPECT_EQ(outcome_of(with_owner(Name::pointer(12), long_name(61))), kGoOn);
  expect_formerr(with_owner(Name::with_pointer("x", 12), long_name(61)), Outcome::fmt_counts, true);
  // A pointer to a pointer is legal, back to itself it is not.
  DnsBuilder twice = with_owner(Name::pointer(12));
  EXPECT_EQ(outcome_of(twice.additional(Name::pointer(33), kTypeA, 0, {})), kGoOn);
  expect_formerr(with_owner(Name::pointer(33)), Outcome::fmt_counts, true);
}

TEST(ParseQuery, B6_label_types) {
  for (const uint8_t bits : std::initializer_list<uint8_t>{0x40, 0x41, 0x7f, 0x80, 0xbf}) {
    expect_formerr(plain(Name::wire({1, 'a', bits, 1, 0})), Outcome::fmt_label_type, false);
  }
}

TEST(ParseQuery, B7_name_runs_past_the_end) {
  expect_formerr(DnsBuilder().qdcount(1).raw({5, 'a', 'b'}), Outcome::fmt_qname_trunc, false);
  expect_formerr(DnsBuilder().qdcount(1).raw({1, 'a'}), Outcome::fmt_qname_trunc, false);
  expect_formerr(DnsBuilder().qdcount(1).raw({63}), Outcome::fmt_qname_trunc, false);
}

TEST(ParseQuery, B8_name_length) {
  EXPECT_EQ(Name(long_name(61)).bytes().size(), 255u);
  EXPECT_EQ(outcome_of(plain(long_name(61))), kGoOn);
  expect_formerr(plain(long_name(62)), Outcome::fmt_name_long, false);
  EXPECT_EQ(outcome_of(plain(text(127, 'x'))), kGoOn);
  expect_formerr(plain(text(128, 'x')), Outcome::fmt_name_long, false);
  EXPECT_EQ(outcome_of(plain(".")), kGoOn);
}

TEST(ParseQuery, B9_labels_are_octets) {
  const auto key_of = [](const Name& name) {
    const ParsedQuery parsed = parse(plain(name).build());
    EXPECT_EQ(parsed.outcome, kGoOn);
    return Bytes(parsed.key.bytes, parsed.key.bytes + parsed.key.len);
  };
  EXPECT_NE(key_of("a\\000.com"), key_of("a.com"));
  EXPECT_NE(key_of("a\\.b.com"), key_of("a.b.com"));
  EXPECT_NE(key_of("\\193.com"), key_of("\\225.com"));  // 0xC1 is not 0xE1 in another case
  EXPECT_NE(key_of("*.com"), key_of("\\255.com"));
}

TEST(ParseQuery, B10_type_and_class_missing) {
  for (std::size_t bytes = 0; bytes < 4; ++bytes) {
    Bytes question = Name("example.com").bytes();
    question.insert(question.end(), bytes, 0);
    expect_formerr(DnsBuilder().qdcount(1).raw(question), Outcome::fmt_short_q, false);
  }
}

TEST(ParseQuery, B11_counts_lie) {
  expect_formerr(DnsBuilder().qdcount(1), Outcome::fmt_counts, false);
  expect_formerr(plain().arcount(1), Outcome::fmt_counts, true);
  expect_formerr(plain().arcount(65535), Outcome::fmt_counts, true);
  expect_formerr(plain().ancount(65535).nscount(65535).arcount(65535), Outcome::fmt_counts, true);
  expect_formerr(DnsBuilder().qdcount(65535).ancount(65535).nscount(65535).arcount(65535),
                 Outcome::fmt_qdcount, false);
  expect_formerr(plain().opt().arcount(2), Outcome::fmt_counts, true, true);
}

TEST(ParseQuery, B12_several_questions) {
  expect_formerr(plain().question("b.example", kTypeA), Outcome::fmt_qdcount, false);
  expect_formerr(plain().qdcount(65535), Outcome::fmt_qdcount, false);
  expect_formerr(plain().qdcount(2).opt(), Outcome::fmt_qdcount, false);
}

TEST(ParseQuery, B13_no_question) {
  expect_formerr(DnsBuilder().rd(), Outcome::fmt_qd0, false);
  expect_formerr(DnsBuilder().rd().opt(), Outcome::fmt_qd0, false);
}

TEST(ParseQuery, B14_A109_records_in_a_query) {
  expect_formerr(plain().answer("a.example", kTypeA, 1, rdata_a("198.18.0.1")),
                 Outcome::fmt_an_ns, true);
  expect_formerr(plain().authority("a.example", kTypeA, 1, rdata_a("198.18.0.1")).opt(),
                 Outcome::fmt_an_ns, true, true);
  const Bytes soa = rdata_soa({});
  EXPECT_EQ(outcome_of(plain("example", kTypeIxfr).authority("example", kTypeSoa, 0, soa)),
            Outcome::refused_transfer);
  EXPECT_EQ(outcome_of(plain("example", kTypeIxfr)
                           .authority("example", kTypeSoa, 0, soa)
                           .authority("example", kTypeSoa, 0, soa)),
            Outcome::fmt_an_ns);
}

TEST(ParseQuery, A109_more_than_two_additional_records) {
  DnsBuilder builder = plain().opt();
  builder.additional("a", kTypeA, 0, {}).additional("b", kTypeA, 0, {});
  expect_formerr(builder, Outcome::fmt_counts, true, true);
}

TEST(ParseQuery, A109_tc_in_a_query) {
  expect_formerr(plain().add_flags(kFlagTc), Outcome::fmt_tc, true);
  expect_formerr(plain().add_flags(kFlagTc).opt(), Outcome::fmt_tc, true, true);
}

TEST(ParseQuery, B15_rdlength_past_the_end) {
  expect_formerr(plain().record_with_rdlen(Section::additional, ".", kTypeOpt, 0, 1, {}),
                 Outcome::fmt_rdlen, true);
  expect_formerr(plain().record_with_rdlen(Section::additional, ".", kTypeA, 0, 65535, {1, 2}),
                 Outcome::fmt_rdlen, true);
}

TEST(ParseQuery, B16_trailing_octets_are_ignored_and_noted) {
  const ParsedQuery parsed = parse(plain().opt().raw({1, 2, 3}).build());
  EXPECT_EQ(parsed.outcome, kGoOn);
  EXPECT_TRUE(parsed.query.trailing);
}

TEST(ParseQuery, B17_A77_two_opts) {
  expect_formerr(plain().opt().opt(), Outcome::fmt_opt2, true, true);
}

TEST(ParseQuery, B18_A77_opt_in_the_wrong_place) {
  expect_formerr(plain().opt({.owner = "a"}), Outcome::fmt_opt_place, true, true);
  expect_formerr(plain().opt({.owner = Name::pointer(12)}), Outcome::fmt_opt_place, true, true);
  expect_formerr(plain().opt({}, Section::answer), Outcome::fmt_opt_place, true, true);
  expect_formerr(plain().opt({}, Section::authority), Outcome::fmt_opt_place, true, true);
}

TEST(ParseQuery, B19_option_lengths) {
  for (const Bytes& raw : {Bytes{0}, Bytes{0, 10}, Bytes{0, 10, 0}, Bytes{0, 100, 0, 1},
                           Bytes{0, 100, 255, 255, 1}}) {
    expect_formerr(plain().opt({.raw = raw}), Outcome::fmt_opt_len, true, true);
  }
}

TEST(ParseQuery, B20_very_many_options) {
  OptFields fields;
  fields.options.assign(16000, Option{65001, {}});
  EXPECT_EQ(outcome_of(plain().opt(fields)), kGoOn);
}

TEST(ParseQuery, B21_cookie_lengths) {
  for (std::size_t bytes = 0; bytes <= 48; ++bytes) {
    const bool legal = bytes == 8 || (bytes >= 16 && bytes <= 40);
    const DnsBuilder builder = plain().opt({.options = {{10, Bytes(bytes, 1)}}});
    if (legal) {
      EXPECT_EQ(outcome_of(builder), kGoOn) << bytes;
    } else {
      expect_formerr(builder, Outcome::fmt_cookie, true, true);
    }
  }
}

TEST(ParseQuery, B22_A74_badvers) {
  for (const uint8_t version : std::initializer_list<uint8_t>{1, 2, 255}) {
    // The options of another version are not looked at.
    const DnsBuilder builder = plain().opt(
        {.flag_do = true, .version = version, .other_flags = 0x7fff, .raw = {0, 10, 0}});
    expect_error(builder, Outcome::badvers, 0, true, true);
    const Written written = error_reply(builder.build());
    const ReadRecord* opt = written.message->opt();
    ASSERT_NE(opt, nullptr);
    EXPECT_EQ(opt->ttl, 0x01008000u);  // extended RCODE 1, version 0, DO only
    EXPECT_EQ(opt->cls, 1232);
  }
}

TEST(ParseQuery, B23_client_subnet_is_ignored) {
  for (const Bytes& data : {Bytes{0, 1, 24, 0, 198, 18, 255}, Bytes{0, 0, 0, 0}, Bytes{0, 3, 33, 0},
                            Bytes{0, 1, 33, 0}, Bytes{0, 2, 129, 0}, Bytes{0, 1, 0, 0}}) {
    EXPECT_EQ(outcome_of(plain().opt({.options = {{8, data}}})), kGoOn);
  }
}

TEST(ParseQuery, B24_A107_other_opcodes) {
  for (uint8_t opcode = 1; opcode < 16; ++opcode) {
    expect_error(DnsBuilder().opcode(opcode), Outcome::notimp, 4, false, false);
    expect_error(plain().opcode(opcode).opt(), Outcome::notimp, 4, false, false);
    expect_error(DnsBuilder().opcode(opcode).qdcount(65535).raw({0xff, 0xff, 0xc0}),
                 Outcome::notimp, 4, false, false);
  }
}

TEST(ParseQuery, B25_B26_responses_are_never_answered) {
  EXPECT_EQ(outcome_of(plain().add_flags(kFlagQr)), Outcome::drop_qr);
  EXPECT_EQ(outcome_of(DnsBuilder().add_flags(kFlagQr).rcode(1)), Outcome::drop_qr);
  EXPECT_EQ(outcome_of(DnsBuilder().add_flags(kFlagQr).opcode(5)), Outcome::drop_qr);
}

TEST(ParseQuery, B33_shorter_than_a_header) {
  const Bytes whole = plain().build();
  for (std::size_t bytes = 0; bytes < 12; ++bytes) {
    EXPECT_EQ(parse(Bytes(whole.begin(), whole.begin() + static_cast<long>(bytes))).outcome,
              Outcome::drop_short);
  }
}

TEST(ParseQuery, B69_junk) {
  EXPECT_EQ(outcome_of(DnsBuilder().flags(0x0021).qdcount(0x4142).raw({0x91, 0x20, 0x33})),
            Outcome::drop_junk);
}

TEST(ParseQuery, A113_transfers) {
  expect_error(plain("example", kTypeAxfr), Outcome::refused_transfer, 5, true, false);
  expect_error(plain("example", kTypeIxfr).opt(), Outcome::refused_transfer, 5, true, true);
}

TEST(ParseQuery, A114_signatures) {
  expect_error(plain().additional("key.example", kTypeTsig, 0, Bytes(20, 1)),
               Outcome::refused_signed, 5, true, false);
  expect_error(plain().opt().additional("key.example", kTypeTsig, 0, Bytes(20, 1)),
               Outcome::refused_signed, 5, true, true);
  expect_error(plain().additional(".", kTypeSig, 0, Bytes(20, 0)), Outcome::refused_signed, 5,
               true, false);
}

TEST(ParseQuery, A115_classes) {
  for (const uint16_t cls : std::initializer_list<uint16_t>{0, 2, 3, 4, 254, 255, 0xffff}) {
    expect_error(DnsBuilder().rd().question("version.bind", kTypeTxt, cls), Outcome::refused_class,
                 5, true, false);
  }
}

TEST(ParseQuery, A116_meta_types) {
  for (const uint16_t type : std::initializer_list<uint16_t>{0, 41, 128, 249, 250}) {
    expect_formerr(plain("a.example", type), Outcome::fmt_meta_type, true);
    const Written written = error_reply(plain("a.example", type).opt().build());
    EXPECT_EQ(written.message->extended_errors(), std::vector<uint16_t>{30});
  }
  for (const uint16_t type : std::initializer_list<uint16_t>{253, 254}) {
    expect_error(plain("a.example", type), Outcome::notimp, 4, true, false);
    expect_error(plain("a.example", type).opt(), Outcome::notimp, 4, true, true);
  }
}

TEST(ParseQuery, A18_unknown_types_go_on) {
  for (const uint16_t type :
       std::initializer_list<uint16_t>{255, 65280, 1000, 65535, 127, 129, 248, 65}) {
    EXPECT_EQ(outcome_of(plain("a.example", type)), kGoOn) << type;
  }
}

TEST(ParseQuery, A111_rd0_goes_on_for_the_policy) {
  const ParsedQuery parsed = parse(DnsBuilder().question("a.example", kTypeA).build());
  EXPECT_EQ(parsed.outcome, kGoOn);
  EXPECT_FALSE(parsed.query.flag_rd);
}

TEST(ParseQuery, every_cut_of_a_query_is_survived) {
  const Bytes whole =
      plain("a.b.example").opt({.flag_do = true, .options = {{10, Bytes(24, 1)}}}).build();
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<long>(bytes));
    const ParsedQuery parsed = parse(cut);
    EXPECT_NE(parsed.outcome, kGoOn) << bytes;
    if (parsed.outcome == Outcome::drop_short) continue;
    const Written written = error_reply(cut);
    ASSERT_TRUE(written.message) << bytes;
    EXPECT_EQ(written.message->rcode(), 1);
  }
}

}  // namespace
}  // namespace millrace::test
