// SPDX-License-Identifier: Apache-2.0
// No text can crash the loader, make it throw, or keep it busy.
#include "control/config/dump.hpp"
#include "control/snapshot/compile.hpp"
#include "dataplane/snapshot/config_attach.hpp"
#include "tests/unit/config/support.hpp"

#include <ctime>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::ctl::testing {
namespace {

// Whatever loads must survive everything that follows; whatever does not must say why.
void check_oracle(const std::string& text) {
  const LoadResult result = load(text);
  ASSERT_NE(result.ok(), !result.diagnostics.empty());
  for (const Diagnostic& diagnostic : result.diagnostics) {
    ASSERT_FALSE(diagnostic.message.empty());
    ASSERT_GE(diagnostic.line, 0);
  }
  if (!result.ok()) return;
  const LoadResult again = load(dump_yaml(*result.config));
  ASSERT_TRUE(again.ok()) << again.text();
  ASSERT_EQ(*again.config, *result.config);
  abi::ConfigImage image;
  compile(*result.config, 1, image);
  ASSERT_EQ(snapshot::verify_config(&image, sizeof image), "");
}

std::string repeated(const std::string& unit, std::size_t bytes) {
  std::string text;
  while (text.size() + unit.size() <= bytes)
    text += unit;
  return text;
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// A few ms each when the work is linear in the text; the bound leaves room for sanitizers.
TEST(Hostile, TextsOfOneShapeTakeBoundedTime) {
  const std::size_t bytes = 48 << 10;
  std::vector<std::string> texts;
  for (const char* unit :
       {"[",           "{",          "- ",      "? ",        "a: ",   "[a",      "{a: ",
        "&a ",         "*a ",        "!a ",     "\"",        "'",     "|\n",     "#",
        ",",           "]",          "a\n",     "a:\n ",     "- a\n", "--- \n",  "%YAML 1.1\n",
        "a: b\n",      " ",          "\n",      "\t",        "\x80",  "[a,",     "{a,",
        "a: [b, c]\n", "? a\n: b\n", "\"\\x41", "- - - -\n", "key",   "\xc3\xa4"}) {
    texts.push_back(repeated(unit, bytes));
    texts.push_back("ports: " + texts.back());
    texts.push_back("ports: [" + texts.back());
  }
  for (const std::string& text : texts) {
    SCOPED_TRACE(text.substr(0, 24));
    const double start = cpu_seconds();
    check_oracle(text);
    EXPECT_LT(cpu_seconds() - start, 1.0);
  }
}

// The shapes that cost yaml-cpp most, at the largest size there is.
TEST(Hostile, TheLargestTextsTakeBoundedTime) {
  for (const char* unit : {"[a", "a\n"}) {
    SCOPED_TRACE(unit);
    const double start = cpu_seconds();
    check_oracle("ports: " + repeated(unit, kConfigBytesMax - 64));
    EXPECT_LT(cpu_seconds() - start, 8.0);
  }
}

TEST(Hostile, AnAliasBombIsRefusedAtItsFirstAnchor) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" +
            repeated(before + ",", 45) + before + "]\n";
  }
  const LoadResult result = load(text);
  ASSERT_EQ(result.diagnostics.size(), 1u);
  EXPECT_EQ(result.diagnostics[0].line, 1);
  EXPECT_EQ(result.diagnostics[0].column, 5);
}

TEST(Hostile, ARecursiveAliasIsRefused) {
  EXPECT_FALSE(load("a: &a [*a]\n").ok());
  EXPECT_FALSE(load("&a {b: *a}\n").ok());
}

TEST(Hostile, TooManyValuesAreRefused) {
  const LoadResult result = load("a: [" + repeated("1,", 50'000) + "]\n");
  ASSERT_EQ(result.diagnostics.size(), 1u);
  EXPECT_NE(result.diagnostics[0].message.find("20000 values"), std::string::npos);
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : rng_(seed) {}

  std::string mutate(std::string text) {
    for (uint64_t i = 0, n = 1 + rng_() % 3; i < n; ++i)
      step(text);
    return text;
  }

 private:
  std::size_t place(const std::string& text) { return rng_() % (text.size() + 1); }

  // Another value in the place of a digit: most often still a config, and a new one.
  void change_digit(std::string& text) {
    const std::size_t at = text.find_first_of("0123456789", place(text));
    if (at != text.npos) text[at] = static_cast<char>('0' + rng_() % 10);
  }

  void step(std::string& text) {
    if (rng_() % 2 == 0) return change_digit(text);
    static const std::vector<std::string> kWords{"&a ",         "*a",
                                                 "!!str ",      "\n",
                                                 "\t",          "- ",
                                                 ": ",          "[",
                                                 "]",           "{",
                                                 "}",           "\"",
                                                 "'",           "|\n",
                                                 "? ",          "---\n",
                                                 "...\n",       "~",
                                                 "null",        "auto",
                                                 "0",           "-1",
                                                 "1e9",         "99999999999999999999",
                                                 "MiB",         "s",
                                                 "ms",          "default",
                                                 "#",           "%TAG",
                                                 "\xff",        "\xef\xbb\xbf",
                                                 "198.18.0.53", "[fd00::1]:53",
                                                 "name: x\n"};
    const std::size_t at = place(text);
    const std::size_t length = std::min<std::size_t>(rng_() % 24, text.size() - at);
    switch (rng_() % 5) {
      case 0:
        text.insert(at, kWords[rng_() % kWords.size()]);
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(place(text), text.substr(at, length));
        break;
      case 3:
        if (at < text.size()) text[at] = static_cast<char>(rng_());
        break;
      default:
        text.replace(at, length, kWords[rng_() % kWords.size()]);
        break;
    }
  }

  std::mt19937_64 rng_;
};

TEST(Hostile, MutatedConfigsHoldTheOracle) {
  const uint64_t base = seed();
  uint64_t loaded = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    SCOPED_TRACE("MR_SEED=" + std::to_string(base + i));
    Mutator mutator(base + i);
    const std::string good = i % 4 == 0 ? dump_yaml(RandomConfig(base + i).make())
                                        : dump_yaml(load(kGood).config.value());
    const std::string text = mutator.mutate(good);
    check_oracle(text);
    if (HasFatalFailure()) {
      ADD_FAILURE() << text;
      return;
    }
    loaded += load(text).ok() ? 1 : 0;
  }
  EXPECT_GT(loaded, 50u) << "mutations that break everything test little";
}

}  // namespace
}  // namespace millrace::ctl::testing
