// SPDX-License-Identifier: Apache-2.0
// Answers by subnet (A89) against an obvious model: a list of what was stored, each with the words
// of RFC 7871 section 7.3 on whom it serves, bit by bit.
#include "dataplane/worker/subnet_cache.hpp"
#include "tests/support/packet_builder.hpp"
#include "tests/unit/cache/cache_fixture.hpp"

#include <cstdlib>
#include <optional>
#include <random>

namespace millrace::dp {
namespace {

using test::Bytes;

// Of a client, or told by one. Bits of the address are counted from its first octet.
struct Told {
  uint8_t family = 1;
  std::array<uint8_t, 16> address{};
  uint32_t bits = 0;
};

bool bit_of(const std::array<uint8_t, 16>& address, uint32_t n) {
  return (address[n / 8] >> (7 - n % 8) & 1) != 0;
}
bool share_first(const Told& a, const Told& b, uint32_t bits) {
  if (a.family != b.family) return false;
  for (uint32_t n = 0; n < bits; ++n)
    if (bit_of(a.address, n) != bit_of(b.address, n)) return false;
  return true;
}

struct Model {
  struct Stored {
    Told subnet;  // the first `bits` are valid
    bool exact;
    uint8_t scope;
    uint64_t ends_s;
    uint32_t number;
  };

  uint32_t bits_max(uint8_t family) const { return family == 1 ? bits4 : bits6; }

  // What is told upstream of this client (section 7.1.1).
  Told asked(const Told& client, const std::optional<Told>& told) const {
    Told subnet = told.value_or(client);
    subnet.bits = std::min(subnet.bits, bits_max(subnet.family));
    return subnet;
  }

  // Section 7.3.2. Nothing: a miss.
  std::optional<uint32_t> find(const Told& client, const std::optional<Told>& told,
                               uint64_t now_s) const {
    if (for_all && for_all->ends_s > now_s) return for_all->number;
    const Told source = asked(client, told);
    Told compared = source;
    if (source.bits != 0 && (!told || share_first(*told, client, told->bits))) {
      compared = client;
      compared.bits = bits_max(client.family);
    }
    const Stored* best = nullptr;
    for (const Stored& one : list) {
      if (one.ends_s <= now_s || one.exact || one.subnet.bits > compared.bits) continue;
      if (!share_first(one.subnet, compared, one.subnet.bits)) continue;
      if (best == nullptr || one.subnet.bits > best->subnet.bits) best = &one;
    }
    for (const Stored& one : list) {
      if (best != nullptr || one.ends_s <= now_s || !one.exact) continue;
      const bool both_nothing = source.bits == 0 && one.subnet.bits == 0;
      if (one.subnet.bits == source.bits &&
          (both_nothing || share_first(one.subnet, source, source.bits))) {
        best = &one;
      }
    }
    return best != nullptr ? std::optional(best->number) : std::nullopt;
  }

  // Section 7.3.1. False: not stored for want of room.
  bool store(const Told& source, uint8_t scope, uint64_t ends_s, uint32_t number, uint64_t now_s) {
    if (source.bits != 0 && scope == 0) {
      list.clear();
      for_all = Stored{{}, false, 0, ends_s, number};
      return true;
    }
    for_all.reset();
    std::erase_if(list, [now_s](const Stored& one) { return one.ends_s <= now_s; });
    Stored fresh{source, false, scope, ends_s, number};
    fresh.subnet.bits = std::min<uint32_t>(scope, source.bits);
    fresh.exact =
        source.bits == 0 || (scope > source.bits && source.bits < bits_max(source.family));
    for (Stored& one : list) {
      if (one.exact == fresh.exact && one.subnet.bits == fresh.subnet.bits &&
          (fresh.subnet.bits == 0 || share_first(one.subnet, fresh.subnet, fresh.subnet.bits))) {
        one = fresh;
        return true;
      }
    }
    if (list.size() >= variants) return false;
    list.push_back(fresh);
    return true;
  }

  uint32_t bits4 = 24, bits6 = 56;
  uint32_t variants = 8;
  std::vector<Stored> list;
  std::optional<Stored> for_all;
};

class SubnetCache : public ::testing::Test {
 protected:
  SubnetCache() : memory_(std::size_t{8} << 20) {
    EXPECT_EQ(cache::Shard::format(memory_.data(), memory_.bytes(), 0), "");
    EXPECT_EQ(shard_.attach(memory_.data(), memory_.bytes(), grace_.get()), "");
    set_pool(24, 56, 8);
    key_ = key_for("www.example");
  }
  void set_pool(uint8_t bits4, uint8_t bits6, uint8_t variants) {
    pool_.subnet_bits4 = bits4;
    pool_.subnet_bits6 = bits6;
    pool_.subnet_variants = variants;
  }
  Key key_for(const std::string& name) const {
    Key key{};
    key.bytes[1] = 1;
    const Bytes wire = test::Name(name).bytes();
    std::copy(wire.begin(), wire.end(), key.bytes + kKeyHeadBytes);
    key.len = static_cast<uint16_t>(kKeyHeadBytes + wire.size());
    key.hash = hash_key(secret_, key);
    return key;
  }
  SubnetContext context() const { return {secret_, 1, now_ms_}; }

  static abi::Address address_of(const Told& client) {
    abi::Address address{};
    std::memcpy(address.bytes, client.address.data(), client.family == 1 ? 4 : 16);
    address.family = client.family == 1 ? 4 : 6;
    return address;
  }
  // The OPT rdata of a query, behind the two octets of its length.
  static Bytes options_of(const std::optional<Told>& told) {
    if (!told) return {};
    const uint32_t octets = (told->bits + 7) / 8;
    Bytes bytes = {0, 8, 0, static_cast<uint8_t>(4 + octets), 0, told->family,
                   static_cast<uint8_t>(told->bits), 0};
    bytes.insert(bytes.end(), told->address.begin(), told->address.begin() + octets);
    if (told->bits % 8 != 0) bytes.back() &= static_cast<uint8_t>(0xff00 >> told->bits % 8);
    bytes.insert(bytes.begin(), {0, static_cast<uint8_t>(bytes.size())});
    return bytes;
  }
  SubnetAsker asker(const Told& client, const std::optional<Told>& told = {}) const {
    const Bytes options = options_of(told);
    SubnetAsker asker;
    EXPECT_TRUE(read_asker(address_of(client), options.data(), told ? 2 : 0, pool_, asker));
    return asker;
  }

  const cache::Entry* plain() const {
    const cache::ShardView* const shards[1] = {&shard_};
    const Key* const keys[1] = {&key_};
    cache::Found found[1];
    cache::lookup_burst(shards, keys, 1, now_ms_, found);
    return found[0].entry;
  }
  // The entry that serves.
  const cache::Entry* entry_for(const SubnetAsker& asker) const {
    const cache::Entry* const entry = plain();
    if (entry == nullptr || !cache::is_directory(*entry)) return entry;
    return find_variant(shard_, context(), *entry, key_, asker).entry;
  }
  std::optional<uint32_t> find(const SubnetAsker& asker) const {
    const cache::Entry* const entry = entry_for(asker);
    if (entry == nullptr) return {};
    return load_be32(cache::view_of(*entry).body);
  }
  SubnetInsert insert(const wire::Subnet& asked, uint8_t scope, uint32_t number,
                      uint32_t lifetime_s, bool failure = false) {
    uint8_t body[16] = {};
    store_be32(body, number);
    AnswerView view{};
    view.failure = failure;
    view.lifetime_s = lifetime_s;
    if (!failure) {
      view.body = body;
      view.body_bytes = view.an_end = view.ns_end = sizeof body;
      view.an_cnt = 1;
    }
    return insert_by_subnet(shard_, context(), pool_, 0, key_, {asked, scope, view});
  }
  void tidy_up() {
    shard_.expire(now_ms_, 1000);
    shard_.reclaim();
    grace_.pass();
  }

  HashSecret secret_ = cache::test_secret();
  cache::RegionMemory memory_;
  cache::ManualGrace grace_;
  cache::Shard shard_;
  abi::PoolConfig pool_{};
  Key key_;
  uint64_t now_ms_ = 1'000'000;
};

// Few addresses, so that prefixes meet.
Told random_client(std::mt19937_64& random) {
  Told client;
  client.family = random() % 3 == 0 ? 2 : 1;
  client.address = {198, 18};
  for (const uint32_t at : {2u, 3u, 4u, 6u, 7u}) {
    client.address[at] = std::array<uint8_t, 5>{0, 1, 0x40, 0x80, 0x81}[random() % 5];
  }
  if (client.family == 1) std::fill(client.address.begin() + 4, client.address.end(), 0);
  client.bits = client.family == 1 ? 32 : 64;
  return client;
}

std::optional<Told> random_option(std::mt19937_64& random, const Told& client) {
  if (random() % 2 == 0) return {};
  Told told = random() % 3 == 0 ? random_client(random) : client;
  const uint32_t bits[] = {0, 8, 15, 16, 17, 18, 20, 24, 25, 32, 48, 56, 60, 64};
  told.bits = std::min(bits[random() % std::size(bits)], told.bits);
  for (uint32_t n = told.bits; n < 128; ++n)
    told.address[n / 8] &= static_cast<uint8_t>(~(0x80 >> n % 8));
  return told;
}

TEST_F(SubnetCache, A89_serves_whom_the_rfc_says) {
  const char* const given = std::getenv("MILLRACE_MODEL_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : 7871;
  std::mt19937_64 random(seed);
  uint64_t hits = 0, misses = 0, limited = 0;
  uint32_t number = 0;
  Model model;
  for (uint32_t step = 0; step < 200'000; ++step) {
    if (step % 2000 == 0) {  // another question, another config
      model = {};
      model.bits4 = std::array{16u, 24u, 24u, 32u, 0u}[random() % 5];
      model.bits6 = std::array{32u, 56u, 56u, 64u}[random() % 4];
      model.variants = std::array{1u, 3u, 8u, 255u}[random() % 4];
      set_pool(static_cast<uint8_t>(model.bits4), static_cast<uint8_t>(model.bits6),
               static_cast<uint8_t>(model.variants));
      key_ = key_for("w" + std::to_string(step) + ".example");
    }
    if (random() % 4 == 0) now_ms_ += 1000 * (random() % 4);
    const uint64_t now_s = now_ms_ / 1000;
    const Told client = random_client(random);
    const std::optional<Told> told = random_option(random, client);
    const SubnetAsker asker = this->asker(client, told);
    const auto wanted = model.find(client, told, now_s);
    ASSERT_EQ(find(asker), wanted) << "seed " << seed << " step " << step;
    ++(wanted ? hits : misses);
    if (wanted && random() % 8 != 0) continue;  // else as if asked ahead of its end
    const Told source = model.asked(client, told);
    ASSERT_EQ(asker.asked.bits, source.bits);
    const uint8_t scopes[] = {0, 8, 15, 16, 17, 20, 24, 24, 25, 32, 40, 56, 64};
    const uint8_t scope = random() % 40 == 0 ? uint8_t{0} : scopes[1 + random() % 12];
    const auto lifetime_s = static_cast<uint32_t>(1 + random() % 40);
    const SubnetInsert done = insert(asker.asked, scope, ++number, lifetime_s);
    ASSERT_EQ(!done.limited, model.store(source, scope, now_s + lifetime_s, number, now_s));
    limited += done.limited ? 1 : 0;
    tidy_up();
  }
  EXPECT_GT(hits, 20'000u);
  EXPECT_GT(misses, 20'000u);
  EXPECT_GT(limited, 1000u);
}

Told ipv4(uint8_t third, uint8_t fourth = 9, uint32_t bits = 32) {
  return {1, {198, 18, third, fourth}, bits};
}

TEST_F(SubnetCache, A89_an_entry_knows_its_scope_and_its_name) {
  insert(asker(ipv4(5)).asked, 20, 1, 60);
  const cache::Entry* const entry = entry_for(asker(ipv4(6)));
  ASSERT_NE(entry, nullptr) << "in the /20";
  EXPECT_EQ(scope_of(*entry), 20);
  EXPECT_EQ(name_bytes_of(cache::key_of(*entry)), 13u);
  EXPECT_EQ(scope_of(*plain()), 0);
  insert(asker(ipv4(5)).asked, 0, 2, 60);
  EXPECT_EQ(scope_of(*plain()), 0);
  EXPECT_FALSE(cache::is_directory(*plain()));
}

// What was kept by subnet leaves with the directory.
TEST_F(SubnetCache, A89_an_answer_for_all_takes_the_room_of_the_others) {
  for (uint8_t i = 0; i < 8; ++i) insert(asker(ipv4(i)).asked, 24, i, 60);
  EXPECT_EQ(shard_.gauges().entries, 9u);
  insert(asker(ipv4(1)).asked, 0, 100, 60);
  EXPECT_EQ(shard_.gauges().entries, 1u);
  EXPECT_EQ(find(asker(ipv4(7))), 100u);
}

TEST_F(SubnetCache, A89_no_more_than_may_be_and_those_in_use_stay) {
  for (uint8_t i = 0; i < 8; ++i) insert(asker(ipv4(i)).asked, 24, i, 30u + i);
  const SubnetInsert done = insert(asker(ipv4(200)).asked, 24, 200, 60);
  EXPECT_TRUE(done.limited);
  EXPECT_EQ(done.result, cache::InsertResult::kept);
  EXPECT_FALSE(find(asker(ipv4(200))));
  EXPECT_EQ(find(asker(ipv4(0))), 0u);
  now_ms_ += 30'000;
  EXPECT_FALSE(insert(asker(ipv4(200)).asked, 24, 200, 60).limited);
  EXPECT_EQ(find(asker(ipv4(200))), 200u);
  EXPECT_EQ(find(asker(ipv4(1))), 1u);
  EXPECT_FALSE(insert(asker(ipv4(1)).asked, 24, 201, 60).limited) << "it has its place";
  EXPECT_EQ(find(asker(ipv4(1))), 201u);
}

TEST_F(SubnetCache, A89_a_failure_hides_no_answer) {
  const wire::Subnet asked = asker(ipv4(5)).asked;
  insert(asked, 0, 0, 5, true);
  ASSERT_NE(plain(), nullptr);
  EXPECT_EQ(cache::kind_of(*plain()), cache::Kind::failure) << "of the question";
  insert(asked, 16, 1, 60);
  EXPECT_EQ(insert(asker(ipv4(6)).asked, 0, 0, 5, true).result, cache::InsertResult::kept);
  EXPECT_EQ(find(asker(ipv4(6))), 1u) << "the /16 is fresh";
  const Told elsewhere{1, {198, 19, 1, 1}, 32};
  insert(asker(elsewhere).asked, 0, 0, 5, true);
  const cache::Entry* const failure = entry_for(asker(elsewhere));
  ASSERT_NE(failure, nullptr);
  EXPECT_EQ(cache::kind_of(*failure), cache::Kind::failure);
  EXPECT_EQ(find(asker(ipv4(6))), 1u);
  insert(asker(elsewhere).asked, 24, 2, 60);
  EXPECT_EQ(find(asker(elsewhere)), 2u);
}

// All keys of a question lie in one shard, whatever the subnets.
TEST_F(SubnetCache, A89_one_worker_owns_them_all) {
  const SubnetContext many{secret_, 256, now_ms_};
  for (uint8_t i = 0; i < 100; ++i) {
    uint8_t body[16] = {};
    AnswerView view{};
    view.body = body;
    view.body_bytes = view.an_end = view.ns_end = sizeof body;
    view.an_cnt = 1;
    view.lifetime_s = 60;
    pool_.subnet_variants = 255;
    const wire::Subnet asked = asker(ipv4(i)).asked;
    insert_by_subnet(shard_, many, pool_, 0, key_, {asked, 24, view});
    const FoundVariant found =
        find_variant(shard_, many, *plain(), key_, {.asked = asked, .known = asked});
    ASSERT_NE(found.entry, nullptr);
    EXPECT_EQ(found.hash >> 32 & 255, key_.hash >> 32 & 255);
    EXPECT_NE(found.hash, key_.hash);
    EXPECT_TRUE(shard_.holds(found.hash, *found.entry));
  }
}

// A name that leaves no room for the subnet in a key: passed on, and nothing breaks.
TEST_F(SubnetCache, A89_names_of_any_length) {
  const std::string label(60, 'a');
  for (const std::size_t last : {1u, 50u, 63u}) {
    key_ = key_for(label + "." + label + "." + label + "." + std::string(last, 'b') + ".c");
    const SubnetInsert done = insert(asker(ipv4(5)).asked, 24, 7, 60);
    const bool fits = key_.len + 6u <= kKeyBytesMax;
    EXPECT_EQ(done.result, fits ? cache::InsertResult::stored : cache::InsertResult::too_large);
    EXPECT_EQ(find(asker(ipv4(5))), fits ? std::optional(7u) : std::nullopt);
  }
}

}  // namespace
}  // namespace millrace::dp
