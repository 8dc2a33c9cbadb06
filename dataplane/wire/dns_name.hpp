// SPDX-License-Identifier: Apache-2.0
#pragma once
// Names in wire form (RFC 1035 section 3.1, 4.1.4).
//
// Two walks, for the two sides. A question's name is a run of labels and must not be compressed:
// `measure_name` checks and measures it, `fold_name` copies it in lower case. The names of an
// answer may be compressed: `NameMap` learns every one of them in message order and so proves that
// each pointer leads to the start of a label of an earlier name.
//
// Threads: pure. Cost: measure touches one octet per label, fold moves 16 octets per step, a
// NameMap visits each octet of a message once. Failure: see NameFault. Nothing reads outside [0,
// len).

#include <cstdint>
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/dns_format.hpp"

namespace millrace::wire {

enum class NameFault : uint8_t { none, pointer, label_type, cut_short, too_long };

// Measures the uncompressed name at msg[at]. `name_bytes` includes the root label.
inline NameFault measure_name(const uint8_t* msg, uint32_t len, uint32_t at,
                              uint32_t& name_bytes) noexcept {
  const uint32_t start = at;
  for (;;) {
    if (at >= len) return NameFault::cut_short;
    const uint32_t label = msg[at];
    if (label > kLabelBytesMax) {
      return label >= kPointerBits ? NameFault::pointer : NameFault::label_type;
    }
    at += 1 + label;
    if (at - start > kNameBytesMax) return NameFault::too_long;
    if (label == 0) break;
  }
  name_bytes = at - start;
  return NameFault::none;
}

namespace detail {

template <int kBytes>
inline void fold_step(uint8_t* to, const uint8_t* from) noexcept {
  typedef uint8_t Vector __attribute__((vector_size(kBytes)));
  Vector octets;
  std::memcpy(&octets, from, kBytes);
  const Vector is_upper = reinterpret_cast<Vector>((octets - 'A') < 26);
  octets |= is_upper & 0x20;
  std::memcpy(to, &octets, kBytes);
}

}  // namespace detail

// Copies a name (or any octets that may be folded blindly: length octets lie below 'A') in lower
// case, ASCII only (RFC 4343). The last step overlaps the one before it, so that nothing outside
// either range is touched.
inline void fold_name(uint8_t* to, const uint8_t* from, uint32_t bytes) noexcept {
  if (bytes >= 16) {
    for (uint32_t at = 0; at + 16 < bytes; at += 16) detail::fold_step<16>(to + at, from + at);
    detail::fold_step<16>(to + bytes - 16, from + bytes - 16);
  } else if (bytes >= 8) {
    detail::fold_step<8>(to, from);
    detail::fold_step<8>(to + bytes - 8, from + bytes - 8);
  } else {
    for (uint32_t at = 0; at < bytes; ++at) {
      const uint8_t octet = from[at];
      to[at] = static_cast<uint8_t>(octet - 'A') < 26 ? octet | 0x20 : octet;
    }
  }
}

// What is known about the names of one message.
//
//     message  12  [3]w w w [7]e x a m p l e [0] ...   40  [4]m a i l [0xc0 0x10]
//     fact[12] = 13 octets from here to the root        fact[40] = 14
//     fact[16] = 9
//     fact[24] = 1    (the root; nothing points there in practice, but it may)
//
// A pointer is good when the fact at its target is known, which can only be so for an earlier name.
// A fact also carries how many pointers lie between it and the root, since a chain that is legal
// step by step may still be longer than any client follows.
class NameMap {
 public:
  static constexpr uint32_t kPointersMax = 127;

  // `msg` and `facts` must outlive the map; `facts` has `len` elements, of any content.
  NameMap(const uint8_t* msg, uint32_t len, uint16_t* facts) noexcept
      : msg_(msg), len_(len), facts_(facts) {
    std::memset(facts_, 0, len * sizeof facts_[0]);
  }

  // Learns the name at `at`, which must end before `end`. Answers the offset behind it; 0: broken.
  uint32_t learn(uint32_t at, uint32_t end) noexcept {
    const uint32_t start = at;
    uint32_t label_bytes = 0;
    for (;;) {
      if (at >= end) return 0;
      const uint32_t label = msg_[at];
      if (label == 0) return note(start, at, label_bytes + 1, 0) ? at + 1 : 0;
      if (label > kLabelBytesMax) break;
      label_bytes += 1 + label;
      if (label_bytes >= kNameBytesMax) return 0;
      at += 1 + label;
    }
    if (msg_[at] < kPointerBits || at + 2 > end) return 0;
    const uint32_t target = load_be16(msg_ + at) & 0x3fff;
    // An offset in this very name has no fact yet, nor has the header.
    if (target >= len_ || facts_[target] == 0) return 0;
    const uint32_t total = label_bytes + (facts_[target] & 0xff);
    const uint32_t pointers = (facts_[target] >> 8) + 1u;
    return note(start, at, total, pointers) ? at + 2 : 0;
  }

  // Where the first label of a learned name stands, pointers followed.
  uint32_t first_label(uint32_t at) const noexcept {
    while (msg_[at] >= kPointerBits) at = load_be16(msg_ + at) & 0x3fff;
    return at;
  }

  // Copies a learned name, decompressed and folded, to `to` (255 octets); answers its length.
  uint32_t expand(uint32_t at, uint8_t* to) const noexcept {
    uint32_t bytes = 0;
    for (;;) {
      at = first_label(at);
      const uint32_t label = msg_[at];
      fold_name(to + bytes, msg_ + at, 1 + label);
      bytes += 1 + label;
      if (label == 0) return bytes;
      at += 1 + label;
    }
  }

 private:
  // Notes every label of [start, last), and `last` itself: the root label or a pointer.
  bool note(uint32_t start, uint32_t last, uint32_t total, uint32_t pointers) noexcept {
    if (total > kNameBytesMax || pointers > kPointersMax) return false;
    uint32_t at = start;
    for (;;) {
      facts_[at] = static_cast<uint16_t>(pointers << 8 | total);
      if (at == last) return true;
      total -= 1u + msg_[at];
      at += 1u + msg_[at];
    }
  }

  const uint8_t* msg_;
  uint32_t len_;
  uint16_t* facts_;  // pointers << 8 | octets to the root; 0: not the start of a label
};

}  // namespace millrace::wire
