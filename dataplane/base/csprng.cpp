// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/csprng.hpp"

#include <cstring>

#include <sodium/crypto_stream_chacha20.h>
#include <sodium/utils.h>

namespace millrace {

static_assert(Csprng::kSeedBytes == crypto_stream_chacha20_KEYBYTES);

Csprng::Csprng(const uint8_t seed[kSeedBytes]) noexcept {
  std::memcpy(buffer_, seed, kSeedBytes);
  refill();
}

Csprng::~Csprng() {
  sodium_memzero(buffer_, sizeof buffer_);
}

void Csprng::refill() noexcept {
  static constexpr uint8_t kNonce[crypto_stream_chacha20_NONCEBYTES] = {};
  uint8_t key[kSeedBytes];
  std::memcpy(key, buffer_, sizeof key);
  crypto_stream_chacha20(buffer_, sizeof buffer_, kNonce, key);
  sodium_memzero(key, sizeof key);
  next_ = kSeedBytes;
}

}  // namespace millrace
