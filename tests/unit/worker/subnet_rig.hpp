// SPDX-License-Identifier: Apache-2.0
#pragma once
// A rig whose pool asks by subnet, and what its tests say about CLIENT-SUBNET options.

#include "tests/unit/worker/rig.hpp"

#include <optional>
#include <string>
#include <vector>

namespace millrace::test {

inline constexpr uint16_t kSubnetOption = 8;
inline constexpr const char* kSubnetName = "www.example";

// The data of the option in a message; nothing: there is none.
inline std::optional<Bytes> subnet_in(const ReadMessage& message) {
  if (message.opt() == nullptr) return {};
  const Bytes& rdata = message.opt()->rdata;
  for (std::size_t at = 0; at + 4 <= rdata.size();) {
    const std::size_t bytes = std::size_t{rdata[at + 2]} << 8 | rdata[at + 3];
    const auto from = rdata.begin() + static_cast<std::ptrdiff_t>(at + 4);
    if ((rdata[at] << 8 | rdata[at + 1]) == kSubnetOption) {
      return Bytes(from, from + static_cast<std::ptrdiff_t>(bytes));
    }
    at += 4 + bytes;
  }
  return {};
}

inline Bytes with_scope(Bytes data, uint8_t scope) {
  data.at(3) = scope;
  return data;
}

// An IPv4 subnet of 24 bits or less.
inline Bytes ipv4_subnet(uint8_t third, uint8_t bits = 24, uint8_t scope = 0) {
  Bytes data = {0, 1, bits, scope, 198, 18, third};
  data.resize(4u + (bits + 7u) / 8);
  return data;
}

class SubnetTest : public ::testing::Test {
 protected:
  explicit SubnetTest(uint32_t workers = 1, uint32_t backends = 2) : rig(workers, backends) {
    abi::PoolConfig& pool = rig.service().pool[0];
    pool.subnet_variants = 4;
    pool.subnet_bits4 = 24;
    pool.subnet_bits6 = 56;
    rig.publish();
  }

  static DnsBuilder query(const std::optional<Bytes>& told = {},
                          const std::string& name = kSubnetName) {
    OptFields opt;
    if (told) opt.options = {{kSubnetOption, *told}};
    return DnsBuilder().id(0x77).rd().question(name, kTypeA).opt(opt);
  }
  void send(const std::string& client, const DnsBuilder& query, uint32_t worker = 0) {
    const bool v6 = client.find(':') != std::string::npos;
    rig.arrive(FrameBuilder()
                   .from(client, 4000)
                   .to(v6 ? kServiceV6 : kServiceV4, 53)
                   .payload(query.build())
                   .build(),
               worker);
    rig.step_all(2);
  }
  void ask(const std::string& client, const std::optional<Bytes>& told = {}, uint32_t worker = 0) {
    rig.clear();
    send(client, query(told), worker);
  }
  // An answer with this address; with the option as asked, and this SCOPE, unless it is none.
  DnsBuilder data(const Out& asked, const std::string& address, std::optional<uint8_t> scope,
                  uint32_t ttl_s = 300) const {
    DnsBuilder message =
        rig.answer_to(asked).answer(Name::pointer(12), kTypeA, ttl_s, rdata_a(address));
    const std::optional<Bytes> told = subnet_in(asked.message);
    if (!scope || !told) return message.opt();
    return message.opt({.options = {{kSubnetOption, with_scope(*told, *scope)}}});
  }
  void answer(const Out& asked, const DnsBuilder& message) {
    rig.clear();
    rig.answer(asked, message);
    rig.step_all(2);
  }
  // A miss of this client is answered so.
  void put(const std::string& client, const std::string& address, std::optional<uint8_t> scope,
           const std::optional<Bytes>& told = {}, uint32_t ttl_s = 300) {
    ask(client, told);
    const Out asked = rig.only_asked();
    answer(asked, data(asked, address, scope, ttl_s));
    EXPECT_EQ(address_in(rig.only_reply()), address);
  }

  static std::string address_in(const Out& reply) {
    for (const ReadRecord& record : reply.message.records) {
      if (record.type != kTypeA) continue;
      std::string text;
      for (const uint8_t octet : record.rdata)
        text += (text.empty() ? "" : ".") + std::to_string(octet);
      return text;
    }
    return {};
  }
  // What this client gets from the cache; empty: it is asked upstream.
  std::string cached(const std::string& client, const std::optional<Bytes>& told = {},
                     uint32_t worker = 0) {
    ask(client, told, worker);
    const auto asked = rig.asked();
    const auto replies = rig.replies();
    EXPECT_EQ(asked.size() + replies.size(), 1u);
    if (!asked.empty()) {
      rig.clear();
      rig.answer(asked[0], rig.answer_to(asked[0]).rcode(2));  // not to be kept for long
      rig.wait_ms(3000);
      rig.jump_ms(6000);
      return {};
    }
    return replies.empty() ? std::string() : address_in(replies[0]);
  }

  Rig rig;
};

}  // namespace millrace::test
