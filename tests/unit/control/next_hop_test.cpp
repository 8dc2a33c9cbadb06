// SPDX-License-Identifier: Apache-2.0
// Resolution as pure logic: a made-up kernel, one thing wrong at a time.

#include "control/daemon/next_hop.hpp"

#include <gmock/gmock.h>
#include <linux/neighbour.h>

#include <map>

#include <sys/eventfd.h>

#include "control/daemon/route_keeper.hpp"
#include "control/daemon/unique_fd.hpp"
#include "dataplane/snapshot/config_attach.hpp"

namespace millrace::ctl {
namespace {

IpAddress v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) { return {{a, b, c, d}, 4}; }

const IpAddress kBackend = v4(198, 18, 1, 1);
const IpAddress kGateway = v4(198, 18, 0, 1);
const std::array<uint8_t, 6> kMac{2, 0, 0, 0, 0, 9};
const std::vector<std::string> kPorts{"va", "vb"};

struct MadeUpKernel final : KernelView {
  std::optional<KernelRoute> route(const IpAddress&) override { return the_route; }
  std::optional<KernelLink> link(int index) override {
    const auto found = links.find(index);
    return found == links.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<KernelNeighbour> neighbour(int index, const IpAddress& of) override {
    asked = {index, of};
    return the_neighbour;
  }

  std::optional<KernelRoute> the_route = KernelRoute{RouteKind::unicast, 2, {}, v4(198, 18, 0, 53),
                                                     0};
  std::map<int, KernelLink> links{{2, {2, "vb", true, true, {2, 0, 0, 0, 0, 1}, 1500, "veth", 0,
                                       0, 0}}};
  std::optional<KernelNeighbour> the_neighbour = KernelNeighbour{NUD_REACHABLE, false, kMac};
  std::pair<int, IpAddress> asked;
};

struct NextHopTest : ::testing::Test {
  Resolution resolve() { return resolve_next_hop(kernel, kBackend, kPorts); }
  void expect_unusable(const std::string& part) {
    const auto resolution = resolve();
    EXPECT_FALSE(resolution.usable());
    EXPECT_NE(resolution.why.find(part), std::string::npos) << resolution.why;
  }
  MadeUpKernel kernel;
};

TEST_F(NextHopTest, OnLinkBackend) {
  const auto resolution = resolve();
  ASSERT_TRUE(resolution.usable()) << resolution.why;
  EXPECT_EQ(resolution.hop.port, 1);
  EXPECT_EQ(resolution.hop.mtu, 1500u);
  EXPECT_EQ(resolution.hop.vlan_tci_be, 0);
  EXPECT_EQ(resolution.hop.target_mac[5], 9);
  EXPECT_EQ(resolution.hop.source_mac[5], 1);
  EXPECT_EQ(ip_address(resolution.hop.source), v4(198, 18, 0, 53));
  EXPECT_EQ(kernel.asked, std::make_pair(2, kBackend));
}

TEST_F(NextHopTest, GatewaysNeighbourIsAsked) {
  kernel.the_route->gateway = kGateway;
  EXPECT_TRUE(resolve().usable());
  EXPECT_EQ(kernel.asked, std::make_pair(2, kGateway));
}

TEST_F(NextHopTest, GatewayOfTheOtherFamily) {
  kernel.the_route->gateway = {{0xfd, 0, 0, 0x18}, 6};
  EXPECT_TRUE(resolve().usable());
  EXPECT_EQ(kernel.asked.second.family, 6);
}

TEST_F(NextHopTest, VlanOnTopOfAPort) {
  kernel.links[2].lower_index = 0;
  kernel.links[7] = {7, "vb.10", true, true, {2, 0, 0, 0, 0, 7}, 1496, "vlan", 2, 10, 0x8100};
  kernel.the_route->out_index = 7;
  const auto resolution = resolve();
  ASSERT_TRUE(resolution.usable()) << resolution.why;
  EXPECT_EQ(resolution.hop.port, 1);
  EXPECT_EQ(resolution.hop.vlan_tci_be, __builtin_bswap16(10));
  EXPECT_EQ(resolution.hop.source_mac[5], 7);
  EXPECT_EQ(resolution.hop.mtu, 1496u);
  EXPECT_EQ(kernel.asked.first, 7) << "neighbours live on the VLAN interface";
  kernel.links[7].vlan_protocol = 0x88a8;
  expect_unusable("802.1Q");
  kernel.links[7].vlan_protocol = 0x8100;
  kernel.links[2].up = false;
  expect_unusable("vb is down");
}

TEST_F(NextHopTest, RouteMtuLowersAndNeverRaises) {
  kernel.the_route->mtu = 1400;
  EXPECT_EQ(resolve().hop.mtu, 1400u);
  kernel.the_route->mtu = 9000;
  EXPECT_EQ(resolve().hop.mtu, 1500u);
  kernel.the_route->mtu = 500;
  expect_unusable("576");
}

TEST_F(NextHopTest, WhatStandsInTheWayIsSaid) {
  kernel.the_route->kind = RouteKind::local;
  expect_unusable("address of this host");
  kernel.the_route->kind = RouteKind::refusing;
  expect_unusable("no route");
  kernel.the_route->kind = RouteKind::unicast;
  kernel.links[3] = {3, "eth9", true, true, {}, 1500, "bond", 0, 0, 0};
  kernel.the_route->out_index = 3;
  expect_unusable("eth9, which is no port");
  kernel.the_route->out_index = 5;
  expect_unusable("interface that is gone");
  kernel.the_route->out_index = 2;
  kernel.links[2].up = false;
  expect_unusable("vb is down");
  kernel.links[2].up = true;
  kernel.the_route->source = {};
  expect_unusable("no source address");
  kernel.the_route.reset();
  expect_unusable("no route to 198.18.1.1");
}

TEST_F(NextHopTest, NeighbourStates) {
  for (const int good : {NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_PERMANENT,
                              NUD_NOARP}) {
    kernel.the_neighbour->state = static_cast<uint16_t>(good);
    EXPECT_TRUE(resolve().usable()) << good;
  }
  for (const int bad : {NUD_INCOMPLETE, NUD_FAILED, NUD_NONE}) {
    kernel.the_neighbour->state = static_cast<uint16_t>(bad);
    EXPECT_FALSE(resolve().usable()) << bad;
    EXPECT_EQ(resolve().awaits_neighbour, bad != NUD_FAILED) << bad;
  }
  kernel.the_neighbour = KernelNeighbour{NUD_REACHABLE, false, std::nullopt};
  EXPECT_FALSE(resolve().usable());
  kernel.the_neighbour.reset();
  const auto resolution = resolve();
  EXPECT_FALSE(resolution.usable());
  EXPECT_EQ(resolution.link_index, 2) << "known well enough to be asked for";
}

// What a RouteKeeper logs of one backend while its neighbour goes from state to state.
class RouteKeeperTest : public ::testing::Test, private RouteSource {
 protected:
  // None: the kernel has no entry.
  std::string log_of(std::optional<int> state) {
    kernel.the_neighbour.reset();
    if (state) kernel.the_neighbour = KernelNeighbour{static_cast<uint16_t>(*state), true, kMac};
    return look();
  }

  std::string look() {
    ::testing::internal::CaptureStderr();
    keeper.set_targets(1, {"r1"}, {kBackend}, kPorts);
    return ::testing::internal::GetCapturedStderr();
  }

  MadeUpKernel kernel;
  EventLoop loop;
  UniqueFd event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  RouteKeeper keeper{loop, *this, [](const abi::RoutesImage&, RouteKeeper::Published) {}};

 private:
  int event_fd() const override { return event.get(); }
  void drain_events() override {}
  std::vector<Resolution> resolve(std::span<const IpAddress>, std::span<const std::string>,
                                  bool) override {
    return {resolve_next_hop(kernel, kBackend, kPorts)};
  }
  void release() override {}
};

TEST_F(RouteKeeperTest, ANeighbourThatDoesNotAnswerIsToldOnce) {
  using ::testing::HasSubstr;
  using ::testing::IsEmpty;
  EXPECT_THAT(log_of(std::nullopt), IsEmpty()) << "not asked yet";
  EXPECT_THAT(log_of(NUD_INCOMPLETE), IsEmpty()) << "may yet answer";
  EXPECT_THAT(log_of(NUD_FAILED), HasSubstr("warning: backend r1: not reachable: neighbour "
                                            "198.18.1.1 on vb: does not answer\n"));
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_THAT(log_of(NUD_INCOMPLETE), IsEmpty());
    EXPECT_THAT(keeper.current()[0].why, HasSubstr("does not answer"));
    EXPECT_FALSE(keeper.current()[0].awaits_neighbour);
    EXPECT_THAT(log_of(turn == 1 ? std::nullopt : std::optional(NUD_FAILED)), IsEmpty());
  }
  EXPECT_THAT(log_of(NUD_REACHABLE), HasSubstr("info: backend r1: next hop 198.18.1.1"));
  EXPECT_THAT(log_of(NUD_STALE), IsEmpty());
  EXPECT_THAT(log_of(NUD_INCOMPLETE), IsEmpty());
  EXPECT_TRUE(keeper.current()[0].awaits_neighbour) << "what was before is over";
  EXPECT_THAT(log_of(NUD_FAILED), HasSubstr("does not answer"));
}

TEST_F(RouteKeeperTest, AnotherNeighbourAndALinkThatComesBackAreWaitedForAnew) {
  using ::testing::HasSubstr;
  EXPECT_THAT(log_of(NUD_FAILED), HasSubstr("198.18.1.1 on vb: does not answer"));
  kernel.the_route->gateway = kGateway;
  log_of(NUD_INCOMPLETE);
  EXPECT_TRUE(keeper.current()[0].awaits_neighbour);
  EXPECT_THAT(log_of(NUD_FAILED), HasSubstr("198.18.0.1 on vb: does not answer"));
  kernel.links[2].up = false;
  EXPECT_THAT(log_of(NUD_FAILED), HasSubstr("interface vb is down"));
  kernel.links[2].up = true;
  log_of(NUD_INCOMPLETE);
  EXPECT_TRUE(keeper.current()[0].awaits_neighbour);
}

TEST_F(NextHopTest, ImageIsWhatTheDataPlaneAccepts) {
  std::vector<Resolution> hops{resolve()};
  kernel.the_neighbour.reset();
  hops.push_back(resolve());
  auto image = make_routes_image(7, hops);
  finish_routes_image(image, 3);
  abi::ConfigImage config{};
  config.header.generation = 7;
  config.boot.ports = 2;
  config.service.backends = 2;
  for (int i = 0; i < 2; ++i) config.service.backend[i].address = {{198, 18, 1, 1}, 4, 0, 0};
  EXPECT_EQ(snapshot::verify_routes(&image, sizeof image, config), "");
  EXPECT_EQ(image.hop[1].source.family, 0) << "half-known hops stay zero";
  image.hop[0].mtu = 1400;
  EXPECT_NE(snapshot::verify_routes(&image, sizeof image, config), "");
}

}  // namespace
}  // namespace millrace::ctl
