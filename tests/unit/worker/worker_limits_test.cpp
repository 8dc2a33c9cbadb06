// SPDX-License-Identifier: Apache-2.0
// What one domain and one client may have in flight (B46, B56).
#include "tests/unit/worker/rig.hpp"

#include <string>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

constexpr const char* kFlooder = "198.18.0.9";  // as Rig::ask

class WorkerLimits : public ::testing::Test {
 protected:
  explicit WorkerLimits(uint32_t workers = 1) : rig(workers, 2, 256, 256) {
    rig.service().down_after = 100;
    rig.publish();
  }

  void limit(uint32_t per_domain, uint32_t per_client) {
    rig.service().limits.domain_misses_max = per_domain;
    rig.service().limits.client_misses_max = per_client;
    rig.publish();
  }
  // `cnt` names that differ in the first label only, each asked for once.
  void flood(uint32_t cnt, const std::string& domain = "victim.example", uint32_t worker = 0) {
    for (uint32_t i = 0; i < cnt; ++i) {
      rig.ask("r" + std::to_string(next_++) + "." + domain, next_port(), worker);
      if (rig.plane.core(worker).io.rx_cnt == kBurstMax) rig.step_all();
    }
    rig.step_all(3);
  }
  void ask_from(const std::string& client, const std::string& name, bool v6 = false) {
    rig.arrive(FrameBuilder()
                   .from(client, next_port())
                   .to(v6 ? kServiceV6 : kServiceV4, 53)
                   .payload(rig.query(name).build())
                   .build());
    rig.step_all();
  }
  void expect_asked(const std::string& client, const std::string& name, bool yes, bool v6 = false) {
    rig.clear();
    ask_from(client, name, v6);
    EXPECT_EQ(rig.asked().size(), yes ? 1u : 0u) << client << " " << name;
    if (!yes) {
      EXPECT_EQ(rig.only_reply().message.rcode(), 2);
    }
  }
  void answer_all() {
    const std::vector<Out> asked = rig.asked();
    rig.clear();
    for (const Out& out : asked) {
      rig.answer(out, rig.data_for(out));
      rig.step(out.worker);
    }
    rig.step_all(5);
  }
  uint16_t next_port() { return port_ = static_cast<uint16_t>(port_ == 60'000 ? 2000 : port_ + 1); }
  uint64_t limited() const {
    return rig.outcome(Outcome::miss_limit_zone) + rig.outcome(Outcome::miss_limit_src);
  }

  Rig rig;

 private:
  uint32_t next_ = 0;
  uint16_t port_ = 2000;
};

TEST_F(WorkerLimits, B46_a_domain_has_its_share_and_no_more) {
  limit(16, 0);
  expect_asked(kFlooder, "known.victim.example", true);
  answer_all();
  rig.clear();

  flood(40);
  EXPECT_EQ(rig.asked().size(), 16u);
  EXPECT_EQ(rig.replies().size(), 24u);
  for (const Out& reply : rig.replies())
    EXPECT_EQ(reply.message.rcode(), 2);
  EXPECT_EQ(rig.outcome(Outcome::miss_limit_zone), 24u);
  const std::vector<Out> flood_asked = rig.asked();

  // Who joins a question asks nothing; other domains, the one above among them, have their own.
  rig.clear();
  ask_from(kFlooder, "r0.victim.example");
  EXPECT_EQ(rig.event(Event::waiter_joined), 1u);
  expect_asked(kFlooder, "R99.Victim.EXAMPLE", false);
  expect_asked(kFlooder, "victim.example", true);
  expect_asked(kFlooder, "a.b.victim.example", true);
  expect_asked(kFlooder, "www.other.example", true);
  rig.clear();
  ask_from(kFlooder, "known.victim.example");
  EXPECT_EQ(rig.only_reply().message.count(Section::answer), 1u);
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);

  // Each answer makes room for one question.
  for (uint32_t i = 0; i < 3; ++i)
    rig.answer(flood_asked[i], rig.data_for(flood_asked[i]));
  rig.step_all(2);
  rig.clear();
  flood(10);
  EXPECT_EQ(rig.asked().size(), 3u);
}

TEST_F(WorkerLimits, B46_top_level_names_share_the_root) {
  limit(2, 0);
  expect_asked(kFlooder, "com", true);
  expect_asked(kFlooder, "net", true);
  expect_asked(kFlooder, "org", false);
}

TEST_F(WorkerLimits, B46_B56_a_client_has_its_share_and_no_more) {
  limit(0, 8);
  for (uint32_t i = 0; i < 4; ++i) {
    expect_asked(kFlooder, "www.d" + std::to_string(i) + ".example", true);
    ask_from(kFlooder, "www.d0.example");  // waits, too
  }
  expect_asked(kFlooder, "www.d4.example", false);
  expect_asked(kFlooder, "www.d0.example", false);
  EXPECT_EQ(rig.outcome(Outcome::miss_limit_src), 2u);
  expect_asked("198.18.0.10", "www.d5.example", true);
  answer_all();
  rig.wait_ms(2100);
  rig.clear();
  flood(20);
  EXPECT_EQ(rig.asked().size(), 8u);
}

TEST_F(WorkerLimits, B46_an_ipv6_site_is_one_client) {
  limit(0, 2);
  expect_asked("2001:db8:0:ab01::1", "a.example", true, true);
  expect_asked("2001:db8:0:ab02::2", "b.example", true, true);
  expect_asked("2001:db8:0:abff::3", "c.example", false, true);
  expect_asked("2001:db8:0:ac01::1", "d.example", true, true);
}

// However a question ends, it is taken back once: afterwards there is room for as many as before.
TEST_F(WorkerLimits, B46_what_has_ended_counts_no_more) {
  limit(16, 0);
  const auto check = [&](const char* how) {
    SCOPED_TRACE(how);
    rig.wait_ms(2100);
    rig.clear();
    flood(40);
    EXPECT_EQ(rig.asked().size(), 16u);
  };
  check("nothing before");
  answer_all();
  check("answered");
  check("given up");
  for (const Out& out : rig.asked()) {
    rig.answer(out, rig.answer_to(out).add_flags(kFlagTc));
    rig.step();
  }
  check("truncated");
  rig.publish_routes(0);
  rig.step();
  rig.wait_ms(2100);
  flood(40);
  EXPECT_EQ(rig.outcome(Outcome::servfail_no_route), 40u);
  rig.publish_routes();
  rig.step();
  check("could not be sent");
}

TEST_F(WorkerLimits, B46_limits_are_those_of_the_running_config) {
  flood(40);
  EXPECT_EQ(rig.asked().size(), 40u) << "0: no limit";
  limit(30, 0);
  rig.step();
  rig.clear();
  flood(5);
  EXPECT_TRUE(rig.asked().empty()) << "what was in flight before counts";
  limit(0, 44);
  rig.step();
  rig.clear();
  flood(5);
  EXPECT_EQ(rig.asked().size(), 4u);
}

TEST_F(WorkerLimits, B46_whom_a_limit_refuses_gets_an_old_answer_if_there_is_one) {
  rig.service().stale = {86'400, 1800, 30, 30};
  limit(16, 0);
  expect_asked(kFlooder, "known.victim.example", true);
  answer_all();
  rig.jump_ms(301'000);
  rig.step_all(2);
  rig.clear();
  flood(16);
  rig.clear();
  ask_from(kFlooder, "known.victim.example");
  EXPECT_TRUE(rig.asked().empty());
  const Out reply = rig.only_reply();
  EXPECT_EQ(reply.message.rcode(), 0);
  EXPECT_EQ(reply.message.count(Section::answer), 1u);
  EXPECT_EQ(rig.outcome(Outcome::stale), 1u);
}

TEST_F(WorkerLimits, B46_what_is_asked_ahead_of_need_is_nobodys) {
  rig.service().prefetch = {10, 10, 1000};
  limit(1, 1);
  expect_asked(kFlooder, "known.victim.example", true);
  answer_all();
  for (int i = 0; i < 2; ++i) {
    rig.jump_ms(i == 0 ? 1000 : 280'000);
    rig.clear();
    ask_from(kFlooder, "known.victim.example");
  }
  ASSERT_EQ(rig.event(Event::prefetch_sent), 1u);
  ASSERT_EQ(rig.asked().size(), 1u) << "in flight";
  expect_asked(kFlooder, "www.victim.example", true);
}

class WorkerLimitsPair : public WorkerLimits {
 protected:
  WorkerLimitsPair() : WorkerLimits(2) {}
};

// Each owner of keys has the limits by itself; what the other core handed over is counted there.
TEST_F(WorkerLimitsPair, B46_each_worker_has_its_own_count) {
  for (const bool per_domain : {true, false}) {
    limit(per_domain ? 10 : 0, per_domain ? 0 : 10);
    const uint64_t failed = rig.event(Event::waiter_failed);
    const uint64_t limited = this->limited();
    rig.step_all();
    rig.clear();
    flood(100, per_domain ? "victim.example" : "other.example", 1);
    EXPECT_EQ(rig.asked().size(), 20u);
    EXPECT_EQ(rig.replies().size(), 80u);
    const uint64_t at_owner =
        rig.event(per_domain ? Event::waiter_limit_zone : Event::waiter_limit_src);
    EXPECT_GT(at_owner, 20u);
    EXPECT_EQ(this->limited() - limited + at_owner, 80u);
    EXPECT_EQ(rig.event(Event::waiter_failed) - failed, at_owner);
    answer_all();
  }
}

}  // namespace
}  // namespace millrace::test
