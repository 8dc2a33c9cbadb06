// SPDX-License-Identifier: Apache-2.0
// Aim: rules change whole or not at all. Method: a thread runs the program without pause while the
// rules are swapped between generations chosen so that a mix of the two shows.

#include <atomic>
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <thread>

#include "tests/bpf/bpf_bench.hpp"

namespace millrace::test {
namespace {

using ::testing::HasSubstr;

constexpr uint16_t kPort = 20000;

std::unique_ptr<ctl::Prefilter> open_prefilter() {
  auto opened = ctl::Prefilter::open(kPinDir);
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  return std::move(opened).value();
}

class Rules : public ::testing::Test {
 protected:
  void SetUp() override {
    prefilter_ = open_prefilter();
    const ctl::Status status = prefilter_->attach(wire_.a);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  void TearDown() override { EXPECT_TRUE(prefilter_->detach_all().ok()); }

  static ctl::PrefilterRules services(uint64_t generation, std::string_view address) {
    return {.services = {address_of(address, 53)}, .generation = generation};
  }

  uint64_t generation(const std::string& interface) const {
    const auto generation = prefilter_->generation(interface);
    EXPECT_TRUE(generation.ok()) << generation.status().message();
    return generation.value();
  }

  // Runs the program on `frame` from another thread while `change` swaps rules.
  template <class Change>
  void run_during(const Bytes& frame, Change change) {
    std::atomic<bool> done{false};  // release by this thread, acquire by the runner
    const ctl::Fd program = program_on(wire_.a);
    std::thread runner([&] {
      while (!done.load(std::memory_order_acquire)) run_program_many(program.get(), frame, 10'000);
    });
    change();
    done.store(true, std::memory_order_release);
    runner.join();
  }

  VethPair wire_{"mrr0", "mrr1"};
  std::unique_ptr<ctl::Prefilter> prefilter_;
};

// A packet that both generations claim is never seen by neither.
TEST_F(Rules, SwapLeavesNoGap) {
  const XskSocket socket(wire_.a, 0);
  ASSERT_TRUE(prefilter_->set_rules(services(1, "198.18.0.53")).ok());
  run_during(FrameBuilder().build(), [&] {
    for (uint64_t g = 2; g < 60; ++g) {
      ASSERT_TRUE(prefilter_->set_rules(services(g, "198.18.0.53")).ok());
      ASSERT_EQ(generation(wire_.a), g);
    }
  });
  EXPECT_GT(counter(*prefilter_, wire_.a, "redirected_query"), 100'000u);
  EXPECT_EQ(counter(*prefilter_, wire_.a, "passed_addr"), 0u);
  EXPECT_EQ(counter(*prefilter_, wire_.a, "passed_no_rules"), 0u);
}

// The odd generations have the backend, the even ones the address it answers to: the packet is ours
// only for who takes the backend from one and the address from the other.
TEST_F(Rules, SwapIsNeverSeenHalfDone) {
  const XskSocket socket(wire_.a, 0);
  const ctl::PrefilterRules rules[2] = {{.services = {},
                                         .backends = {},
                                         .sources = {address_of("198.18.1.2")},
                                         .upstream_port_first = kPort,
                                         .upstream_port_end = kPort + 1,
                                         .generation = 2},
                                        {.services = {},
                                         .backends = {address_of("198.18.1.1", 53)},
                                         .sources = {address_of("198.18.1.3")},
                                         .upstream_port_first = kPort,
                                         .upstream_port_end = kPort + 1,
                                         .generation = 1}};
  ctl::PrefilterRules both = rules[1];
  both.sources = rules[0].sources;
  const Bytes frame = FrameBuilder().from("198.18.1.1", 53).to("198.18.1.2", kPort).build();
  ASSERT_TRUE(prefilter_->set_rules(both).ok());
  ASSERT_EQ(run_program(program_on(wire_.a).get(), frame), XDP_REDIRECT) << "the frame is not it";

  ASSERT_TRUE(prefilter_->set_rules(rules[1]).ok());
  run_during(frame, [&] {
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(prefilter_->set_rules(rules[i % 2]).ok());
  });
  EXPECT_GT(counter(*prefilter_, wire_.a, "passed_addr") +
                counter(*prefilter_, wire_.a, "dropped_stray"),
            100'000u);
  EXPECT_EQ(counter(*prefilter_, wire_.a, "redirected_upstream"), 1u);
}

TEST_F(Rules, RefusedRulesChangeNothing) {
  EXPECT_EQ(generation(wire_.a), 0u);
  ASSERT_TRUE(prefilter_->set_rules(services(5, "198.18.0.53")).ok());
  const ctl::Status status = prefilter_->set_rules(services(6, "0.0.0.0"));
  EXPECT_EQ(status.code(), ctl::Code::rejected);
  EXPECT_EQ(generation(wire_.a), 5u);
}

// The kernel refuses to change a frozen map: the interface served before it gets its rules back.
TEST_F(Rules, FailureOnOneInterfaceRestoresTheOthers) {
  const VethPair second("mrs0", "mrs1");
  ASSERT_LT(wire_.a, second.a) << "rules go to the interfaces by name";
  ASSERT_TRUE(prefilter_->set_rules(services(5, "198.18.0.53")).ok());
  ASSERT_TRUE(prefilter_->attach(second.a).ok());
  const ctl::Fd frozen(
      bpf_obj_get((std::string(kPinDir) + "/v3/" + second.a + "/mr_rules").c_str()));
  ASSERT_TRUE(frozen.valid());
  ASSERT_EQ(bpf_map_freeze(frozen.get()), 0);

  const ctl::Status status = prefilter_->set_rules(services(6, "198.18.0.54"));
  EXPECT_EQ(status.code(), ctl::Code::error);
  EXPECT_THAT(status.message(), HasSubstr(second.a));
  EXPECT_EQ(generation(wire_.a), 5u);
  EXPECT_EQ(generation(second.a), 0u);
}

TEST_F(Rules, AreTheSameOnEveryInterface) {
  const VethPair second("mrs0", "mrs1");
  ASSERT_TRUE(prefilter_->attach(second.a).ok());
  ASSERT_TRUE(prefilter_->set_rules(services(9, "198.18.0.53")).ok());
  for (const std::string& interface : {wire_.a, second.a}) {
    EXPECT_EQ(generation(interface), 9u);
    EXPECT_EQ(run_program(program_on(interface).get(), FrameBuilder().build()), XDP_PASS);
    EXPECT_EQ(counter(*prefilter_, interface, "passed_no_socket"), 1u);
  }
}

TEST_F(Rules, UnknownInterfacesAreNamed) {
  EXPECT_THAT(prefilter_->counters("nosuch0").status().message(), HasSubstr("'nosuch0'"));
  EXPECT_THAT(prefilter_->generation("nosuch0").status().message(), HasSubstr("'nosuch0'"));
}

}  // namespace
}  // namespace millrace::test
