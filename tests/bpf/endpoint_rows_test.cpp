// SPDX-License-Identifier: Apache-2.0
// Aim: rules become the rows the program looks up, and wrong rules are refused with words that
// help.

#include "control/xdp/endpoint_rows.hpp"

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/packet_builder.hpp"

namespace millrace::test {
namespace {

using ::testing::HasSubstr;

ctl::PrefilterRules good() {
  return {.services = {address_of("198.18.0.53", 53)},
          .backends = {address_of("fd00:18:1::1", 853)},
          .sources = {address_of("fd00:18:1::2", 999)},
          .upstream_port_first = 20000,
          .upstream_port_end = 20001,
          .generation = 3};
}

abi::Address numbered(std::size_t number) {
  abi::Address address = address_of("198.18.2.0", 53);
  address.bytes[2] = static_cast<uint8_t>(2 + number / 256);
  address.bytes[3] = static_cast<uint8_t>(number);
  return address;
}

std::string text_of(const mr_endpoint& value) {
  std::string text;
  for (const mr_port_range& range : value.ports) {
    if (range.end != 0)
      text += std::to_string(range.first) + "-" + std::to_string(range.end) + " ";
  }
  return text;
}

void expect_rejected(const ctl::PrefilterRules& rules, const char* words) {
  const auto rows = ctl::endpoint_rows(rules);
  ASSERT_FALSE(rows.ok()) << words;
  EXPECT_EQ(rows.status().code(), ctl::Code::rejected);
  EXPECT_THAT(rows.status().message(), HasSubstr(words));
}

TEST(EndpointRows, AreOnePerEndpointBehindTheGeneration) {
  const auto rows = ctl::endpoint_rows(good());
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows.value().size(), 5u);
  const mr_endpoint_key zero = {};
  EXPECT_EQ(std::memcmp(&rows.value()[0].key, &zero, sizeof(zero)), 0);

  const mr_endpoint_key service = {.kind = MR_ENDPOINT_SERVICE, .family = 4,
                                   .port_be = address_of("::1", 53).port_be,
                                   .address = {198, 18, 0, 53}};
  EXPECT_EQ(std::memcmp(&rows.value()[1].key, &service, sizeof(service)), 0);

  const ctl::EndpointRow& backend = rows.value()[3];
  EXPECT_EQ(backend.key.kind, MR_ENDPOINT_BACKEND);
  EXPECT_EQ(backend.key.family, 6);
  EXPECT_EQ(backend.key.port_be, address_of("::1", 853).port_be);
  EXPECT_EQ(text_of(backend.value), "20000-20001 ");
  EXPECT_EQ(backend.value.flags, MR_ENDPOINT_CHECK_SOURCE);

  const ctl::EndpointRow& source = rows.value()[4];
  EXPECT_EQ(source.key.kind, MR_ENDPOINT_SOURCE);
  EXPECT_EQ(source.key.port_be, 0);
  EXPECT_EQ(text_of(source.value), "20000-20001 ");
  EXPECT_EQ(text_of(rows.value()[1].value), "");

  mr_endpoint_key address = service;
  address.kind = MR_ENDPOINT_SERVICE_ADDRESS;
  address.port_be = 0;
  EXPECT_EQ(std::memcmp(&rows.value()[2].key, &address, sizeof(address)), 0);
  for (const auto& row : rows.value()) EXPECT_EQ(row.value.generation, 3u);
}

TEST(EndpointRows, BytesBehindAnIpv4AddressAreLeftOut) {
  ctl::PrefilterRules rules = good();
  rules.services[0].bytes[15] = 0xff;
  const auto rows = ctl::endpoint_rows(rules);
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows.value()[1].key.address[15], 0);
}

TEST(EndpointRows, NoSourcesMeansNoCheck) {
  ctl::PrefilterRules rules = good();
  rules.sources.clear();
  const auto rows = ctl::endpoint_rows(rules);
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows.value()[3].value.flags, 0u);
}

TEST(EndpointRows, WrongRulesAreRefused) {
  ctl::PrefilterRules rules = good();
  rules.generation = 0;
  expect_rejected(rules, "generation 0");

  rules = good();
  rules.upstream_port_end = 20000;
  expect_rejected(rules, "[20000, 20000)");
  rules.backends.clear();
  EXPECT_TRUE(ctl::endpoint_rows(rules).ok());

  rules = good();
  rules.services[0].family = 5;
  expect_rejected(rules, "family 5");

  rules = good();
  rules.services[0].port_be = 0;
  expect_rejected(rules, "198.18.0.53:0: port 0");

  rules = good();
  rules.backends[0] = address_of("::", 53);
  expect_rejected(rules, "backend [::]:53: the unspecified address");
}

TEST(EndpointRows, FillTheMapToTheLastRow) {
  ctl::PrefilterRules rules = good();
  // A service has a row for its address, too.
  while (2 * rules.services.size() + rules.backends.size() + rules.sources.size() <
         MR_XDP_ENDPOINTS_MAX - 2) {
    rules.services.push_back(numbered(rules.services.size()));
  }
  rules.backends.push_back(address_of("198.18.2.2", 1));
  const auto full = ctl::endpoint_rows(rules);
  ASSERT_TRUE(full.ok());
  EXPECT_EQ(full.value().size(), std::size_t{MR_XDP_ENDPOINTS_MAX});
  rules.backends.push_back(address_of("198.18.2.2", 2));
  expect_rejected(rules, "512 services, addresses of services, backends and sources together, must "
                         "be at most 511");
}

// --- answers of former configs

mr_endpoint value_of(const std::vector<ctl::EndpointRow>& rows, mr_endpoint_kind kind,
                     const abi::Address& address) {
  for (const auto& row : rows) {
    if (row.key.kind == kind && std::memcmp(row.key.address, address.bytes, 16) == 0)
      return row.value;
  }
  return {};
}

TEST(EndpointRows, FormerAnswersAreTakenAsWell) {
  ctl::PrefilterRules rules = good();
  const abi::Address old = address_of("198.18.1.9", 53);
  rules.also = {{.backends = {rules.backends[0], old},
                 .sources = {address_of("198.18.1.2")},
                 .port_first = 30000,
                 .port_end = 31000}};
  const auto rows = ctl::endpoint_rows(rules);
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows.value().size(), 7u);
  const auto ports = [&](mr_endpoint_kind kind, const abi::Address& address) {
    return text_of(value_of(rows.value(), kind, address));
  };
  EXPECT_EQ(ports(MR_ENDPOINT_BACKEND, rules.backends[0]), "20000-20001 30000-31000 ");
  EXPECT_EQ(ports(MR_ENDPOINT_BACKEND, old), "30000-31000 ");
  EXPECT_EQ(ports(MR_ENDPOINT_SOURCE, rules.sources[0]), "20000-20001 ");
  EXPECT_EQ(ports(MR_ENDPOINT_SOURCE, address_of("198.18.1.2")), "30000-31000 ");
  EXPECT_EQ(value_of(rows.value(), MR_ENDPOINT_BACKEND, old).flags, MR_ENDPOINT_CHECK_SOURCE);
}

// One that says nothing of our addresses would have its answers lost by another that does.
TEST(EndpointRows, OurAddressIsCheckedOnlyIfAllSayIt) {
  ctl::PrefilterRules rules = good();
  rules.also = {{.backends = rules.backends, .sources = {}, .port_first = 1, .port_end = 2}};
  const auto rows = ctl::endpoint_rows(rules);
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(value_of(rows.value(), MR_ENDPOINT_BACKEND, rules.backends[0]).flags, 0u);
}

TEST(EndpointRows, PortRangesAreJoinedWhereTheyMeetAndWhereTheyAreTooMany) {
  ctl::PrefilterRules rules = good();
  const auto with = [&](std::vector<std::pair<uint16_t, uint16_t>> ranges) {
    rules.also.clear();
    for (const auto& [first, end] : ranges)
      rules.also.push_back({rules.backends, rules.sources, first, end});
    const auto rows = ctl::endpoint_rows(rules);
    return rows.ok() ? text_of(rows.value()[3].value) : rows.status().message();
  };
  EXPECT_EQ(with({{20000, 20001}}), "20000-20001 ");
  EXPECT_EQ(with({{20001, 20010}}), "20000-20010 ");
  EXPECT_EQ(with({{19000, 25000}}), "19000-25000 ");
  EXPECT_EQ(with({{19000, 20000}, {20002, 20003}}), "19000-20001 20002-20003 ");
  EXPECT_EQ(with({{20002, 20003}, {19000, 20000}, {20001, 20002}}), "19000-20003 ");
  EXPECT_EQ(with({{10000, 10100}, {30000, 30100}, {40000, 40100}, {50000, 50100}}),
            "10000-10100 20000-20001 30000-30100 40000-40100 50000-50100 ");
  EXPECT_EQ(with({{10000, 10100}, {30000, 30100}, {40000, 40100}, {50000, 50100}, {59000, 59100}}),
            "10000-10100 20000-20001 30000-30100 40000-40100 50000-59100 ");
}

TEST(EndpointRows, WhatFindsNoRoomIsTheOldest) {
  ctl::PrefilterRules rules = good();
  for (uint16_t generation = 0; generation < 12; ++generation) {
    ctl::AnswerRules former = {.port_first = 1000, .port_end = 2000};
    for (uint16_t n = 0; n < 32; ++n) {
      former.backends.push_back(numbered(generation * 64u + n));
      former.sources.push_back(numbered(generation * 64u + 32 + n));
    }
    rules.also.push_back(former);
  }
  const auto rows = ctl::endpoint_rows(rules);
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows.value().size(), 5 + 7 * 64u);
  const auto has = [&](std::size_t number) {
    return value_of(rows.value(), MR_ENDPOINT_BACKEND, numbered(number)).generation == 3;
  };
  EXPECT_TRUE(has(0) && has(6 * 64));
  EXPECT_FALSE(has(7 * 64));
}

}  // namespace
}  // namespace millrace::test
