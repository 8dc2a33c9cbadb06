// SPDX-License-Identifier: Apache-2.0
// What an answer must have beside the right tuple: the letter case that we asked in, and cookies;
// and what becomes of upstreams that do not keep to it.
#include "dataplane/worker/answer_guards.hpp"
#include "tests/unit/slow/slow_rig.hpp"

#include <map>
#include <set>
#include <vector>

namespace millrace::test {
namespace {

constexpr uint64_t kOffMs = dp::AnswerGuards::kOffNs / kMs;

Bytes lower(const Bytes& name) { return folded(name); }

// What stands in the COOKIE option of a query of ours; the only option there.
Bytes cookie_of(const ReadMessage& message) {
  if (message.opt() == nullptr || message.opt()->rdata.empty()) return {};
  const Bytes& rdata = message.opt()->rdata;
  EXPECT_EQ(rdata.at(1), 10);
  EXPECT_EQ(rdata.at(3), rdata.size() - 4);
  return Bytes(rdata.begin() + 4, rdata.end());
}

Bytes operator+(Bytes front, const Bytes& back) {
  front.insert(front.end(), back.begin(), back.end());
  return front;
}

class Guarded : public testing::Test {
 protected:
  explicit Guarded(uint32_t backends = 1) : slow(1, backends) {
    rig.service().upstream_randomize_case = 1;
    rig.service().upstream_cookies = 1;
    rig.publish();
    slow.run(1);
  }

  // A question that nobody has asked before, as it goes upstream.
  Out ask() {
    rig.clear();
    const std::string name = "name-" + std::to_string(number++) + ".abcdefghijklmnop.example";
    rig.ask(rig.query(name).opt(), 4000);
    rig.step();
    return rig.only_asked();
  }
  // Data for it, in this spelling and with this cookie.
  DnsBuilder data(const ReadMessage& asked, const Bytes& spelling, const Bytes& cookie) {
    OptFields opt;
    if (!cookie.empty()) opt.options.push_back({10, cookie});
    return DnsBuilder()
        .id(asked.id)
        .response()
        .rd()
        .question(Name::wire(spelling), kTypeA)
        .answer(Name::pointer(12), kTypeA, 300, rdata_a("198.18.7.7"))
        .opt(opt);
  }
  DnsBuilder good(const Out& asked, const Bytes& server_cookie = {}) {
    const Bytes cookie = server_cookie.empty() ? Bytes{} : client_of(asked) + server_cookie;
    return data(asked.message, asked.message.questions[0].name, cookie);
  }
  static Bytes client_of(const Out& asked) {
    Bytes cookie = cookie_of(asked.message);
    cookie.resize(8);
    return cookie;
  }
  DnsBuilder in_lower_case(const Out& asked) {
    return data(asked.message, lower(asked.message.questions[0].name), {});
  }
  void reply(const Out& asked, const DnsBuilder& message) {
    rig.answer(asked, message);
    rig.step();
    slow.run(2);
  }
  bool has_answer() { return !rig.replies().empty() && rig.only_reply().message.rcode() == 0; }

  // The questions that have come over TCP since the last time.
  std::vector<ReadMessage> over_tcp() {
    slow.run(1);
    std::vector<ReadMessage> all;
    for (auto& upstream : slow.upstreams) {
      for (const Bytes& message : upstream->messages())
        all.push_back(slow.read(message));
    }
    return all;
  }
  void answer_over_tcp(const DnsBuilder& message) {
    slow.upstreams.back()->send_message(message.build());
    slow.run();
  }
  uint64_t event(Event which) { return rig.event(which); }

  SlowRig slow;
  Rig& rig = slow.rig;
  int number = 0;
};

TEST_F(Guarded, A67_names_go_out_in_random_case) {
  std::vector<int> capitals(16);
  for (int i = 0; i < 400; ++i) {
    const Out asked = ask();
    const Bytes& name = asked.message.questions[0].name;
    ASSERT_EQ(lower(name), Name("name-" + std::to_string(i) + ".abcdefghijklmnop.example").bytes());
    const std::size_t from = name.size() - 25;  // the sixteen letters
    for (std::size_t at = 0; at < 16; ++at)
      capitals[at] += name[from + at] < 'a' ? 1 : 0;
    rig.answer(asked, good(asked));
    rig.step();
    EXPECT_TRUE(has_answer());
  }
  for (const int cnt : capitals)
    EXPECT_NEAR(cnt, 200, 60) << "six standard deviations";
}

TEST_F(Guarded, A67_an_answer_in_another_case_is_dropped) {
  const Out asked = ask();
  reply(asked, in_lower_case(asked));
  EXPECT_TRUE(rig.replies().empty());
  EXPECT_EQ(rig.outcome(Outcome::up_drop_question), 1u);
  EXPECT_EQ(event(Event::up_case_changed), 1u);
  reply(asked, good(asked));
  EXPECT_TRUE(has_answer()) << "the right one can still come";
}

TEST_F(Guarded, A67_truncated_and_failed_in_another_case_are_dropped_too) {
  for (const bool truncated : {true, false}) {
    const Out asked = ask();
    DnsBuilder message = in_lower_case(asked);
    reply(asked, truncated ? message.add_flags(kFlagTc) : message.rcode(5));
    EXPECT_EQ(rig.outcome(Outcome::up_tc) + rig.outcome(Outcome::up_failure), 0u);
  }
  EXPECT_EQ(rig.outcome(Outcome::up_drop_question), 2u);
}

// Each client sees its own spelling, and nothing of ours (A2).
TEST_F(Guarded, A67_spelling_is_not_kept) {
  rig.ask(rig.query("WWW.abcdefghijklmnop.EXAMPLE"), 4000);
  rig.step();
  const Out asked = rig.only_asked();
  const Bytes spelt = asked.message.questions[0].name;
  rig.answer(asked, rig.answer_to(asked).answer(Name::wire(spelt), kTypeA, 300,
                                                rdata_a("198.18.7.7")));
  rig.step();
  rig.ask(rig.query("wwW.abcdefghijklmnop.example"), 4001);
  rig.step();
  ASSERT_EQ(rig.replies().size(), 2u);
  EXPECT_EQ(rig.replies()[0].message.questions[0].name,
            Name("WWW.abcdefghijklmnop.EXAMPLE").bytes());
  EXPECT_EQ(rig.replies()[1].message.questions[0].name,
            Name("wwW.abcdefghijklmnop.example").bytes());
  for (const Out& one : rig.replies())
    EXPECT_EQ(one.message.records.at(0).owner, lower(spelt));
}

TEST_F(Guarded, A67_who_changes_the_case_over_tcp_too_is_asked_in_lower_case) {
  for (uint32_t i = 0; i < dp::AnswerGuards::kBreachesMax; ++i) {
    EXPECT_EQ(event(Event::up_guard_off), 0u);
    const Out asked = ask();
    reply(asked, in_lower_case(asked));
    EXPECT_TRUE(rig.replies().empty());
    const auto again = over_tcp();
    ASSERT_EQ(again.size(), 1u);
    EXPECT_EQ(again[0].questions[0].name, asked.message.questions[0].name);
    answer_over_tcp(data(again[0], lower(asked.message.questions[0].name), {}));
    EXPECT_TRUE(has_answer()) << "over TCP the case does not matter";
  }
  EXPECT_EQ(event(Event::up_guard_off), 1u);
  Out asked = ask();
  EXPECT_EQ(asked.message.questions[0].name, lower(asked.message.questions[0].name));
  Bytes capitals = asked.message.questions[0].name;
  capitals[1] ^= 0x20;
  reply(asked, data(asked.message, capitals, {}));
  EXPECT_TRUE(has_answer()) << "and then any case is right";
  rig.jump_ms(kOffMs);
  asked = ask();
  EXPECT_NE(asked.message.questions[0].name, lower(asked.message.questions[0].name));
}

// The upstream keeps the case: the answers over UDP were somebody else's.
TEST_F(Guarded, A67_forgers_do_not_end_it) {
  for (uint32_t i = 0; i < 2 * dp::AnswerGuards::kBreachesMax; ++i) {
    const Out asked = ask();
    reply(asked, in_lower_case(asked));
    const auto again = over_tcp();
    ASSERT_EQ(again.size(), 1u);
    answer_over_tcp(data(again[0], again[0].questions[0].name, {}));
    EXPECT_TRUE(has_answer());
  }
  EXPECT_EQ(event(Event::up_case_changed), 2 * dp::AnswerGuards::kBreachesMax);
  EXPECT_EQ(event(Event::up_guard_off), 0u);
}

TEST_F(Guarded, A67_many_in_another_case_are_one_question_over_tcp_and_an_alarm) {
  const Out asked = ask();
  for (int i = 0; i < 11; ++i)
    reply(asked, in_lower_case(asked));
  EXPECT_EQ(over_tcp().size(), 1u);
  EXPECT_EQ(event(Event::up_spoof_alarm), 1u);
}

// Nobody else could say whose answers they are, and the upstream must not be shut out.
TEST_F(Guarded, A67_without_tcp_it_ends_as_well) {
  slow.reachable = false;
  rig.service().down_after = 100;  // which is another story
  rig.publish();
  for (uint32_t i = 0; i < dp::AnswerGuards::kBreachesMax; ++i) {
    const Out asked = ask();
    reply(asked, in_lower_case(asked));
    rig.wait_ms(3000);
  }
  EXPECT_EQ(event(Event::up_guard_off), 1u);
  const Out asked = ask();
  reply(asked, in_lower_case(asked));
  EXPECT_TRUE(has_answer());
}

TEST_F(Guarded, A67_off_by_config) {
  rig.service().upstream_randomize_case = 0;
  rig.publish();
  const Out asked = ask();
  EXPECT_EQ(asked.message.questions[0].name, lower(asked.message.questions[0].name));
  Bytes capitals = asked.message.questions[0].name;
  capitals[1] ^= 0x20;
  reply(asked, data(asked.message, capitals, {}));
  EXPECT_TRUE(has_answer());
}

// RFC 7873, section 4.1: neither the client's own, nor the same for two servers.
TEST(GuardedPair, A68_each_upstream_gets_a_cookie_of_its_own) {
  Rig rig(2, 2);
  rig.service().upstream_cookies = 1;
  rig.publish();
  std::map<uint32_t, std::set<Bytes>> cookies;
  for (uint16_t i = 0; i < 40; ++i) {
    DnsBuilder query = rig.query("n" + std::to_string(i) + ".example");
    rig.ask(query.opt({.options = {{10, Bytes(8, 'k')}}}), static_cast<uint16_t>(4000 + i), i % 2);
    rig.step_all(2);
  }
  for (const Out& asked : rig.asked())
    cookies[asked.backend()].insert(cookie_of(asked.message));
  ASSERT_EQ(cookies.size(), 2u);
  ASSERT_EQ(cookies[0].size(), 1u) << "the same from both workers";
  ASSERT_EQ(cookies[1].size(), 1u);
  EXPECT_EQ(cookies[0].begin()->size(), 8u);
  EXPECT_NE(*cookies[0].begin(), *cookies[1].begin());
  EXPECT_NE(*cookies[0].begin(), Bytes(8, 'k'));
}

TEST_F(Guarded, A68_the_servers_cookie_is_sent_along) {
  Out asked = ask();
  const Bytes client = cookie_of(asked.message);
  EXPECT_EQ(client.size(), 8u);
  for (const Bytes& server : {Bytes(8, 's'), Bytes(32, 't'), Bytes(16, 'u')}) {
    reply(asked, good(asked, server));
    EXPECT_TRUE(has_answer());
    asked = ask();
    EXPECT_EQ(cookie_of(asked.message), client + server);
  }
  reply(asked, good(asked, Bytes(16, 'u')));
  rig.jump_ms(dp::AnswerGuards::kCookieNs / kMs);
  asked = ask();
  EXPECT_EQ(cookie_of(asked.message), client) << "long ago";
  reply(asked, good(asked));
  EXPECT_TRUE(has_answer()) << "nor is one expected";
}

TEST_F(Guarded, A68_without_the_cookie_that_is_expected_it_is_dropped) {
  Out asked = ask();
  reply(asked, good(asked, Bytes(16, 's')));
  for (const Bytes& cookie : {Bytes{}, client_of(asked), client_of(asked) + Bytes(7, 's'),
                              client_of(asked) + Bytes(33, 's'), Bytes(24, 's')}) {
    const uint64_t before = rig.outcome(Outcome::up_drop_cookie);
    asked = ask();
    reply(asked, data(asked.message, asked.message.questions[0].name, cookie));
    EXPECT_TRUE(rig.replies().empty());
    EXPECT_EQ(rig.outcome(Outcome::up_drop_cookie), before + 1);
    reply(asked, good(asked, Bytes(16, 's')));
    EXPECT_TRUE(has_answer()) << "the right one can still come";
  }
  asked = ask();
  reply(asked, rig.answer_to(asked).rcode(5));
  EXPECT_EQ(rig.outcome(Outcome::up_failure), 0u) << "nor do failures count";
}

// RFC 7873, section 5.3: whether or not one is expected.
TEST_F(Guarded, A68_with_another_cookie_it_is_dropped) {
  const Out asked = ask();
  reply(asked, data(asked.message, asked.message.questions[0].name, Bytes(24, 'x')));
  EXPECT_TRUE(rig.replies().empty());
  EXPECT_EQ(rig.outcome(Outcome::up_drop_cookie), 1u);
  const auto again = over_tcp();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(cookie_of(again[0]), cookie_of(asked.message));
}

TEST_F(Guarded, A68_strays_without_a_cookie_raise_the_alarm) {
  Out asked = ask();
  reply(asked, good(asked, Bytes(16, 's')));
  asked = ask();
  for (int i = 0; i < 11; ++i)
    reply(asked, good(asked));
  EXPECT_EQ(event(Event::up_spoof_alarm), 1u);
  EXPECT_EQ(over_tcp().size(), 1u);
}

// One that was restarted without cookies answers all the same, and soon over UDP again.
TEST_F(Guarded, A68_an_upstream_that_loses_its_cookies_is_not_shut_out) {
  Out asked = ask();
  reply(asked, good(asked, Bytes(16, 's')));
  for (uint32_t i = 0; i < dp::AnswerGuards::kBreachesMax; ++i) {
    asked = ask();
    reply(asked, good(asked));
    const auto again = over_tcp();
    ASSERT_EQ(again.size(), 1u);
    answer_over_tcp(data(again[0], again[0].questions[0].name, {}));
    EXPECT_TRUE(has_answer());
  }
  EXPECT_EQ(event(Event::up_guard_off), 1u);
  asked = ask();
  EXPECT_TRUE(cookie_of(asked.message).empty());
  reply(asked, good(asked));
  EXPECT_TRUE(has_answer());
  rig.jump_ms(kOffMs);
  asked = ask();
  EXPECT_EQ(cookie_of(asked.message).size(), 8u);
  reply(asked, good(asked));
  EXPECT_TRUE(has_answer());
}

TEST_F(Guarded, A68_a_cookie_over_tcp_shows_who_it_was) {
  Out asked = ask();
  reply(asked, good(asked, Bytes(16, 's')));
  for (uint32_t i = 0; i < 2 * dp::AnswerGuards::kBreachesMax; ++i) {
    asked = ask();
    reply(asked, good(asked));
    const auto again = over_tcp();
    ASSERT_EQ(again.size(), 1u);
    answer_over_tcp(data(again[0], again[0].questions[0].name, client_of(asked) + Bytes(8, 'n')));
    EXPECT_TRUE(has_answer());
  }
  EXPECT_EQ(event(Event::up_guard_off), 0u);
  EXPECT_EQ(cookie_of(ask().message), client_of(asked) + Bytes(8, 'n'));
}

DnsBuilder bad_cookie(const Out& asked, const Bytes& cookie) {
  return DnsBuilder()
      .id(asked.message.id)
      .response()
      .rd()
      .question(Name::wire(asked.message.questions[0].name), kTypeA)
      .rcode(7)
      .opt({.extended_rcode = 1, .options = {{10, cookie}}});
}

TEST_F(Guarded, A68_badcookie_is_asked_again_with_the_new_one_then_over_tcp) {
  const Out first = ask();
  const Bytes client = client_of(first);
  reply(first, bad_cookie(first, client + Bytes(16, 'a')));
  ASSERT_EQ(rig.asked().size(), 2u);
  const Out second = rig.asked()[1];
  EXPECT_EQ(second.backend(), first.backend());
  EXPECT_EQ(cookie_of(second.message), client + Bytes(16, 'a'));
  EXPECT_TRUE(over_tcp().empty());
  reply(second, bad_cookie(second, client + Bytes(16, 'b')));
  EXPECT_EQ(rig.asked().size(), 2u);
  const auto third = over_tcp();
  ASSERT_EQ(third.size(), 1u);
  EXPECT_EQ(cookie_of(third[0]), client + Bytes(16, 'b'));
  EXPECT_TRUE(rig.replies().empty());
  answer_over_tcp(data(third[0], third[0].questions[0].name, client + Bytes(16, 'c')));
  EXPECT_TRUE(has_answer());
  EXPECT_EQ(event(Event::up_bad_cookie), 2u);
}

// There is no third time.
TEST_F(Guarded, A70_badcookie_over_tcp_is_a_failure) {
  const Out first = ask();
  const Bytes cookie = client_of(first) + Bytes(16, 'a');
  reply(first, bad_cookie(first, cookie));
  reply(rig.asked().at(1), bad_cookie(rig.asked().at(1), cookie));
  const auto third = over_tcp();
  ASSERT_EQ(third.size(), 1u);
  answer_over_tcp(DnsBuilder()
                      .id(third[0].id)
                      .response()
                      .rd()
                      .question(Name::wire(third[0].questions[0].name), kTypeA)
                      .rcode(7)
                      .opt({.extended_rcode = 1, .options = {{10, cookie}}}));
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_TRUE(over_tcp().empty());
}

struct GuardedByTwo : Guarded {
  GuardedByTwo() : Guarded(2) {}
};

// Somebody's forged answer has taken the question to TCP before.
TEST_F(Guarded, A68_badcookie_beside_a_forged_answer_is_asked_again) {
  const Out first = ask();
  const Bytes cookie = client_of(first) + Bytes(16, 'a');
  reply(first, in_lower_case(first));
  EXPECT_EQ(over_tcp().size(), 1u);
  reply(first, bad_cookie(first, cookie));
  ASSERT_EQ(rig.asked().size(), 2u);
  const Out second = rig.asked()[1];
  EXPECT_EQ(cookie_of(second.message), cookie);
  reply(second, good(second, Bytes(16, 'b')));
  EXPECT_TRUE(has_answer());
}

// The one whose answer was forged had none over TCP; the other wants another cookie, twice.
TEST_F(GuardedByTwo, A62_badcookie_of_another_after_tcp_has_as_many_tries) {
  const Out first = ask();
  reply(first, in_lower_case(first));
  auto streamed = over_tcp();
  ASSERT_EQ(streamed.size(), 1u);
  answer_over_tcp(rig.answer_to(first).id(streamed[0].id).rcode(5));
  ASSERT_EQ(rig.asked().size(), 2u);
  const Out second = rig.asked()[1];
  EXPECT_NE(second.backend(), first.backend());
  const Bytes cookie = client_of(second) + Bytes(16, 'a');
  reply(second, bad_cookie(second, cookie));
  ASSERT_EQ(rig.asked().size(), 3u);
  const Out third = rig.asked()[2];
  EXPECT_EQ(third.backend(), second.backend());
  EXPECT_EQ(cookie_of(third.message), cookie);
  reply(third, bad_cookie(third, cookie));
  streamed = over_tcp();
  ASSERT_EQ(streamed.size(), 1u);
  answer_over_tcp(rig.answer_to(third).id(streamed[0].id).rcode(7).opt(
      {.extended_rcode = 1, .options = {{10, cookie}}}));
  rig.wait_ms(3000);  // for the first one's own answer
  EXPECT_EQ(rig.only_reply().message.rcode(), 2) << "there is no third time";
  EXPECT_EQ(rig.asked().size(), 3u);
  EXPECT_TRUE(over_tcp().empty());
}

TEST_F(Guarded, A68_badcookie_with_the_cookie_of_another_is_dropped) {
  const Out asked = ask();
  reply(asked, bad_cookie(asked, Bytes(24, 'x')));
  EXPECT_EQ(rig.asked().size(), 1u);
  EXPECT_EQ(rig.outcome(Outcome::up_drop_cookie), 1u);
}

// RFC 8906, section 8.2.3: such servers should be few.
TEST_F(Guarded, A68_who_chokes_on_the_option_is_asked_without) {
  for (uint32_t i = 0; i < dp::AnswerGuards::kBreachesMax; ++i) {
    const Out asked = ask();
    EXPECT_EQ(cookie_of(asked.message).size(), 8u);
    reply(asked, rig.answer_to(asked).rcode(1).opt());
  }
  const Out asked = ask();
  ASSERT_NE(asked.message.opt(), nullptr);
  EXPECT_TRUE(asked.message.opt()->rdata.empty());
}

TEST_F(Guarded, A68_another_address_is_another_upstream) {
  Out asked = ask();
  const Bytes client = client_of(asked);
  reply(asked, good(asked, Bytes(16, 's')));
  rig.service().backend[0].address = backend_address(5);
  rig.publish();
  asked = ask();
  EXPECT_EQ(cookie_of(asked.message).size(), 8u);
  EXPECT_NE(cookie_of(asked.message), client);
}

TEST_F(Guarded, A68_off_by_config) {
  Out asked = ask();
  reply(asked, good(asked, Bytes(16, 's')));
  rig.service().upstream_cookies = 0;
  rig.publish();
  asked = ask();
  ASSERT_NE(asked.message.opt(), nullptr);
  EXPECT_TRUE(asked.message.opt()->rdata.empty());
  reply(asked, good(asked));
  EXPECT_TRUE(has_answer());
  rig.service().upstream_cookies = 1;
  rig.publish();
  asked = ask();
  EXPECT_EQ(cookie_of(asked.message).size(), 8u) << "and starts anew";
}

}  // namespace
}  // namespace millrace::test
