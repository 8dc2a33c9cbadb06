// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/dataplane_link.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>

#include "control/daemon/unix_socket.hpp"

namespace millrace::ctl {
namespace {

constexpr std::size_t kPacketBytesMax = sizeof(abi::CacheReply);

// In the words of who reads the log.
const char* op_name(abi::Op op) {
  switch (op) {
    case abi::Op::hello: return "a greeting";
    case abi::Op::install_config: return "a new config";
    case abi::Op::install_routes: return "new routes";
    case abi::Op::cache_lookup: return "a cache lookup";
    case abi::Op::cache_flush: return "a cache flush";
    case abi::Op::stop: return "a request to stop";
    case abi::Op::install_sockets: return "new TCP sockets";
    case abi::Op::advance_clock: return "an advance of the clock";
  }
  return "?";
}

template <class T>
std::vector<std::byte> bytes_of(const T& value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  return {from, from + sizeof value};
}

}  // namespace

Status LinkReply::status() const {
  const std::string said = text.empty() ? "data plane gave no reason" : text;
  switch (code) {
    case abi::ReplyCode::ok: return {};
    case abi::ReplyCode::rejected:
    case abi::ReplyCode::needs_restart: return {Code::rejected, said};
    case abi::ReplyCode::timed_out: return {Code::timed_out, said};
    case abi::ReplyCode::bad_request:
    case abi::ReplyCode::not_found: return {Code::error, said};
  }
  return {Code::error, "data plane sent reply code " +
                           std::to_string(static_cast<uint32_t>(code)) + ": " + said};
}

Status DataplaneLink::connect(const std::string& socket_path) {
  close();
  auto connected = connect_unix(socket_path, SOCK_SEQPACKET);
  if (!connected.ok()) return connected.status();
  socket_ = std::move(connected).value();
  ucred peer{};
  socklen_t peer_bytes = sizeof peer;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) == 0) {
    peer_pid_ = peer.pid;
  }
  loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t events) { on_ready(events); });
  return {};
}

DataplaneLink::~DataplaneLink() {
  calls_.clear();
  close();
}

void DataplaneLink::close() {
  if (!socket_.valid()) return;
  loop_.unwatch(socket_.get());
  socket_.reset();
  peer_pid_ = 0;
  in_flight_ = false;
  loop_.cancel(timeout_);
  auto abandoned = std::move(calls_);
  calls_.clear();
  for (auto& call : abandoned) {
    call.done(Status(Code::unreachable, std::string("data plane went away before it answered to ") +
                                            op_name(call.op)));
  }
}

void DataplaneLink::call(abi::Op op, UniqueFd attached, Milliseconds timeout, Done done) {
  abi::Request request{abi::kAbiVersion, op, 0};
  std::vector<UniqueFd> all;
  if (attached.valid()) all.push_back(std::move(attached));
  enqueue(op, bytes_of(request), std::move(all), timeout, std::move(done));
}

void DataplaneLink::call(abi::SocketsRequest request, std::vector<UniqueFd> attached,
                         Milliseconds timeout, Done done) {
  request.request = {abi::kAbiVersion, abi::Op::install_sockets, 0};
  enqueue(abi::Op::install_sockets, bytes_of(request), std::move(attached), timeout,
          std::move(done));
}

void DataplaneLink::call(abi::Op op, abi::CacheQuery query, Milliseconds timeout, Done done) {
  query.request = {abi::kAbiVersion, op, 0};
  enqueue(op, bytes_of(query), {}, timeout, std::move(done));
}

void DataplaneLink::call(abi::ClockRequest request, Milliseconds timeout, Done done) {
  request.request = {abi::kAbiVersion, abi::Op::advance_clock, 0};
  enqueue(abi::Op::advance_clock, bytes_of(request), {}, timeout, std::move(done));
}

void DataplaneLink::enqueue(abi::Op op, std::vector<std::byte> packet,
                            std::vector<UniqueFd> attached, Milliseconds timeout, Done done) {
  if (!connected()) {
    done(Status(Code::unreachable, "data plane is not running"));
    return;
  }
  const uint64_t sequence = next_sequence_++;
  std::memcpy(packet.data() + offsetof(abi::Request, sequence), &sequence, sizeof sequence);
  calls_.push_back(
      {op, sequence, std::move(packet), std::move(attached), timeout, std::move(done)});
  send_next();
}

void DataplaneLink::send_next() {
  if (in_flight_ || calls_.empty()) return;
  in_flight_ = true;
  Call& call = calls_.front();
  if (!send_packet(call)) {
    // Not from within the caller: its callback must not run before call() returns.
    timeout_ = loop_.after(Milliseconds(0), [this] { fail("cannot send to the data plane"); });
    return;
  }
  call.attached.clear();
  timeout_ = loop_.after(call.timeout, [this] {
    timeout_ = 0;
    finish(Status(Code::timed_out, std::string("data plane did not answer to ") +
                                       op_name(calls_.front().op) + " within " +
                                       std::to_string(calls_.front().timeout.count()) + " ms"));
  });
}

bool DataplaneLink::send_packet(const Call& call) {
  iovec part{const_cast<std::byte*>(call.packet.data()), call.packet.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(abi::kBindsMax * sizeof(int))] = {};
  if (!call.attached.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(call.attached.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(call.attached.size() * sizeof(int));
    for (std::size_t i = 0; i < call.attached.size(); ++i) {
      const int fd = call.attached[i].get();
      std::memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent == static_cast<ssize_t>(call.packet.size());
}

void DataplaneLink::on_ready(uint32_t) {
  while (connected() && receive_one()) {
  }
}

// True: look for another packet.
bool DataplaneLink::receive_one() {
  LinkReply reply;
  reply.packet.resize(kPacketBytesMax);
  iovec part{reply.packet.data(), reply.packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  if (got <= 0) {
    fail(got == 0 ? "data plane closed the control socket" : std::strerror(errno));
    return false;
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    reply.fd.reset(fd);
  }
  reply.packet.resize(static_cast<std::size_t>(got));
  abi::Reply head;
  if (!reply.as(head) || head.abi_version != abi::kAbiVersion ||
      (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    const std::string why = "data plane speaks another protocol version";
    if (in_flight_) finish(Status(Code::error, why));
    fail(why);
    return false;
  }
  if (!in_flight_ || head.sequence != calls_.front().sequence) return true;
  reply.code = head.code;
  reply.text.assign(head.text, ::strnlen(head.text, sizeof head.text));
  finish(std::move(reply));
  return true;
}

void DataplaneLink::finish(Result<LinkReply> result) {
  loop_.cancel(timeout_);
  in_flight_ = false;
  Call call = std::move(calls_.front());
  calls_.pop_front();
  send_next();
  call.done(std::move(result));
}

void DataplaneLink::fail(const std::string& why) {
  close();
  if (on_closed_) on_closed_(why);
}

}  // namespace millrace::ctl
