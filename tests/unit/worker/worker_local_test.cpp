// SPDX-License-Identifier: Apache-2.0
// What a worker answers by itself (A-IX): special names, private reverse zones, who we are, ANY.
#include "tests/unit/worker/rig.hpp"

#include <cstring>

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

using abi::LocalKind;

constexpr uint16_t kTypeDs = 43;

class WorkerLocal : public ::testing::Test {
 protected:
  WorkerLocal() {
    add_zone(rig.service(), "localhost", LocalKind::loopback);
    add_zone(rig.service(), "test", LocalKind::nxdomain);
    add_zone(rig.service(), "10.in-addr.arpa", LocalKind::empty);
    add_zone(rig.service(), "resolver.arpa", LocalKind::nodata);
    rig.publish();
  }

  // The answer that comes at once, without anybody being asked.
  ReadMessage local(const DnsBuilder& query) {
    rig.clear();
    rig.ask(query, 4001);
    rig.step();
    EXPECT_TRUE(rig.asked().empty());
    return rig.only_reply().message;
  }
  ReadMessage local(const std::string& name, uint16_t type = kTypeA) {
    return local(rig.query(name, type));
  }
  // No answer yet: the upstream has been asked.
  void expect_forwarded(const std::string& name, uint16_t type = kTypeA) {
    rig.clear();
    rig.ask(name, 4002, 0, type);
    rig.step();
    EXPECT_EQ(rig.asked().size(), 1u) << name;
    EXPECT_TRUE(rig.replies().empty()) << name;
  }
  // Nothing but the SOA of the zone (A120), fit to be kept.
  static void expect_negative(const ReadMessage& message, uint8_t rcode, const std::string& zone) {
    EXPECT_EQ(message.rcode(), rcode);
    EXPECT_TRUE(message.has(kFlagAa));
    EXPECT_FALSE(message.has(kFlagAd));
    ASSERT_EQ(message.records.size(), 1u);
    const ReadRecord& soa = message.records[0];
    EXPECT_EQ(soa.section, Section::authority);
    EXPECT_EQ(soa.type, kTypeSoa);
    EXPECT_EQ(folded(soa.owner), Name(zone).bytes());
    EXPECT_EQ(soa.ttl, 10800u);
    ASSERT_GE(soa.rdata.size(), 4u);
    const Bytes minimum(soa.rdata.end() - 4, soa.rdata.end());
    EXPECT_EQ(minimum, (Bytes{0, 0, 0x2a, 0x30})) << "the same as its TTL";
  }

  Rig rig;
};

TEST_F(WorkerLocal, A118_what_is_forwarded_is_not_answered_here) {
  add_zone(rig.service(), "7.10.in-addr.arpa", LocalKind::elsewhere);
  rig.publish();
  expect_forwarded("1.7.10.in-addr.arpa");
  expect_forwarded("7.10.in-addr.arpa");
  expect_negative(local("8.10.in-addr.arpa"), 3, "10.in-addr.arpa");
}

TEST_F(WorkerLocal, A117_localhost_is_the_loopback_interface) {
  for (const char* name : {"localhost", "LocalHost", "a.b.localhost"}) {
    ReadMessage message = local(name);
    EXPECT_EQ(message.rcode(), 0);
    EXPECT_TRUE(message.has(kFlagAa | kFlagRa));
    ASSERT_EQ(message.records.size(), 1u);
    EXPECT_EQ(message.records[0].owner, Name(name).bytes()) << "as the client spelt it";
    EXPECT_EQ(message.records[0].rdata, (Bytes{127, 0, 0, 1}));
    message = local(name, kTypeAaaa);
    ASSERT_EQ(message.records.size(), 1u);
    EXPECT_EQ(message.records[0].rdata, rdata_aaaa("::1"));
    expect_negative(local(name, kTypeTxt), 0, "localhost");
    expect_negative(local(name, kTypeSoa), 0, "localhost");
  }
}

TEST_F(WorkerLocal, A117_test_does_not_exist_and_example_is_a_name_like_others) {
  expect_negative(local("test"), 3, "test");
  expect_negative(local("www.a.TEST", kTypeAaaa), 3, "test");
  for (const char* name : {"www.example", "example.com", "test.example", "ipv4only.arpa"}) {
    expect_forwarded(name);
  }
}

TEST_F(WorkerLocal, A118_a_private_reverse_zone_is_empty) {
  expect_negative(local("1.2.3.10.in-addr.arpa", 12), 3, "10.in-addr.arpa");
  expect_negative(local("10.in-addr.arpa", kTypeA), 0, "10.in-addr.arpa");
  ReadMessage message = local("10.IN-addr.arpa", kTypeSoa);
  EXPECT_TRUE(message.has(kFlagAa));
  EXPECT_EQ(message.count(Section::answer), 1u);
  EXPECT_EQ(message.records.at(0).type, kTypeSoa);
  EXPECT_EQ(folded(message.records[0].owner), Name("10.in-addr.arpa").bytes());
  message = local("10.in-addr.arpa", kTypeNs);
  EXPECT_EQ(message.count(Section::answer), 1u);
  EXPECT_EQ(message.records.at(0).type, kTypeNs);
  expect_forwarded("11.in-addr.arpa", 12);
  expect_forwarded("10.in-addr.arpa", kTypeDs);
  expect_negative(local("1.10.in-addr.arpa", kTypeDs), 3, "10.in-addr.arpa");
}

TEST_F(WorkerLocal, A119_resolver_arpa_has_nothing) {
  expect_negative(local("_dns.resolver.arpa", 64), 0, "resolver.arpa");
  expect_negative(local("resolver.arpa", kTypeSoa), 0, "resolver.arpa");
}

TEST_F(WorkerLocal, A118_each_is_switched_by_the_config) {
  rig.service().local_zones = 1;
  rig.service().local_name_bytes = rig.service().local_zone[0].name_bytes;
  rig.publish();
  expect_forwarded("www.test");
  expect_forwarded("1.10.in-addr.arpa", 12);
  EXPECT_EQ(local("localhost").rcode(), 0);
}

TEST_F(WorkerLocal, A10_A128_counted_and_not_kept) {
  for (int i = 0; i < 3; ++i)
    local(rig.query("www.test").opt({.udp_bytes = 4096, .flag_do = true}));
  EXPECT_EQ(rig.outcome(Outcome::local_zone), 3u);
  EXPECT_EQ(rig.outcome(Outcome::hit), 0u);
  EXPECT_EQ(rig.outcome(Outcome::miss), 0u);
  EXPECT_EQ(rig.event(Event::cache_insert), 0u);
}

TEST_F(WorkerLocal, A72_opt_as_in_every_answer) {
  EXPECT_EQ(local("www.test").opt(), nullptr);
  const ReadMessage message = local(rig.query("www.test").opt({.flag_do = true}));
  ASSERT_NE(message.opt(), nullptr);
  EXPECT_EQ(message.opt()->cls, 1232);
  EXPECT_EQ(message.opt()->ttl, 0x8000u);
}

TEST_F(WorkerLocal, TheLongestNameFits) {
  const std::string label(63, 'x');
  const std::string name = label + "." + label + "." + label + "." + std::string(56, 'y') + ".test";
  ASSERT_EQ(Name(name).bytes().size(), 255u);
  expect_negative(local(name), 3, "test");
}

TEST_F(WorkerLocal, A111_without_rd_only_where_the_cache_answers_too) {
  const DnsBuilder query = DnsBuilder().question("www.test", kTypeA);
  EXPECT_EQ(local(query).rcode(), 5);
  rig.service().answer_rd0 = 1;
  rig.publish();
  const ReadMessage message = local(query);
  EXPECT_EQ(message.rcode(), 3);
  EXPECT_FALSE(message.has(kFlagRd));
}

TEST_F(WorkerLocal, A112_access_rules_come_first) {
  add_rule(rig.service(), abi::RuleAction::refuse, {"198.18.0.0/16"});
  rig.publish();
  EXPECT_EQ(local("www.test").rcode(), 5);
  EXPECT_EQ(rig.outcome(Outcome::local_zone), 0u);
}

// --- class CH

TEST_F(WorkerLocal, A115_who_we_are_if_the_config_says_so) {
  const auto ask = [this](const char* name, uint16_t type = kTypeTxt, uint16_t cls = kClassCh) {
    return local(DnsBuilder().question(name, type, cls));  // RD does not matter here
  };
  const char* const kNames[] = {"version.bind", "VERSION.server", "id.server", "hostname.bind"};
  for (const char* name : kNames)
    EXPECT_EQ(ask(name).rcode(), 5) << name;
  std::strcpy(rig.service().local.version, "millrace-1");
  rig.publish();
  EXPECT_EQ(ask("id.server").rcode(), 5);
  std::strcpy(rig.service().local.identity, "node-7");
  rig.publish();
  for (int i = 0; i < 4; ++i) {
    const ReadMessage message = ask(kNames[i]);
    EXPECT_EQ(message.rcode(), 0);
    EXPECT_TRUE(message.has(kFlagAa));
    EXPECT_EQ(message.questions.at(0).name, Name(kNames[i]).bytes());
    ASSERT_EQ(message.records.size(), 1u);
    EXPECT_EQ(message.records[0].cls, kClassCh);
    EXPECT_EQ(message.records[0].ttl, 0u);
    EXPECT_EQ(message.records[0].rdata, rdata_txt(i < 2 ? "millrace-1" : "node-7"));
  }
  EXPECT_EQ(rig.outcome(Outcome::local_identity), 4u);
  EXPECT_EQ(ask("version.bind", kTypeA).rcode(), 5);
  EXPECT_EQ(ask("version.bindx").rcode(), 5);
  EXPECT_EQ(ask(".").rcode(), 5);
  EXPECT_EQ(ask("a-long-name.version.bind").rcode(), 5);
  for (const uint16_t cls : std::initializer_list<uint16_t>{0, 2, 4, 254, 255}) {
    EXPECT_EQ(ask("version.bind", kTypeTxt, cls).rcode(), 5) << cls;
  }
  expect_forwarded("version.bind", kTypeTxt);  // class IN
}

TEST_F(WorkerLocal, A112_A115_access_rules_come_first) {
  std::strcpy(rig.service().local.version, "millrace-1");
  add_rule(rig.service(), abi::RuleAction::drop, {"198.18.0.0/16"});
  rig.publish();
  rig.ask(DnsBuilder().question("version.bind", kTypeTxt, kClassCh), 4001);
  rig.step();
  EXPECT_TRUE(rig.out.empty());
  EXPECT_EQ(rig.outcome(Outcome::drop_acl), 1u);
}

// --- type ANY

TEST_F(WorkerLocal, A34_any_gets_the_least) {
  rig.service().local.any_over_udp = 1;
  rig.publish();
  ReadMessage message = local("www.Example", kTypeAny);
  EXPECT_EQ(message.rcode(), 0);
  EXPECT_FALSE(message.has(kFlagAa | kFlagTc));
  ASSERT_EQ(message.records.size(), 1u);
  EXPECT_EQ(message.records[0].type, kTypeHinfo);
  EXPECT_EQ(message.records[0].owner, Name("www.Example").bytes());
  EXPECT_EQ(message.records[0].ttl, 3600u);
  EXPECT_EQ(message.records[0].rdata, (Bytes{7, 'R', 'F', 'C', '8', '4', '8', '2', 0}));
  // A made-up record would fail validation.
  message = local(rig.query("www.example", kTypeAny).opt({.flag_do = true}));
  EXPECT_TRUE(message.has(kFlagTc));
  EXPECT_EQ(message.counts[1], 0);
  ASSERT_NE(message.opt(), nullptr);
  EXPECT_EQ(rig.outcome(Outcome::local_any), 2u);
  EXPECT_EQ(rig.event(Event::cache_insert), 0u);
  expect_negative(local("www.test", kTypeAny), 3, "test");
  EXPECT_EQ(local(DnsBuilder().question("www.example", kTypeAny)).rcode(), 5) << "A111";
}

TEST_F(WorkerLocal, A34_any_is_forwarded_if_the_config_says_so) {
  expect_forwarded("www.example", kTypeAny);
}

// An RRSIG query has a key of its own: what is known of other types does not answer it.
TEST_F(WorkerLocal, A34_signatures_are_never_put_together) {
  rig.ask(rig.query("www.example").opt({.flag_do = true}), 4001);
  rig.step();
  const Out asked = rig.only_asked();
  rig.answer(asked, rig.data_for(asked).answer(Name::pointer(12), kTypeRrsig, 300,
                                               rdata_rrsig({.expiration = 0x7fffffff})));
  rig.step();
  expect_forwarded("www.example", kTypeRrsig);
}

}  // namespace
}  // namespace millrace::test
