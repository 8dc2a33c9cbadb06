// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/wire/edns.hpp"
#include "dataplane/wire/packet.hpp"
#include "dataplane/wire/upstream.hpp"

namespace millrace::wire {

uint16_t write_upstream_query(uint8_t* msg, uint16_t id, const Key& key,
                              uint16_t edns_udp_bytes) noexcept {
  const uint32_t name_bytes = key.len - kKeyHeadBytes;
  const bool flag_cd = (key.bytes[2] & kKeyFlagCd) != 0;
  const bool with_opt = edns_udp_bytes != 0;
  store_be16(msg, id);
  msg[kDnsFlagsAt] = kBitRd;
  msg[kDnsFlagsAt + 1] = static_cast<uint8_t>(kBitAd | (flag_cd ? kBitCd : 0));
  store_be32(msg + kDnsQdCountAt, 1u << 16);
  store_be32(msg + kDnsNsCountAt, with_opt ? 1 : 0);
  std::memcpy(msg + kDnsHeaderBytes, key.bytes + kKeyHeadBytes, name_bytes);
  uint8_t* tail = msg + kDnsHeaderBytes + name_bytes;
  store_be16(tail, load_be16(key.bytes));
  store_be16(tail + 2, kClassIn);
  const bool flag_do = (key.bytes[2] & kKeyFlagDo) != 0;
  if (with_opt) write_opt(tail + kQuestionTailBytes, edns_udp_bytes, 0, flag_do, 0);
  return static_cast<uint16_t>(kDnsHeaderBytes + name_bytes + kQuestionTailBytes +
                               (with_opt ? kOptBytes : 0));
}

uint16_t add_option(uint8_t* msg, uint16_t len, const Key& key, uint16_t code, const uint8_t* data,
                    uint16_t bytes) noexcept {
  uint8_t* const opt = msg + kDnsHeaderBytes + (key.len - kKeyHeadBytes) + kQuestionTailBytes;
  uint8_t* const options_bytes = opt + kOptBytes - 2;
  store_be16(options_bytes,
             static_cast<uint16_t>(load_be16(options_bytes) + kOptionHeadBytes + bytes));
  store_be16(msg + len, code);
  store_be16(msg + len + 2, bytes);
  std::memcpy(msg + len + kOptionHeadBytes, data, bytes);
  return static_cast<uint16_t>(len + kOptionHeadBytes + bytes);
}

abi::Outcome check_answer_head(const uint8_t* msg, uint16_t len, uint16_t& id) noexcept {
  if (len < kDnsHeaderBytes) return abi::Outcome::up_drop_short;
  const uint8_t flags = msg[kDnsFlagsAt];
  if ((flags & kBitQr) == 0) return abi::Outcome::up_drop_qr;
  if ((flags >> kOpcodeShift & kOpcodeMask) != 0) return abi::Outcome::up_drop_opcode;
  id = load_be16(msg);
  return kGoOn;
}

}  // namespace millrace::wire
