// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/bpf_bench.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>
#include <xdp/xsk.h>

namespace millrace::test {

namespace {

constexpr uint32_t kFrameBytes = 4096;
constexpr uint32_t kFrameCnt = 2048;

[[noreturn]] void fail(const std::string& what, int error) {
  throw std::runtime_error(what + ": " + std::strerror(error));
}

}  // namespace

void shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

int interface_index(const std::string& interface) {
  return static_cast<int>(::if_nametoindex(interface.c_str()));
}

std::string mac_of(const std::string& interface) {
  std::string text;
  std::getline(std::ifstream("/sys/class/net/" + interface + "/address"), text);
  return text;
}

uint32_t program_id(const std::string& interface) {
  uint32_t id = 0;
  const int error = bpf_xdp_query_id(interface_index(interface), 0, &id);
  if (error != 0) fail("bpf_xdp_query_id " + interface, -error);
  return id;
}

ctl::Fd program_on(const std::string& interface) {
  ctl::Fd fd(bpf_prog_get_fd_by_id(program_id(interface)));
  if (!fd.valid()) fail("no program on " + interface, errno);
  return fd;
}

VethPair::VethPair(std::string a_name, std::string b_name, int queues)
    : a(std::move(a_name)), b(std::move(b_name)) {
  const std::string cnt = std::to_string(queues);
  const std::string each = " numrxqueues " + cnt + " numtxqueues " + cnt;
  shell("ip link add " + a + each + " type veth peer name " + b + each);
  // Nothing but the tests' own packets on this wire.
  for (const std::string& end : {a, b}) {
    std::ofstream("/proc/sys/net/ipv6/conf/" + end + "/disable_ipv6") << "1\n";
    shell("ip link set " + end + " up");
  }
}

VethPair::~VethPair() { [[maybe_unused]] const int rc = std::system(("ip link del " + a).c_str()); }

int run_program(int program_fd, const Bytes& frame) {
  bpf_test_run_opts options = {};
  options.sz = sizeof(options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<uint32_t>(frame.size());
  const int error = bpf_prog_test_run_opts(program_fd, &options);
  if (error != 0) fail("BPF_PROG_TEST_RUN", -error);
  return static_cast<int>(options.retval);
}

uint32_t run_program_many(int program_fd, const Bytes& frame, uint32_t repeat) {
  bpf_test_run_opts options = {};
  options.sz = sizeof(options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<uint32_t>(frame.size());
  options.repeat = static_cast<int>(repeat);
  const int error = bpf_prog_test_run_opts(program_fd, &options);
  if (error != 0) fail("BPF_PROG_TEST_RUN", -error);
  return options.duration;
}

struct XskSocket::State {
  void* area = MAP_FAILED;
  xsk_umem* umem = nullptr;
  xsk_socket* socket = nullptr;
  xsk_ring_prod fill = {};
  xsk_ring_cons completion = {};
  xsk_ring_cons rx = {};

  ~State() {
    if (socket != nullptr) xsk_socket__delete(socket);
    if (umem != nullptr) xsk_umem__delete(umem);
    if (area != MAP_FAILED) ::munmap(area, std::size_t{kFrameBytes} * kFrameCnt);
  }
};

XskSocket::XskSocket(const std::string& interface, uint32_t queue)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.area = ::mmap(nullptr, std::size_t{kFrameBytes} * kFrameCnt, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (s.area == MAP_FAILED) fail("mmap", errno);
  xsk_umem_config umem_config = {};
  umem_config.fill_size = kFrameCnt;
  umem_config.comp_size = kFrameCnt;
  umem_config.frame_size = kFrameBytes;
  int error = xsk_umem__create(&s.umem, s.area, std::size_t{kFrameBytes} * kFrameCnt, &s.fill,
                               &s.completion, &umem_config);
  if (error != 0) fail("xsk_umem__create", -error);
  xsk_socket_config config = {};
  config.rx_size = kFrameCnt;
  config.bind_flags = XDP_COPY;
  // The kernel lets go of a queue some time after the socket before was closed.
  for (int tries = 0; tries < 3000; ++tries) {
    error = xsk_socket__create(&s.socket, interface.c_str(), queue, s.umem, &s.rx, nullptr,
                               &config);
    if (error != -EBUSY) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  if (error != 0) fail("xsk_socket__create on " + interface, -error);
  uint32_t at = 0;
  if (xsk_ring_prod__reserve(&s.fill, kFrameCnt, &at) != kFrameCnt) fail("fill ring", ENOSPC);
  for (uint32_t i = 0; i < kFrameCnt; ++i)
    *xsk_ring_prod__fill_addr(&s.fill, at + i) = uint64_t{i} * kFrameBytes;
  xsk_ring_prod__submit(&s.fill, kFrameCnt);
}

XskSocket::~XskSocket() = default;

std::vector<Bytes> XskSocket::receive(int wait_ms) {
  State& s = *state_;
  pollfd ready = {.fd = xsk_socket__fd(s.socket), .events = POLLIN, .revents = 0};
  ::poll(&ready, 1, wait_ms);
  uint32_t at = 0;
  const uint32_t cnt = xsk_ring_cons__peek(&s.rx, kFrameCnt, &at);
  uint32_t fill_at = 0;
  if (cnt != 0 && xsk_ring_prod__reserve(&s.fill, cnt, &fill_at) != cnt) fail("fill ring", ENOSPC);
  std::vector<Bytes> frames;
  for (uint32_t i = 0; i < cnt; ++i) {
    const xdp_desc* desc = xsk_ring_cons__rx_desc(&s.rx, at + i);
    const auto* data = static_cast<const uint8_t*>(xsk_umem__get_data(s.area, desc->addr));
    frames.emplace_back(data, data + desc->len);
    *xsk_ring_prod__fill_addr(&s.fill, fill_at + i) = desc->addr - desc->addr % kFrameBytes;
  }
  if (cnt != 0) {
    xsk_ring_prod__submit(&s.fill, cnt);
    xsk_ring_cons__release(&s.rx, cnt);
  }
  return frames;
}

RawSender::RawSender(const std::string& interface) : fd_(::socket(AF_PACKET, SOCK_RAW, 0)) {
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = interface_index(interface);
  if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    fail("AF_PACKET socket on " + interface, errno);
}

void RawSender::send(const Bytes& frame) const {
  if (::send(fd_.get(), frame.data(), frame.size(), 0) != static_cast<ssize_t>(frame.size()))
    fail("send", errno);
}

uint64_t counter(const ctl::Prefilter& prefilter, const std::string& interface,
                 std::string_view reason) {
  const auto counters = prefilter.counters(interface);
  if (!counters.ok()) throw std::runtime_error(counters.status().message());
  for (const auto& [name, packets] : counters.value().by_reason)
    if (name == reason) return packets;
  throw std::runtime_error("no counter " + std::string(reason));
}

}  // namespace millrace::test
