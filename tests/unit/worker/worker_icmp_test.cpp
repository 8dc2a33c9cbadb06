// SPDX-License-Identifier: Apache-2.0
// ICMP errors about queries upstream: those that fit end a try at once, all others change nothing.
#include "tests/support/icmp_frame.hpp"
#include "tests/unit/worker/rig.hpp"

#include <functional>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::test::icmp {  // the tests of a folder are compiled as one
namespace {

constexpr uint8_t kUnreachable = 3, kPort = 3, kFragmentationNeeded = 4;
constexpr std::size_t kNoId = 28;  // IP and UDP header

uint16_t host_port(const abi::Address& address) { return __builtin_bswap16(address.port_be); }

std::string address_of_backend(const Out& asked) {
  return "198.18.1." + std::to_string(10 + asked.backend());
}

// The frame of our query, to be quoted.
FrameBuilder sent(const Out& asked) {
  return FrameBuilder()
      .from(kSourceV4, host_port(asked.frame.source))
      .to(address_of_backend(asked), 53)
      .payload(asked.frame.payload);
}

FrameBuilder error_about(const Out& asked, const Bytes& quote, uint8_t code = kPort) {
  return icmp_error(address_of_backend(asked), kSourceV4, kUnreachable, code, quote);
}

void tell_unreachable(Rig& rig, const Out& asked, uint8_t code = kPort,
                      std::size_t quote_bytes = 548) {
  rig.arrive(error_about(asked, quote_of(sent(asked).build(), quote_bytes), code).build(),
             asked.worker, asked.port);
  rig.step(asked.worker);
}

TEST(WorkerIcmp, A65_the_next_upstream_is_asked_at_once) {
  for (const uint8_t code : std::initializer_list<uint8_t>{0, 1, 3, 10, 13}) {
    for (const std::size_t quoted : {kNoId, kNoId + 1, kNoId + 2, std::size_t{548}}) {
      SCOPED_TRACE(std::to_string(code) + " " + std::to_string(quoted));
      Rig rig(1, 2);
      rig.ask("www.example", 4000);
      rig.step();
      const Out first = rig.only_asked();
      tell_unreachable(rig, first, code, quoted);
      ASSERT_EQ(rig.asked().size(), 2u);
      const Out second = rig.asked()[1];
      EXPECT_NE(second.backend(), first.backend());
      EXPECT_EQ(rig.outcome(Outcome::icmp_unreachable), 1u);
      tell_unreachable(rig, first, code, quoted);
      EXPECT_EQ(rig.outcome(Outcome::icmp_ignored), 1u) << "said already";
      EXPECT_EQ(rig.asked().size(), 2u);
      rig.answer(first, rig.data_for(first));
      rig.step();
      EXPECT_TRUE(rig.replies().empty()) << "that try is over";
      rig.answer(second, rig.data_for(second));
      rig.step();
      EXPECT_EQ(rig.only_reply().message.rcode(), 0);
    }
  }
}

TEST(WorkerIcmp, A65_when_no_try_is_left_the_question_fails_at_once) {
  Rig rig(1, 3);
  rig.ask("www.example", 4000);
  rig.step();
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(rig.asked().size(), i + 1);
    EXPECT_TRUE(rig.replies().empty());
    tell_unreachable(rig, rig.asked()[i]);
  }
  EXPECT_EQ(rig.only_reply().message.rcode(), 2);
}

// It may be just starting again.
TEST(WorkerIcmp, A65_the_only_upstream_is_asked_again_at_its_time) {
  Rig rig(1, 1);
  rig.ask("www.example", 4000);
  rig.step();
  tell_unreachable(rig, rig.only_asked());
  rig.wait_ms(390);
  EXPECT_EQ(rig.asked().size(), 1u);
  rig.wait_ms(20);
  ASSERT_EQ(rig.asked().size(), 2u);
  EXPECT_EQ(rig.event(Event::up_timeout), 0u);
  rig.answer(rig.asked()[1], rig.data_for(rig.asked()[1]));
  rig.step();
  EXPECT_EQ(rig.only_reply().message.rcode(), 0);
}

TEST(WorkerIcmp, A65_what_comes_in_at_another_core_finds_its_question) {
  Rig rig(2, 2);
  rig.ask("www.example", 4000, 0);
  rig.step_all(2);
  const Out first = rig.only_asked();
  const uint32_t other = 1 - first.worker;
  rig.arrive(error_about(first, quote_of(sent(first).build())).build(), other, first.port);
  rig.step(other);
  rig.step_all(2);
  EXPECT_EQ(rig.asked().size(), 2u);
  EXPECT_EQ(rig.outcome(Outcome::icmp_unreachable), 1u);
}

// Errors count against an upstream as silence does, and like silence they are no proof of death:
// that takes a probe, and a probe in each interval ends it.
TEST(WorkerIcmp, A65_errors_alone_take_no_upstream_out_of_use) {
  Rig rig(1, 2);
  rig.service().pool[0].policy = abi::PoolPolicy::first_available;
  rig.publish();
  for (int i = 0; i < 20; ++i) {
    rig.clear();
    rig.ask("n" + std::to_string(i) + ".example", 4000);
    rig.step();
    EXPECT_EQ(rig.only_asked().backend(), 0u) << i;
    tell_unreachable(rig, rig.only_asked());
    ASSERT_EQ(rig.asked().size(), 2u);
    rig.answer(rig.asked()[1], rig.data_for(rig.asked()[1]));
    rig.wait_ms(300);
    for (const Out& probe : rig.probes()) {
      tell_unreachable(rig, probe);
      rig.answer(probe, rig.answer_to(probe));
    }
    rig.step();
  }
  EXPECT_GT(rig.event(Event::probe_sent), 0u);
  EXPECT_EQ(rig.outcome(Outcome::icmp_unreachable), 20u);
  EXPECT_EQ(rig.outcome(Outcome::icmp_ignored), rig.event(Event::probe_sent))
      << "probes wait for their answers";
}

struct Forgery {
  const char* what;
  std::function<Bytes(const Out&)> frame;
  Outcome outcome = Outcome::icmp_ignored;
};

std::vector<Forgery> forgeries() {
  const auto about = [](const Out& asked, const FrameBuilder& quoted, std::size_t bytes = 548) {
    return error_about(asked, quote_of(quoted.build(), bytes)).build();
  };
  const auto other_port = [](const Out& asked) {
    return static_cast<uint16_t>(20'000 + (host_port(asked.frame.source) - 20'000 + 1) % 1000);
  };
  const auto changed = [](const Out& asked, std::size_t at) {
    Bytes quote = quote_of(sent(asked).build());
    quote.at(at) ^= 1;
    return error_about(asked, quote).build();
  };
  return {
      {"id", [=](const Out& asked) { return changed(asked, 28); }},
      {"UDP checksum, and no id",
       [=](const Out& asked) { return about(asked, sent(asked).udp_checksum(0x1234), kNoId); }},
      {"port",
       [=](const Out& asked) {
         return about(asked, sent(asked).from(kSourceV4, other_port(asked)));
       }},
      {"whom it was for",
       [=](const Out& asked) { return about(asked, sent(asked).to("198.18.1.99", 53)); }},
      {"its port",
       [=](const Out& asked) {
         return about(asked, sent(asked).to(address_of_backend(asked), 54));
       }},
      {"checksum",
       [=](const Out& asked) {
         Bytes frame = about(asked, sent(asked));
         frame[37] ^= 1;
         return frame;
       },
       Outcome::pass_proto},
      {"fragmentation needed",
       [=](const Out& asked) {
         return error_about(asked, quote_of(sent(asked).build()), kFragmentationNeeded).build();
       },
       Outcome::pass_proto},
      {"time exceeded",
       [=](const Out& asked) {
         return icmp_error(address_of_backend(asked), kSourceV4, 11, 0,
                           quote_of(sent(asked).build()))
             .build();
       },
       Outcome::pass_proto},
      {"TCP", [=](const Out& asked) { return about(asked, sent(asked).protocol(6)); },
       Outcome::pass_proto},
      {"cut in the UDP header", [=](const Out& asked) { return about(asked, sent(asked), 27); },
       Outcome::pass_proto},
  };
}

TEST(WorkerIcmp, B43_what_does_not_fit_changes_nothing) {
  for (const Forgery& forgery : forgeries()) {
    SCOPED_TRACE(forgery.what);
    Rig rig(1, 2);
    rig.ask("www.example", 4000);
    rig.step();
    const Out asked = rig.only_asked();
    for (int i = 0; i < 30; ++i) {
      rig.arrive(forgery.frame(asked), 0, asked.port);
      rig.step();
    }
    EXPECT_EQ(rig.outcome(forgery.outcome), 30u);
    EXPECT_EQ(rig.asked().size(), 1u);
    EXPECT_EQ(rig.event(Event::up_spoof_alarm), 0u);
    rig.answer(asked, rig.data_for(asked));
    rig.step();
    EXPECT_EQ(rig.only_reply().message.rcode(), 0);
  }
}

TEST(WorkerIcmp, B43_a_flood_of_them_reaches_nobody) {
  Rig rig(1, 2);
  rig.ask("www.example", 4000);
  rig.step();
  const Out asked = rig.only_asked();
  const Bytes forged =
      error_about(asked, quote_of(sent(asked).udp_checksum(1).build(), kNoId)).build();
  for (int i = 0; i < 1000; ++i) {
    rig.arrive(forged, 0, asked.port);
    rig.step();
  }
  tell_unreachable(rig, asked);
  EXPECT_EQ(rig.asked().size(), 1u) << "not even the right one";
  EXPECT_EQ(rig.outcome(Outcome::icmp_ignored), 1001u);
  rig.jump_ms(1000);
  tell_unreachable(rig, asked);
  EXPECT_EQ(rig.outcome(Outcome::icmp_unreachable), 1u);
}

TEST(WorkerIcmp, B43_by_another_port_or_for_a_question_that_is_over) {
  Rig rig(1, 2);
  rig.publish_routes(0b11, 0b10);
  rig.ask("www.example", 4000);
  rig.step();
  const Out asked = rig.only_asked();
  const Bytes good = error_about(asked, quote_of(sent(asked).build())).build();
  rig.arrive(good, 0, static_cast<uint8_t>(1 - asked.port));
  rig.step();
  EXPECT_EQ(rig.outcome(Outcome::icmp_ignored), 1u);
  rig.arrive(good, 0, 2);
  rig.step();
  EXPECT_EQ(rig.outcome(Outcome::up_drop_addr), 1u) << "no upstream is there";
  EXPECT_EQ(rig.asked().size(), 1u);
  rig.answer(asked, rig.data_for(asked));
  rig.step();
  rig.arrive(good, 0, asked.port);
  rig.step();
  EXPECT_EQ(rig.outcome(Outcome::icmp_ignored), 2u);
}

}  // namespace
}  // namespace millrace::test::icmp
