// SPDX-License-Identifier: Apache-2.0
// Answers over TCP that fill a message.
#include "tests/unit/slow/slow_rig.hpp"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

// What no longer fits beside an answer over TCP is left out: the cookie, which nobody needs there,
// then what does not belong to it. An OPT has to be there.
TEST(SlowLarge, A72_A81_an_answer_that_fills_the_message) {
  struct Case {
    std::size_t bytes;  // of the upstream's message, stray included
    bool with_stray, expects_cookie, expects_answer, expects_stray;
  };
  const std::size_t cookie_bytes = 28;
  const Case cases[] = {
      {65'535 - 11 - cookie_bytes, true, true, true, true},
      {65'535 - 11 - cookie_bytes + 1, true, false, true, true},
      {65'535 - 11, true, false, true, true},
      {65'535 - 10, true, true, true, false},
      {65'535, true, false, true, false},
      {65'535 - 11, false, false, true, false},
      {65'535 - 10, false, true, false, false},
  };
  for (const Case& one : cases) {
    SlowRig rig;
    rig.rig.service().local.cookies = 1;
    rig.rig.publish();
    auto client = rig.client();
    client->send_message(DnsBuilder().id(1).rd().question("large.example", kTypeTxt)
                             .opt({.options = {{10, Bytes(8, 'k')}}}).build());
    client->send_message(rig.query("large.example", 2, kTypeTxt));
    rig.run();
    const Out asked = rig.rig.only_asked();
    rig.rig.answer(asked, rig.rig.answer_to(asked).add_flags(kFlagTc));
    rig.run();
    DnsBuilder data = rig.rig.answer_to(asked);
    const std::size_t stray_bytes = one.with_stray ? 15 + 10 + 4 : 0;
    data.id(rig.read(rig.upstreams.at(0)->messages().at(0)).id);
    data.answer(Name::pointer(12), kTypeTxt, 300,
                Bytes(one.bytes - data.offset() - 12 - stray_bytes, 0));
    if (one.with_stray) data.answer("www.bank.test", kTypeA, 300, rdata_a("203.0.113.66"));
    ASSERT_EQ(data.build().size(), one.bytes);
    rig.upstreams.at(0)->send_message(data.build());
    rig.run(6);
    const auto replies = client->messages();
    ASSERT_EQ(replies.size(), 2u);
    const ReadMessage with_opt = rig.read(replies[0]);
    EXPECT_EQ(with_opt.rcode(), one.expects_answer ? 0 : 2) << one.bytes;
    ASSERT_NE(with_opt.opt(), nullptr) << one.bytes;
    EXPECT_EQ(with_opt.opt()->rdata.size(), one.expects_cookie ? cookie_bytes : 0) << one.bytes;
    EXPECT_EQ(with_opt.count(Section::answer),
              (one.expects_answer ? 1u : 0u) + (one.expects_stray ? 1u : 0u)) << one.bytes;
    const ReadMessage without = rig.read(replies[1]);
    EXPECT_EQ(without.rcode(), 0) << one.bytes;
    EXPECT_FALSE(with_opt.has(kFlagTc) || without.has(kFlagTc));
  }
}

}  // namespace
}  // namespace millrace::test
