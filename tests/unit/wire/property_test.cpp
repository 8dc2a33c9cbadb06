// SPDX-License-Identifier: Apache-2.0
// Random input against the oracles of tests/fuzz and against naive implementations.
//
// Two sources of input: messages built at random, which the parsers must understand, and mutations
// of them, which they must survive. MILLRACE_SEED=n repeats a run. With MILLRACE_CAPTURES=directory
// real and hostile messages (a stream of 16-bit lengths and messages) are taken too.
#include <cstdlib>
#include <fstream>
#include <random>

#include "dataplane/base/checksum.hpp"
#include "tests/fuzz/oracles.hpp"
#include "tests/unit/wire/wire_test.hpp"

namespace millrace::test {
namespace {

class Dice {
 public:
  explicit Dice(uint64_t salt) : random_(seed() + salt) {}
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
  bool one_in(uint32_t bound) { return below(bound) == 0; }
  Bytes octets(std::size_t count) {
    Bytes bytes(count);
    for (uint8_t& octet : bytes) octet = static_cast<uint8_t>(random_());
    return bytes;
  }
  static uint64_t seed() {
    static const uint64_t value = [] {
      const char* text = std::getenv("MILLRACE_SEED");
      const uint64_t chosen = text != nullptr ? std::strtoull(text, nullptr, 0)
                                              : std::random_device()();
      std::printf("MILLRACE_SEED=%llu\n", static_cast<unsigned long long>(chosen));
      return chosen;
    }();
    return value;
  }

 private:
  std::mt19937_64 random_;
};

Name random_name(Dice& dice) {
  Bytes wire;
  for (uint32_t labels = dice.below(6); labels > 0; --labels) {
    const std::size_t length = 1 + dice.below(dice.one_in(10) ? 40 : 8);
    wire.push_back(static_cast<uint8_t>(length));
    for (std::size_t i = 0; i < length; ++i) {
      wire.push_back(static_cast<uint8_t>(dice.one_in(8) ? dice.below(256)
                                                         : (dice.one_in(3) ? 'A' : 'a') +
                                                               dice.below(26)));
    }
  }
  wire.push_back(0);
  return Name::wire(wire);
}

// `odd`: also of EDNS versions that there are not.
Bytes random_query(Dice& dice, bool odd) {
  DnsBuilder builder;
  builder.id(static_cast<uint16_t>(dice.below(65536)));
  if (!dice.one_in(4)) builder.rd();
  if (dice.one_in(4)) builder.add_flags(kFlagCd);
  if (dice.one_in(4)) builder.add_flags(kFlagAd);
  builder.question(random_name(dice), static_cast<uint16_t>(1 + dice.below(40)));
  if (!dice.one_in(3)) {
    OptFields opt;
    opt.udp_bytes = static_cast<uint16_t>(dice.below(5000));
    opt.flag_do = dice.one_in(2);
    if (odd && dice.one_in(6)) opt.version = static_cast<uint8_t>(dice.below(3));
    if (dice.one_in(6)) opt.extended_rcode = static_cast<uint8_t>(dice.below(256));
    if (dice.one_in(6)) opt.other_flags = static_cast<uint16_t>(dice.below(0x8000));
    for (uint32_t i = dice.below(4); i > 0; --i) {
      opt.options.push_back({static_cast<uint16_t>(11 + dice.below(100)),
                             dice.octets(dice.below(20))});
    }
    builder.opt(opt);
  }
  if (dice.one_in(10)) builder.raw(dice.octets(dice.below(20)));
  return builder.build();
}

Bytes good_query(Dice& dice) { return random_query(dice, false); }

// An owner that is the question, a part of it, an earlier owner, or a new name.
Name random_owner(Dice& dice, const std::vector<uint16_t>& targets) {
  if (dice.one_in(4)) return random_name(dice);
  const uint16_t target = targets[dice.below(static_cast<uint32_t>(targets.size()))];
  return dice.one_in(3) ? Name::with_pointer("x", target) : Name::pointer(target);
}

Bytes random_rdata(Dice& dice, uint16_t type, const std::vector<uint16_t>& targets) {
  switch (type) {
    case kTypeA:
      return dice.octets(4);
    case kTypeAaaa:
      return dice.octets(16);
    case kTypeNs:
    case kTypeCname:
      return rdata_name(random_owner(dice, targets));
    case kTypeMx:
      return rdata_mx(1, random_owner(dice, targets));
    case kTypeSoa:
      return rdata_soa({.primary = random_owner(dice, targets), .minimum = dice.below(1000)});
    case kTypeRrsig:
      return rdata_rrsig({.covered = static_cast<uint16_t>(1 + dice.below(7))});
    default:
      return dice.octets(dice.below(40));
  }
}

Bytes random_answer(Dice& dice) {
  constexpr uint16_t kTypes[] = {kTypeA, kTypeAaaa, kTypeNs, kTypeCname, kTypeMx, kTypeSoa,
                                 kTypeRrsig, kTypeTxt, 65280};
  DnsBuilder builder = DnsBuilder().response().rd();
  const Name qname = random_name(dice);
  builder.question(qname, kTypes[dice.below(2)]);
  std::vector<uint16_t> targets = {12};
  if (dice.one_in(4)) builder.rcode(3);
  const uint32_t opt_after = dice.below(8);
  uint32_t written = 0;
  for (const Section section : {Section::answer, Section::authority, Section::additional}) {
    if (dice.one_in(200)) {  // what follows may stand where no pointer leads
      builder.record(section, Name::pointer(12), 65280, 300, Bytes(dice.below(20'000), 7));
    }
    for (uint32_t i = dice.below(4); i > 0; --i) {
      const uint16_t type = section == Section::answer && !dice.one_in(3)
                                ? kTypes[dice.below(2)]
                                : kTypes[dice.below(std::size(kTypes))];
      const Name owner = dice.one_in(2) ? Name::pointer(12) : random_owner(dice, targets);
      const uint16_t at = builder.offset();
      builder.record(section, owner, type, dice.below(dice.one_in(9) ? 0xffffffff : 500),
                     random_rdata(dice, type, targets));
      if (at < 0x4000) targets.push_back(at);
      if (section == Section::additional && ++written == opt_after) builder.opt();
    }
  }
  return builder.build();
}

// A mutated header seldom keeps its checksum, so what is odd in it is made odd here.
void make_header_odd(Dice& dice, FrameBuilder& builder, bool v6) {
  constexpr const char* kSources4[] = {"127.0.0.1", "0.0.0.0", "224.0.0.1", "198.18.0.53",
                                       "198.18.1.9"};
  constexpr const char* kSources6[] = {"::", "::1", "::ffff:198.18.0.9", "ff02::1",
                                       "fd00:18:1::9"};
  constexpr uint16_t kFragments[] = {0, 0x8000, 0x2000, 1, 0x1fff};
  switch (dice.below(8)) {
    case 0:
      builder.from((v6 ? kSources6 : kSources4)[dice.below(5)], 40000);
      break;
    case 1:
      if (!v6) builder.fragment(kFragments[dice.below(5)]);
      break;
    case 2:
      builder.protocol(static_cast<uint8_t>(dice.below(256)));
      break;
    case 3:
      builder.udp_length(static_cast<uint16_t>(dice.below(100)));
      break;
    case 4:
      builder.ip_length(static_cast<uint16_t>(dice.below(150)));
      break;
    case 5:
      builder.pad_to(20 + dice.below(200));
      break;
    default:
      builder.tos(static_cast<uint8_t>(dice.below(256)));
  }
}

void mutate(Dice& dice, Bytes& bytes) {
  for (uint32_t i = 1 + dice.below(3); i > 0 && !bytes.empty(); --i) {
    const std::size_t at = dice.below(static_cast<uint32_t>(bytes.size()));
    switch (dice.below(5)) {
      case 0:
        bytes[at] ^= static_cast<uint8_t>(1u << dice.below(8));
        break;
      case 1:
        bytes[at] = static_cast<uint8_t>(dice.below(256));
        break;
      case 2:
        bytes[at] = 0xc0;
        break;
      case 3:
        bytes.resize(at);
        break;
      default:
        bytes.insert(bytes.begin() + static_cast<long>(at), static_cast<uint8_t>(dice.below(256)));
    }
  }
}

// A query, or what is left of one under a right checksum; or with more behind it, which may look as
// if the question's name reached there.
Bytes random_message(Dice& dice) {
  Bytes message = random_query(dice, true);
  if (dice.one_in(4)) mutate(dice, message);
  if (dice.one_in(6)) {
    const Bytes more = dice.octets(dice.below(10));
    message.insert(message.end(), more.begin(), more.end());
    message.insert(message.end(), {0, 1, 0, 1});
  }
  return message;
}

Bytes random_frame(Dice& dice) {
  const bool v6 = dice.one_in(2);
  FrameBuilder builder;
  builder.from(v6 ? "fd00:18::9" : "198.18.0.9", static_cast<uint16_t>(dice.below(65536)));
  if (!v6 && dice.one_in(3)) {
    builder.to("198.18.1.9", static_cast<uint16_t>(20000 + dice.below(10000)));
  } else {
    builder.to(v6 ? "fd00:18::53" : "198.18.0.53", 53);
  }
  if (dice.one_in(3)) builder.vlan(static_cast<uint16_t>(dice.below(65536)));
  if (!v6 && dice.one_in(3)) builder.ipv4_options(Bytes(4 * dice.below(11), 1));
  if (v6 && dice.one_in(3)) builder.extension(60, Bytes(dice.below(30), 0));
  if (dice.one_in(5)) builder.udp_checksum(0);
  if (dice.one_in(3)) make_header_odd(dice, builder, v6);
  return builder.payload(random_message(dice)).build();
}

std::string hex(const Bytes& bytes) {
  std::string text;
  char octet[4];
  for (const uint8_t value : bytes) {
    std::snprintf(octet, sizeof octet, "%02x", value);
    text += octet;
  }
  return text;
}

using Oracle = std::string (*)(const uint8_t*, std::size_t);

void expect_holds(Oracle oracle, const Bytes& input) {
  const std::string wrong = oracle(input.data(), input.size());
  ASSERT_EQ(wrong, "") << "input " << hex(input) << " seed " << Dice::seed();
}

template <class Make>
void run_mutations(Oracle oracle, uint64_t salt, int rounds, Make&& make) {
  Dice dice(salt);
  for (int i = 0; i < rounds; ++i) {
    Bytes input = make(dice);
    ASSERT_NO_FATAL_FAILURE(expect_holds(oracle, input));
    for (int j = 0; j < 4; ++j) {
      mutate(dice, input);
      ASSERT_NO_FATAL_FAILURE(expect_holds(oracle, input));
    }
  }
}

// A sanitizer makes a round ten times as dear.
#if defined(__SANITIZE_ADDRESS__)
constexpr int kRounds = 3000;
#else
constexpr int kRounds = 20000;
#endif

TEST(Property, queries_and_their_mutations) {
  run_mutations(check_query, 1, kRounds, good_query);
}

TEST(Property, answers_and_their_mutations) {
  run_mutations(check_answer, 2, kRounds, random_answer);
}

TEST(Property, frames_and_their_mutations) {
  run_mutations(check_frame, 3, kRounds, random_frame);
}

TEST(Property, noise) {
  Dice dice(4);
  for (int i = 0; i < kRounds; ++i) {
    const Bytes input = dice.octets(dice.below(100));
    for (const Oracle oracle : {check_query, check_answer, check_frame}) {
      ASSERT_NO_FATAL_FAILURE(expect_holds(oracle, input));
    }
  }
}

TEST(Property, good_queries_are_understood) {
  Dice dice(5);
  for (int i = 0; i < kRounds; ++i) {
    const Bytes query = good_query(dice);
    ASSERT_EQ(parse(query).outcome, kGoOn) << hex(query) << " seed " << Dice::seed();
  }
}

// Without this the oracle might never see an answer.
TEST(Property, many_random_answers_are_accepted_and_some_are_cacheable) {
  Dice dice(6);
  int accepted = 0, cacheable = 0;
  for (int i = 0; i < kRounds; ++i) {
    const Bytes message = random_answer(dice);
    const auto read = read_message(message);
    ASSERT_TRUE(read) << hex(message);
    const ParsedUpstream result = parse_upstream(
        message, key_for(Name::wire(read->questions[0].name), read->questions[0].type));
    accepted += result.verdict == wire::Verdict::answer;
    cacheable += result.parsed.cacheable;
  }
  EXPECT_GT(accepted, kRounds / 3);
  EXPECT_GT(cacheable, kRounds / 50);
}

TEST(Property, A36_A37_ttls_never_rise) {
  Dice dice(7);
  for (int i = 0; i < 500; ++i) {
    const Bytes message = random_answer(dice);
    const auto read = read_message(message);
    const Name qname = Name::wire(read->questions[0].name);
    const uint16_t qtype = read->questions[0].type;
    const ParsedUpstream entry = parse_upstream(message, key_for(qname, qtype));
    if (entry.verdict != wire::Verdict::answer) continue;
    const Bytes query = DnsBuilder().rd().question(qname, qtype).opt().build();
    const wire::ReplyLimits limits{.udp_bytes_max = 1232, .room = 65'535, .stream = true};
    std::vector<uint32_t> last(entry.view().ttl_cnt, 0xffffffff);
    for (uint32_t age_s = 0; age_s < 1000; age_s += 1 + dice.below(200)) {
      const Written written = reply_to(query, entry.view(), age_s, limits);
      ASSERT_TRUE(written.message);
      for (std::size_t r = 0; r < last.size(); ++r) {
        const uint32_t base = load_be32(entry.view().body + entry.view().ttl_offsets[r]);
        ASSERT_EQ(written.message->records[r].ttl, base > age_s ? base - age_s : 0);
        ASSERT_LE(written.message->records[r].ttl, last[r]);
        last[r] = written.message->records[r].ttl;
      }
    }
  }
}

TEST(Property, checksum_is_a_naive_sum) {
  Dice dice(8);
  for (int i = 0; i < kRounds; ++i) {
    Bytes bytes = dice.one_in(4) ? Bytes(dice.below(200), 0xff) : dice.octets(dice.below(200));
    const ExactCopy copy(bytes);
    const uint64_t sum = sum_bytes(copy.data(), copy.len());
    if (bytes.size() % 2 != 0) bytes.push_back(0);
    uint32_t naive = 0;
    for (std::size_t at = 0; at < bytes.size(); at += 2) {
      naive += load_be16(&bytes[at]);
      if (naive > 0xffff) naive = (naive & 0xffff) + 1;
    }
    ASSERT_EQ(__builtin_bswap16(sum_fold(sum)), naive) << hex(bytes);
    // In parts, the first of even length.
    const uint32_t split = dice.below(copy.len() / 2 + 1u) * 2;
    const uint64_t parts = sum_bytes(copy.data() + split, copy.len() - split,
                                           sum_bytes(copy.data(), split));
    ASSERT_EQ(sum_fold(parts), sum_fold(sum));
  }
}

TEST(Captured, messages_keep_the_oracles) {
  const char* directory = std::getenv("MILLRACE_CAPTURES");
  if (directory == nullptr) GTEST_SKIP() << "MILLRACE_CAPTURES is not set";
  std::ifstream file(std::string(directory) + "/dns-fuzzing.messages", std::ios::binary);
  if (!file) GTEST_SKIP() << "no dns-fuzzing.messages there (unpack it with zstd -d)";
  int messages = 0;
  char head[2];
  while (file.read(head, 2)) {
    Bytes message(static_cast<std::size_t>(static_cast<uint8_t>(head[0]) << 8 |
                                           static_cast<uint8_t>(head[1])));
    ASSERT_TRUE(file.read(reinterpret_cast<char*>(message.data()),
                          static_cast<std::streamsize>(message.size())));
    ASSERT_NO_FATAL_FAILURE(expect_holds(check_query, message));
    ASSERT_NO_FATAL_FAILURE(expect_holds(check_answer, message));
    ++messages;
  }
  EXPECT_GT(messages, 9000);
}

}  // namespace
}  // namespace millrace::test
