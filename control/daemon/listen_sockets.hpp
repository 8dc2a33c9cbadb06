// SPDX-License-Identifier: Apache-2.0
#pragma once
// The TCP sockets that listen at the service addresses.
//
// They are opened here and not by the data plane, which gets copies: so while it is away, clients'
// connections are taken by the kernel and wait for the next one (design: a restart loses no query).
// A socket is kept for as long as its address is in the config. The address need not be on this
// host: packets to it may be routed here.
//
// Threads: the event loop's. Failure: an address where nobody can listen is named by use(), and the
// others are served.

#include "control/config/model.hpp"
#include "control/daemon/unique_fd.hpp"
#include "dataplane/abi/control_protocol.hpp"

#include <string>
#include <vector>

namespace millrace::ctl {

class ListenSockets {
 public:
  // Opens what is missing for this config, closes what it does not have. Answers one line for each
  // address at which nobody can listen.
  std::vector<std::string> use(const Config& config);

  // All of them, to be sent to the data plane.
  struct Handout {
    abi::SocketsRequest request{};
    std::vector<UniqueFd> copies;
  };
  Handout hand_out() const;

 private:
  struct Socket {
    abi::Address address;
    UniqueFd fd;
  };
  std::vector<Socket> sockets_;
};

}  // namespace millrace::ctl
