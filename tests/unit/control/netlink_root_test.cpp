// SPDX-License-Identifier: Apache-2.0
// The netlink resolver against a real kernel, in two network namespaces that end with the test: one
// of this process, and one of a child that answers ARP and neighbour solicitations.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "control/daemon/netlink_routes.hpp"
#include "control/daemon/route_keeper.hpp"

namespace millrace::ctl {
namespace {

const std::vector<std::string> kPorts{"mrd-a"};
const IpAddress kPeer4{{198, 18, 1, 1}, 4};
const IpAddress kPeer6{{0xfd, 0, 0, 0x18, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 6};
const IpAddress kFar{{198, 18, 77, 1}, 4};
const IpAddress kVlanPeer{{198, 18, 10, 1}, 4};
const IpAddress kNobody{{198, 18, 1, 200}, 4};

bool sh(const std::string& commands) {
  return std::system(("set -e; export PATH=$PATH:/sbin:/usr/sbin; " + commands).c_str()) == 0;
}

std::string output(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(("PATH=$PATH:/sbin:/usr/sbin " + command).c_str(), "r");
  std::array<char, 4096> buffer;
  while (const std::size_t got = ::fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), got);
  }
  ::pclose(pipe);
  return text;
}

class NetlinkRoutesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: makes network namespaces";
    own_ns_ = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int ready[2];
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    child_ = ::fork();
    if (child_ == 0) {
      const bool apart = ::unshare(CLONE_NEWNET) == 0;
      static_cast<void>(!::write(ready[1], apart ? "y" : "n", 1));
      while (true) ::pause();
    }
    char answer = 'n';
    ASSERT_EQ(::read(ready[0], &answer, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
    if (answer != 'y' || ::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "no network namespaces";
    const std::string there = "nsenter --net=/proc/" + std::to_string(child_) + "/ns/net ";
    ASSERT_TRUE(sh(
        "ip link set lo up; ip link add mrd-a type veth peer name mrd-b;"
        "ip link set mrd-b netns " + std::to_string(child_) + ";"
        "ip addr add 198.18.1.53/24 dev mrd-a; ip link set mrd-a up;"
        "ip -6 addr add fd00:18:1::53/64 dev mrd-a nodad;"
        "ip route add 198.18.77.0/24 via 198.18.1.1 mtu 1300;"
        "ip link add mrd-x type veth peer name mrd-y; ip link set mrd-x up; ip link set mrd-y up;"
        "ip addr add 198.18.88.53/24 dev mrd-x;" +
        there + "ip addr add 198.18.1.1/24 dev mrd-b;" + there + "ip link set mrd-b up;" +
        there + "ip -6 addr add fd00:18:1::1/64 dev mrd-b nodad"));
    auto opened = NetlinkRoutes::open();
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    routes = std::move(opened).value();
  }

  void TearDown() override {
    routes.reset();
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    // Back home; the namespaces end with their last process.
    if (own_ns_ >= 0) {
      EXPECT_EQ(::setns(own_ns_, CLONE_NEWNET), 0);
      ::close(own_ns_);
    }
  }

  // False where the kernel has no VLAN interfaces.
  bool add_vlan() {
    const std::string there = "nsenter --net=/proc/" + std::to_string(child_) + "/ns/net ";
    return sh("ip link add link mrd-a name mrd-a.10 type vlan id 10 2>/dev/null;"
              "ip addr add 198.18.10.53/24 dev mrd-a.10; ip link set mrd-a.10 up;" +
              there + "ip link add link mrd-b name mrd-b.10 type vlan id 10;" +
              there + "ip addr add 198.18.10.1/24 dev mrd-b.10;" +
              there + "ip link set mrd-b.10 up");
  }

  Resolution resolve(const IpAddress& backend) {
    return routes->resolve(std::array{backend}, kPorts, true)[0];
  }

  // Resolves until usable, as events and refreshes would. IPv6 asks for a neighbour only once its
  // own link-local address has been checked for duplicates, which takes seconds.
  Resolution settle(const IpAddress& backend) {
    for (int turn = 0; turn < 1500; ++turn) {
      auto resolution = resolve(backend);
      if (resolution.usable()) return resolution;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return resolve(backend);
  }

  bool event_within(int ms) {
    pollfd poll{routes->event_fd(), POLLIN, 0};
    return ::poll(&poll, 1, ms) == 1;
  }

  std::unique_ptr<NetlinkRoutes> routes;

 private:
  pid_t child_ = -1;
  int own_ns_ = -1;
};

TEST_F(NetlinkRoutesTest, OnLinkBothFamilies) {
  const auto v4 = settle(kPeer4);
  ASSERT_TRUE(v4.usable()) << v4.why;
  EXPECT_EQ(ip_address(v4.hop.source).text(), "198.18.1.53");
  EXPECT_EQ(v4.hop.mtu, 1500u);
  EXPECT_EQ(v4.interface, "mrd-a");
  const std::string mac = mac_text(v4.hop.source_mac);
  EXPECT_NE(output("ip link show mrd-a").find(mac), std::string::npos) << mac;
  EXPECT_NE(output("ip neigh show 198.18.1.1").find(mac_text(v4.hop.target_mac)),
            std::string::npos);
  const auto v6 = settle(kPeer6);
  ASSERT_TRUE(v6.usable()) << v6.why;
  EXPECT_EQ(ip_address(v6.hop.source).text(), "fd00:18:1::53");
}

TEST_F(NetlinkRoutesTest, GatewayAndRouteMtu) {
  const auto far = settle(kFar);
  ASSERT_TRUE(far.usable()) << far.why;
  EXPECT_EQ(far.neighbour.text(), "198.18.1.1");
  EXPECT_EQ(far.hop.mtu, 1300u);
}

TEST_F(NetlinkRoutesTest, VlanOnAPort) {
  if (!add_vlan()) GTEST_SKIP() << "this kernel has no 802.1Q interfaces";
  const auto tagged = settle(kVlanPeer);
  ASSERT_TRUE(tagged.usable()) << tagged.why;
  EXPECT_EQ(tagged.hop.vlan_tci_be, __builtin_bswap16(10));
  EXPECT_EQ(tagged.hop.port, 0);
}

TEST_F(NetlinkRoutesTest, WhatCannotWork) {
  EXPECT_NE(resolve({{198, 18, 88, 1}, 4}).why.find("mrd-x, which is no port"), std::string::npos);
  EXPECT_NE(resolve({{198, 18, 1, 53}, 4}).why.find("address of this host"), std::string::npos);
  EXPECT_NE(resolve({{198, 19, 1, 1}, 4}).why.find("no route"), std::string::npos);
  EXPECT_NE(resolve(kNobody).why.find("neighbour 198.18.1.200"), std::string::npos);
}

// The kernel asks it again and again, every 5 s; here when it is told to.
TEST_F(NetlinkRoutesTest, NeighbourThatDoesNotAnswerIsToldOnceAndStaysSo) {
  ASSERT_TRUE(sh("echo 100 > /proc/sys/net/ipv4/neigh/mrd-a/retrans_time_ms"));
  EventLoop loop;
  RouteKeeper keeper(loop, *routes, [](const abi::RoutesImage&, RouteKeeper::Published) {});
  const auto look = [&] { keeper.set_targets(1, {"nobody"}, {kNobody}, kPorts); };
  ::testing::internal::CaptureStderr();
  look();
  loop.run_until([&] { return keeper.current()[0].neighbour_silent; },
                 EventLoop::Milliseconds(10'000));
  bool asked_again = false;
  for (int turn = 0; turn < 3; ++turn) {
    sh("ip neigh replace 198.18.1.200 dev mrd-a use managed");
    asked_again |= output("ip neigh show 198.18.1.200").find("INCOMPLETE") != std::string::npos;
    look();
    EXPECT_NE(keeper.current()[0].why.find("does not answer"), std::string::npos);
    loop.run_until([] { return false; }, EventLoop::Milliseconds(500));
  }
  const std::string logged = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(asked_again);
  EXPECT_NE(logged.find("backend nobody: not reachable: neighbour 198.18.1.200 on mrd-a: does not"),
            std::string::npos)
      << logged;
  EXPECT_EQ(logged.find("backend nobody"), logged.rfind("backend nobody")) << logged;
}

TEST_F(NetlinkRoutesTest, NeighbourIsManagedUntilReleased) {
  ASSERT_TRUE(settle(kPeer4).usable());
  EXPECT_NE(output("ip neigh show 198.18.1.1").find("managed"), std::string::npos)
      << output("ip neigh show");
  routes->release();
  EXPECT_EQ(output("ip neigh show 198.18.1.1").find("managed"), std::string::npos)
      << output("ip neigh show");
}

TEST_F(NetlinkRoutesTest, FlagThatTheOperatorSetStays) {
  ASSERT_TRUE(sh("ip neigh replace 198.18.1.1 dev mrd-a managed"));
  ASSERT_TRUE(settle(kPeer4).usable());
  routes->release();
  EXPECT_NE(output("ip neigh show 198.18.1.1").find("managed"), std::string::npos)
      << output("ip neigh show");
  ASSERT_TRUE(settle(kPeer4).usable());
  routes->resolve({}, kPorts, true);
  EXPECT_NE(output("ip neigh show 198.18.1.1").find("managed"), std::string::npos)
      << output("ip neigh show");
}

TEST_F(NetlinkRoutesTest, NeighbourSetByHandStaysAsItIs) {
  ASSERT_TRUE(sh("ip neigh add 198.18.1.200 lladdr 02:00:00:00:00:77 dev mrd-a nud permanent"));
  const auto fixed = resolve(kNobody);
  ASSERT_TRUE(fixed.usable()) << fixed.why;
  EXPECT_EQ(fixed.hop.target_mac[5], 0x77);
  routes->release();
  EXPECT_NE(output("ip neigh show 198.18.1.200").find("PERMANENT"), std::string::npos);
}

TEST_F(NetlinkRoutesTest, ChangesAreNoticed) {
  ASSERT_TRUE(settle(kPeer4).usable());
  while (event_within(50)) routes->drain_events();
  ASSERT_TRUE(sh("ip link set mrd-a mtu 1400"));
  EXPECT_TRUE(event_within(30'000));
  routes->drain_events();
  EXPECT_EQ(resolve(kPeer4).hop.mtu, 1400u);
  ASSERT_TRUE(sh("ip link set mrd-a down"));
  EXPECT_TRUE(event_within(30'000));
  EXPECT_FALSE(resolve(kPeer4).usable());
  ASSERT_TRUE(sh("ip link set mrd-a up"));
  EXPECT_TRUE(settle(kPeer4).usable()) << "asked for again after the flush";
}

TEST_F(NetlinkRoutesTest, BackendThatIsNoLongerWantedIsLetGo) {
  ASSERT_TRUE(settle(kPeer4).usable());
  routes->resolve({}, kPorts, true);
  EXPECT_EQ(output("ip neigh show 198.18.1.1").find("managed"), std::string::npos);
}

}  // namespace
}  // namespace millrace::ctl
