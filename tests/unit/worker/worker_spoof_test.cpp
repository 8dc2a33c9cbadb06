// SPDX-License-Identifier: Apache-2.0
// Answers that somebody else would like to give: how hard ours are to guess, what happens when
// somebody tries, and how long signed data is kept.
#include "tests/unit/worker/rig.hpp"

#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

// Packets with the right addresses and port and a wrong id.
void guess(Rig& rig, const Out& asked, int packets) {
  for (int i = 1; i <= packets; ++i) {
    DnsBuilder message = rig.data_for(asked);
    rig.answer(asked, message.id(static_cast<uint16_t>(asked.message.id + i)));
    rig.step();
  }
}

// How far counts are from equal ones, in standard deviations of that figure (chi-squared).
double deviation(const std::vector<uint32_t>& counts) {
  double sum = 0, squares = 0;
  for (const uint32_t n : counts)
    sum += n;
  const double expected = sum / static_cast<double>(counts.size());
  for (const uint32_t n : counts)
    squares += (n - expected) * (n - expected) / expected;
  const double freedom = static_cast<double>(counts.size()) - 1;
  return (squares - freedom) / std::sqrt(2 * freedom);
}

// RFC 5452, section 9.2.
TEST(WorkerSpoof, A56_ports_and_ids_cannot_be_foretold) {
  Rig rig(1, 1, 64, 64);
  std::vector<uint32_t> ports(1000), high(256), low(256), port_steps(100), id_steps(256);
  uint16_t last_port = 0, last_id = 0;
  for (int i = 0; i < 8'000; ++i) {
    rig.clear();
    rig.ask("n" + std::to_string(i) + ".example", 4000);
    rig.step();
    const Out asked = rig.only_asked();
    const uint16_t port = __builtin_bswap16(asked.frame.source.port_be);
    const uint16_t id = asked.message.id;
    ASSERT_TRUE(port >= 20'000 && port < 21'000);
    ports[port - 20'000u] += 1;
    high[id >> 8] += 1;
    low[id & 0xff] += 1;
    port_steps[(1000u + port - last_port) % 1000 / 10] += 1;
    id_steps[static_cast<uint16_t>(id - last_id) >> 8] += 1;
    last_port = port;
    last_id = id;
    rig.answer(asked, rig.data_for(asked, 0));
    rig.step();
  }
  for (const auto* counts : {&ports, &high, &low, &port_steps, &id_steps})
    EXPECT_LT(std::abs(deviation(*counts)), 5);
}

// DO and CD make questions of their own, and nothing else does: so no more than four are ever under
// way for one name and type (CVE-2025-5994).
TEST(WorkerSpoof, A58_at_most_four_questions_for_one_name_and_type) {
  Rig rig(2, 2, 64, 512);
  uint16_t port = 4000;
  for (uint32_t bits = 0; bits < 64; ++bits) {
    DnsBuilder query = rig.query((bits & 1) != 0 ? "WWW.example" : "www.EXAMPLE");
    query.id(static_cast<uint16_t>(bits));
    if ((bits & 2) != 0) query.add_flags(kFlagCd);
    if ((bits & 4) != 0) query.add_flags(kFlagAd);
    OptFields opt{.udp_bytes = static_cast<uint16_t>((bits & 8) != 0 ? 512 : 4096),
                  .flag_do = (bits & 16) != 0};
    if ((bits & 32) != 0) opt.options.push_back({8, {0, 1, 24, 0, 198, 18, 9}});
    rig.ask(query.opt(opt), port++, bits % 2);
    if (bits % 16 == 15) rig.step_all(2);
  }
  EXPECT_EQ(rig.asked().size(), 4u);
}

TEST(WorkerSpoof, A66_many_wrong_ids_take_the_question_elsewhere) {
  Rig rig(1, 2);
  rig.ask("www.example", 4000);
  rig.step();
  const Out first = rig.only_asked();
  guess(rig, first, 10);
  EXPECT_EQ(rig.event(Event::up_spoof_alarm), 0u);
  EXPECT_EQ(rig.asked().size(), 1u);
  guess(rig, first, 1);
  EXPECT_EQ(rig.event(Event::up_spoof_alarm), 1u);
  ASSERT_EQ(rig.asked().size(), 2u) << "no TCP here: once more, with another port and id";
  const Out second = rig.asked()[1];
  EXPECT_NE(first.frame.source.port_be, second.frame.source.port_be);
  rig.answer(first, rig.data_for(first));
  rig.step();
  EXPECT_TRUE(rig.replies().empty()) << "what is right now may have been guessed";
  rig.answer(second, rig.data_for(second));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

TEST(WorkerSpoof, A66_wrong_addresses_and_questions_count_and_other_ports_do_not) {
  Rig rig(1, 1);
  rig.ask("www.example", 4000);
  rig.step();
  const Out asked = rig.only_asked();
  const uint16_t port = __builtin_bswap16(asked.frame.source.port_be);
  const auto other = static_cast<uint16_t>(port == 20'000 ? port + 1 : port - 1);
  for (int i = 0; i < 30; ++i)
    rig.answer_from(rig.data_for(asked), "198.18.1.10", 53, other, 0);
  rig.step();
  EXPECT_EQ(rig.event(Event::up_spoof_alarm), 0u);
  DnsBuilder bank;
  bank.id(asked.message.id).response().question("bank.example", kTypeA);
  for (int i = 0; i < 5; ++i) {
    rig.answer_from(rig.data_for(asked), "198.18.1.99", 53, port, 0);
    rig.answer(asked, bank);
    rig.step();
  }
  EXPECT_EQ(rig.event(Event::up_spoof_alarm), 0u);
  rig.answer(asked, bank);
  rig.step();
  EXPECT_EQ(rig.event(Event::up_spoof_alarm), 1u);
}

// Its own clients cannot raise the alarm for a question that is answered, nor can late answers.
TEST(WorkerSpoof, A66_strays_after_the_answer_raise_no_alarm) {
  Rig rig(1, 1);
  rig.ask("www.example", 4000);
  rig.step();
  const Out asked = rig.only_asked();
  guess(rig, asked, 10);
  rig.answer(asked, rig.data_for(asked));
  rig.step();
  guess(rig, asked, 30);
  EXPECT_EQ(rig.event(Event::up_spoof_alarm), 0u);
}

// RFC 2181, section 5.2: also those who waited see one TTL for one RRset.
TEST(WorkerSpoof, A41_ttls_are_level_in_the_first_answer_and_in_later_ones) {
  Rig rig(1, 1);
  rig.ask("www.example", 4000);
  rig.step();
  const Out asked = rig.only_asked();
  rig.answer(asked, rig.data_for(asked, 300)
                        .answer(Name::pointer(12), kTypeA, 200, rdata_a("198.18.7.8")));
  rig.step();
  rig.ask("www.example", 4001);
  rig.step();
  ASSERT_EQ(rig.replies().size(), 2u);
  for (const Out& reply : rig.replies()) {
    EXPECT_EQ(reply.message.records.at(0).ttl, 200u);
    EXPECT_EQ(reply.message.records.at(1).ttl, 200u);
  }
}

// RFC 2308, section 5: caches behind us shall not keep it longer than we do.
TEST(WorkerSpoof, A35_soa_of_a_negative_answer_shows_its_minimum) {
  Rig rig(1, 1);
  rig.ask("www.example", 4000);
  rig.step();
  const Out asked = rig.only_asked();
  rig.answer(asked, rig.answer_to(asked).rcode(3).authority("example", kTypeSoa, 3600,
                                                            rdata_soa({.minimum = 60})));
  rig.step();
  rig.jump_ms(10'000);
  rig.ask("www.example", 4001);
  rig.step();
  ASSERT_EQ(rig.replies().size(), 2u);
  EXPECT_EQ(rig.replies()[0].message.records.at(0).ttl, 60u);
  EXPECT_EQ(rig.replies()[1].message.records.at(0).ttl, 50u);
}

class WorkerSignatures : public testing::Test {
 protected:
  // An answer whose signature ends that many seconds from now; asked again, whether it was kept.
  bool kept(int32_t ends_in_s, uint64_t asked_after_s) {
    Rig rig(1, 1);
    rig.plane.wall().set(clock_s, static_cast<int64_t>(rig.now_ns / 1'000'000'000));
    const DnsBuilder query = rig.query("www.example").opt({.flag_do = true});
    rig.ask(query, 4000);
    rig.step();
    const Out asked = rig.only_asked();
    const uint32_t expiration = 1'800'000'000 + static_cast<uint32_t>(ends_in_s);
    rig.answer(asked, rig.data_for(asked, 3600)
                          .answer(Name::pointer(12), kTypeRrsig, 3600,
                                  rdata_rrsig({.covered = kTypeA, .expiration = expiration})));
    rig.step();
    EXPECT_EQ(rig.only_reply().message.count(Section::answer), 2u) << "passed on in any case";
    rig.clear();
    rig.jump_ms(asked_after_s * 1000);
    rig.ask(query, 4000);
    rig.step();
    return rig.asked().empty();
  }
  uint32_t clock_s = 1'800'000'000;
};

TEST_F(WorkerSignatures, A42_an_entry_ends_with_its_first_signature) {
  EXPECT_TRUE(kept(100'000, 3599));
  EXPECT_TRUE(kept(100, 99));
  EXPECT_FALSE(kept(100, 100));
  EXPECT_FALSE(kept(0, 0));
  EXPECT_FALSE(kept(-100, 0));
}

TEST_F(WorkerSignatures, A42_not_before_the_time_of_day_is_known) {
  clock_s = 0;
  EXPECT_TRUE(kept(-100, 0));
}

}  // namespace
}  // namespace millrace::test
