// SPDX-License-Identifier: Apache-2.0
// A89, RFC 7871: a worker that tells upstreams of clients' subnets, and whom it gives the answers.
#include "tests/unit/worker/subnet_rig.hpp"

#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

class WorkerSubnet : public SubnetTest {};

TEST_F(WorkerSubnet, A89_an_answer_is_for_the_subnet_that_was_told) {
  put("198.18.5.9", "198.51.100.5", 24);
  EXPECT_EQ(cached("198.18.5.200"), "198.51.100.5");
  EXPECT_EQ(cached("198.18.6.9"), "");
  ask("198.18.7.9");
  EXPECT_EQ(subnet_in(rig.only_asked().message), ipv4_subnet(7));
  rig.clear();
  send("fd00:18:1:2ff::9", query());
  EXPECT_EQ(subnet_in(rig.only_asked().message), (Bytes{0, 2, 56, 0, 0xfd, 0, 0, 0x18, 0, 1, 2}));
}

TEST_F(WorkerSubnet, A89_the_longest_one_serves) {
  put("198.18.5.9", "198.51.100.5", 24);
  put("198.18.6.9", "198.51.100.6", 16);
  EXPECT_EQ(cached("198.18.5.1"), "198.51.100.5");
  EXPECT_EQ(cached("198.18.7.1"), "198.51.100.6");
  EXPECT_EQ(cached("198.19.7.1"), "");
}

TEST_F(WorkerSubnet, A89_for_all_is_for_all) {
  put("198.18.5.9", "198.51.100.5", 0);
  EXPECT_EQ(cached("203.0.113.9"), "198.51.100.5");
  EXPECT_EQ(cached("fd00:18::9"), "198.51.100.5");
  EXPECT_EQ(cached("198.18.5.9", ipv4_subnet(0, 0)), "198.51.100.5") << "none used";
  rig.jump_ms(300'000);
  put("198.18.5.9", "198.51.100.6", {});
  EXPECT_EQ(cached("203.0.113.9"), "198.51.100.6") << "an upstream that knows of no subnets";
}

TEST_F(WorkerSubnet, A89_what_does_not_exist_exists_for_nobody) {
  ask("198.18.5.9");
  const Out asked = rig.only_asked();
  answer(asked, rig.answer_to(asked)
                    .rcode(3)
                    .authority(Name("example"), kTypeSoa, 300, rdata_soa({}))
                    .opt({.options = {{kSubnetOption, ipv4_subnet(5, 24, 24)}}}));
  ask("203.0.113.9");
  EXPECT_EQ(rig.only_reply().message.rcode(), 3);
}

// RFC 7871 section 7.1.1: at most as much as the client says.
TEST_F(WorkerSubnet, A89_a_client_says_how_much_is_told) {
  ask("198.18.5.9", Bytes{0, 1, 16, 0, 198, 18});
  EXPECT_EQ(subnet_in(rig.only_asked().message), (Bytes{0, 1, 16, 0, 198, 18}));
  ask("198.18.5.9", Bytes{0, 1, 32, 0, 198, 18, 6, 7});
  EXPECT_EQ(subnet_in(rig.only_asked().message), ipv4_subnet(6)) << "no more than the config says";
  ask("198.18.5.9", Bytes{0, 2, 0, 0});
  EXPECT_EQ(subnet_in(rig.only_asked().message), (Bytes{0, 1, 0, 0}));
  ask("198.18.9.9", Bytes{0, 0, 0, 0});
  EXPECT_TRUE(rig.asked().empty()) << "joined: they are alike";
  EXPECT_EQ(rig.event(Event::waiter_joined), 1u);
}

TEST_F(WorkerSubnet, A89_who_tells_nothing_gets_what_was_asked_with_nothing) {
  put("198.18.5.9", "198.51.100.5", 24);
  ask("198.18.5.9", ipv4_subnet(0, 0));
  const Out asked = rig.only_asked();
  answer(asked, data(asked, "198.51.100.9", 0));
  EXPECT_EQ(cached("203.0.113.1", ipv4_subnet(0, 0)), "198.51.100.9");
  EXPECT_EQ(cached("198.18.5.9"), "198.51.100.5");
  EXPECT_EQ(cached("203.0.113.1"), "") << "it was for who tells nothing alone";
}

// SCOPE longer than SOURCE (section 7.3.1).
TEST_F(WorkerSubnet, A89_less_told_than_the_answer_needs) {
  put("203.0.113.9", "198.51.100.5", 24, Bytes{0, 1, 16, 0, 198, 18});
  EXPECT_EQ(cached("203.0.113.7", Bytes{0, 1, 16, 0, 198, 18}), "198.51.100.5");
  EXPECT_EQ(cached("203.0.113.7", Bytes{0, 1, 17, 0, 198, 18, 0}), "");
  EXPECT_EQ(cached("198.18.5.9"), "");
  put("198.18.6.9", "198.51.100.6", 32);
  EXPECT_EQ(cached("198.18.6.77"), "198.51.100.6") << "more than 24 bits are never told";
}

TEST_F(WorkerSubnet, A89_an_answer_for_somebody_else_is_not_ours) {
  ask("198.18.5.9");
  const Out asked = rig.only_asked();
  const std::vector<Bytes> others = {ipv4_subnet(6, 24, 24), ipv4_subnet(0, 16, 16),
                                     {0, 2, 24, 24, 198, 18, 5}};
  for (const Bytes& other : others) {
    answer(asked, rig.data_for(asked).opt({.options = {{kSubnetOption, other}}}));
    EXPECT_TRUE(rig.replies().empty());
  }
  EXPECT_EQ(rig.outcome(Outcome::up_drop_subnet), 3u);
  answer(asked, data(asked, "198.51.100.5", 24));
  EXPECT_EQ(address_in(rig.only_reply()), "198.51.100.5");
}

TEST_F(WorkerSubnet, A66_A89_guessing_shows_by_wrong_subnets_too) {
  ask("198.18.5.9");
  const Out asked = rig.only_asked();
  for (int i = 0; i <= 10; ++i)
    answer(asked, rig.data_for(asked).opt({.options = {{kSubnetOption, ipv4_subnet(6, 24, 24)}}}));
  EXPECT_EQ(rig.event(Event::up_spoof_alarm), 1u);
}

TEST_F(WorkerSubnet, A89_refused_means_without) {
  for (const uint8_t rcode : Bytes{5, 1}) {
    ask("198.18.5.9");
    const Out first = rig.only_asked();
    answer(first, rig.answer_to(first).rcode(rcode).opt());
    const Out second = rig.only_asked();
    EXPECT_EQ(second.backend(), first.backend());
    ASSERT_NE(second.message.opt(), nullptr);
    EXPECT_FALSE(subnet_in(second.message));
    answer(second, rig.data_for(second, 10).opt());
    EXPECT_EQ(rig.only_reply().message.count(Section::answer), 1u);
    EXPECT_EQ(cached("203.0.113.9"), "198.18.7.7");
    rig.jump_ms(10'000);
  }
  EXPECT_EQ(rig.event(Event::up_subnet_fallback), 2u);
}

TEST_F(WorkerSubnet, A89_refused_without_is_refused) {
  ask("198.18.5.9");
  for (int i = 0; i < 8 && rig.replies().empty() && !rig.asked().empty(); ++i) {
    const Out asked = rig.asked().back();
    answer(asked, rig.answer_to(asked).rcode(5).opt());
  }
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_EQ(rig.event(Event::up_subnet_fallback), 1u);
}

// RFC 7871 section 7.2.2.
TEST_F(WorkerSubnet, A89_a_client_gets_its_option_back_with_the_scope) {
  const Bytes told = {0, 1, 32, 0, 198, 18, 5, 7};
  for (int i = 0; i < 2; ++i) {
    ask("198.18.5.9", told);
    if (i == 0) {
      const Out asked = rig.only_asked();
      answer(asked, data(asked, "198.51.100.5", 20));
    }
    EXPECT_EQ(subnet_in(rig.only_reply().message), with_scope(told, 20));
  }
  EXPECT_EQ(rig.outcome(Outcome::hit), 1u);
  ask("198.18.5.9");
  EXPECT_FALSE(subnet_in(rig.only_reply().message)) << "whoever sent none";
  rig.jump_ms(300'000);
  put("198.18.5.9", "198.51.100.5", 0);
  ask("198.18.5.9", told);
  EXPECT_EQ(subnet_in(rig.only_reply().message), told);
}

// By the time that the answer comes its pool has another number.
TEST_F(WorkerSubnet, A89_a_client_that_waits_across_a_config_gets_its_option_back) {
  ask("198.18.5.9", ipv4_subnet(5));
  const Out asked = rig.only_asked();
  abi::ServiceSection& service = rig.service();
  service.packet_caches = service.pools = 2;
  service.packet_cache[1] = service.packet_cache[0];
  std::snprintf(service.packet_cache[1].name, sizeof service.packet_cache[1].name, "other");
  service.pool[1] = service.pool[0];
  service.pool[0].packet_cache = 1;
  service.pool[0].subnet_variants = service.pool[0].subnet_bits4 = service.pool[0].subnet_bits6 = 0;
  std::snprintf(service.pool[0].name, sizeof service.pool[0].name, "other");
  for (uint32_t i = 0; i < service.binds; ++i) service.bind[i].pool = 1;
  rig.publish();
  rig.step();
  answer(asked, data(asked, "198.51.100.5", 24));
  EXPECT_EQ(subnet_in(rig.only_reply().message), ipv4_subnet(5, 24, 24));
}

TEST_F(WorkerSubnet, A89_an_error_has_the_option_too) {
  ask("198.18.5.9", ipv4_subnet(5));
  rig.clear();
  rig.wait_ms(3000);
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  EXPECT_EQ(subnet_in(rig.only_reply().message), ipv4_subnet(5));
  ask("198.18.5.9", ipv4_subnet(5));
  EXPECT_EQ(rig.outcome(Outcome::servfail_cached), 1u);
  EXPECT_EQ(subnet_in(rig.only_reply().message), ipv4_subnet(5));
}

TEST_F(WorkerSubnet, B23_an_option_that_cannot_be_is_a_format_error_where_it_means_something) {
  const Bytes broken = {0, 1, 24, 0, 198, 18};
  ask("198.18.5.9", broken);
  EXPECT_EQ(rig.only_reply().message.rcode(), 1);
  put("198.18.5.9", "198.51.100.5", 24);
  ask("198.18.5.9", broken);
  EXPECT_EQ(rig.only_reply().message.rcode(), 1);
  EXPECT_FALSE(subnet_in(rig.only_reply().message));
  EXPECT_EQ(rig.outcome(Outcome::fmt_subnet), 2u);
  rig.service().pool[0].subnet_variants = 0;
  rig.publish();
  ask("198.18.5.9", broken);
  EXPECT_EQ(rig.asked().size(), 1u);
}

TEST_F(WorkerSubnet, A89_questions_in_flight_are_apart_by_subnet) {
  send("198.18.5.9", query());
  send("198.18.5.10", query());
  send("198.18.6.9", query());
  auto asked = rig.asked();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(rig.event(Event::waiter_joined), 1u);
  answer(asked[1], data(asked[1], "198.51.100.6", 24));
  EXPECT_EQ(address_in(rig.only_reply()), "198.51.100.6");
  answer(asked[0], data(asked[0], "198.51.100.5", 24));
  EXPECT_EQ(rig.replies().size(), 2u);
}

TEST_F(WorkerSubnet, A89_what_is_over_the_cap_is_passed_on) {
  for (int i = 0; i < 5; ++i)
    put("198.18." + std::to_string(i) + ".9", "198.51.100." + std::to_string(i), 24);
  EXPECT_EQ(rig.event(Event::ins_skip_subnet), 1u);
  EXPECT_EQ(cached("198.18.4.9"), "");
  EXPECT_EQ(cached("198.18.0.9"), "198.51.100.0");
}

TEST_F(WorkerSubnet, A89_a_flush_of_the_name_takes_all_of_them) {
  put("198.18.5.9", "198.51.100.5", 24);
  put("198.18.6.9", "198.51.100.6", 24);
  dp::Mailbox& mailbox = rig.plane.core(0).mailbox;
  mailbox.query = {};
  mailbox.query.packet_cache = 0xff;
  mailbox.query.match = abi::NameMatch::suffix;
  const Bytes suffix = Name("example").bytes();
  std::copy(suffix.begin(), suffix.end(), mailbox.query.name);
  mailbox.query.name_bytes = static_cast<uint8_t>(suffix.size());
  for (const bool remove : {false, true}) {
    mailbox.remove = remove;
    const uint64_t number = remove ? 2 : 1;
    mailbox.asked.store(number);
    for (int i = 0; i < 100 && mailbox.answered.load() != number; ++i) rig.step();
    if (remove) continue;
    ASSERT_EQ(mailbox.rows, 2u) << "the answers, not what leads to them";
    EXPECT_EQ(Bytes(mailbox.row[0].name, mailbox.row[0].name + mailbox.row[0].name_bytes),
              Name(kSubnetName).bytes());
  }
  EXPECT_EQ(mailbox.removed, 3u);
  EXPECT_EQ(cached("198.18.5.9"), "");
}

TEST_F(WorkerSubnet, A89_a_lookup_says_for_whom_an_answer_is) {
  put("198.18.5.9", "198.51.100.5", 20);
  put("203.0.113.9", "198.51.100.6", 24, Bytes{0, 1, 16, 0, 198, 18});
  put("fd00:18:1:2ff::9", "198.51.100.7", 56);
  dp::Mailbox& mailbox = rig.plane.core(0).mailbox;
  mailbox.query = {};
  mailbox.query.packet_cache = 0xff;
  mailbox.query.match = abi::NameMatch::all;
  mailbox.remove = false;
  mailbox.asked.store(1);
  for (int i = 0; i < 100 && mailbox.answered.load() != 1; ++i) rig.step();
  ASSERT_EQ(mailbox.rows, 3u);
  std::vector<Bytes> told;
  for (uint32_t i = 0; i < mailbox.rows; ++i) {
    const abi::CacheRow& row = mailbox.row[i];
    told.push_back({row.subnet_family, row.subnet_bits, row.subnet_scope, row.subnet_exact});
    told.back().insert(told.back().end(), row.subnet, row.subnet + sizeof row.subnet);
  }
  std::sort(told.begin(), told.end());
  EXPECT_EQ(told, (std::vector<Bytes>{{1, 16, 24, 1, 198, 18, 0, 0, 0, 0, 0, 0},
                                      {1, 20, 20, 0, 198, 18, 0, 0, 0, 0, 0, 0},
                                      {2, 56, 56, 0, 0xfd, 0, 0, 0x18, 0, 1, 2, 0}}));
}

TEST_F(WorkerSubnet, A89_turned_off_nothing_of_it_is_served) {
  put("198.18.5.9", "198.51.100.5", 24);
  rig.service().pool[0].subnet_variants = 0;
  rig.publish();
  ask("198.18.5.9");
  const Out asked = rig.only_asked();
  EXPECT_FALSE(subnet_in(asked.message));
  answer(asked, rig.data_for(asked));
  EXPECT_EQ(cached("198.18.6.9"), "198.18.7.7");
}

TEST_F(WorkerSubnet, A121_A89_the_client_that_hits_says_for_whom_it_is_asked_again) {
  put("198.18.5.9", "198.51.100.5", 20);
  EXPECT_EQ(cached("198.18.6.9"), "198.51.100.5");
  rig.jump_ms(280'000);
  ask("198.18.7.9");
  EXPECT_EQ(address_in(rig.only_reply()), "198.51.100.5");
  const Out asked = rig.only_asked();
  EXPECT_EQ(subnet_in(asked.message), ipv4_subnet(7));
  answer(asked, data(asked, "198.51.100.7", 20));
  rig.jump_ms(30'000);
  EXPECT_EQ(cached("198.18.5.9"), "198.51.100.7");
  EXPECT_EQ(rig.event(Event::prefetch_sent), 1u);
}

TEST_F(WorkerSubnet, A121_A89_an_answer_for_all_is_asked_again_for_a_subnet) {
  put("198.18.5.9", "198.51.100.5", 0);
  EXPECT_EQ(cached("198.18.6.9"), "198.51.100.5");
  rig.jump_ms(280'000);
  ask("198.18.7.9");
  const Out asked = rig.only_asked();
  EXPECT_EQ(subnet_in(asked.message), ipv4_subnet(7));
  answer(asked, data(asked, "198.51.100.7", 24));
  EXPECT_EQ(cached("198.18.7.1"), "198.51.100.7");
  EXPECT_EQ(cached("198.18.6.9"), "");
}

TEST_F(WorkerSubnet, A122_A89_past_its_time_it_is_for_the_same_clients) {
  rig.service().stale = {86'400, 500, 30, 30};
  rig.service().prefetch.left_percent = 0;
  rig.publish();
  put("198.18.5.9", "198.51.100.5", 24, {}, 60);
  put("198.18.6.9", "198.51.100.6", 24, {}, 200);
  rig.jump_ms(100'000);
  for (const char* const client : {"198.18.5.1", "198.18.9.1"}) {
    const bool has = std::string(client) == "198.18.5.1";
    ask(client, ipv4_subnet(has ? 5 : 9));
    EXPECT_EQ(rig.asked().size(), 1u);
    rig.wait_ms(600);
    EXPECT_EQ(rig.replies().size(), has ? 1u : 0u) << client;
    if (!has || rig.replies().empty()) continue;
    EXPECT_EQ(address_in(rig.only_reply()), "198.51.100.5");
    EXPECT_EQ(rig.only_reply().message.extended_errors(), std::vector<uint16_t>{3});
    EXPECT_EQ(subnet_in(rig.only_reply().message), ipv4_subnet(5, 24, 24));
  }
}

TEST_F(WorkerSubnet, A89_a_failure_of_one_subnet_is_none_of_another) {
  put("198.18.5.9", "198.51.100.5", 24);
  ask("198.18.6.9");
  rig.clear();
  rig.wait_ms(3000);
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
  ask("198.18.6.1");
  EXPECT_EQ(rig.outcome(Outcome::servfail_cached), 1u);
  EXPECT_EQ(cached("198.18.5.1"), "198.51.100.5");
}

// Who asks without EDNS, and what an upstream without EDNS gets.
TEST_F(WorkerSubnet, A69_A89_without_edns_there_is_no_option) {
  rig.ask(rig.query(kSubnetName), 4000);
  rig.step_all();
  const Out first = rig.only_asked();
  EXPECT_TRUE(subnet_in(first.message));
  answer(first, rig.answer_to(first).rcode(1));
  const Out second = rig.only_asked();
  EXPECT_EQ(second.message.opt(), nullptr);
  answer(second, rig.data_for(second));
  EXPECT_EQ(rig.only_reply().message.opt(), nullptr);
  EXPECT_EQ(rig.event(Event::up_edns_fallback), 1u);
  EXPECT_EQ(rig.event(Event::up_subnet_fallback), 0u);
}

class WorkerSubnetPair : public SubnetTest {
 protected:
  WorkerSubnetPair() : SubnetTest(2) {}
};

TEST_F(WorkerSubnetPair, A89_whichever_worker_is_asked) {
  for (int i = 0; i < 8; ++i) {  // names of either owner
    const std::string name = "n" + std::to_string(i) + ".example";
    const auto get = [&](const std::string& client, uint32_t worker, uint8_t third) {
      rig.clear();
      send(client, query(ipv4_subnet(third), name), worker);
      if (!rig.asked().empty()) {
        const Out asked = rig.only_asked();
        EXPECT_EQ(subnet_in(asked.message), ipv4_subnet(third));
        answer(asked, data(asked, "198.51.100." + std::to_string(third), 24));
      }
      EXPECT_EQ(subnet_in(rig.only_reply().message), ipv4_subnet(third, 24, 24));
      return address_in(rig.only_reply());
    };
    for (uint32_t worker = 0; worker < 2; ++worker) {
      EXPECT_EQ(get("198.18.5.9", worker, 5), "198.51.100.5");
      EXPECT_EQ(get("198.18.6.9", worker, 6), "198.51.100.6");
    }
  }
  EXPECT_EQ(rig.outcome(Outcome::miss), 16u);
  EXPECT_EQ(rig.outcome(Outcome::hit), 16u);
  EXPECT_GT(rig.event(Event::ring_sent), 0u);
}

// Two clients of a subnet at two workers at once: one question.
TEST_F(WorkerSubnetPair, A89_misses_of_a_subnet_meet_at_the_owner) {
  for (uint32_t worker = 0; worker < 2; ++worker)
    rig.arrive(FrameBuilder()
                   .from("198.18.5." + std::to_string(1 + worker), 4000)
                   .to(kServiceV4, 53)
                   .payload(query().build())
                   .build(),
               worker);
  rig.step_all(3);
  const Out asked = rig.only_asked();
  answer(asked, data(asked, "198.51.100.5", 24));
  rig.step_all(2);
  EXPECT_EQ(rig.replies().size(), 2u);
}

TEST_F(WorkerSubnetPair, A121_A89_a_hit_at_the_other_worker_has_it_asked_again) {
  for (int i = 0; i < 8; ++i) {
    const std::string name = "n" + std::to_string(i) + ".example";
    for (uint32_t worker = 0; worker < 2; ++worker) {
      rig.clear();
      send("198.18.5.9", query({}, name), worker);
      if (worker != 0) continue;
      const Out asked = rig.only_asked();
      answer(asked, data(asked, "198.51.100.5", 24));
    }
    rig.jump_ms(280'000);
    rig.clear();
    send("198.18.5.200", query({}, name), 0);
    EXPECT_EQ(subnet_in(rig.only_asked().message), ipv4_subnet(5)) << i;
    rig.jump_ms(100'000);
    rig.wait_ms(3000);
  }
  EXPECT_EQ(rig.event(Event::prefetch_sent), 8u);
}

}  // namespace
}  // namespace millrace::test
