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

  const ctl::EndpointRow& backend = rows.value()[2];
  EXPECT_EQ(backend.key.kind, MR_ENDPOINT_BACKEND);
  EXPECT_EQ(backend.key.family, 6);
  EXPECT_EQ(backend.key.port_be, address_of("::1", 853).port_be);
  EXPECT_EQ(backend.value.port_first, 20000);
  EXPECT_EQ(backend.value.port_end, 20001);
  EXPECT_EQ(backend.value.flags, MR_ENDPOINT_CHECK_SOURCE);

  const ctl::EndpointRow& source = rows.value()[3];
  EXPECT_EQ(source.key.kind, MR_ENDPOINT_SOURCE);
  EXPECT_EQ(source.key.port_be, 0);
  EXPECT_EQ(source.value.port_first, 20000);
  EXPECT_EQ(source.value.port_end, 20001);
  EXPECT_EQ(rows.value()[1].value.port_end, 0);

  mr_endpoint_key address = service;
  address.kind = MR_ENDPOINT_SERVICE_ADDRESS;
  address.port_be = 0;
  EXPECT_EQ(std::memcmp(&rows.value()[4].key, &address, sizeof(address)), 0);
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
  EXPECT_EQ(rows.value()[2].value.flags, 0u);
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
    rules.services.push_back(
        address_of("198.18.2.1", static_cast<uint16_t>(rules.services.size())));
  }
  rules.backends.push_back(address_of("198.18.2.2", 1));
  EXPECT_TRUE(ctl::endpoint_rows(rules).ok());
  rules.backends.push_back(address_of("198.18.2.2", 2));
  expect_rejected(rules, "256 services, addresses of services, backends and sources together, must "
                         "be at most 255");
}

}  // namespace
}  // namespace millrace::test
