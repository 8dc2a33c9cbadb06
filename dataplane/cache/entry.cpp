// SPDX-License-Identifier: Apache-2.0
#include "dataplane/cache/entry.hpp"

#include <cstring>
#include <new>

#include "dataplane/base/checksum.hpp"

namespace millrace::cache {

namespace {

uint8_t flags_of(const EntryShape& shape, const AnswerView& answer) noexcept {
  return static_cast<uint8_t>((answer.rcode & kEntryRcodeMask) |
                              (answer.authentic_data ? kEntryAuthenticData : 0) |
                              (answer.negative ? kEntryNegative : 0) |
                              (answer.failure ? kEntryFailure : 0) | (shape.wide ? kEntryWide : 0));
}

}  // namespace

Entry* write_entry(void* object, const EntryShape& shape, const Key& key, const AnswerView& answer,
                   uint64_t now_ms) noexcept {
  auto* const bytes = static_cast<uint8_t*>(object);
  auto* const entry = new (object) Entry{};
  entry->time = pack_time(now_ms, answer.lifetime_s);
  entry->flags = flags_of(shape, answer);
  entry->name_len = static_cast<uint8_t>(key.len - kKeyHeadBytes);
  entry->body_bytes = answer.body_bytes;
  entry->body_sum = sum_fold(sum_bytes(answer.body, answer.body_bytes));
  if (shape.wide) {
    const Wide wide{answer.ttl_cnt,
                    answer.an_cnt,
                    answer.ns_cnt,
                    answer.ar_cnt,
                    answer.an_end,
                    answer.ns_end,
                    answer.directory};
    std::memcpy(bytes + sizeof(Entry), &wide, sizeof wide);
  } else {
    entry->record_cnt = static_cast<uint8_t>(answer.ttl_cnt);
  }
  // The pointers of an empty part may be null.
  if (answer.body_bytes > 0) std::memcpy(bytes + shape.body, answer.body, answer.body_bytes);
  if (answer.ttl_cnt > 0) {
    std::memcpy(bytes + shape.ttl_offsets, answer.ttl_offsets, 2u * answer.ttl_cnt);
  }
  std::memcpy(bytes + shape.key, key.bytes, key.len);
  return entry;
}

}  // namespace millrace::cache
