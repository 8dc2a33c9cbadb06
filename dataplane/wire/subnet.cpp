// SPDX-License-Identifier: Apache-2.0
#include "dataplane/wire/subnet.hpp"

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/upstream.hpp"

#include <algorithm>
#include <cstring>

namespace millrace::wire {
namespace {

// Of an address; kNoFamily: the number says nothing.
constexpr uint32_t kNoFamily = UINT32_MAX;
constexpr uint32_t address_bits(uint16_t family) noexcept {
  switch (family) {
    case 0:  // who tells nothing need not say what of
      return 0;
    case kSubnetIpv4:
      return 32;
    case kSubnetIpv6:
      return 128;
    default:
      return kNoFamily;
  }
}

uint64_t load_prefix(const uint8_t* octets, uint32_t cnt) noexcept {
  uint8_t whole[8] = {};
  std::memcpy(whole, octets, std::min<uint32_t>(cnt, sizeof whole));
  return load_be64(whole);
}

// Where the record at `at` has its type; 0: it is not whole. Names are passed over, not followed.
uint32_t record_head(const uint8_t* msg, uint32_t len, uint32_t at) noexcept {
  while (at < len && msg[at] != 0 && msg[at] <= kLabelBytesMax) at += 1u + msg[at];
  if (at >= len) return 0;
  at += msg[at] == 0 ? 1 : 2;
  return at + kRecordHeadBytes <= len ? at : 0;
}

// The OPT record of the message from its type on; 0: none is found.
uint32_t find_opt(const uint8_t* msg, uint32_t len) noexcept {
  if (len < kDnsHeaderBytes) return 0;
  uint32_t at = kDnsHeaderBytes;
  for (uint32_t i = load_be16(msg + kDnsQdCountAt); i != 0; --i) {
    while (at < len && msg[at] != 0 && msg[at] <= kLabelBytesMax) at += 1u + msg[at];
    if (at >= len || msg[at] != 0) return 0;
    at += 1 + kQuestionTailBytes;
  }
  uint32_t records = uint32_t{load_be16(msg + kDnsAnCountAt)} + load_be16(msg + kDnsNsCountAt) +
                     load_be16(msg + kDnsArCountAt);
  for (; records != 0; --records) {
    const uint32_t head = record_head(msg, len, at);
    if (head == 0) return 0;
    at = head + kRecordHeadBytes + load_be16(msg + head + 8);
    if (at > len) return 0;
    if (load_be16(msg + head) == type::opt) return head;
  }
  return 0;
}

bool is_for(const uint8_t* data, uint32_t bytes, const Subnet& asked, uint8_t& scope) noexcept {
  if (bytes < kSubnetHeadBytes || data[2] != asked.bits || data[3] > 128) return false;
  scope = data[3];
  if (asked.bits == 0) return true;
  const uint32_t octets = subnet_octets(asked.bits);
  return load_be16(data) == asked.family && scope <= address_bits(asked.family) &&
         bytes == kSubnetHeadBytes + octets &&
         load_prefix(data + kSubnetHeadBytes, octets) == asked.prefix;
}

}  // namespace

Subnet subnet_of(const abi::Address& address) noexcept {
  if (address.family == 4) return {load_prefix(address.bytes, 4), kSubnetIpv4, 32};
  return {load_prefix(address.bytes, 16), kSubnetIpv6, kSubnetBitsMax};
}

bool read_subnet(const uint8_t* data, uint32_t bytes, Subnet& subnet) noexcept {
  if (bytes < kSubnetHeadBytes) return false;
  const uint16_t family = load_be16(data);
  const uint32_t bits = data[2];
  const uint32_t octets = subnet_octets(bits);
  if (data[3] != 0 || bytes != kSubnetHeadBytes + octets) return false;
  if (address_bits(family) == kNoFamily || bits > address_bits(family)) return false;
  const uint8_t* const address = data + kSubnetHeadBytes;
  if (bits % 8 != 0 && (address[octets - 1] & (0xff >> bits % 8)) != 0) return false;
  subnet = {load_prefix(address, octets), bits == 0 ? kSubnetIpv4 : data[1],
            static_cast<uint8_t>(std::min(bits, kSubnetBitsMax))};
  return true;
}

uint16_t add_subnet(uint8_t* msg, uint16_t len, const Key& key, const Subnet& subnet) noexcept {
  uint8_t data[kSubnetHeadBytes + sizeof subnet.prefix];
  store_be16(data, subnet.family);
  data[2] = subnet.bits;
  data[3] = 0;
  store_be64(data + kSubnetHeadBytes, subnet.prefix);
  return add_option(msg, len, key, kOptionSubnet, data,
                    static_cast<uint16_t>(kSubnetHeadBytes + subnet_octets(subnet.bits)));
}

bool read_scope(const uint8_t* msg, uint16_t len, const Subnet& asked, uint8_t& scope) noexcept {
  scope = 0;
  const uint32_t opt = find_opt(msg, len);
  if (opt == 0) return true;
  uint32_t at = opt + kRecordHeadBytes;
  const uint32_t end = at + load_be16(msg + opt + 8);
  while (at < end) {
    if (end - at < kOptionHeadBytes) return false;
    const uint32_t bytes = load_be16(msg + at + 2);
    const uint8_t* const data = msg + at + kOptionHeadBytes;
    if (bytes > end - at - kOptionHeadBytes) return false;
    if (load_be16(msg + at) == kOptionSubnet) return is_for(data, bytes, asked, scope);
    at += kOptionHeadBytes + bytes;
  }
  return true;
}

}  // namespace millrace::wire
