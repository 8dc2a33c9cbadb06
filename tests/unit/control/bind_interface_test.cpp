// SPDX-License-Identifier: Apache-2.0
// Binds whose packets come in where no port of the config is.
#include "control/daemon/bind_interface.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "control/daemon/environment.hpp"
#include "tests/unit/control/cli_fixture.hpp"
#include "tests/unit/control/network_namespace.hpp"

namespace millrace::ctl {
namespace {

bool sh(const std::string& commands) {
  return std::system(("set -e; export PATH=$PATH:/sbin:/usr/sbin; " + commands).c_str()) == 0;
}

Config config_with(const std::string& address) {
  Config config;
  config.ports = {{"p0", "mr-p", ""}};
  config.binds = {{"dns", parse_endpoint(address).value(), "default"}};
  return config;
}

std::string fault(const std::string& address) { return bind_faults(config_with(address)).at(0); }

TEST(BindInterface, AddressOnAnInterfaceThatIsNoPortIsNamed) {
  const NewNetworkNamespace own;
  if (!own.made()) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(sh("ip link add mr-p type veth peer name mr-q;"
                 "ip link add mr-u type veth peer name mr-v;"
                 "ip addr add 198.18.0.53/24 dev mr-u; ip -6 addr add fd00:18::53/64 dev mr-u;"
                 "ip addr add 198.18.0.54/24 dev mr-p;"
                 "ip addr add 198.18.0.55/24 dev mr-u; ip addr add 198.18.0.55/24 dev mr-p;"
                 "ip addr add 198.18.0.56/32 dev lo"));
  EXPECT_EQ(fault("198.18.0.53"),
            "198.18.0.53:53 is on mr-u, which is no port of this config (ports: mr-p); clients "
            "that come in there get no answer over UDP");
  EXPECT_NE(fault("fd00:18::53"), "");
  EXPECT_EQ(fault("198.18.0.54"), "");
  EXPECT_EQ(fault("198.18.0.55"), "") << "it is on a port as well";
  EXPECT_EQ(fault("198.18.0.56"), "") << "packets to loopback's addresses are routed here";
  EXPECT_EQ(fault("198.18.0.57"), "") << "nobody has it: routed here, or nowhere";
  Config config = config_with("198.18.0.53");
  const auto findings = check_binds(config);
  ASSERT_EQ(findings.size(), 1u) << "so `apply` and its dry run tell";
  EXPECT_FALSE(findings[0].fatal);
  EXPECT_EQ(findings[0].text.find("binds[dns].listen_address: 198.18.0.53:53 is on mr-u, "), 0u);
  config.ports.push_back({"p1", "", "net_null0"});
  EXPECT_EQ(bind_faults(config).at(0), "") << "it may be what drives mr-u";
}

TEST(BindInterface, AddressOnAnInterfaceWithoutArpIsRouted) {
  const NewNetworkNamespace own;
  if (!own.made()) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(sh("ip link add mr-p type veth peer name mr-q;"
                 "ip link add mr-u type veth peer name mr-v; ip link set mr-u arp off;"
                 "ip addr add 198.18.0.53/24 dev mr-u"));
  EXPECT_EQ(fault("198.18.0.53"), "") << "as on a dummy";
  ASSERT_TRUE(sh("ip link set mr-u arp on"));
  EXPECT_NE(fault("198.18.0.53"), "");
}

// A VLAN is on its interface as a macvlan is.
TEST(BindInterface, WhatIsMadeUponAPortIsAsThePort) {
  const NewNetworkNamespace own;
  if (!own.made()) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(sh("ip link add mr-p type veth peer name mr-q;"
                 "ip link add mr-u type veth peer name mr-v"));
  if (!sh("ip link add link mr-p name mr-p.10 type macvlan;"
          "ip link add link mr-u name mr-u.10 type macvlan;"
          "ip link add name mr-br type bridge")) {
    GTEST_SKIP() << "this kernel has no macvlans or bridges";
  }
  ASSERT_TRUE(sh("ip addr add 198.18.0.53/24 dev mr-p.10; ip addr add 198.18.1.53/24 dev mr-u.10;"
                 "ip addr add 198.18.2.53/24 dev mr-br"));
  EXPECT_EQ(fault("198.18.0.53"), "");
  EXPECT_NE(fault("198.18.1.53"), "");
  EXPECT_NE(fault("198.18.2.53"), "");
  ASSERT_TRUE(sh("ip link del mr-p.10; ip link set mr-p master mr-br"));
  EXPECT_EQ(fault("198.18.2.53"), "");
}

TEST_F(CliTest, StatusNamesABindWhosePacketsComeInElsewhere) {
  const NewNetworkNamespace own;
  if (!own.made()) GTEST_SKIP() << "needs root";
  start_and_wait();
  EXPECT_EQ(run_json("status")["binds"][0]["why"], "");
  ASSERT_TRUE(sh("ip link add mr-u type veth peer name mr-v;"
                 "ip addr add 198.18.0.53/24 dev mr-u"));
  EXPECT_NE(run("status").out.find("\nwarning: bind dns: 198.18.0.53:53 is on mr-u, which is no "
                                   "port of this config (ports: va); "),
            std::string::npos)
      << run("status").out;
  EXPECT_NE(run_json("status")["binds"][0]["why"], "");
}

}  // namespace
}  // namespace millrace::ctl
