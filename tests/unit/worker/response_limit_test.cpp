// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/response_limit.hpp"

#include "tests/unit/worker/images.hpp"

#include <cstring>
#include <random>

#include <gtest/gtest.h>

namespace millrace::dp {
namespace {

using Verdict = ResponseLimit::Verdict;
constexpr uint64_t kSecond = 1'000'000'000;

class ResponseLimitTest : public ::testing::Test {
 protected:
  ResponseLimitTest() {
    for (uint8_t& octet : secret_.bytes)
      octet = static_cast<uint8_t>(random_());
  }
  void set(uint32_t rate, uint32_t workers = 1, uint16_t slip = 2) {
    limit_.load({0, 0, rate, slip, 24, 56}, workers);
  }
  Verdict judge(uint32_t address, uint64_t now_ns) {
    const uint32_t wire = __builtin_bswap32(address);
    uint8_t source[4];
    std::memcpy(source, &wire, sizeof source);
    return limit_.judge(secret_, false, source, now_ns);
  }
  Verdict judge6(const std::string& text, uint64_t now_ns) {
    return limit_.judge(secret_, true, test::address_of(text).bytes, now_ns);
  }
  bool passes(uint32_t address, uint64_t now_ns) { return judge(address, now_ns) == Verdict::pass; }
  // How many of `per_second` queries a second, evenly over `seconds`.
  uint64_t pass(uint32_t address, uint64_t from_ns, uint64_t per_second, uint64_t seconds) {
    uint64_t passed = 0;
    for (uint64_t i = 0; i < per_second * seconds; ++i)
      passed += passes(address, from_ns + i * kSecond / per_second);
    return passed;
  }

  std::mt19937_64 random_{3};
  HashSecret secret_;
  ResponseLimit limit_;
};

constexpr uint32_t kVictim = 0xc612'0001;  // 198.18.0.1

TEST_F(ResponseLimitTest, IsOffWithoutARate) {
  EXPECT_FALSE(limit_.active());
  set(1);
  EXPECT_TRUE(limit_.active());
  set(0);
  EXPECT_FALSE(limit_.active());
}

TEST_F(ResponseLimitTest, LetsTheRateThroughAndASecondsWorthAtOnce) {
  for (const uint32_t rate : {1u, 10u, 333u, 50'000u, abi::kResponseRateMax}) {
    SCOPED_TRACE(rate);
    set(rate);
    const uint32_t address = kVictim + (rate << 8);
    // What stays below the rate is never limited.
    EXPECT_EQ(pass(address, 0, rate, 4), uint64_t{rate} * 4);
    uint64_t at_once = 0;
    while (passes(address, 100 * kSecond))
      ++at_once;
    EXPECT_NEAR(static_cast<double>(at_once), rate, 1 + rate * 0.03);
    const uint64_t passed = pass(address, 200 * kSecond, uint64_t{rate} * 3, 5);
    EXPECT_NEAR(static_cast<double>(passed), rate * 6.0, 2 + rate * 6.0 * 0.03);
  }
}

TEST_F(ResponseLimitTest, EachWorkerHasItsShare) {
  set(10, 4);
  uint64_t at_once = 0;
  while (passes(kVictim, kSecond))
    ++at_once;
  EXPECT_EQ(at_once, 3u) << "rounded up";
}

TEST_F(ResponseLimitTest, APrefixIsOneAndOthersAreOthers) {
  set(4);
  for (uint32_t i = 0; i < 4; ++i)
    EXPECT_TRUE(passes(kVictim + i, kSecond));
  EXPECT_FALSE(passes(kVictim + 200, kSecond));
  EXPECT_TRUE(passes(kVictim + 256, kSecond));
  for (const char* one : {"2001:db8:0:ab00::1", "2001:db8:0:ab01::1", "2001:db8:0:abff::1",
                          "2001:db8:0:ab00::2"}) {
    EXPECT_EQ(judge6(one, kSecond), Verdict::pass);
  }
  EXPECT_NE(judge6("2001:db8:0:ab77::1", kSecond), Verdict::pass);
  EXPECT_EQ(judge6("2001:db8:0:ac00::1", kSecond), Verdict::pass);
  // Its first octets are those of the IPv4 prefix that is at its limit.
  EXPECT_EQ(judge6("c612::1", kSecond), Verdict::pass);
}

TEST_F(ResponseLimitTest, SlipsAreEvenlyAmongWhatIsAbove) {
  const auto slips = [&](uint16_t slip) {
    set(1, 1, slip);
    while (passes(kVictim, kSecond)) {
    }
    uint64_t cnt = 0;
    for (int i = 0; i < 600; ++i) {
      const Verdict verdict = judge(kVictim, kSecond);
      EXPECT_NE(verdict, Verdict::pass);
      cnt += verdict == Verdict::slip;
    }
    return cnt;
  };
  EXPECT_EQ(slips(0), 0u);
  EXPECT_EQ(slips(1), 600u);
  EXPECT_EQ(slips(2), 300u);
  EXPECT_EQ(slips(3), 200u);
}

// Times wrap around after 18.3 minutes; whether it is used or left alone meanwhile, a bucket leaks.
TEST_F(ResponseLimitTest, TimeGoesRound) {
  set(5);
  for (uint64_t second = 0; second < 5000; second += 7) {
    uint64_t passed = 0;
    while (passes(kVictim, second * kSecond))
      ++passed;
    ASSERT_EQ(passed, 5u) << second;
  }
  for (const uint64_t pause_s : {600, 1090, 1105, 3000}) {
    const uint64_t now_ns = (10'000 + 4000 * pause_s) * kSecond;
    for (int i = 0; i < 5; ++i)
      EXPECT_TRUE(passes(kVictim, now_ns));
    EXPECT_FALSE(passes(kVictim, now_ns));
    EXPECT_TRUE(passes(kVictim, now_ns + pause_s * kSecond)) << pause_s;
  }
}

// A flood from everywhere neither frees the one who is at his limit nor limits those who are not.
TEST_F(ResponseLimitTest, NobodyEscapesByFillingTheTable) {
  set(100);
  uint64_t passed = 0, others = 0, others_passed = 0;
  for (uint64_t i = 0; i < 2'000'000; ++i) {
    const uint64_t now_ns = i * 5000;  // 200,000 a second for 10 s
    if (i % 4 == 0) {
      passed += passes(kVictim, now_ns);
    } else {
      ++others;
      others_passed += passes(static_cast<uint32_t>(random_()), now_ns);
    }
  }
  EXPECT_LE(passed, 1100u + 20u);
  EXPECT_GE(passed, 1000u);
  EXPECT_EQ(others_passed, others);
}

// The chance that the header promises.
TEST_F(ResponseLimitTest, FewAreLimitedForOthers) {
  const auto limited = [&](uint32_t full_cnt) {
    limit_ = ResponseLimit();
    set(2);
    for (uint32_t i = 0; i < full_cnt; ++i) {
      const auto address = static_cast<uint32_t>(random_());
      while (passes(address, kSecond)) {
      }
    }
    uint32_t cnt = 0;
    constexpr uint32_t kTried = 200;  // few, as they take entries, too
    for (uint32_t i = 0; i < kTried; ++i)
      cnt += !passes(static_cast<uint32_t>(random_()), kSecond);
    return static_cast<double>(cnt) / kTried;
  };
  EXPECT_EQ(limited(1000), 0.0);
  EXPECT_LT(limited(4000), 0.12);
  EXPECT_GT(limited(20'000), 0.9) << "the test tests nothing";
}

}  // namespace
}  // namespace millrace::dp
