// SPDX-License-Identifier: Apache-2.0
// EDNS options, from the query to the reply (A-VI): which are looked at, which come back.
#include "dataplane/wire/edns.hpp"
#include "tests/unit/wire/wire_test.hpp"

namespace millrace::test {
namespace {

constexpr uint16_t kNsid = 3, kEcs = 8, kCookie = 10, kKeepalive = 11, kPadding = 12;

DnsBuilder ask_with(const std::vector<Option>& options) {
  return DnsBuilder().id(0xbeef).rd().question(kQname, kTypeA).opt({.options = options});
}

ParsedQuery parse_without_cookies(const Bytes& message) {
  ParsedQuery parsed{};
  const ExactCopy copy(message);
  parsed.outcome = wire::parse_query(copy.data(), copy.len(), parsed.query, parsed.key, false);
  return parsed;
}

// Forty octets: a cookie of 28 and 12 more.
const Bytes kOptions = [] {
  Bytes bytes(40, 0x5a);
  const Bytes cookie = {0, 10, 0, 24}, nsid = {0, 3, 0, 8};
  std::copy(cookie.begin(), cookie.end(), bytes.begin());
  std::copy(nsid.begin(), nsid.end(), bytes.begin() + 28);
  return bytes;
}();

wire::ReplyLimits limits_with_options(uint16_t room = 4096) {
  return {.udp_bytes_max = 1232,
          .room = room,
          .options = kOptions.data(),
          .options_bytes = 40,
          .cookie_bytes = 28};
}

TEST(Options, only_those_that_have_an_answer_are_noted) {
  for (const uint16_t code :
       {kEcs, kPadding, uint16_t{9}, uint16_t{13}, uint16_t{18}, uint16_t{19}, uint16_t{65001}}) {
    const ParsedQuery parsed = parse(ask_with({{code, Bytes(8, 0)}}).build());
    EXPECT_EQ(parsed.outcome, kGoOn) << code;
    EXPECT_EQ(parsed.query.options_at, 0) << code;
  }
  for (const uint16_t code : {kNsid, kCookie, kKeepalive}) {
    const Bytes query = ask_with({{65001, {1, 2, 3}}, {code, Bytes(8, 7)}}).build();
    const ParsedQuery parsed = parse(query);
    EXPECT_EQ(parsed.outcome, kGoOn) << code;
    ASSERT_EQ(parsed.query.options_at, query.size() - 7 - 12) << code;
    const wire::ClientOptions asked = wire::read_options(query.data(), parsed.query.options_at);
    EXPECT_EQ(asked.nsid, code == kNsid);
    EXPECT_EQ(asked.keepalive, code == kKeepalive);
    EXPECT_EQ(asked.keepalive_empty, code != kKeepalive);
    EXPECT_EQ(asked.cookie_bytes, code == kCookie ? 8u : 0u);
  }
}

TEST(Options, A5_A82_no_option_is_part_of_the_key) {
  const Key bare = parse(ask_with({}).build()).key;
  const Key all =
      parse(ask_with({{kCookie, Bytes(24, 1)}, {kNsid, {}}, {kEcs, Bytes(8, 0)}}).build()).key;
  EXPECT_TRUE(bare.len == all.len && std::equal(bare.bytes, bare.bytes + bare.len, all.bytes));
}

TEST(Options, A81_the_first_cookie_counts) {
  const Bytes query = ask_with({{kCookie, Bytes(8, 1)}, {kCookie, Bytes(16, 2)}}).build();
  const auto asked = wire::read_options(query.data(), parse(query).query.options_at);
  ASSERT_EQ(asked.cookie_bytes, 8u);
  EXPECT_EQ(asked.cookie[0], 1);
}

TEST(Options, A82_without_cookies_their_length_does_not_matter) {
  for (std::size_t bytes = 0; bytes < 48; ++bytes) {
    const ParsedQuery parsed =
        parse_without_cookies(ask_with({{kCookie, Bytes(bytes, 1)}}).build());
    EXPECT_EQ(parsed.outcome, kGoOn) << bytes;
    EXPECT_EQ(parsed.query.options_at, 0) << bytes;
  }
}

TEST(Options, not_noted_where_they_could_not_be_read) {
  const DnsBuilder good = ask_with({{kCookie, Bytes(8, 1)}});
  EXPECT_EQ(parse(DnsBuilder(good).opt().build()).query.options_at, 0) << "two OPT";
  EXPECT_EQ(
      parse(ask_with({{kCookie, Bytes(8, 1)}, {kCookie, Bytes(7, 1)}}).build()).query.options_at,
      0);
  const DnsBuilder query = DnsBuilder().rd().question(kQname, kTypeA);
  EXPECT_EQ(
      parse(DnsBuilder(query).opt({.options = {{kCookie, Bytes(8, 1)}}, .raw = {0, 10, 0}}).build())
          .query.options_at,
      0);
  EXPECT_EQ(
      parse(DnsBuilder(query).opt({.version = 1, .options = {{kCookie, Bytes(8, 1)}}}).build())
          .query.options_at,
      0);
}

TEST(Options, A83_no_question_but_a_cookie) {
  const OptFields cookie{.flag_do = true, .options = {{kCookie, Bytes(8, 1)}}};
  const ParsedQuery parsed = parse(DnsBuilder().rd().opt(cookie).build());
  EXPECT_EQ(parsed.outcome, Outcome::cookie_only);
  EXPECT_TRUE(parsed.query.has_opt);
  EXPECT_EQ(parsed.query.options_at, 12 + 11);

  const auto is_malformed = [](const DnsBuilder& query) {
    const Written written = error_reply(query.build(), parse(query.build()).outcome);
    return parse(query.build()).outcome == Outcome::fmt_qd0 && written.bytes.size() == 12 &&
           written.message->rcode() == 1;
  };
  EXPECT_TRUE(is_malformed(DnsBuilder().rd().opt()));
  EXPECT_TRUE(is_malformed(DnsBuilder().rd().opt({.options = {{kNsid, {}}}})));
  EXPECT_TRUE(is_malformed(DnsBuilder().rd().opt({.options = {{kCookie, Bytes(9, 1)}}})));
  EXPECT_TRUE(is_malformed(DnsBuilder().rd().opt(cookie).opt(cookie)));
  EXPECT_TRUE(is_malformed(DnsBuilder().rd().opt(cookie).arcount(2)));
  EXPECT_TRUE(is_malformed(DnsBuilder().rd().add_flags(kFlagTc).opt(cookie)));
  EXPECT_TRUE(is_malformed(
      DnsBuilder().rd().answer("a.example", kTypeA, 1, rdata_a("198.18.0.1")).opt(cookie)));
  EXPECT_EQ(parse_without_cookies(DnsBuilder().rd().opt(cookie).build()).outcome, Outcome::fmt_qd0);
}

TEST(Options, A83_the_reply_has_no_question) {
  const Bytes query = DnsBuilder().id(7).rd().opt({.options = {{kCookie, Bytes(24, 1)}}}).build();
  Written written = error_reply(query, Outcome::cookie_only, limits_with_options());
  ASSERT_TRUE(written.message);
  EXPECT_EQ(written.message->flags, kFlagQr | kFlagRd | kFlagRa);
  EXPECT_TRUE(written.message->questions.empty());
  ASSERT_NE(written.message->opt(), nullptr);
  EXPECT_EQ(written.message->opt()->rdata, Bytes(kOptions.begin(), kOptions.begin() + 28));
  written = error_reply(query, Outcome::bad_cookie, limits_with_options());
  EXPECT_EQ(written.message->rcode(), 7);
  EXPECT_EQ(written.message->opt()->ttl, 1u << 24) << "7 and 16: BADCOOKIE";
}

// The answer of `records` addresses to an EDNS query.
AnswerView answer_of(ParsedUpstream& entry, int records) {
  DnsBuilder message = DnsBuilder().id(1).response().rd().question(kQname, kTypeA);
  for (int i = 0; i < records; ++i) {
    message.answer(Name::pointer(12), kTypeA, 300, rdata_a("198.18.2." + std::to_string(i + 1)));
  }
  entry = parse_upstream(message.build(), key_for(kQname, kTypeA));
  return entry.view();
}

TEST(Options, answers_carry_them_all) {
  ParsedUpstream entry;
  const AnswerView view = answer_of(entry, 3);
  for (const int shift : {0, 1}) {  // OPT at an even and at an odd place
    const Name name(shift == 0 ? "www.example.com" : "wwww.example.com");
    const Bytes query = DnsBuilder().rd().question(name, kTypeA).opt().build();
    const Written written = reply_to(query, view, 5, limits_with_options());
    ASSERT_TRUE(written.message && written.message->opt());
    EXPECT_EQ(written.message->opt()->rdata, kOptions);
    EXPECT_EQ(written.message->count(Section::answer), 3u);
  }
  const Bytes bare = DnsBuilder().rd().question(kQname, kTypeA).build();
  EXPECT_EQ(reply_to(bare, view, 5, limits_with_options()).message->opt(), nullptr) << "A72";
}

TEST(Options, A91_extras_go_before_the_answer_does_and_the_cookie_stays) {
  // 12 + 21 + 16 * 26 + 11 + 52 = 512.
  ParsedUpstream entry;
  const Bytes query = DnsBuilder().rd().question(kQname, kTypeA).opt({.udp_bytes = 512}).build();
  ASSERT_EQ(query.size(), 44u);
  Written written = reply_to(query, answer_of(entry, 26), 0, limits_with_options());
  EXPECT_EQ(written.bytes.size(), 44u + 26 * 16 + 40);
  written = reply_to(query, answer_of(entry, 27), 0, limits_with_options());
  EXPECT_FALSE(written.message->has(kFlagTc));
  EXPECT_EQ(written.message->count(Section::answer), 27u);
  EXPECT_EQ(written.message->opt()->rdata.size(), 28u);
  EXPECT_EQ(written.bytes.size(), 44u + 27 * 16 + 28);
  written = reply_to(query, answer_of(entry, 28), 0, limits_with_options());
  EXPECT_TRUE(written.message->has(kFlagTc));
  EXPECT_EQ(written.message->count(Section::answer), 0u);
  EXPECT_EQ(written.message->opt()->rdata.size(), 28u);
}

TEST(Options, errors_carry_the_cookie_alone) {
  const Bytes query = ask_with({{kCookie, Bytes(8, 1)}, {kNsid, {}}}).build();
  Written written = error_reply(query, Outcome::servfail_cached, limits_with_options());
  ASSERT_TRUE(written.message && written.message->opt());
  EXPECT_EQ(written.message->opt()->rdata.size(), 28u + 6u);
  EXPECT_EQ(written.message->extended_errors(), std::vector<uint16_t>{13});
  EXPECT_LE(written.bytes.size(), query.size() + 28);
  const auto room = static_cast<uint16_t>(12 + 21 + 11 + 28);
  written = error_reply(query, Outcome::servfail_cached, limits_with_options(room));
  EXPECT_EQ(written.message->opt()->rdata.size(), 28u);
  written = error_reply(query, Outcome::servfail_cached, limits_with_options(room - 1));
  EXPECT_EQ(written.message->opt()->rdata.size(), 6u);
}

TEST(Options, A78_a_truncated_answer_has_them) {
  const Bytes query = ask_with({{kCookie, Bytes(8, 1)}}).build();
  const ParsedQuery parsed = parse(query);
  const Written written = write_over(query, 4096, [&](uint8_t* msg) {
    return wire::write_truncated(msg, parsed.query, limits_with_options());
  });
  ASSERT_TRUE(written.message && written.message->opt());
  EXPECT_EQ(written.message->opt()->rdata, kOptions);
}

}  // namespace
}  // namespace millrace::test
