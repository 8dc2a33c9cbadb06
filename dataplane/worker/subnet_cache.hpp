// SPDX-License-Identifier: Apache-2.0
#pragma once
// Answers that hold for some clients only, by their subnet (RFC 7871 section 7.3).
//
//   key of the question ─▶ an answer for all, as everywhere else          (SCOPE 0, or negative)
//                     or ─▶ directory: Variant[n]
//                              │ the longest that the client is in
//                              ▼
//                           key of the question + variant ─▶ answer for that subnet
//
// The directory is an entry whose body is a list (AnswerView::directory), so what is for all
// clients costs what it always did. The key of a variant is the question's with the variant behind
// the closing root label, where no name goes on; it has the shard of the question, so one worker
// owns all of them. A variant is stored before the directory that names it, and one that has gone
// is a miss. An answer for all clients takes the place of the directory, and what that named is
// removed.
//
// Which answer holds for whom (section 7.3.1), asked with SOURCE bits:
//   SCOPE <= SOURCE                      all of the first SCOPE bits
//   SCOPE > SOURCE, the longest we tell  all of the first SOURCE bits
//   SCOPE > SOURCE otherwise             who tells exactly that subnet
//   SOURCE 0                             who tells nothing, whatever the SCOPE
//
// At most `subnet_variants` of one question are kept: further ones are passed on until the time of
// one of them is over. So who makes subnets up cannot push out those in use, nor fill the cache.
//
// Threads: find_variant, any that takes part in the shard's grace period; insert_by_subnet, the
// shard's owner. Cost: a scan of the directory, 16 octets a variant, and one more lookup; an insert
// writes the variant and the directory. Failure: an insert reports as the shard does.
// Limits: variants of names above some 240 octets have no key that the cache takes; not kept.

#include "dataplane/abi/config_image.hpp"
#include "dataplane/base/key_hash.hpp"
#include "dataplane/cache/ttl_cache.hpp"
#include "dataplane/wire/subnet.hpp"

#include <cstdint>
#include <span>

namespace millrace::dp {

// Who asks. A default one asks for what all get.
struct SubnetAsker {
  wire::Subnet asked{};  // is told upstream; family 0: nobody asks by subnet
  wire::Subnet known{};  // answers are chosen by; as much as we know of whom it is about
};

// Of a client of a pool that asks by subnet: its own option rules, if it has one, cut to what the
// pool tells. `options_at` as parse_query() left it. False: its option cannot be.
bool read_asker(const abi::Address& client, const uint8_t* msg, uint16_t options_at,
                const abi::PoolConfig& pool, SubnetAsker& asker) noexcept;

struct Variant {
  uint64_t prefix;  // as in wire::Subnet
  uint32_t ends_s;  // of the boot clock: its time is over by then
  uint8_t family;
  uint8_t bits;
  uint8_t scope;    // as the upstream said
  uint8_t exact;    // 1: only for who tells just this subnet
};
static_assert(sizeof(Variant) == 16);

// Of an answer with this SCOPE, when `bits_max` is the most that is told of this family. False: it
// holds for all.
bool variant_of(const wire::Subnet& asked, uint8_t scope, uint32_t bits_max,
                Variant& variant) noexcept;

// The one that serves: of those in which the asker is the longest, else the one that it names.
// Null: none does. With `over` among all, else among those whose time is not over.
const Variant* choose(std::span<const Variant> variants, const SubnetAsker& asker, uint32_t now_s,
                      bool over) noexcept;

// The natural length of the name in a key; what follows it is a variant.
uint32_t name_bytes_of(cache::KeyView key) noexcept;

// The SCOPE under which an entry was stored; 0: for all.
uint8_t scope_of(const cache::Entry& entry) noexcept;

// For whom that entry is; family 0: for all. `ends_s` is not set.
Variant variant_of(cache::KeyView key) noexcept;

// Where keys of variants get their hashes, and the time.
struct SubnetContext {
  const HashSecret& secret;
  uint32_t shard_cnt;
  uint64_t now_ms;
};

struct FoundVariant {
  const cache::Entry* entry = nullptr;  // null: a miss
  const cache::Entry* stale = nullptr;  // of a miss: one whose time is over, or null
  uint64_t hash = 0;                    // of the key of either
};

// `directory` was found, fresh or stale, under `key`.
FoundVariant find_variant(const cache::ShardView& shard, const SubnetContext& context,
                          const cache::Entry& directory, const Key& key,
                          const SubnetAsker& asker) noexcept;

// What is stored: an answer that came to a question with `asked`, or a failure.
struct SubnetAnswer {
  wire::Subnet asked;
  uint8_t scope;
  const AnswerView& view;
};

// `limited`: not stored, and `kept`, because there are as many variants as may be. A failure is
// stored only if there is no answer for the asker, as kept_s long past its time as it may be.
struct SubnetInsert {
  cache::InsertResult result;
  bool limited = false;
};
SubnetInsert insert_by_subnet(cache::Shard& shard, const SubnetContext& context,
                              const abi::PoolConfig& pool, uint32_t kept_s, const Key& key,
                              const SubnetAnswer& answer) noexcept;

}  // namespace millrace::dp
