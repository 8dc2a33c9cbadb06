// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/listen_sockets.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace millrace::ctl {
namespace {

sockaddr_in loopback_at(uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return to;
}

// A port of the loopback that was free a moment ago.
uint16_t free_port() {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in got = loopback_at(0);
  socklen_t bytes = sizeof got;
  EXPECT_EQ(::bind(probe.get(), reinterpret_cast<sockaddr*>(&got), bytes), 0);
  EXPECT_EQ(::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&got), &bytes), 0);
  return ntohs(got.sin_port);
}

bool can_connect(uint16_t port) {
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in to = loopback_at(port);
  return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
}

Bind bind_at(const std::string& name, uint16_t port) {
  Bind bind;
  bind.name = name;
  bind.listen_address.bytes = {127, 0, 0, 1};
  bind.listen_address.family = 4;
  bind.listen_address.port = port;
  return bind;
}

TEST(ListenSockets, FollowTheConfig) {
  const uint16_t one = free_port();
  const uint16_t two = free_port();
  Config config;
  config.binds = {bind_at("one", one), bind_at("two", two)};
  ListenSockets sockets;
  EXPECT_TRUE(sockets.use(config).empty());
  EXPECT_TRUE(can_connect(one));
  EXPECT_TRUE(can_connect(two));
  {
    const auto out = sockets.hand_out();
    EXPECT_EQ(out.request.cnt, 2u);
    EXPECT_EQ(out.copies.size(), 2u);
    EXPECT_EQ(out.request.address[1].port_be, htons(two));
  }

  config.binds.pop_back();
  EXPECT_TRUE(sockets.use(config).empty());
  EXPECT_EQ(sockets.hand_out().request.cnt, 1u);
  config.tcp.connections = 0;
  EXPECT_TRUE(sockets.use(config).empty());
  EXPECT_EQ(sockets.hand_out().request.cnt, 0u);
  EXPECT_FALSE(can_connect(one));
}

// Who connected waits in the socket, whoever else comes and goes in the config.
TEST(ListenSockets, OneThatStaysIsNotOpenedAnew) {
  const uint16_t port = free_port();
  Config config;
  config.binds = {bind_at("one", port)};
  ListenSockets sockets;
  ASSERT_TRUE(sockets.use(config).empty());
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in to = loopback_at(port);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  config.binds.push_back(bind_at("two", free_port()));
  ASSERT_TRUE(sockets.use(config).empty());
  const auto out = sockets.hand_out();
  const UniqueFd accepted(::accept4(out.copies.at(0).get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(accepted.valid());
}

TEST(ListenSockets, NamesAnAddressThatIsTaken) {
  const UniqueFd other(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in there = loopback_at(0);
  socklen_t bytes = sizeof there;
  ASSERT_EQ(::bind(other.get(), reinterpret_cast<sockaddr*>(&there), bytes), 0);
  ASSERT_EQ(::listen(other.get(), 1), 0);
  ASSERT_EQ(::getsockname(other.get(), reinterpret_cast<sockaddr*>(&there), &bytes), 0);
  Config config;
  config.binds = {bind_at("taken", ntohs(there.sin_port)), bind_at("free", free_port())};
  ListenSockets sockets;
  const auto faults = sockets.use(config);
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_NE(faults[0].find("binds[taken].listen_address"), std::string::npos) << faults[0];
  EXPECT_NE(faults[0].find("another program listens there"), std::string::npos) << faults[0];
  EXPECT_EQ(sockets.hand_out().request.cnt, 1u);
}

}  // namespace
}  // namespace millrace::ctl
