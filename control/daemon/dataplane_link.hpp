// SPDX-License-Identifier: Apache-2.0
#pragma once
// The control plane's end of dataplane/abi/control_protocol.hpp.
//
// Calls are queued and sent one at a time; each ends exactly once, with its reply, with
// `timed_out`, or with `unreachable` when the socket closes. A reply that comes after its call was
// given up is recognised by its sequence number and dropped.
//
// Threads: the event loop's. Callbacks may make new calls and may close the link.
// Memory: a request holds its descriptors until it is sent; the queue is bounded by its callers
// (the daemon has one apply, one routes update and one call per CLI client outstanding).
// Failure: a packet that is no reply of ours (size, version) closes the link: the two sides would
// not agree on anything that follows.

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "control/base/status.hpp"
#include "control/daemon/event_loop.hpp"
#include "control/daemon/unique_fd.hpp"
#include "dataplane/abi/control_protocol.hpp"

namespace millrace::ctl {

struct LinkReply {
  abi::ReplyCode code = abi::ReplyCode::ok;
  std::string text;
  std::vector<std::byte> packet;  // the whole reply, abi::Reply first
  UniqueFd fd;                    // the descriptor that came with it, if any

  // The reply seen as one of the structures of the protocol; false if the packet is too short.
  // Bytes that were not sent are zero.
  template <class T>
  bool as(T& out, std::size_t bytes_min = sizeof(T)) const {
    if (packet.size() < bytes_min) return false;
    out = T{};
    std::memcpy(static_cast<void*>(&out), packet.data(), std::min(packet.size(), sizeof(T)));
    return true;
  }

  // What a person, or an exit code, should make of it.
  Status status() const;
};

class DataplaneLink {
 public:
  using Done = std::function<void(Result<LinkReply>)>;
  using Milliseconds = std::chrono::milliseconds;

  DataplaneLink(EventLoop& loop, std::function<void(const std::string&)> on_closed)
      : loop_(loop), on_closed_(std::move(on_closed)) {}
  ~DataplaneLink();  // calls that are outstanding end without a word
  DataplaneLink(const DataplaneLink&) = delete;

  // Fails at once when nobody listens. A link that was open is closed first.
  Status connect(const std::string& socket_path);
  bool connected() const { return socket_.valid(); }
  pid_t peer_pid() const { return peer_pid_; }  // who listens, by the kernel's word

  // Ends every call with `unreachable`; on_closed is not called.
  void close();

  void call(abi::Op op, UniqueFd attached, Milliseconds timeout, Done done);
  void call(abi::SocketsRequest request, std::vector<UniqueFd> attached, Milliseconds timeout,
            Done done);
  void call(abi::Op op, abi::CacheQuery query, Milliseconds timeout, Done done);
  void call(abi::ClockRequest request, Milliseconds timeout, Done done);

 private:
  struct Call {
    abi::Op op;
    uint64_t sequence;
    std::vector<std::byte> packet;
    std::vector<UniqueFd> attached;
    Milliseconds timeout;
    Done done;
  };

  void enqueue(abi::Op op, std::vector<std::byte> packet, std::vector<UniqueFd> attached,
               Milliseconds timeout, Done done);
  void send_next();
  bool send_packet(const Call& call);
  void on_ready(uint32_t events);
  bool receive_one();
  void finish(Result<LinkReply> result);
  void fail(const std::string& why);

  EventLoop& loop_;
  std::function<void(const std::string& why)> on_closed_;
  UniqueFd socket_;
  pid_t peer_pid_ = 0;
  uint64_t next_sequence_ = 1;
  std::deque<Call> calls_;  // the first one is in flight when in_flight_ is set
  bool in_flight_ = false;
  EventLoop::TimerId timeout_ = 0;
};

}  // namespace millrace::ctl
