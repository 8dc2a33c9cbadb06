// SPDX-License-Identifier: Apache-2.0
// Connections of clients: limits, order of closing, back-pressure.
#include "tests/unit/slow/slow_rig.hpp"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace millrace::test {
namespace {

class TcpClientsTest : public testing::Test {
 protected:
  void limit(const abi::TcpConfig& tcp) {
    rig.rig.service().tcp = tcp;
    rig.rig.publish();
    rig.run();
  }
  void pass_ms(uint64_t ms) {
    for (uint64_t done = 0; done < ms; done += 50) {
      rig.rig.jump_ms(50);
      rig.run(1);
    }
  }
  void make_known(const std::string& name) {
    rig.rig.ask(name, 5000);
    rig.run();
    rig.answer_all();
    rig.rig.clear();
  }

  SlowRig rig;
};

TEST_F(TcpClientsTest, A103_idle_is_closed) {
  limit({100, 100, 100, 1000});
  auto client = rig.client();
  pass_ms(900);
  EXPECT_FALSE(client->closed());
  pass_ms(200);
  EXPECT_TRUE(client->closed());
  EXPECT_EQ(rig.event(Event::tcp_closed_idle), 1u);
}

// RFC 7766 section 6.2.3: only a whole message counts as activity.
TEST_F(TcpClientsTest, A103_octets_now_and_then_do_not_keep_it_open) {
  limit({100, 100, 100, 1000});
  make_known("www.example");
  auto whole = rig.client();
  auto partial = rig.client();
  const Bytes message = Peer::framed(rig.query("www.example"));
  std::size_t sent = 0;
  for (; sent < 12 && !partial->closed(); ++sent) {
    partial->send_bytes({message[sent]});
    whole->send_bytes(message);
    pass_ms(100);
  }
  EXPECT_TRUE(partial->closed());
  EXPECT_FALSE(whole->closed());
  EXPECT_EQ(whole->messages().size(), sent);
}

TEST_F(TcpClientsTest, WaitingForAnAnswerIsNotIdle) {
  limit({100, 100, 100, 500});
  auto client = rig.client();
  client->send_message(rig.query("slow.example"));
  pass_ms(1500);
  EXPECT_FALSE(client->closed());
  rig.answer_all();
  EXPECT_EQ(client->messages().size(), 1u);
}

TEST_F(TcpClientsTest, A103_at_the_limit_the_longest_idle_makes_room) {
  limit({3, 100, 100, 60'000});
  make_known("www.example");
  auto first = rig.client("198.18.0.11");
  auto second = rig.client("198.18.0.12");
  auto third = rig.client("198.18.0.13");
  pass_ms(50);
  first->send_message(rig.query("www.example"));
  pass_ms(50);
  auto fourth = rig.client("198.18.0.14");
  EXPECT_TRUE(second->closed());
  EXPECT_FALSE(first->closed());
  EXPECT_FALSE(third->closed());
  fourth->send_message(rig.query("www.example"));
  rig.run(1);
  EXPECT_EQ(fourth->messages().size(), 1u);
  EXPECT_EQ(rig.event(Event::tcp_closed_limit), 1u);
  EXPECT_EQ(rig.slow().client_cnt(), 3u);
}

TEST_F(TcpClientsTest, A103_one_source_has_a_limit_of_its_own) {
  limit({100, 2, 100, 60'000});
  auto other = rig.client("198.18.0.20");
  auto first = rig.client("198.18.0.11");
  auto second = rig.client("198.18.0.11");
  auto third = rig.client("198.18.0.11");
  EXPECT_TRUE(first->closed());
  EXPECT_FALSE(second->closed());
  EXPECT_FALSE(other->closed());
  // Of IPv6 the /64 is the source.
  auto v6_first = rig.client("fd00:18::1:1", kServiceV6);
  auto v6_second = rig.client("fd00:18::1:2", kServiceV6);
  auto v6_third = rig.client("fd00:18::1:3", kServiceV6);
  auto v6_other = rig.client("fd00:18:0:1::1", kServiceV6);
  EXPECT_TRUE(v6_first->closed());
  EXPECT_FALSE(v6_second->closed());
  EXPECT_FALSE(v6_other->closed());
}

// RFC 7766 section 8: whatever the segments are. Each query that came before what is none has its
// answer, also if both came in one piece.
TEST_F(TcpClientsTest, A104_what_came_before_is_answered) {
  auto client = rig.client();
  Bytes both = Peer::framed(rig.query("www.example", 5, kTypeAxfr));
  const Bytes bad = Peer::framed(Bytes(11, 0));
  both.insert(both.end(), bad.begin(), bad.end());
  client->send_bytes(both);
  rig.run(1);
  EXPECT_EQ(client->messages().size(), 1u);
  EXPECT_TRUE(client->closed());
}

TEST_F(TcpClientsTest, A104_what_is_in_work_is_answered_before_the_end) {
  limit({100, 100, 100, 60'000});
  auto client = rig.client();
  client->send_message(rig.query("slow.example", 1));
  client->send_message(Bytes(11, 0));
  client->send_message(rig.query("behind.example", 2));
  rig.run();
  EXPECT_FALSE(client->closed());
  EXPECT_EQ(rig.rig.asked().size(), 1u);
  rig.answer_all();
  EXPECT_EQ(client->messages().size(), 1u);
  EXPECT_TRUE(client->closed());
  EXPECT_EQ(rig.event(Event::tcp_closed_error), 1u);
}

// A close with octets unread would take back what was sent (RFC 1122 section 4.2.2.13).
TEST_F(TcpClientsTest, A104_what_comes_behind_the_end_is_thrown_away) {
  limit({100, 100, 100, 1000});
  auto client = rig.client();
  auto other = rig.client();
  for (Peer* const peer : {client.get(), other.get()}) {
    peer->send_message(Bytes(11, 0));
    rig.run(1);
    EXPECT_TRUE(peer->closed());
    peer->send_message(rig.query("behind.example", 2));
    rig.run();
  }
  EXPECT_EQ(rig.rig.asked().size(), 0u);
  EXPECT_EQ(rig.slow().client_cnt(), 2u);
  client->hang_up();
  rig.run();
  EXPECT_EQ(rig.slow().client_cnt(), 1u);
  pass_ms(1100);
  EXPECT_EQ(rig.slow().client_cnt(), 0u) << "nor for ever";
  EXPECT_EQ(rig.event(Event::tcp_closed_error), 2u);
  EXPECT_EQ(rig.event(Event::tcp_closed_idle), 0u);
}

TEST_F(TcpClientsTest, A103_what_waits_in_memory_is_bounded_for_all_together) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit more{std::min<rlim_t>(before.rlim_max, 8192), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &more), 0);
  limit({65'536, 65'536, 100, 60'000});
  Bytes part(60'002, 0);
  part[0] = part[1] = 0xff;
  auto small = rig.client();
  small->send_bytes({0, 20, 1});
  Bytes whole(65'537, 0);  // a query without a question
  whole[0] = whole[1] = 0xff;
  auto was_large = rig.client();
  was_large->send_bytes(Bytes(whole.begin(), whole.begin() + 65'000));
  rig.run(1);
  was_large->send_bytes(Bytes(whole.begin() + 65'000, whole.end()));
  rig.run(2);
  EXPECT_EQ(was_large->messages().size(), 1u);
  auto largest = rig.client();
  largest->send_bytes(Bytes(whole.begin(), whole.begin() + 60'003));
  constexpr std::size_t kTooMany = 20;
  const std::size_t cnt = slow::TcpClients::kBytesMax / part.size() + kTooMany;
  std::vector<std::unique_ptr<Peer>> clients;
  for (std::size_t i = 0; i < cnt; ++i) {
    clients.push_back(rig.client());
    clients.back()->send_bytes(part);
    rig.run(1);
  }
  EXPECT_EQ(rig.event(Event::tcp_closed_error), kTooMany + 1);
  EXPECT_EQ(rig.slow().client_cnt(), cnt + 2 - kTooMany);
  EXPECT_TRUE(largest->closed());
  EXPECT_FALSE(small->closed() || was_large->closed());
  // What goes makes room.
  for (auto& client : clients)
    client->hang_up();
  rig.run(200);
  clients[0] = rig.client();
  clients[0]->send_bytes(part);
  rig.run(1);
  EXPECT_FALSE(clients[0]->closed());
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(TcpClientsTest, NoServiceOverTcp) {
  limit({0, 2, 100, 60'000});
  auto client = rig.client();
  EXPECT_TRUE(client->closed());
  EXPECT_EQ(rig.slow().client_cnt(), 0u);
}

TEST_F(TcpClientsTest, QuestionsInWorkAreBounded) {
  limit({100, 100, 4, 60'000});
  auto client = rig.client();
  for (uint16_t i = 0; i < 10; ++i)
    client->send_message(rig.query("n" + std::to_string(i) + ".example", i));
  rig.run();
  EXPECT_EQ(rig.rig.asked().size(), 4u);
  std::size_t come = 0;
  for (int round = 0; round < 5; ++round) {
    rig.answer_all();
    come += client->messages().size();
  }
  EXPECT_EQ(come, 10u);
}

// A client that asks and does not read: nothing more is read from it, and what it has asked for
// stays within bounds.
TEST_F(TcpClientsTest, SlowReaderStopsItself) {
  limit({100, 100, 100, 60'000});
  make_known("www.example");
  auto client = rig.client();
  const Bytes message = Peer::framed(rig.query("www.example"));
  Bytes many;
  for (int i = 0; i < 500; ++i)
    many.insert(many.end(), message.begin(), message.end());
  std::size_t sent = 0;
  for (int i = 0; i < 400; ++i) {
    if (::testing::Test::HasFatalFailure()) break;
    if (!client->try_send(many)) break;
    sent += 500;
    rig.run(1);
  }
  EXPECT_LT(rig.outcome(Outcome::hit), sent);
  EXPECT_FALSE(client->closed());
  // It reads at last, and gets one answer to each question.
  std::size_t come = 0;
  for (int i = 0; i < 2000 && come < sent; ++i) {
    come += client->messages().size();
    rig.run(1);
  }
  EXPECT_EQ(come, sent);
}

// With no descriptor left for the next client, the longest idle makes room for it.
TEST_F(TcpClientsTest, NoDescriptorLeft) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof at;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&at), bytes), 0);
  ASSERT_EQ(listen(listener, 4), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&at), &bytes), 0);
  rig.slow().listen_on({{listener, address_of(kServiceV4, 53)}});
  rig.run(1);
  auto idle = rig.client();
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&at), bytes), 0);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const int next = dup(client);
  close(next);  // now the lowest that is free
  const rlimit full{static_cast<rlim_t>(next), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &full), 0);
  rig.run(3);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(idle->closed());
  EXPECT_EQ(rig.slow().client_cnt(), 1u);
  EXPECT_EQ(rig.event(Event::tcp_accepted), 2u);
  close(client);
}

// They come and go, and leave nothing behind.
TEST_F(TcpClientsTest, ManyIdleConnections) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  const auto room = static_cast<uint32_t>(std::min<rlim_t>(files.rlim_cur, 20'000));
  const uint32_t cnt = room / 2 - 100;
  limit({65'536, 65'536, 100, 60'000});
  make_known("www.example");
  std::vector<std::unique_ptr<Peer>> clients;
  for (uint32_t i = 0; i < cnt; ++i) {
    clients.push_back(rig.client());
    clients.back()->send_message(rig.query("www.example"));
    if (i % 100 == 0) rig.run(1);
  }
  rig.run(200);
  EXPECT_EQ(rig.slow().client_cnt(), cnt);
  EXPECT_EQ(rig.outcome(Outcome::hit), cnt);
  clients.clear();
  rig.run(200);
  EXPECT_EQ(rig.slow().client_cnt(), 0u);
}

}  // namespace
}  // namespace millrace::test
