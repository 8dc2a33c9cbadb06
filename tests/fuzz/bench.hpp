// SPDX-License-Identifier: Apache-2.0
#pragma once
// The data plane under a fuzzer: workers, and if wanted a slow path, in one thread, small enough to
// be made anew for each input. All random numbers come from one seed, so an input always does the
// same.
//
// What is true after every turn and at the end of every input is demanded here: each received frame
// has one outcome, no frame is lost or comes back twice, every query that waited got its end.
// Failure: throws sim::Violation.

#include "tests/sim/plane.hpp"
#include "tests/unit/worker/images.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace millrace::test {

class Bench {
 public:
  static constexpr uint32_t kTryMs = 100;
  static constexpr uint32_t kGiveUpMs = 400;

  // `dial`: as in sim::Plane; with it there is a slow path.
  Bench(uint32_t workers, uint32_t backends, slow::TcpUpstreams::Dial dial = nullptr);

  // A frame that the data plane sends, and one that it gives back unsent.
  std::function<void(uint32_t worker, const sim::Cargo&, const Bytes& frame, uint8_t port)> on_sent;
  std::function<void(uint32_t worker, const sim::Cargo&)> on_done;

  abi::ServiceSection& service() { return config->service; }
  void publish(uint32_t usable = 0xffff'ffff);  // `config`, and routes to these backends

  // False: it is lost, for want of a frame or of room in the burst.
  bool arrive(uint32_t worker, const Bytes& frame, uint8_t port, const sim::Cargo& cargo);
  uint32_t turn();  // everybody's; how much there was to do
  void pass_ms(uint64_t ms) { now_ns += ms * kMs; }
  // Lets time pass until nobody waits for anything.
  void settle();

  sim::Random random{1};
  sim::Plan plan;
  sim::Plane plane;
  std::unique_ptr<abi::ConfigImage> config;
  uint64_t now_ns = 100'000 * kMs;
  uint32_t stock = 8;  // spare frames that a worker is given for a turn

 private:
  static sim::Plan plan_of(uint32_t workers);
  void step(uint32_t worker);
  bool is_quiet();

  sim::FramePool frames_;
  bool has_slow_path_;
  std::vector<std::unique_ptr<abi::ConfigImage>> configs_;
  std::vector<std::unique_ptr<abi::RoutesImage>> routes_;
  uint64_t generation_ = 0;
  uint64_t delivered_ = 0;
};

// The body of a fuzz target: runs `test`, and ends the program where a law was broken.
void run_or_abort(const std::function<void()>& test);

}  // namespace millrace::test
