// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/subnets.hpp"

#include <algorithm>

namespace millrace::sim {

namespace {

constexpr std::size_t kHead = 4;  // octets in front of the address

uint32_t bits_max(const Plan& plan, const Bytes& subnet) {
  return subnet[1] == 1 ? plan.subnet_bits4 : plan.subnet_bits6;
}

}  // namespace

std::string text_of_subnet(const Bytes& subnet) {
  if (subnet.empty()) return {};
  std::string text = " for";
  for (std::size_t at = kHead; at < subnet.size(); ++at) text += " " + std::to_string(subnet[at]);
  return text + "/" + std::to_string(subnet[2]);
}

Bytes option_in(const test::ReadMessage& message, uint16_t code) {
  if (message.opt() == nullptr) return {};
  const Bytes& rdata = message.opt()->rdata;
  for (std::size_t at = 0; at + 4 <= rdata.size();) {
    const std::size_t bytes = rdata[at + 2] * 256u + rdata[at + 3];
    const auto from = rdata.begin() + static_cast<std::ptrdiff_t>(at + 4);
    if (rdata[at] * 256 + rdata[at + 1] == code && at + 4 + bytes <= rdata.size()) {
      return Bytes(from, from + static_cast<std::ptrdiff_t>(bytes));
    }
    at += 4 + bytes;
  }
  return {};
}

Bytes subnet_of(const abi::Address& address) {
  const bool v6 = address.family == 6;
  Bytes subnet{0, static_cast<uint8_t>(v6 ? 2 : 1), static_cast<uint8_t>(v6 ? 128 : 32), 0};
  subnet.insert(subnet.end(), address.bytes, address.bytes + (v6 ? 16 : 4));
  return subnet;
}

Bytes cut(Bytes subnet, uint32_t bits) {
  bits = std::min<uint32_t>(bits, subnet[2]);
  subnet[2] = static_cast<uint8_t>(bits);
  if (bits == 0) subnet[1] = 1;
  subnet.resize(kHead + (bits + 7) / 8);
  if (bits % 8 != 0) subnet.back() &= static_cast<uint8_t>(0xff00 >> bits % 8);
  return subnet;
}

bool contains(const Bytes& outer, const Bytes& inner) {
  return outer[1] == inner[1] && outer[2] <= inner[2] && cut(inner, outer[2]) == outer;
}

Bytes made_up_subnet(const abi::Address& client, Random& random) {
  Bytes whole = subnet_of(client);
  if (random.chance(300)) whole = subnet_of(test::address_of("203.0.113.7"));
  if (random.chance(400)) whole[kHead + random.below(4)] ^= static_cast<uint8_t>(random.below(4));
  static constexpr uint32_t kBits[] = {0, 8, 16, 20, 24, 24, 32, 48, 56, 128};
  return cut(whole, random.pick(kBits));
}

SubnetAsker asker_of(const Plan& plan, const abi::Address& client, const Bytes& told) {
  const Bytes whole = subnet_of(client);
  SubnetAsker asker{cut(whole, bits_max(plan, whole)), cut(whole, bits_max(plan, whole))};
  if (told.empty()) return asker;
  asker.asked = cut(told, bits_max(plan, told));
  // An address of one's own says more than the subnet that one tells; another's says nothing.
  if (told[2] == 0 || !contains(told, whole)) asker.known = asker.asked;
  return asker;
}

bool holds_for(const Plan& plan, const Bytes& asked, uint8_t scope, const SubnetAsker& asker) {
  const uint8_t source = asked[2];
  if (source == 0) return asker.asked == asked;  // who tells nothing gets what such get
  if (scope == 0) return true;
  if (scope > source && source < bits_max(plan, asked)) return asker.asked == asked;
  return contains(cut(asked, scope), asker.known);
}

}  // namespace millrace::sim
