// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/control_server.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "control/daemon/unix_socket.hpp"

namespace millrace::ctl {
namespace {

constexpr mode_t kSocketMode = 0660;

// Names on the wire may hold any octet; the reply is UTF-8 all the same.
std::string line_of(const ControlServer::Answer& answer) {
  const ControlServer::Json reply{
      {"code", answer.status.exit_code()},
      {"message", answer.status.ok() ? answer.message : answer.status.message()},
      {"data", answer.data}};
  return reply.dump(-1, ' ', false, ControlServer::Json::error_handler_t::replace) + "\n";
}

// In both directions: nobody reads the reply.
bool gone(int socket) {
  pollfd poll{socket, 0, 0};
  return ::poll(&poll, 1, 0) > 0;
}

}  // namespace

ControlServer::ControlServer(EventLoop& loop, std::string path, Handler handler,
                             std::chrono::milliseconds idle_max)
    : loop_(loop), path_(std::move(path)), handler_(std::move(handler)), idle_max_(idle_max) {}

ControlServer::~ControlServer() { close(); }

Status ControlServer::open() {
  auto listener = listen_unix(path_, SOCK_STREAM, kSocketMode, 64);
  if (!listener.ok()) return listener.status();
  if (listener_.valid()) loop_.unwatch(listener_.get());
  listener_ = std::move(listener).value();
  loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { on_accept(); });
  return {};
}

Result<bool> ControlServer::restore() {
  if (!listener_.valid() || ::access(path_.c_str(), F_OK) == 0 || errno != ENOENT) return false;
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), error);
  if (auto opened = open(); !opened.ok()) return opened;
  return true;
}

void ControlServer::close() {
  *alive_ = false;
  alive_ = std::make_shared<bool>(true);
  while (!clients_.empty()) drop(clients_.begin()->first);
  if (!listener_.valid()) return;
  loop_.unwatch(listener_.get());
  listener_.reset();
  ::unlink(path_.c_str());
}

void ControlServer::on_accept() {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) return;
  if (clients_.size() >= kClientsMax) {
    const std::string line = line_of({{Code::error, "too many clients at once (limit " +
                                                        std::to_string(kClientsMax) +
                                                        "); try again"},
                                      Json::object(),
                                      {}});
    // One line always fits into the buffer of a new socket.
    static_cast<void>(::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL));
    return;
  }
  const uint64_t id = next_id_++;
  const int fd = socket.get();
  clients_[id].socket = std::move(socket);
  loop_.watch(fd, EPOLLIN, [this, id](uint32_t events) { on_client(id, events); });
  restart_idle_timer(id);
}

void ControlServer::on_client(uint64_t id, uint32_t events) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return drop(id);
  if ((events & EPOLLOUT) != 0) write_some(id);
  if ((events & EPOLLIN) != 0) read_some(id);
}

void ControlServer::read_some(uint64_t id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  Client& client = found->second;
  std::array<char, 65536> buffer;
  const ssize_t got = ::recv(client.socket.get(), buffer.data(), buffer.size(), 0);
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) drop(id);
    return;
  }
  if (got == 0) client.ended = true;
  client.input.append(buffer.data(), static_cast<std::size_t>(got));
  take_request(id);
}

// Hands the next whole line to the handler, if the client has nothing outstanding.
void ControlServer::take_request(uint64_t id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  Client& client = found->second;
  if (client.answering || !client.output.empty()) return update_interest(id);
  const auto newline = client.input.find('\n');
  if (newline > kRequestBytesMax && client.input.size() > kRequestBytesMax) {
    client.input.clear();
    client.ended = true;
    client.answering = true;
    return respond(id, {{Code::usage, "request longer than " + std::to_string(kRequestBytesMax) +
                                          " bytes"},
                        Json::object(),
                        {}});
  }
  if (newline == std::string::npos) {
    if (client.ended) return drop(id);
    return update_interest(id);
  }
  if (gone(client.socket.get())) return drop(id);
  const std::string line = client.input.substr(0, newline);
  client.input.erase(0, newline + 1);
  client.answering = true;
  restart_idle_timer(id);
  update_interest(id);
  const Json request = Json::parse(line, nullptr, false);
  if (!request.is_object()) {
    return respond(id, {{Code::usage, "request is not a JSON object on one line"},
                        Json::object(),
                        {}});
  }
  handler_(request, [this, id, alive = std::weak_ptr<bool>(alive_)](const Answer& answer) {
    if (const auto still = alive.lock(); still && *still) respond(id, answer);
  });
}

void ControlServer::respond(uint64_t id, const Answer& answer) {
  const auto found = clients_.find(id);
  if (found == clients_.end() || !found->second.answering) return;
  found->second.answering = false;
  found->second.output = line_of(answer);
  found->second.written = 0;
  restart_idle_timer(id);
  write_some(id);
}

void ControlServer::write_some(uint64_t id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  Client& client = found->second;
  while (client.written < client.output.size()) {
    const ssize_t sent =
        ::send(client.socket.get(), client.output.data() + client.written,
               client.output.size() - client.written, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return update_interest(id);
      return drop(id);
    }
    client.written += static_cast<std::size_t>(sent);
  }
  if (client.output.empty()) return;
  client.output.clear();
  client.written = 0;
  // From the loop, so that a client with many requests in one packet leaves turns to the others.
  loop_.after(std::chrono::milliseconds(0),
              [this, id, alive = std::weak_ptr<bool>(alive_)] {
                if (const auto still = alive.lock(); still && *still) take_request(id);
              });
  update_interest(id);
}

// Reads only when there is room for a request; writes only when there is something to write.
void ControlServer::update_interest(uint64_t id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  const Client& client = found->second;
  uint32_t events = 0;
  const bool idle = !client.answering && client.output.empty();
  if (!client.ended && idle && client.input.size() <= kRequestBytesMax) events |= EPOLLIN;
  if (!client.output.empty()) events |= EPOLLOUT;
  loop_.rewatch(client.socket.get(), events);
}

void ControlServer::restart_idle_timer(uint64_t id) {
  Client& client = clients_[id];
  loop_.cancel(client.idle);
  // While the handler works the client is not to blame.
  if (client.answering) return;
  client.idle = loop_.after(idle_max_, [this, id] { drop(id); });
}

void ControlServer::drop(uint64_t id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  loop_.cancel(found->second.idle);
  loop_.unwatch(found->second.socket.get());
  clients_.erase(found);
}

}  // namespace millrace::ctl
