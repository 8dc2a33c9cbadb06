// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/miss_counts.hpp"

#include <cstring>

namespace millrace::dp {
namespace {

constexpr std::size_t kSiteBytes6 = 56 / 8;

// hash_blocks() reads whole blocks of 32 octets, zero behind the end.
template <std::size_t kBytes>
MissCounts::Mark mark_of_bytes(const HashSecret& secret, const uint8_t* bytes,
                               std::size_t len) noexcept {
  static_assert(kBytes % 32 == 0);
  alignas(32) uint8_t block[kBytes] = {};
  std::memcpy(block, bytes, len);
  return MissCounts::mark_of(hash_blocks(secret, block, len));
}

}  // namespace

MissCounts::Mark mark_of_domain(const HashSecret& secret, const Key& key) noexcept {
  const uint8_t* const name = key.bytes + kKeyHeadBytes;
  const std::size_t first_bytes = name[0] == 0 ? 0 : 1u + name[0];
  const std::size_t len = key.len - kKeyHeadBytes - first_bytes;
  MR_DCHECK(len >= 1 && len <= 255);
  return mark_of_bytes<256>(secret, name + first_bytes, len);
}

MissCounts::Mark mark_of_client(const HashSecret& secret, const abi::Address& client) noexcept {
  return mark_of_bytes<32>(secret, client.bytes, client.family == 4 ? 4 : kSiteBytes6);
}

}  // namespace millrace::dp
