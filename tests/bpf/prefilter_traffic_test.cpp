// SPDX-License-Identifier: Apache-2.0
// Aim: on a live wire each packet arrives at the data plane or at the kernel, never nowhere,
// whatever happens to sockets and programs meanwhile. Method: numbered queries are sent into one
// end of a veth pair; an AF_XDP socket and a kernel socket at the other end count what arrives.

#include <arpa/inet.h>
#include <atomic>
#include <chrono>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <old_prefilter.skel.h>
#include <optional>
#include <sys/socket.h>
#include <thread>

#include "tests/bpf/bpf_bench.hpp"

namespace millrace::test {
namespace {

constexpr const char* kService = "198.18.0.53";
constexpr int kReceiveBufferBytes = 8 << 20;
constexpr uint32_t kStreamPackets = 1500;  // fit in the AF_XDP ring without being read
constexpr int kPatienceMs = 30'000;        // with what surely comes, on a busy machine

void expect_ok(const ctl::Status& status) { EXPECT_TRUE(status.ok()) << status.message(); }

// The kernel's end of the service address.
class KernelSocket {
 public:
  KernelSocket() : fd_(::socket(AF_INET, SOCK_DGRAM, 0)) {
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes,
                 sizeof(kReceiveBufferBytes));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(53);
    ::inet_pton(AF_INET, kService, &address.sin_addr);
    if (::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
      throw std::runtime_error("bind the service address");
  }
  std::vector<Bytes> receive() const {
    std::vector<Bytes> payloads;
    Bytes buffer(2048);
    for (ssize_t bytes;
         (bytes = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) >= 0;)
      payloads.emplace_back(buffer.begin(), buffer.begin() + bytes);
    return payloads;
  }

 private:
  ctl::Fd fd_;
};

class Traffic : public ::testing::Test {
 protected:
  void SetUp() override {
    shell("ip addr add 198.18.0.53/24 dev " + wire_.a);
    kernel_.emplace();
    sender_.emplace(wire_.b);
    const std::string text = mac_of(wire_.a);
    ASSERT_EQ(std::sscanf(text.c_str(), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac_[0], &mac_[1],
                          &mac_[2], &mac_[3], &mac_[4], &mac_[5]),
              6)
        << text;
    auto opened = ctl::Prefilter::open(kPinDir);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    prefilter_ = std::move(opened).value();
  }
  void TearDown() override {
    prefilter_.reset();
    expect_ok(ctl::Prefilter::clean(kPinDir));
  }

  void attach() {
    expect_ok(prefilter_->attach(wire_.a));
    expect_ok(prefilter_->set_rules({.services = {address_of(kService, 53)}, .generation = 1}));
  }

  void send(uint32_t number) {
    Bytes payload(32, 0);
    std::memcpy(payload.data(), &number, sizeof(number));
    sender_->send(FrameBuilder()
                      .mac(mac_, {2, 0, 0, 0, 0, 9})
                      .from("198.18.0.9", 40000)
                      .to(kService, 53)
                      .payload(payload)
                      .build());
  }

  // Calls `change` again and again while the numbered packets are sent.
  template <class Change>
  void stream_during(Change change) {
    std::atomic<bool> done{false};  // release by the sender, acquire by this thread
    std::thread sender([&] {
      for (uint32_t i = 0; i < kStreamPackets; ++i) {
        send(i);
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
      done.store(true, std::memory_order_release);
    });
    while (!done.load(std::memory_order_acquire)) change();
    sender.join();
  }

  static uint32_t number_at(const Bytes& bytes, std::size_t offset) {
    uint32_t number = 0;
    std::memcpy(&number, bytes.data() + offset, sizeof(number));
    return number;
  }

  // Number -> how often it arrived, at either socket. Softirqs on the other CPU may still hold the
  // last of them.
  std::map<uint32_t, int> arrivals(XskSocket& socket) {
    std::map<uint32_t, int> seen;
    for (int waited_ms = 0; seen.size() < kStreamPackets && waited_ms < kPatienceMs;
         waited_ms += 20) {
      for (const Bytes& frame : socket.receive(20)) ++seen[number_at(frame, 14 + 20 + 8)];
      for (const Bytes& payload : kernel_->receive()) ++seen[number_at(payload, 0)];
    }
    return seen;
  }

  static void expect_each_once(const std::map<uint32_t, int>& seen) {
    EXPECT_EQ(seen.size(), kStreamPackets);
    for (const auto& [number, times] : seen) EXPECT_EQ(times, 1) << number;
  }

  VethPair wire_{"mrt0", "mrt1"};
  std::optional<KernelSocket> kernel_;
  std::optional<RawSender> sender_;
  uint8_t mac_[6] = {};
  std::unique_ptr<ctl::Prefilter> prefilter_;
};

TEST_F(Traffic, GoesToTheSocketWhileThereIsOneAndElseToTheKernel) {
  attach();
  send(1);
  EXPECT_EQ(kernel_->receive().size(), 1u);
  {
    XskSocket data_plane(wire_.a, 0);
    send(2);
    EXPECT_EQ(data_plane.receive(kPatienceMs).size(), 1u);
    EXPECT_TRUE(kernel_->receive().empty());
  }
  send(3);
  EXPECT_EQ(kernel_->receive().size(), 1u);
  EXPECT_NE(program_id(wire_.a), 0u) << "the program outlives the data plane";

  XskSocket next_data_plane(wire_.a, 0);
  send(4);
  EXPECT_EQ(next_data_plane.receive(kPatienceMs).size(), 1u);
  EXPECT_EQ(counter(*prefilter_, wire_.a, "redirected_query"), 2u);
  EXPECT_EQ(counter(*prefilter_, wire_.a, "passed_no_socket"), 2u);
}

TEST_F(Traffic, AdoptionMovesNoPacket) {
  attach();
  XskSocket data_plane(wire_.a, 0);
  stream_during([&] {
    auto opened = ctl::Prefilter::open(kPinDir);
    ASSERT_TRUE(opened.ok());
    prefilter_ = std::move(opened).value();
    expect_ok(prefilter_->attach(wire_.a));
    ASSERT_TRUE(prefilter_->adopted(wire_.a));
  });
  EXPECT_TRUE(kernel_->receive().empty());
  expect_each_once(arrivals(data_plane));
}

TEST_F(Traffic, ReplacingAnOldVersionLosesNoPacket) {
  old_prefilter* old = old_prefilter::open_and_load();
  ASSERT_NE(old, nullptr);
  auto attempt =
      ctl::create_link(bpf_program__fd(old->progs.xsk_def_prog), interface_index(wire_.a));
  ASSERT_TRUE(attempt.ok());
  old_prefilter::destroy(old);
  XskSocket data_plane(wire_.a, 0);
  send(kStreamPackets);
  ASSERT_EQ(data_plane.receive(kPatienceMs).size(), 1u) << "the old version serves";

  const uint32_t program = program_id(wire_.a);
  stream_during([&] { attach(); });
  EXPECT_NE(program_id(wire_.a), program);
  expect_each_once(arrivals(data_plane));
  send(kStreamPackets);
  EXPECT_EQ(data_plane.receive(kPatienceMs).size(), 1u) << "the new version serves the same socket";
}

TEST_F(Traffic, RemovalLosesNoPacket) {
  attach();
  XskSocket data_plane(wire_.a, 0);
  stream_during([&] {
    expect_ok(prefilter_->detach_all());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    attach();
  });
  expect_each_once(arrivals(data_plane));
}

}  // namespace
}  // namespace millrace::test
