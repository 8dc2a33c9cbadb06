// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/miss_counts.hpp"

#include "dataplane/worker/inflight.hpp"
#include "tests/unit/worker/images.hpp"

#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace millrace::dp {
namespace {

using test::address_of;
using test::Bytes;
using test::Name;

HashSecret secret_of(uint64_t seed) {
  std::mt19937_64 random(seed);
  HashSecret secret;
  for (uint8_t& octet : secret.bytes)
    octet = static_cast<uint8_t>(random());
  return secret;
}

// What lies behind the name is not looked at.
Key key_of(const std::string& name, uint16_t type = 1, uint8_t behind = 0) {
  Key key;
  std::memset(key.bytes, behind, sizeof key.bytes);
  const Bytes wire = Name(name).bytes();
  store_be16(key.bytes, type);
  key.bytes[2] = key.bytes[3] = 0;
  std::memcpy(key.bytes + kKeyHeadBytes, wire.data(), wire.size());
  key.len = static_cast<uint16_t>(kKeyHeadBytes + wire.size());
  return key;
}

TEST(MissCounts, ADomainIsTheNameWithoutItsFirstLabel) {
  const HashSecret secret = secret_of(1);
  const auto mark = [&](const std::string& name, uint16_t type = 1, uint8_t behind = 0) {
    return mark_of_domain(secret, key_of(name, type, behind));
  };
  EXPECT_EQ(mark("a.victim.example"), mark("bcdefgh.victim.example", 28, 0xff));
  EXPECT_EQ(mark("com"), mark("."));
  const std::string label(63, 'x');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'y');
  EXPECT_EQ(mark(longest), mark("z" + longest.substr(63)));
  EXPECT_FALSE(mark("a.victim.example") == mark("victim.example"));
  EXPECT_FALSE(mark("a.victim.example") == mark("a.b.victim.example"));
  EXPECT_FALSE(mark("a.victim.example") ==
               mark_of_domain(secret_of(2), key_of("a.victim.example")));
}

TEST(MissCounts, AClientIsAnAddressOrASite) {
  const HashSecret secret = secret_of(1);
  const auto mark = [&](const std::string& text, uint16_t port) {
    return mark_of_client(secret, address_of(text, port));
  };
  EXPECT_EQ(mark("198.18.0.9", 1), mark("198.18.0.9", 2));
  EXPECT_FALSE(mark("198.18.0.9", 1) == mark("198.18.0.8", 1));
  EXPECT_EQ(mark("2001:db8:0:ab00::1", 1), mark("2001:db8:0:abff::2", 1));
  EXPECT_FALSE(mark("2001:db8:0:ab00::1", 1) == mark("2001:db8:0:ac00::1", 1));
}

TEST(MissCounts, ZeroIsNoLimit) {
  MissCounts counts;
  const MissCounts::Mark mark = MissCounts::mark_of(0x1234'5678'9abc'def0);
  EXPECT_FALSE(counts.is_full(mark, 1));
  for (int i = 0; i < 8192; ++i)
    counts.raise(mark);
  EXPECT_TRUE(counts.is_full(mark, 8192));
  EXPECT_FALSE(counts.is_full(mark, 8193));
  EXPECT_FALSE(counts.is_full(mark, 0));
}

// The chance that the header promises: others share both counters with one that is full.
TEST(MissCounts, FewAreTakenForOneThatIsFull) {
  MissCounts counts;
  std::mt19937_64 random(7);
  constexpr uint32_t kFull = 64, kOthers = 1'000'000;
  for (uint32_t i = 0; i < kFull; ++i) {
    const MissCounts::Mark mark = MissCounts::mark_of(random());
    for (uint32_t k = 0; k < 10; ++k)
      counts.raise(mark);
  }
  uint32_t taken = 0;
  for (uint32_t i = 0; i < kOthers; ++i)
    taken += counts.is_full(MissCounts::mark_of(random()), 10);
  const double expected = double{kOthers} * kFull * kFull / MissCounts::kSlots / MissCounts::kSlots;
  EXPECT_LT(taken, 1.5 * expected);
  EXPECT_GT(taken, 0u);
}

// Questions and waiters that come and go, and how many of whom there really are.
class CountedModel {
 public:
  explicit CountedModel(uint32_t seed) : random_(seed) {
    for (MissCounts::Mark& mark : marks_)
      mark = MissCounts::mark_of(random_());
  }
  void step() {
    const std::size_t who = random_() % (kWho + 1);
    auto at = questions_.begin();
    if (!questions_.empty()) std::advance(at, random_() % questions_.size());
    const uint64_t what = random_() % 8;
    if (what < 3) {
      open(who);
    } else if (at == questions_.end()) {
      return;
    } else if (what < 5) {
      add(at->first, who);
    } else if (what < 7) {
      take(at->first);
    } else {
      end(at->first);
    }
  }
  void end_all() {
    while (!questions_.empty())
      end(questions_.begin()->first);
  }
  void check() const {
    uint32_t domains = 0, clients = 0;
    for (std::size_t i = 0; i < kWho; ++i) {
      ASSERT_GE(inflight_.domains().count_of(marks_[i]), of_domain_[i]);
      ASSERT_GE(inflight_.clients().count_of(marks_[i]), of_client_[i]);
      domains += of_domain_[i];
      clients += of_client_[i];
    }
    ASSERT_EQ(inflight_.domains().total(), domains);
    ASSERT_EQ(inflight_.clients().total(), clients);
  }

 private:
  static constexpr std::size_t kWho = 6;  // this one is nobody
  struct Question {
    std::size_t domain;
    std::deque<std::size_t> clients;
  };

  void open(std::size_t who) {
    Key key{};
    key.len = 8;
    key.hash = random_();
    const uint32_t idx = inflight_.open(key, 0);
    if (idx == kNone) return;
    questions_[idx].domain = who;
    of_domain_[who] += 1;
    if (who != kWho) inflight_.count_domain(idx, marks_[who]);
  }
  void add(uint32_t idx, std::size_t who) {
    const MissCounts::Mark mark = who == kWho ? MissCounts::kUncounted : marks_[who];
    if (!inflight_.add_waiter(idx, {}, {}, mark)) return;
    questions_[idx].clients.push_back(who);
    of_client_[who] += 1;
  }
  bool take(uint32_t idx) {
    std::deque<std::size_t>& clients = questions_[idx].clients;
    Waiter waiter;
    EXPECT_EQ(inflight_.take_waiter(idx, waiter), !clients.empty());
    if (clients.empty()) return false;
    of_client_[clients.front()] -= 1;
    clients.pop_front();
    return true;
  }
  void end(uint32_t idx) {
    while (take(idx)) {
    }
    inflight_.close(idx);
    of_domain_[questions_[idx].domain] -= 1;
    questions_.erase(idx);
  }

  std::mt19937_64 random_;
  Inflight inflight_{64, 128};
  MissCounts::Mark marks_[kWho];
  uint32_t of_domain_[kWho + 1] = {}, of_client_[kWho + 1] = {};
  std::map<uint32_t, Question> questions_;
};

// No count is below the truth, and nothing is counted twice or for ever.
TEST(MissCounts, WhatIsInFlightIsCountedOnce) {
  for (uint32_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    CountedModel model(seed);
    for (int step = 0; step < 20'000; ++step) {
      model.step();
      if (step % 16 == 0) model.check();
    }
    model.end_all();
    model.check();
  }
}

}  // namespace
}  // namespace millrace::dp
