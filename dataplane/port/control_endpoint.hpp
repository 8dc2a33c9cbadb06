// SPDX-License-Identifier: Apache-2.0
#pragma once
// The data plane's end of abi/control_protocol.hpp.
//
// Listens on `<run-dir>/dataplane.sock` for the life of the process. The control plane may come,
// die and come back: a new connection replaces the old one. Requests are served one at a time by
// the main core; while it waits for the workers, it serves nothing else, and the workers never wait
// for it.
//
// Threads: main. Failure: the constructor throws Failed; a bad request is answered and changes
// nothing.

#include <string>

#include "dataplane/port/appliance.hpp"

namespace millrace::dp {

class ControlEndpoint {
 public:
  ControlEndpoint(const std::string& run_dir, Appliance& appliance);
  ~ControlEndpoint();
  ControlEndpoint(const ControlEndpoint&) = delete;
  ControlEndpoint& operator=(const ControlEndpoint&) = delete;

  // Serves until a `stop` request, or until `signal_fd` is readable.
  void serve(int signal_fd);

 private:
  void accept_one();
  bool serve_one();  // false: stop was asked for
  void send_reply(const void* bytes, size_t len, int fd = -1);

  std::string path_;
  Appliance& appliance_;
  int listen_ = -1;
  int peer_ = -1;
};

}  // namespace millrace::dp
