// SPDX-License-Identifier: Apache-2.0
// Cookies, NSID and other EDNS options (A-VI) on hits, misses and errors of a worker.
#include "tests/unit/worker/rig.hpp"

#include <cstring>
#include <memory>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

constexpr uint16_t kNsid = 3, kEcs = 8, kCookie = 10, kKeepalive = 11, kPadding = 12;
constexpr uint16_t kReportChannel = 18;

const Bytes kClientCookie = {1, 2, 3, 4, 5, 6, 7, 8};

// The data of an option in the OPT of a message; empty: there is none.
Bytes option_of(const ReadMessage& message, uint16_t code) {
  if (message.opt() == nullptr) return {};
  const Bytes& rdata = message.opt()->rdata;
  for (std::size_t at = 0; at + 4 <= rdata.size();) {
    const std::size_t bytes = std::size_t{rdata[at + 2]} << 8 | rdata[at + 3];
    const auto from = rdata.begin() + static_cast<std::ptrdiff_t>(at + 4);
    if ((rdata[at] << 8 | rdata[at + 1]) == code) {
      return Bytes(from, from + static_cast<std::ptrdiff_t>(bytes));
    }
    at += 4 + bytes;
  }
  return {};
}

class WorkerOptions : public ::testing::Test {
 protected:
  WorkerOptions() {
    rig.service().local.cookies = 1;
    std::strcpy(rig.service().local.nsid, "node-7");
    set_secrets({0x11});
  }
  // Secrets of one octet each, sixteen times.
  void set_secrets(const std::vector<uint8_t>& secrets) {
    abi::LocalConfig& local = rig.service().local;
    std::memset(local.cookie_secret, 0, sizeof local.cookie_secret);
    local.cookie_secrets = static_cast<uint8_t>(secrets.size());
    for (std::size_t i = 0; i < secrets.size(); ++i) {
      std::memset(local.cookie_secret[i], secrets[i], sizeof local.cookie_secret[i]);
    }
    rig.publish();
  }
  static DnsBuilder with(const std::vector<Option>& options, const std::string& name = "a.example",
                         uint16_t type = kTypeA) {
    return DnsBuilder().id(0x77).rd().question(name, type).opt({.options = options});
  }
  // The answer, which comes from the cache, or from upstream and then from the cache.
  ReadMessage answer(const DnsBuilder& query) {
    rig.clear();
    rig.ask(query, 4001);
    rig.step();
    if (!rig.asked().empty()) {
      const Out asked = rig.only_asked();
      EXPECT_TRUE(asked.message.opt()->rdata.empty()) << "A79, A86: options are hop by hop";
      rig.clear();
      rig.answer(asked, rig.data_for(asked));
      rig.step();
    }
    return rig.only_reply().message;
  }
  Bytes cookie_for(const Bytes& sent) {
    return option_of(answer(with({{kCookie, sent}})), kCookie);
  }

  Rig rig;
};

TEST_F(WorkerOptions, A81_a_client_cookie_gets_a_server_cookie_on_miss_and_hit) {
  for (int i = 0; i < 2; ++i) {
    const ReadMessage message = answer(with({{kCookie, kClientCookie}}));
    EXPECT_EQ(message.count(Section::answer), 1u);
    const Bytes cookie = option_of(message, kCookie);
    ASSERT_EQ(cookie.size(), 24u);
    EXPECT_EQ(Bytes(cookie.begin(), cookie.begin() + 8), kClientCookie);
    EXPECT_EQ(Bytes(cookie.begin() + 8, cookie.begin() + 16), (Bytes{1, 0, 0, 0, 0, 0, 0, 100}));
  }
  EXPECT_EQ(rig.event(Event::cookie_new), 2u);
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u) << "A82: the cookie is not part of the key";
}

TEST_F(WorkerOptions, A82_nothing_of_a_cookie_is_kept) {
  cookie_for(kClientCookie);
  const ReadMessage bare = answer(with({}));
  ASSERT_NE(bare.opt(), nullptr);
  EXPECT_TRUE(bare.opt()->rdata.empty());
  EXPECT_EQ(answer(rig.query("a.example")).opt(), nullptr);
  EXPECT_EQ(rig.outcome(Outcome::hit), 2u);
}

TEST_F(WorkerOptions, A81_a_young_cookie_comes_back_and_an_older_one_is_renewed) {
  const Bytes first = cookie_for(kClientCookie);
  rig.jump_ms(1'800'000);
  EXPECT_EQ(cookie_for(first), first);
  rig.jump_ms(1'000);
  const Bytes second = cookie_for(first);
  EXPECT_NE(second, first);
  EXPECT_EQ(second.size(), 24u);
  EXPECT_EQ(cookie_for(second), second);
  EXPECT_EQ(rig.event(Event::cookie_good), 3u);
  rig.jump_ms(3'601'000);
  EXPECT_NE(cookie_for(second), second) << "as if it were not there";
  EXPECT_EQ(rig.event(Event::cookie_bad), 1u);
}

TEST_F(WorkerOptions, A81_a_cookie_that_is_none_of_ours_counts_for_nothing) {
  Bytes cookie = cookie_for(kClientCookie);
  cookie[20] ^= 1;
  const ReadMessage message = answer(with({{kCookie, cookie}}));
  EXPECT_EQ(message.rcode(), 0);
  EXPECT_EQ(message.count(Section::answer), 1u);
  EXPECT_NE(option_of(message, kCookie), cookie);
  EXPECT_EQ(cookie_for(Bytes(16, 3)).size(), 24u);
  EXPECT_EQ(cookie_for(Bytes(40, 3)).size(), 24u);
  EXPECT_EQ(rig.event(Event::cookie_bad), 3u);
}

TEST_F(WorkerOptions, A81_secrets_are_rolled) {
  const Bytes old = cookie_for(kClientCookie);
  set_secrets({0x22, 0x11});
  const Bytes renewed = cookie_for(old);
  EXPECT_NE(renewed, old) << "good, but of the secret that goes";
  EXPECT_EQ(rig.event(Event::cookie_good), 1u);
  set_secrets({0x22});
  EXPECT_EQ(cookie_for(renewed), renewed);
  cookie_for(old);
  EXPECT_EQ(rig.event(Event::cookie_bad), 1u);
}

TEST_F(WorkerOptions, A81_without_secrets_all_cores_make_the_same) {
  set_secrets({});
  const Bytes cookie = cookie_for(kClientCookie);
  EXPECT_EQ(cookie_for(cookie), cookie);
  Rig two(2);
  two.service().local.cookies = 1;
  two.publish();
  Bytes made[2];
  for (uint32_t w = 0; w < 2; ++w) {
    two.clear();
    two.ask(with({{kCookie, kClientCookie}}).rcode(0).opcode(5), 4001, w);
    two.ask(DnsBuilder().rd().opt({.options = {{kCookie, kClientCookie}}}), 4001, w);
    two.step(w);
    ASSERT_EQ(two.replies().size(), 2u);
    EXPECT_EQ(two.replies()[0].message.opt(), nullptr) << "A107";
    made[w] = option_of(two.replies()[1].message, kCookie);
    EXPECT_EQ(made[w].size(), 24u);
  }
  EXPECT_EQ(made[0], made[1]);
}

TEST_F(WorkerOptions, A82_off_means_ignored) {
  rig.service().local.cookies = 0;
  rig.publish();
  EXPECT_TRUE(answer(with({{kCookie, kClientCookie}})).opt()->rdata.empty());
  EXPECT_EQ(answer(with({{kCookie, Bytes(5, 1)}})).rcode(), 0);
  const ReadMessage none = answer(DnsBuilder().rd().opt({.options = {{kCookie, kClientCookie}}}));
  EXPECT_EQ(none.rcode(), 1);
  EXPECT_EQ(rig.outcome(Outcome::fmt_qd0), 1u);
}

TEST_F(WorkerOptions, B21_an_illegal_length_is_a_format_error) {
  for (const std::size_t bytes : {0u, 7u, 9u, 15u, 41u}) {
    const ReadMessage message = answer(with({{kCookie, Bytes(bytes, 1)}}));
    EXPECT_EQ(message.rcode(), 1) << bytes;
    EXPECT_TRUE(option_of(message, kCookie).empty());
  }
  EXPECT_EQ(rig.outcome(Outcome::fmt_cookie), 5u);
}

TEST_F(WorkerOptions, A83_no_question_but_a_cookie) {
  const auto ask = [this](const Bytes& cookie) {
    return answer(DnsBuilder().rd().opt({.options = {{kCookie, cookie}}}));
  };
  ReadMessage message = ask(kClientCookie);
  EXPECT_EQ(message.rcode(), 0);
  EXPECT_EQ(message.counts[0], 0);
  Bytes cookie = option_of(message, kCookie);
  ASSERT_EQ(cookie.size(), 24u);
  message = ask(cookie);
  EXPECT_EQ(message.rcode(), 0);
  EXPECT_EQ(option_of(message, kCookie), cookie);
  cookie[23] ^= 1;
  message = ask(cookie);
  EXPECT_EQ(message.rcode(), 7);
  EXPECT_EQ(message.opt()->ttl >> 24, 1u) << "BADCOOKIE";
  EXPECT_EQ(option_of(message, kCookie).size(), 24u);
  EXPECT_EQ(rig.outcome(Outcome::cookie_only), 2u);
  EXPECT_EQ(rig.outcome(Outcome::bad_cookie), 1u);
}

TEST_F(WorkerOptions, A81_another_address_has_another_cookie) {
  const Bytes cookie = cookie_for(kClientCookie);
  rig.clear();
  rig.arrive(FrameBuilder()
                 .from("198.18.0.10", 4001)
                 .to(kServiceV4, 53)
                 .payload(with({{kCookie, cookie}}).build())
                 .build());
  rig.arrive(FrameBuilder()
                 .from("fd00:18::9", 4001)
                 .to(kServiceV6, 53)
                 .payload(with({{kCookie, cookie}}).build())
                 .build());
  rig.step();
  EXPECT_EQ(rig.replies().size(), 2u);
  for (const Out& reply : rig.replies())
    EXPECT_NE(option_of(reply.message, kCookie), cookie);
  EXPECT_EQ(rig.event(Event::cookie_bad), 2u);
}

TEST_F(WorkerOptions, A81_who_waits_for_one_answer_gets_its_own_cookie) {
  rig.ask(with({{kCookie, Bytes(8, 1)}}), 4001);
  rig.ask(with({{kCookie, Bytes(8, 2)}}), 4002);
  rig.ask(with({}), 4003);
  rig.step();
  const Out asked = rig.only_asked();
  rig.clear();
  rig.answer(asked, rig.data_for(asked));
  rig.step();
  const auto replies = rig.replies();
  ASSERT_EQ(replies.size(), 3u);
  for (const Out& reply : replies) {
    const Bytes cookie = option_of(reply.message, kCookie);
    switch (__builtin_bswap16(reply.frame.target.port_be)) {
      case 4001:
        EXPECT_EQ(cookie.at(0), 1);
        break;
      case 4002:
        EXPECT_EQ(cookie.at(0), 2);
        break;
      default:
        EXPECT_TRUE(reply.message.opt()->rdata.empty());
    }
  }
}

TEST_F(WorkerOptions, A86_nsid_only_if_configured_and_asked_for) {
  const Bytes name = {'n', 'o', 'd', 'e', '-', '7'};
  EXPECT_EQ(option_of(answer(with({{kNsid, {}}})), kNsid), name);
  EXPECT_EQ(option_of(answer(with({{kNsid, {}}})), kNsid), name) << "a hit";
  EXPECT_TRUE(answer(with({})).opt()->rdata.empty());
  const ReadMessage refused = answer(with({{kNsid, {}}}, "example", kTypeAxfr));
  EXPECT_TRUE(option_of(refused, kNsid).empty()) << "B: errors stay small";
  rig.service().local.nsid[0] = '\0';
  std::memset(rig.service().local.nsid, 0, sizeof rig.service().local.nsid);
  rig.publish();
  EXPECT_TRUE(answer(with({{kNsid, {}}})).opt()->rdata.empty());
}

TEST_F(WorkerOptions, A84_A85_A86_A87_A88_other_options_are_ignored) {
  const std::vector<Option> others = {{kEcs, {0, 1, 24, 0, 198, 18, 0}},
                                      {kEcs, {0, 1, 0, 0}},
                                      {kEcs, {0, 9, 200, 1}},
                                      {9, {}},
                                      {kKeepalive, {}},
                                      {kKeepalive, {0, 1}},
                                      {kPadding, Bytes(100, 0xff)},
                                      {13, {0}},
                                      {19, {}},
                                      {kReportChannel, Name("x.example").bytes()},
                                      {65001, {1}}};
  for (const Option& other : others) {
    for (int i = 0; i < 2; ++i) {  // a miss, and for the first a hit
      const ReadMessage message = answer(with({other}));
      EXPECT_EQ(message.rcode(), 0) << other.code;
      EXPECT_EQ(message.count(Section::answer), 1u) << other.code;
      EXPECT_TRUE(message.opt()->rdata.empty()) << other.code;
    }
  }
  EXPECT_EQ(rig.outcome(Outcome::hit), 2 * others.size() - 1);
}

TEST_F(WorkerOptions, A127_many_options_together) {
  const ReadMessage message = answer(with({{kEcs, {0, 1, 0, 0}},
                                           {9, {}},
                                           {kNsid, {}},
                                           {kCookie, kClientCookie},
                                           {65001, Bytes(300, 1)}}));
  EXPECT_EQ(message.opt()->rdata.size(), 4u + 24u + 4u + 6u);
}

// The config may have changed since a query was parsed without cookies.
TEST(ReplyOptions, ACookieWhoseLengthNobodyCheckedIsNone) {
  const Bytes query = DnsBuilder()
                          .rd()
                          .question("a", kTypeA)
                          .opt({.options = {{kNsid, {}}, {kCookie, Bytes(5, 1)}}})
                          .build();
  const ExactCopy copy(query);
  wire::Query parsed{};
  Key key;
  ASSERT_EQ(wire::parse_query(copy.data(), copy.len(), parsed, key, false), wire::kGoOn);
  const auto service = std::make_unique<abi::ServiceSection>();
  service->local.cookies = 1;
  HashSecret secret{};
  dp::ReplyOptions options;
  options.load(*service, secret);
  wire::ReplyLimits limits{.udp_bytes_max = 1232, .room = 1500};
  EXPECT_EQ(options.add(copy.data(), parsed, {address_of("198.18.0.9"), 1}, limits),
            dp::CookieState::none);
  EXPECT_EQ(limits.options_bytes, 0);
}

}  // namespace
}  // namespace millrace::test
