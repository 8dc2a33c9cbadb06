// SPDX-License-Identifier: Apache-2.0
// Errors of upstreams without an OPT record, and so without the cookie that answers of theirs have.
#include "dataplane/worker/answer_guards.hpp"
#include "tests/unit/slow/slow_rig.hpp"

#include <set>

namespace millrace::test {
namespace {

class ErrorsWithoutCookie : public testing::Test {
 protected:
  // Two upstreams, of which each has sent a cookie.
  ErrorsWithoutCookie() : slow(1, 2) {
    rig.service().upstream_cookies = 1;
    rig.publish();
    slow.run(1);
    std::set<uint32_t> have;
    for (int i = 0; i < 100 && have.size() < 2; ++i) {
      ask();
      const Out asked = rig.only_asked();
      have.insert(asked.backend());
      reply_with_cookie(asked);
    }
    EXPECT_EQ(have.size(), 2u);
  }

  void ask() {
    rig.clear();
    rig.ask(rig.query("name-" + std::to_string(number++) + ".example"), 4000);
    rig.step();
  }
  void reply_with_cookie(const Out& asked) {
    const Bytes& option = asked.message.opt()->rdata;  // code, length, cookie
    Bytes cookie(option.begin() + 4, option.begin() + 12);
    cookie.insert(cookie.end(), 16, 's');
    rig.answer(asked, rig.data_for(asked, 300).opt({.options = {{10, cookie}}}));
    rig.step();
  }
  // Answers all that comes to upstreams with errors, as long as something comes. `over_tcp`: what
  // they say there.
  template <class OverTcp>
  void refuse_all(OverTcp over_tcp) {
    std::size_t answered = 0;
    for (int round = 0; round < 12 && rig.replies().empty(); ++round) {
      for (; answered < rig.asked().size(); ++answered) {
        const Out asked = rig.asked()[answered];
        rig.answer(asked, rig.answer_to(asked).rcode(5));
        rig.step();
      }
      slow.run();
      for (auto& upstream : slow.upstreams) {
        for (const Bytes& message : upstream->messages()) upstream->send_message(over_tcp(message));
      }
      slow.run();
    }
  }
  static Bytes refusal(const Bytes& query) {
    const ReadMessage message = SlowRig::read(query);
    return DnsBuilder()
        .id(message.id)
        .response()
        .rd()
        .question(Name::wire(message.questions.at(0).name), kTypeA)
        .rcode(5)
        .build();
  }
  static Bytes less_than_a_header(const Bytes& query) { return {query[0], query[1], 0x81}; }

  SlowRig slow;
  Rig& rig = slow.rig;
  int number = 0;
};

// They are asked over TCP, each of them, where it can be believed; so the client need not wait for
// what does not come.
TEST_F(ErrorsWithoutCookie, A68_the_client_has_its_answer_at_once) {
  ask();
  const uint64_t begun_ns = rig.now_ns;
  refuse_all(refusal);
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_LT(rig.now_ns - begun_ns, 50 * kMs);
  EXPECT_LE(rig.asked().size(), 3u);
  EXPECT_EQ(rig.event(Event::up_timeout), 0u);
}

// Nor is it believed where TCP brings nothing: the right answer can still come.
TEST_F(ErrorsWithoutCookie, A68_where_tcp_brings_nothing_the_right_answer_has_its_time) {
  ask();
  const Out asked = rig.only_asked();
  refuse_all(less_than_a_header);
  EXPECT_TRUE(rig.replies().empty());
  reply_with_cookie(asked);
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

// Any client may ask what makes an upstream say FORMERR: it shall not be able to end the use of
// cookies by that.
TEST_F(ErrorsWithoutCookie, A68_they_do_not_end_the_use_of_cookies) {
  for (uint32_t i = 0; i < 3 * dp::AnswerGuards::kBreachesMax; ++i) {
    ask();
    refuse_all(i % 2 == 0 ? refusal : less_than_a_header);
    rig.wait_ms(3000);
  }
  EXPECT_EQ(rig.event(Event::up_guard_off), 0u);
}

}  // namespace
}  // namespace millrace::test
