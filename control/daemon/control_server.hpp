// SPDX-License-Identifier: Apache-2.0
#pragma once
// The socket that `millrace` and other tools talk to: one JSON object a line, each way.
//
//     {"verb":"status", ...}  ->  {"code":0,"message":"","data":{...}}
//
// A client's requests are answered in order; the next is read when the reply to the last has left.
// So a client holds at most one request, one pending reply and one reply being written, whatever it
// sends and however slowly it reads.
//
// A request is carried out only while its client is there: one that has given up meanwhile has been
// told so by its own clock. Closing the writing half only is not going.
//
// Threads: the event loop's. The handler may answer at once or later; a reply to a client that has
// gone is dropped.
// Limits: kClientsMax clients (further ones are told so and closed), kRequestBytesMax for a line; a
// client that neither sends a whole request nor takes its reply for kIdleMax is closed.
// Access: the socket's mode, 0660: owner and group.

#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "control/base/status.hpp"
#include "control/daemon/event_loop.hpp"

namespace millrace::ctl {

class ControlServer {
 public:
  using Json = nlohmann::json;

  struct Answer {
    Status status;
    Json data = Json::object();
    std::string message;  // with status ok; a failure's message is the status's
  };
  using Respond = std::function<void(Answer)>;
  using Handler = std::function<void(const Json& request, Respond respond)>;

  static constexpr std::size_t kClientsMax = 32;
  // A config of the largest size, each byte of it escaped, and the rest of its request.
  static constexpr std::size_t kRequestBytesMax = (2 << 20) + (64 << 10);

  ControlServer(EventLoop& loop, std::string path, Handler handler,
                std::chrono::milliseconds idle_max = std::chrono::seconds(60));
  ~ControlServer();

  Status open();
  // Where somebody has removed the socket file, it is made anew; true: it was.
  Result<bool> restore();
  void close();  // removes the socket file and every client

  std::size_t clients() const { return clients_.size(); }
  const std::string& path() const { return path_; }

 private:
  struct Client {
    UniqueFd socket;
    std::string input;
    std::string output;
    std::size_t written = 0;
    bool answering = false;  // the handler has the request
    bool ended = false;      // will send no more
    EventLoop::TimerId idle = 0;
  };

  void on_accept();
  void on_client(uint64_t id, uint32_t events);
  void read_some(uint64_t id);
  void take_request(uint64_t id);
  void respond(uint64_t id, const Answer& answer);
  void write_some(uint64_t id);
  void update_interest(uint64_t id);
  void restart_idle_timer(uint64_t id);
  void drop(uint64_t id);

  EventLoop& loop_;
  std::string path_;
  Handler handler_;
  std::chrono::milliseconds idle_max_;
  UniqueFd listener_;
  std::map<uint64_t, Client> clients_;
  uint64_t next_id_ = 1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace millrace::ctl
