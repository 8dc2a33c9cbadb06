// SPDX-License-Identifier: Apache-2.0
#pragma once
// A TCP connection as seen by a simulated peer of the product, in its own thread.
// Failure: sim::Violation, for want of descriptors.

#include "tests/support/packet_builder.hpp"

namespace millrace::test {

// One end of a socket pair; the product has the other.
class Wire {
 public:
  Wire();
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  int give_end();
  void send(const Bytes& bytes);  // what there is room for, or nothing if the other side is closed
  void read();                    // all that has come
  void shut_down();
  void hang_up();
  bool all_read() const;  // of what was sent, by the other side

  Bytes sent;
  Bytes come;
  bool closed = false;  // by the other side
  bool shut = false;    // by us, for sending
  bool gone = false;    // by us, altogether

 private:
  int fds_[2];
};

}  // namespace millrace::test
