// SPDX-License-Identifier: Apache-2.0
// The protocol client against a peer that the test plays by hand.

#include "control/daemon/dataplane_link.hpp"

#include <sys/socket.h>

#include "control/daemon/unix_socket.hpp"
#include "tests/unit/control/daemon_fixture.hpp"

namespace millrace::ctl {
namespace {

using Milliseconds = std::chrono::milliseconds;

class DataplaneLinkTest : public ::testing::Test {
 protected:
  DataplaneLinkTest() {
    auto listening = listen_unix(dir / "s", SOCK_SEQPACKET, 0600, 4);
    listener = std::move(listening).value();
    EXPECT_TRUE(link.connect(dir / "s").ok());
    peer = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
  }

  abi::Request take_request() {
    abi::CacheQuery packet{};
    EXPECT_GE(::recv(peer.get(), &packet, sizeof packet, 0),
              static_cast<ssize_t>(sizeof(abi::Request)));
    return packet.request;
  }

  void send_reply(uint64_t sequence, abi::ReplyCode code, const char* text = "",
                  uint32_t version = abi::kAbiVersion) {
    abi::Reply reply{};
    reply.abi_version = version;
    reply.code = code;
    reply.sequence = sequence;
    std::strncpy(reply.text, text, sizeof reply.text - 1);
    EXPECT_EQ(::send(peer.get(), &reply, sizeof reply, MSG_NOSIGNAL),
              static_cast<ssize_t>(sizeof reply));
  }

  DataplaneLink::Done into(std::optional<Status>& status) {
    return [&status](Result<LinkReply> result) {
      status = result.ok() ? result.value().status() : result.status();
    };
  }

  bool wait(const std::function<bool()>& done) { return loop.run_until(done, kPatience); }

  TempDir dir;
  EventLoop loop;
  UniqueFd listener;
  UniqueFd peer;
  std::string closed_why;
  DataplaneLink link{loop, [this](const std::string& why) { closed_why = why; }};
};

TEST_F(DataplaneLinkTest, CallsAreSentOneAtATimeAndInOrder) {
  std::optional<Status> first, second;
  link.call(abi::Op::hello, UniqueFd(), kPatience, into(first));
  link.call(abi::Op::stop, UniqueFd(), kPatience, into(second));
  const auto request = take_request();
  EXPECT_EQ(request.op, abi::Op::hello);
  EXPECT_EQ(request.abi_version, abi::kAbiVersion);
  char more;
  EXPECT_LT(::recv(peer.get(), &more, 1, MSG_DONTWAIT), 0) << "the second waits for the first";
  send_reply(request.sequence, abi::ReplyCode::rejected, "because");
  ASSERT_TRUE(wait([&] { return first.has_value(); }));
  EXPECT_EQ(first->code(), Code::rejected);
  EXPECT_EQ(first->message(), "because");
  EXPECT_EQ(take_request().op, abi::Op::stop);
  EXPECT_FALSE(second.has_value());
}

TEST_F(DataplaneLinkTest, LateReplyIsNotTakenForTheNextOne) {
  std::optional<Status> first, second;
  link.call(abi::Op::install_config, UniqueFd(), Milliseconds(20), into(first));
  const auto slow = take_request();
  ASSERT_TRUE(wait([&] { return first.has_value(); }));
  EXPECT_EQ(first->code(), Code::timed_out);
  EXPECT_EQ(first->message(), "data plane did not answer to a new config within 20 ms");
  link.call(abi::Op::hello, UniqueFd(), kPatience, into(second));
  send_reply(slow.sequence, abi::ReplyCode::ok);
  const auto next = take_request();
  send_reply(next.sequence, abi::ReplyCode::not_found);
  ASSERT_TRUE(wait([&] { return second.has_value(); }));
  EXPECT_EQ(second->code(), Code::error) << "not the ok of the first";
}

TEST_F(DataplaneLinkTest, HangUpEndsEveryCall) {
  std::optional<Status> first, second;
  link.call(abi::Op::hello, UniqueFd(), kPatience, into(first));
  link.call(abi::Op::hello, UniqueFd(), kPatience, into(second));
  peer.reset();
  ASSERT_TRUE(wait([&] { return second.has_value(); }));
  EXPECT_EQ(first->code(), Code::unreachable);
  EXPECT_EQ(first->message(), "data plane went away before it answered to a greeting");
  EXPECT_EQ(second->code(), Code::unreachable);
  EXPECT_FALSE(closed_why.empty());
  EXPECT_FALSE(link.connected());
  std::optional<Status> third;
  link.call(abi::Op::hello, UniqueFd(), kPatience, into(third));
  EXPECT_EQ(third->code(), Code::unreachable);
}

TEST_F(DataplaneLinkTest, OtherVersionClosesTheLink) {
  std::optional<Status> status;
  link.call(abi::Op::hello, UniqueFd(), kPatience, into(status));
  send_reply(take_request().sequence, abi::ReplyCode::ok, "", abi::kAbiVersion + 1);
  ASSERT_TRUE(wait([&] { return status.has_value(); }));
  EXPECT_EQ(status->code(), Code::error);
  EXPECT_FALSE(link.connected());
}

TEST_F(DataplaneLinkTest, ShortPacketClosesTheLink) {
  std::optional<Status> status;
  link.call(abi::Op::hello, UniqueFd(), kPatience, into(status));
  ASSERT_EQ(::send(peer.get(), "hi", 2, 0), 2);
  ASSERT_TRUE(wait([&] { return status.has_value(); }));
  EXPECT_FALSE(status->ok());
  EXPECT_FALSE(link.connected());
}

TEST_F(DataplaneLinkTest, NobodyListening) {
  EXPECT_EQ(link.connect(dir / "nobody").code(), Code::unreachable);
  EXPECT_EQ(link.connect("/" + std::string(200, 'x')).code(), Code::error);
}

}  // namespace
}  // namespace millrace::ctl
