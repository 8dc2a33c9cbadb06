// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the tests of the prefilter stand on: a network of their own, a program run, an AF_XDP
// socket.
//
// The test program enters a network namespace and a mount namespace of its own before the first
// test (bpf_main.cpp), so whatever a test leaves, even by crashing, ends with the process.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/xdp/kernel_bpf.hpp"
#include "control/xdp/prefilter.hpp"
#include "tests/support/packet_builder.hpp"

namespace millrace::test {

inline constexpr const char* kPinDir = "/sys/fs/bpf/millrace-test";

// Runs a shell command; throws with the command if it fails.
void shell(const std::string& command);

int interface_index(const std::string& interface);
std::string mac_of(const std::string& interface);

// The id of the XDP program on the interface; 0: none.
uint32_t program_id(const std::string& interface);
ctl::Fd program_on(const std::string& interface);

// A veth pair, gone with the object. `a` gets the program in most tests, `b` is the wire's far end.
class VethPair {
 public:
  VethPair(std::string a, std::string b, int queues = 1);
  ~VethPair();
  VethPair(const VethPair&) = delete;
  VethPair& operator=(const VethPair&) = delete;

  const std::string a;
  const std::string b;
};

// Runs the program once on the frame and returns the XDP action.
int run_program(int program_fd, const Bytes& frame);
// Nanoseconds per run, over `repeat` runs.
uint32_t run_program_many(int program_fd, const Bytes& frame, uint32_t repeat);

// An AF_XDP socket made the way DPDK's net_af_xdp makes it: libxdp finds the program on the
// interface and puts the socket into its xsks_map. Throws if it does not.
class XskSocket {
 public:
  XskSocket(const std::string& interface, uint32_t queue);
  ~XskSocket();
  XskSocket(const XskSocket&) = delete;
  XskSocket& operator=(const XskSocket&) = delete;

  // Frames received so far, taken off the ring. Waits up to `wait_ms` for the first.
  std::vector<Bytes> receive(int wait_ms);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Puts frames onto the wire at `interface`.
class RawSender {
 public:
  explicit RawSender(const std::string& interface);
  void send(const Bytes& frame) const;

 private:
  ctl::Fd fd_;
};

uint64_t counter(const ctl::Prefilter& prefilter, const std::string& interface,
                 std::string_view reason);

}  // namespace millrace::test
