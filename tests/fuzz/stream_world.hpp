// SPDX-License-Identifier: Apache-2.0
#pragma once
// The slow path among clients and upstreams that a fuzzer plays: what check_slow_path() is made of.

#include "tests/fuzz/bench.hpp"
#include "tests/fuzz/stream_oracle.hpp"
#include "tests/support/packet_reader.hpp"
#include "tests/support/wire.hpp"

#include <memory>
#include <vector>

namespace millrace::test {

class StreamWorld {
 public:
  explicit StreamWorld(Choices& from);
  void run();

 private:
  struct Client {
    Wire wire;
    Bytes unsent;  // messages, framed
    bool may_be_closed = false;
    bool is_refused = false;  // by an access rule
  };
  // A question of ours over UDP.
  struct Asked {
    abi::Address source, target;
    uint16_t id;
    ReadQuestion question;
  };
  struct Upstream {
    Wire wire;
    std::size_t answered = 0;  // of the questions on it
  };

  void configure();
  void act();
  void connect();
  void write_message(Client& client);
  Bytes message();
  Bytes answer_to(uint16_t id, const ReadQuestion& question);
  void answer_over_udp();
  void answer_over_tcp();
  void turn();
  void judge(Client& client);
  void check_data(const Client& client, const Bytes& reply) const;
  int dial();

  Choices& from_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Upstream>> upstreams_;
  std::vector<Asked> asked_;
  bool has_rules_ = false;
  bool reachable_ = true;
  bool has_edited_ = false;  // answers may be those of anything
  Bench bench_;
};

}  // namespace millrace::test
