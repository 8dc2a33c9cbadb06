// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/settings.hpp"

#include "tests/unit/worker/images.hpp"

#include <gtest/gtest.h>

namespace millrace::dp {
namespace {

using test::add_backend;
using test::make_config;
using test::make_routes;

TEST(Settings, BackendsAreKnownByNameAndAddress) {
  Settings settings;
  const auto first = make_config(3);
  settings.apply(*first);
  settings.apply(*make_routes(*first));

  auto next = make_config(0, 2);
  add_backend(next->service, 2);
  add_backend(next->service, 9);
  add_backend(next->service, 0);
  add_backend(next->service, 1);
  next->service.backend[3].address = test::backend_address(77);  // the name stays, the place not
  const Remap remap = settings.apply(*next);
  EXPECT_EQ(remap.backend[0], 2);
  EXPECT_EQ(remap.backend[1], Remap::kGone);
  EXPECT_EQ(remap.backend[2], 0);
  EXPECT_EQ(settings.hop(0).usable, 1) << "its next hop moves along until there are new routes";
  EXPECT_EQ(settings.hop(0).target_mac[5], 2);
  EXPECT_EQ(settings.hop(1).usable, 0);
  EXPECT_EQ(settings.hop(2).target_mac[5], 0);
  EXPECT_EQ(settings.hop(3).usable, 0);
}

// So nothing is lost while a new name's route is looked for, which is the old one's.
TEST(Settings, ABackendThatIsRenamedKeepsItsRoute) {
  Settings settings;
  const auto config = make_config(2, 1);
  config->service.backend[1].address = config->service.backend[0].address;  // told apart by name
  settings.apply(*config);
  settings.apply(*make_routes(*config, 1));
  const auto next = make_config(2, 2);
  next->service.backend[0].address = next->service.backend[1].address =
      config->service.backend[0].address;
  std::swap(next->service.backend[0].name, next->service.backend[1].name);
  std::strcpy(next->service.backend[1].name, "new");  // was backend0
  const Remap remap = settings.apply(*next);
  EXPECT_EQ(remap.backend[0], 1);
  EXPECT_EQ(remap.backend[1], 0);
  EXPECT_EQ(settings.hop(0).usable, 1);
  EXPECT_EQ(settings.hop(1).usable, 1);
  EXPECT_TRUE(settings.awaits_routes());
  settings.apply(*make_routes(*next, 2));
  EXPECT_FALSE(settings.awaits_routes());
}

TEST(Settings, PoolsAreKnownByName) {
  Settings settings;
  auto first = make_config(1);
  first->service.pools = 2;
  std::snprintf(first->service.pool[1].name, abi::kNameMax, "other");
  settings.apply(*first);
  auto next = make_config(1, 2);
  next->service.pools = 2;
  std::swap(next->service.pool[0], next->service.pool[1]);
  std::snprintf(next->service.pool[0].name, abi::kNameMax, "new");
  const Remap remap = settings.apply(*next);
  EXPECT_EQ(remap.pool[0], 1);
  EXPECT_EQ(remap.pool[1], Remap::kGone);
}

TEST(Settings, EndpointsAreTheBindsAndTheSourcesWithoutRepeats) {
  Settings settings;
  const auto config = make_config(3);
  settings.apply(*config);
  EXPECT_EQ(settings.endpoints().service_cnt, 2u);
  EXPECT_EQ(settings.endpoints().source_cnt, 0u) << "no routes yet";
  auto routes = make_routes(*config);
  routes->hop[1].source = test::address_of("198.18.1.3");
  routes->hop[2].usable = 0;
  routes->hop[2].source = test::address_of("198.18.1.4");
  EXPECT_TRUE(settings.apply(*routes));
  EXPECT_EQ(settings.endpoints().source_cnt, 2u);
  EXPECT_EQ(settings.endpoints().upstream_port_first, 20000);
}

TEST(Settings, VlansAreThoseOfTheConfigAndOfUsableHops) {
  Settings settings;
  const auto config = make_config(2);
  config->service.vlan[0] = 1u << 10;
  settings.apply(*config);
  EXPECT_TRUE(settings.endpoints().has_vlan(10));
  EXPECT_FALSE(settings.endpoints().has_vlan(20));
  auto routes = make_routes(*config);
  routes->hop[0].vlan_tci_be = __builtin_bswap16(20);
  routes->hop[1].vlan_tci_be = __builtin_bswap16(30);
  routes->hop[1].usable = 0;
  EXPECT_TRUE(settings.apply(*routes));
  EXPECT_TRUE(settings.endpoints().has_vlan(10));
  EXPECT_TRUE(settings.endpoints().has_vlan(20)) << "answers come tagged";
  EXPECT_FALSE(settings.endpoints().has_vlan(30));
  EXPECT_FALSE(settings.endpoints().has_vlan(0)) << "an untagged hop names no VLAN";
}

TEST(Settings, PortsThatLeadUpstreamAreThoseOfUsableHops) {
  Settings settings;
  const auto config = make_config(3);
  settings.apply(*config);
  EXPECT_FALSE(settings.leads_upstream(0)) << "no routes yet";
  auto routes = make_routes(*config);
  routes->hop[0].port = 3;
  routes->hop[1].port = 1;
  routes->hop[2].port = 2;
  routes->hop[2].usable = 0;
  EXPECT_TRUE(settings.apply(*routes));
  EXPECT_FALSE(settings.leads_upstream(0));
  EXPECT_TRUE(settings.leads_upstream(1));
  EXPECT_FALSE(settings.leads_upstream(2));
  EXPECT_TRUE(settings.leads_upstream(3));
  EXPECT_FALSE(settings.leads_upstream(abi::kPortsMax));
  EXPECT_FALSE(settings.leads_upstream(0xff));
}

TEST(Settings, RoutesForAnotherConfigAreNotUsed) {
  Settings settings;
  const auto config = make_config(1);
  settings.apply(*config);
  auto routes = make_routes(*config);
  routes->config_generation = 2;
  EXPECT_FALSE(settings.apply(*routes));
  EXPECT_EQ(settings.hop(0).usable, 0);
}

}  // namespace
}  // namespace millrace::dp
