// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/subnet_cache.hpp"

#include "dataplane/wire/edns.hpp"

#include <algorithm>
#include <cstring>

namespace millrace::dp {
namespace {

using cache::InsertResult;

constexpr uint32_t kHeadBytes = 3;  // of a variant in a key, in front of its octets
constexpr uint8_t kExactBit = 0x80;
static_assert(kKeyBytesMax + kHeadBytes + wire::kSubnetBitsMax / 8 <= sizeof(Key::bytes));

uint32_t bits_max_of(const abi::PoolConfig& pool, uint8_t family) noexcept {
  return family == wire::kSubnetIpv4 ? pool.subnet_bits4 : pool.subnet_bits6;
}

wire::Subnet subnet_of(const Variant& variant) noexcept {
  return {variant.prefix, variant.family, variant.bits};
}

bool is_over(const Variant& variant, uint32_t now_s) noexcept { return variant.ends_s <= now_s; }

bool is_same(const Variant& a, const Variant& b) noexcept {
  return subnet_of(a) == subnet_of(b) && a.exact == b.exact;
}

std::span<const Variant> variants_of(const cache::Entry& directory) noexcept {
  const AnswerView view = cache::view_of(directory);
  // A wide body lies at a multiple of 16.
  return {reinterpret_cast<const Variant*>(view.body), view.body_bytes / sizeof(Variant)};
}

void make_key(const SubnetContext& context, const Key& question, const Variant& variant,
              Key& key) noexcept {
  std::memcpy(key.bytes, question.bytes, question.len);
  std::memset(key.bytes + question.len, 0, sizeof key.bytes - question.len);
  uint8_t* const tail = key.bytes + question.len;
  tail[0] = static_cast<uint8_t>(variant.family | (variant.exact != 0 ? kExactBit : 0));
  tail[1] = variant.bits;
  tail[2] = variant.scope;
  uint8_t whole[8];
  store_be64(whole, variant.prefix);
  const uint32_t octets = wire::subnet_octets(variant.bits);
  std::memcpy(tail + kHeadBytes, whole, octets);
  key.len = static_cast<uint16_t>(question.len + kHeadBytes + octets);
  // The bits that choose the shard are the question's.
  const uint64_t of_shard = uint64_t{context.shard_cnt - 1} << 32;
  key.hash = (hash_key(context.secret, key) & ~of_shard) | (question.hash & of_shard);
}

cache::Found look_up(const cache::ShardView& shard, const SubnetContext& context,
                     const Key& key) noexcept {
  const cache::ShardView* const shards[1] = {&shard};
  const Key* const keys[1] = {&key};
  cache::Found found[1];
  cache::lookup_burst(shards, keys, 1, context.now_ms, found);
  return found[0];
}

// The variants that a directory will have, while it is written anew.
struct List {
  uint32_t cnt = 0;
  Variant variant[abi::kSubnetVariantsMax];
};

// Those whose time has not been over for long.
void take_over(const cache::Entry& directory, uint32_t now_s, uint32_t kept_s,
               List& list) noexcept {
  for (const Variant& variant : variants_of(directory)) {
    if (uint64_t{variant.ends_s} + kept_s > now_s && list.cnt < abi::kSubnetVariantsMax) {
      list.variant[list.cnt++] = variant;
    }
  }
}

// False: no room.
bool put(List& list, const Variant& variant, uint32_t most, uint32_t now_s) noexcept {
  Variant* const end = list.variant + list.cnt;
  Variant* at = std::find_if(list.variant, end, [&variant](const Variant& there) noexcept {
    return is_same(there, variant);
  });
  if (at == end && list.cnt >= most) {
    at = std::min_element(list.variant, end, [](const Variant& a, const Variant& b) noexcept {
      return a.ends_s < b.ends_s;
    });
    if (!is_over(*at, now_s)) return false;
  }
  if (at == list.variant + list.cnt) list.cnt += 1;
  *at = variant;
  return true;
}

AnswerView directory_of(const List& list, uint64_t now_ms) noexcept {
  uint32_t ends_s = 0;
  for (uint32_t i = 0; i < list.cnt; ++i) ends_s = std::max(ends_s, list.variant[i].ends_s);
  AnswerView view{};
  view.directory = true;
  view.body = reinterpret_cast<const uint8_t*>(list.variant);
  view.body_bytes = static_cast<uint16_t>(list.cnt * sizeof(Variant));
  view.an_end = view.ns_end = view.body_bytes;
  view.lifetime_s = static_cast<uint32_t>((uint64_t{ends_s} * 1000 - now_ms + 999) / 1000);
  return view;
}

// Fresh, or good enough for want of a fresh one.
bool is_good(const FoundVariant& found, uint64_t now_ms, uint32_t kept_s) noexcept {
  return found.entry != nullptr ||
         (found.stale != nullptr && cache::kind_of(*found.stale) != cache::Kind::failure &&
          cache::stale_s_of(*found.stale, now_ms) < kept_s);
}

void remove_all(cache::Shard& shard, const SubnetContext& context, const Key& question,
                const cache::Entry& directory) noexcept {
  for (const Variant& variant : variants_of(directory)) {
    Key key;
    make_key(context, question, variant, key);
    shard.remove(key);
  }
}

}  // namespace

bool read_asker(const abi::Address& client, const uint8_t* msg, uint16_t options_at,
                const abi::PoolConfig& pool, SubnetAsker& asker) noexcept {
  const wire::Subnet whole = wire::subnet_of(client);
  asker.asked = asker.known = wire::cut(whole, bits_max_of(pool, whole.family));
  if (options_at == 0) return true;
  const wire::ClientOptions options = wire::read_options(msg, options_at);
  if (options.subnet == nullptr) return true;
  wire::Subnet told;
  if (!wire::read_subnet(options.subnet, options.subnet_bytes, told)) return false;
  asker.asked = wire::cut(told, bits_max_of(pool, told.family));
  // If it is the client's own subnet the client's address chooses (section 7.3.2), but nothing is
  // chosen for who tells nothing.
  if (told.bits == 0 || !wire::contains(told, whole)) asker.known = asker.asked;
  return true;
}

bool variant_of(const wire::Subnet& asked, uint8_t scope, uint32_t bits_max,
                Variant& variant) noexcept {
  if (asked.bits != 0 && scope == 0) return false;
  const wire::Subnet held = wire::cut(asked, scope);
  const bool exact = asked.bits == 0 || (scope > asked.bits && asked.bits < bits_max);
  variant = {held.prefix, 0, held.family, held.bits, scope, exact};
  return true;
}

const Variant* choose(std::span<const Variant> variants, const SubnetAsker& asker, uint32_t now_s,
                      bool over) noexcept {
  const Variant* longest = nullptr;
  const Variant* named = nullptr;
  for (const Variant& variant : variants) {
    if (!over && is_over(variant, now_s)) continue;
    const wire::Subnet subnet = subnet_of(variant);
    if (variant.exact != 0) {
      if (subnet == asker.asked) named = &variant;
    } else if (wire::contains(subnet, asker.known) &&
               (longest == nullptr || variant.bits > longest->bits)) {
      longest = &variant;
    }
  }
  return longest != nullptr ? longest : named;
}

uint32_t name_bytes_of(cache::KeyView key) noexcept {
  uint32_t at = kKeyHeadBytes;
  while (key.bytes[at] != 0) at += 1u + key.bytes[at];
  return at + 1 - kKeyHeadBytes;
}

uint8_t scope_of(const cache::Entry& entry) noexcept {
  const cache::KeyView key = cache::key_of(entry);
  const uint32_t tail = kKeyHeadBytes + name_bytes_of(key);
  return tail == key.len ? uint8_t{0} : key.bytes[tail + 2];
}

Variant variant_of(cache::KeyView key) noexcept {
  Variant variant{};
  const uint8_t* const tail = key.bytes + kKeyHeadBytes + name_bytes_of(key);
  if (tail == key.bytes + key.len) return variant;
  variant.family = tail[0] & ~kExactBit & 0xff;
  variant.exact = (tail[0] & kExactBit) != 0;
  variant.bits = tail[1];
  variant.scope = tail[2];
  uint8_t whole[8] = {};
  std::memcpy(whole, tail + kHeadBytes, wire::subnet_octets(variant.bits));
  variant.prefix = load_be64(whole);
  return variant;
}

FoundVariant find_variant(const cache::ShardView& shard, const SubnetContext& context,
                          const cache::Entry& directory, const Key& key,
                          const SubnetAsker& asker) noexcept {
  FoundVariant result;
  if (asker.asked.family == 0) return result;
  const auto now_s = static_cast<uint32_t>(context.now_ms / 1000);
  for (const bool over : {false, true}) {
    const Variant* const variant = choose(variants_of(directory), asker, now_s, over);
    if (variant == nullptr) continue;
    Key of_variant;
    make_key(context, key, *variant, of_variant);
    const cache::Found found = look_up(shard, context, of_variant);
    result = {found.entry, found.stale, of_variant.hash};
    if (found.entry == nullptr) continue;
    cache::touch(directory);
    break;
  }
  return result;
}

SubnetInsert insert_by_subnet(cache::Shard& shard, const SubnetContext& context,
                              const abi::PoolConfig& pool, uint32_t kept_s, const Key& key,
                              const SubnetAnswer& answer) noexcept {
  const cache::Found there = look_up(shard, context, key);
  const cache::Entry* directory = there.entry != nullptr ? there.entry : there.stale;
  if (directory != nullptr && !cache::is_directory(*directory)) directory = nullptr;
  Variant variant;
  const uint32_t bits_max = bits_max_of(pool, answer.asked.family);
  if (answer.view.failure) {
    // Nobody said for whom it holds. Where answers differ, it is one more; else it is for all.
    if (directory == nullptr) return {shard.insert(key, answer.view, context.now_ms)};
    const FoundVariant found = find_variant(shard, context, *directory, key,
                                            {.asked = answer.asked, .known = answer.asked});
    if (is_good(found, context.now_ms, kept_s)) return {InsertResult::kept};
    variant_of(answer.asked, wire::kSubnetBitsMax + 1, bits_max, variant);
  } else if (!variant_of(answer.asked, answer.scope, bits_max, variant)) {
    if (directory != nullptr) remove_all(shard, context, key, *directory);
    return {shard.insert(key, answer.view, context.now_ms)};
  }
  const auto now_s = static_cast<uint32_t>(context.now_ms / 1000);
  variant.ends_s = static_cast<uint32_t>((context.now_ms + 999) / 1000) + answer.view.lifetime_s;
  List list;
  if (directory != nullptr) take_over(*directory, now_s, kept_s, list);
  if (!put(list, variant, pool.subnet_variants, now_s)) return {InsertResult::kept, true};
  Key of_variant;
  make_key(context, key, variant, of_variant);
  const InsertResult result = shard.insert(of_variant, answer.view, context.now_ms);
  if (result == InsertResult::stored || result == InsertResult::replaced) {
    shard.insert(key, directory_of(list, context.now_ms), context.now_ms);
  }
  return {result};
}

}  // namespace millrace::dp
