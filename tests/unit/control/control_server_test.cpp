// SPDX-License-Identifier: Apache-2.0
// The JSON-lines server against clients that misbehave.

#include "control/daemon/control_server.hpp"

#include <sys/socket.h>

#include "control/daemon/unix_socket.hpp"
#include "tests/unit/control/daemon_fixture.hpp"

namespace millrace::ctl {
namespace {

using Json = nlohmann::json;
using Milliseconds = std::chrono::milliseconds;

class ControlServerTest : public ::testing::Test {
 protected:
  ControlServerTest() { EXPECT_TRUE(server.open().ok()); }

  UniqueFd client() {
    auto made = connect_unix(dir / "s", SOCK_STREAM);
    EXPECT_TRUE(made.ok()) << made.status().message();
    return std::move(made).value();
  }

  static void send(const UniqueFd& to, const std::string& text) {
    ASSERT_EQ(::send(to.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  // The next line, or "" when the server closed or nothing came.
  std::string line(const UniqueFd& from) {
    std::string text;
    bool closed = false;
    loop.run_until(
        [&] {
          char c;
          ssize_t got = 0;
          while ((got = ::recv(from.get(), &c, 1, MSG_DONTWAIT)) == 1) {
            text += c;
            if (c == '\n') return true;
          }
          closed = got == 0;
          return closed;
        },
        kPatience);
    return text;
  }

  int code(const UniqueFd& from) {
    const Json reply = Json::parse(line(from), nullptr, false);
    return reply.is_object() ? reply.value("code", -1) : -2;
  }

  TempDir dir;
  EventLoop loop;
  std::vector<ControlServer::Respond> held;
  ControlServer server{loop, dir / "s",
                       [this](const Json& request, const ControlServer::Respond& respond) {
                         if (request.value("verb", "") == "hold") return held.push_back(respond);
                         respond({{}, {{"echo", request}}, {}});
                       },
                       Milliseconds(2000)};
};

TEST_F(ControlServerTest, AnswersLinesInOrder) {
  const auto one = client();
  send(one, "{\"n\":1}\n{\"n\":2}\n{\"n\"");
  EXPECT_EQ(Json::parse(line(one))["data"]["echo"]["n"], 1);
  EXPECT_EQ(Json::parse(line(one))["data"]["echo"]["n"], 2);
  send(one, ":3}\n");
  EXPECT_EQ(Json::parse(line(one))["data"]["echo"]["n"], 3);
}

TEST_F(ControlServerTest, WhatIsNoObjectIsAUsageErrorAndTheNextLineCounts) {
  const auto one = client();
  for (const char* bad : {"\n", "{\n", "[1]\n", "\"x\"\n", "\xff\xfe\n", "{\"a\":1} {}\n"}) {
    send(one, bad);
    EXPECT_EQ(code(one), 2) << bad;
  }
  send(one, "{}\n");
  EXPECT_EQ(code(one), 0);
}

TEST_F(ControlServerTest, DeepNestingIsHarmless) {
  const auto one = client();
  send(one, std::string(100'000, '[') + "\n");
  EXPECT_EQ(code(one), 2);
}

TEST_F(ControlServerTest, OversizedLineIsRefusedAndTheClientClosed) {
  const auto one = client();
  const std::string part(100'000, 'x');
  std::size_t sent = 0;
  ASSERT_TRUE(loop.run_until(
      [&] {
        const ssize_t now =
            ::send(one.get(), part.data(), part.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (now > 0) sent += static_cast<std::size_t>(now);
        return sent > ControlServer::kRequestBytesMax || (now < 0 && errno == EPIPE);
      },
      kPatience));
  EXPECT_EQ(code(one), 2);
  EXPECT_EQ(line(one), "");
  EXPECT_TRUE(loop.run_until([&] { return server.clients() == 0; }, kPatience));
}

TEST_F(ControlServerTest, PendingReplyDoesNotHoldUpOthers) {
  const auto slow = client();
  const auto quick = client();
  send(slow, "{\"verb\":\"hold\"}\n");
  send(quick, "{}\n");
  EXPECT_EQ(code(quick), 0);
  ASSERT_EQ(held.size(), 1u);
  held[0]({{}, {}, "late"});
  EXPECT_EQ(code(slow), 0);
}

TEST_F(ControlServerTest, HalfClosedClientStillGetsItsReply) {
  const auto one = client();
  send(one, "{\"verb\":\"hold\"}\n");
  ::shutdown(one.get(), SHUT_WR);
  ASSERT_TRUE(loop.run_until([&] { return held.size() == 1; }, kPatience));
  held[0]({{}, {}, {}});
  EXPECT_EQ(code(one), 0);
  EXPECT_TRUE(loop.run_until([&] { return server.clients() == 0; }, kPatience));
}

TEST_F(ControlServerTest, ReplyToAClientThatHasGoneIsDropped) {
  {
    const auto one = client();
    send(one, "{\"verb\":\"hold\"}\n");
    ASSERT_TRUE(loop.run_until([&] { return held.size() == 1; }, kPatience));
  }
  ASSERT_TRUE(loop.run_until([&] { return server.clients() == 0; }, kPatience));
  held[0]({{}, {}, {}});
  const auto two = client();
  send(two, "{}\n");
  EXPECT_EQ(code(two), 0);
}

TEST_F(ControlServerTest, RequestOfAClientThatHasGoneIsNotCarriedOut) {
  {
    const auto one = client();
    send(one, "{\"verb\":\"hold\"}\n");
  }
  const auto two = client();
  send(two, "{}\n");
  EXPECT_EQ(code(two), 0);
  EXPECT_EQ(server.clients(), 1u);
  EXPECT_TRUE(held.empty());
}

TEST_F(ControlServerTest, SilentClientIsClosedAndABusyOneIsNot) {
  const auto silent = client();
  const auto busy = client();
  send(silent, "{\"half");
  send(busy, "{\"verb\":\"hold\"}\n");
  EXPECT_EQ(line(silent), "");
  EXPECT_EQ(server.clients(), 1u);
  ASSERT_EQ(held.size(), 1u);
  held[0]({{}, {}, {}});
  EXPECT_EQ(code(busy), 0);
}

TEST_F(ControlServerTest, ClientThatDoesNotReadIsClosedAndHoldsUpNobody) {
  const auto lazy = client();
  const auto other = client();
  const std::string request = "{\"x\":\"" + std::string(900'000, 'y') + "\"}\n";
  std::size_t sent = 0;
  loop.run_until(
      [&] {
        const ssize_t now = ::send(lazy.get(), request.data() + sent, request.size() - sent,
                                   MSG_NOSIGNAL | MSG_DONTWAIT);
        if (now > 0) sent += static_cast<std::size_t>(now);
        return sent == request.size() || (now < 0 && errno == EPIPE);
      },
      kPatience);
  send(other, "{}\n");
  EXPECT_EQ(code(other), 0);
  EXPECT_TRUE(loop.run_until([&] { return server.clients() == 0; }, kPatience));
}

TEST_F(ControlServerTest, TooManyClientsAreTold) {
  std::vector<UniqueFd> all;
  for (std::size_t i = 0; i < ControlServer::kClientsMax; ++i) all.push_back(client());
  ASSERT_TRUE(loop.run_until([&] { return server.clients() == ControlServer::kClientsMax; },
                             kPatience));
  const auto extra = client();
  const Json reply = Json::parse(line(extra), nullptr, false);
  ASSERT_TRUE(reply.is_object());
  EXPECT_EQ(reply["code"], 1);
  EXPECT_EQ(line(extra), "");
}

TEST_F(ControlServerTest, BytesThatAreNotUtf8AreReplaced) {
  const auto one = client();
  send(one, "{\"verb\":\"hold\"}\n");
  ASSERT_TRUE(loop.run_until([&] { return held.size() == 1; }, kPatience));
  held[0]({{}, {{"name", "\xff"}}, {}});
  EXPECT_EQ(code(one), 0);
}

TEST_F(ControlServerTest, CloseRemovesTheSocket) {
  server.close();
  EXPECT_FALSE(std::filesystem::exists(dir / "s"));
}

}  // namespace
}  // namespace millrace::ctl
