// SPDX-License-Identifier: Apache-2.0
// How many responses a prefix of clients gets over UDP (B44).
#include "tests/unit/worker/rig.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

constexpr uint16_t kCookieCode = 10;

class WorkerResponses : public ::testing::Test {
 protected:
  explicit WorkerResponses(uint32_t workers = 1) : rig(workers, 2, 256, 256) {
    rig.service().local.cookies = 1;
  }
  void limit(uint32_t per_second, uint16_t slip = 2) {
    rig.service().limits.responses_per_second = per_second;
    rig.service().limits.slip = slip;
    rig.publish();
  }
  void learn(const std::string& name) {
    rig.ask(name, 3999);
    rig.step_all(2);
    const Out asked = rig.only_asked();
    rig.answer(asked, rig.data_for(asked));
    rig.step_all(2);
    rig.jump_ms(1000);  // as if nobody had been answered yet
    rig.clear();
  }
  void send(const DnsBuilder& query, uint32_t cnt, const std::string& from = "198.18.0.9") {
    for (uint32_t i = 0; i < cnt; ++i) {
      rig.arrive(FrameBuilder()
                     .from(from, static_cast<uint16_t>(4000 + i))
                     .to(kServiceV4, 53)
                     .payload(query.build())
                     .build());
      if (rig.plane.core(0).io.rx_cnt == kBurstMax) rig.step();
    }
    rig.step();
  }
  uint64_t whole() const {
    const std::vector<Out> replies = rig.replies();
    return static_cast<uint64_t>(
        std::count_if(replies.begin(), replies.end(),
                      [](const Out& out) { return out.message.count(Section::answer) > 0; }));
  }

  Rig rig;
};

TEST_F(WorkerResponses, B44_above_the_limit_there_are_slips_and_silence) {
  limit(10);
  learn("www.example");
  send(rig.query("wWw.example").opt(), 30);
  EXPECT_EQ(rig.outcome(Outcome::hit), 10u);
  EXPECT_EQ(rig.outcome(Outcome::rrl_slip), 10u);
  EXPECT_EQ(rig.outcome(Outcome::rrl_drop), 10u);
  ASSERT_EQ(rig.replies().size(), 20u);
  EXPECT_EQ(whole(), 10u);
  const Bytes query = rig.query("wWw.example").opt().build();
  for (const Out& out : rig.replies()) {
    if (out.message.count(Section::answer) > 0) continue;
    EXPECT_TRUE(out.message.has(kFlagTc));
    EXPECT_EQ(out.message.rcode(), 0);
    EXPECT_EQ(out.message.questions.at(0).name, Name("wWw.example").bytes());
    EXPECT_NE(out.message.opt(), nullptr);
    EXPECT_EQ(out.message.end, query.size()) << "no larger than what was asked";
  }
  // It leaks.
  rig.clear();
  rig.jump_ms(300);
  send(rig.query("www.example"), 20);
  EXPECT_EQ(whole(), 3u);
}

TEST_F(WorkerResponses, B44_off_is_the_default_and_live) {
  learn("www.example");
  send(rig.query("www.example"), 60);
  EXPECT_EQ(whole(), 60u);
  limit(10);
  rig.step();
  rig.clear();
  send(rig.query("www.example"), 60);
  EXPECT_EQ(whole(), 10u);
  limit(0);
  rig.step();
  rig.clear();
  send(rig.query("www.example"), 60);
  EXPECT_EQ(whole(), 60u);
}

TEST_F(WorkerResponses, B44_other_prefixes_have_their_own) {
  limit(10);
  learn("www.example");
  send(rig.query("www.example"), 20);
  rig.clear();
  send(rig.query("www.example"), 10, "198.18.0.77");
  EXPECT_EQ(whole(), 0u) << "the same /24";
  rig.clear();
  send(rig.query("www.example"), 10, "198.18.7.9");
  EXPECT_EQ(whole(), 10u);
}

TEST_F(WorkerResponses, B44_what_is_above_the_limit_asks_nobody) {
  limit(10, 1);
  for (uint32_t i = 0; i < 30; ++i)
    rig.ask("n" + std::to_string(i) + ".example", 4000);
  rig.step();
  EXPECT_EQ(rig.asked().size(), 10u);
  EXPECT_EQ(rig.outcome(Outcome::miss), 10u);
  EXPECT_EQ(rig.outcome(Outcome::rrl_slip), 20u);
}

// Errors go to forged sources, too.
TEST_F(WorkerResponses, B44_errors_count_and_have_no_slips_without_a_question) {
  limit(10, 1);
  rig.step();
  send(DnsBuilder().opcode(5), 30);
  EXPECT_EQ(rig.outcome(Outcome::notimp), 10u);
  EXPECT_EQ(rig.outcome(Outcome::rrl_drop), 20u);
  rig.jump_ms(2000);
  send(DnsBuilder().rd().question("www.example", kTypeAxfr), 30);
  EXPECT_EQ(rig.outcome(Outcome::refused_transfer), 10u);
  EXPECT_EQ(rig.outcome(Outcome::rrl_slip), 20u);
  rig.jump_ms(2000);
  send(DnsBuilder().response().question("www.example", kTypeA), 30);
  EXPECT_EQ(rig.outcome(Outcome::drop_qr), 30u) << "what gets no reply does not count";
  send(rig.query("www.example"), 10);
  EXPECT_EQ(rig.outcome(Outcome::miss), 10u);
}

TEST_F(WorkerResponses, B44_access_rules_come_first_and_exempt_nobody) {
  abi::ServiceSection& service = rig.service();
  add_rule(service, abi::RuleAction::drop, {"198.18.5.0/24"});
  add_rule(service, abi::RuleAction::refuse, {"198.18.6.0/24"});
  add_rule(service, abi::RuleAction::allow, {"198.18.0.0/16"});
  limit(10, 1);
  learn("www.example");
  send(rig.query("www.example"), 30, "198.18.5.1");
  EXPECT_EQ(rig.outcome(Outcome::drop_acl), 30u);
  send(rig.query("www.example"), 30, "198.18.6.1");
  EXPECT_EQ(rig.outcome(Outcome::refused_acl), 10u);
  EXPECT_EQ(rig.outcome(Outcome::rrl_slip), 20u);
  rig.clear();
  send(rig.query("www.example"), 30);
  EXPECT_EQ(whole(), 10u);
}

TEST_F(WorkerResponses, B44_a_good_cookie_exempts_and_a_slip_brings_one) {
  limit(10, 1);
  learn("www.example");
  const Bytes client = {1, 2, 3, 4, 5, 6, 7, 8};
  const auto with = [&](const Bytes& cookie) {
    return rig.query("www.example").opt({.options = {{kCookieCode, cookie}}});
  };
  send(with(client), 11);
  ASSERT_EQ(whole(), 10u);
  const ReadMessage slip = rig.replies().front().message;  // before the hits of its burst
  ASSERT_TRUE(slip.has(kFlagTc));
  const Bytes& rdata = slip.opt()->rdata;
  ASSERT_EQ(rdata.size(), 28u);
  Bytes cookie(rdata.begin() + 4, rdata.end());
  rig.clear();
  send(with(cookie), 40);
  EXPECT_EQ(whole(), 40u);
  rig.clear();
  cookie.back() ^= 1;
  send(with(cookie), 40);
  EXPECT_EQ(whole(), 0u) << "none of ours";
  rig.clear();
  // It counts for nobody else, either.
  rig.jump_ms(1000);
  cookie.back() ^= 1;
  send(with(cookie), 40);
  rig.clear();
  send(rig.query("www.example"), 20);
  EXPECT_EQ(whole(), 10u);
}

class WorkerResponsesPair : public WorkerResponses {
 protected:
  WorkerResponsesPair() : WorkerResponses(2) {}
};

TEST_F(WorkerResponsesPair, B44_workers_divide_the_limit) {
  limit(10);
  learn("www.example");
  for (const uint32_t worker : {0u, 1u}) {
    for (uint16_t i = 0; i < 20; ++i)
      rig.ask("www.example", static_cast<uint16_t>(5000 + i), worker);
    rig.step(worker);
  }
  EXPECT_EQ(whole(), 10u);
}

}  // namespace
}  // namespace millrace::test
