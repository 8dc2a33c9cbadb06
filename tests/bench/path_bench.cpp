// SPDX-License-Identifier: Apache-2.0
// What one cache hit costs in a worker: Worker::step over bursts of queries in memory, no driver.
//
//   path-bench [names] [v4|v6]             TSC ticks per hit: lowest and median of the rounds
//   path-bench --count [names] [v4|v6]     one round, for callgrind: instructions per hit are those
//                                          of Worker::step divided by the hits that it prints
//
// The frames of a burst are written anew before each step and are outside of what is measured.

#include "dataplane/worker/worker.hpp"
#include "tests/sim/plane.hpp"
#include "tests/support/packet_builder.hpp"
#include "tests/support/packet_reader.hpp"
#include "tests/unit/worker/images.hpp"

#include <x86intrin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

namespace millrace::test {
namespace {

constexpr uint32_t kRounds = 400;
constexpr uint32_t kBursts = 64;  // in one round
constexpr uint32_t kRoom = 2048;

class Bench {
 public:
  Bench(uint32_t names, bool v6) : plane_(plan_of(names), random_), memory_(kFrames * kRoom) {
    config_ = make_config(2);
    routes_ = make_routes(*config_);
    plane_.config().publish(config_.get());
    plane_.routes().publish(routes_.get());
    for (uint32_t i = 0; i < kFrames; ++i) free_.push_back(memory_.data() + size_t{i} * kRoom);
    for (uint32_t i = 0; i < names; ++i) learn("www" + std::to_string(i) + ".example.com", v6);
    std::shuffle(queries_.begin(), queries_.end(), std::mt19937(7));
  }

  // Ticks of kBursts steps, all of them full of hits.
  uint64_t round() {
    uint64_t ticks = 0;
    for (uint32_t burst = 0; burst < kBursts; ++burst) {
      for (uint32_t i = 0; i < kBurstMax; ++i) {
        arrive(queries_[next_]);
        next_ = next_ + 1 < queries_.size() ? next_ + 1 : 0;
      }
      ticks += measured_step();
      take_all();
    }
    now_ns_ += 1'000'000;
    return ticks;
  }

  [[gnu::noinline]] uint64_t measured_step() {
    const uint64_t start = __rdtsc();
    plane_.core(0).worker->step(io(), now_ns_);
    return __rdtsc() - start;
  }

  uint64_t hits() const { return plane_.outcome(abi::Outcome::hit); }

 private:
  static constexpr uint32_t kFrames = 512;

  static sim::Plan plan_of(uint32_t names) {
    sim::Plan plan;
    plan.region_bytes = std::max<uint32_t>(8u << 20, names * 512);
    plan.pendings = plan.waiters = 256;
    return plan;
  }

  dp::StepIo& io() { return plane_.core(0).io; }

  Frame take_frame() {
    Frame frame{};
    frame.data = free_.back();
    frame.room = kRoom;
    free_.pop_back();
    return frame;
  }

  void arrive(const Bytes& bytes) {
    Frame frame = take_frame();
    std::memcpy(frame.data, bytes.data(), bytes.size());
    frame.len = static_cast<uint16_t>(bytes.size());
    io().rx[io().rx_cnt++] = frame;
  }

  void take_all() {
    for (uint32_t i = 0; i < io().tx_cnt; ++i) free_.push_back(io().tx[i].data);
    for (uint32_t i = 0; i < io().done_cnt; ++i) free_.push_back(io().done[i].data);
    io().tx_cnt = io().done_cnt = 0;
  }

  // Asks for the name, plays the upstream, keeps the query.
  void learn(const std::string& name, bool v6) {
    const Bytes query = DnsBuilder().id(0x77).rd().question(name, kTypeA).opt().build();
    const Bytes frame = v6 ? FrameBuilder().from("fd00:18::9", 4000).to(kServiceV6, 53)
                                 .payload(query).build()
                           : FrameBuilder().from("198.18.0.9", 4000).to(kServiceV4, 53)
                                 .payload(query).build();
    queries_.push_back(frame);
    while (io().stock_cnt < dp::kStockNeed) io().stock[io().stock_cnt++] = take_frame();
    arrive(frame);
    plane_.step(0, now_ns_);
    Bytes answer;
    for (uint32_t i = 0; i < io().tx_cnt; ++i) {
      const Frame& sent = io().tx[i];
      std::string why;
      const auto asked = read_frame(Bytes(sent.data, sent.data + sent.len), &why);
      const auto message = read_message(asked->payload, &why);
      if (message->questions.at(0).type != kTypeA) continue;  // a probe
      answer = FrameBuilder()
                   .from("198.18.1." + std::to_string(asked->target.bytes[3]), 53)
                   .to(kSourceV4, __builtin_bswap16(asked->source.port_be))
                   .payload(DnsBuilder().id(message->id).response().rd()
                                .question(Name::wire(message->questions[0].name), kTypeA)
                                .answer(Name::pointer(12), kTypeA, 86400, rdata_a("198.18.7.7"))
                                .build())
                   .build();
    }
    take_all();
    arrive(answer);
    plane_.step(0, now_ns_);
    take_all();
  }

  sim::Random random_{1};
  sim::Plane plane_;
  std::unique_ptr<abi::ConfigImage> config_;
  std::unique_ptr<abi::RoutesImage> routes_;
  std::vector<uint8_t> memory_;
  std::vector<uint8_t*> free_;
  std::vector<Bytes> queries_;
  size_t next_ = 0;
  uint64_t now_ns_ = 1'000'000'000'000;
};

int run(uint32_t names, bool v6, bool count) {
  Bench bench(names, v6);
  const uint64_t before = bench.hits();
  const uint32_t rounds = count ? 1 : kRounds;
  std::vector<double> ticks;
  for (uint32_t i = 0; i < rounds; ++i) {
    ticks.push_back(static_cast<double>(bench.round()) / (kBursts * kBurstMax));
  }
  const uint64_t hits = bench.hits() - before;
  if (hits != uint64_t{rounds} * kBursts * kBurstMax) {
    std::fprintf(stderr, "path-bench: only %llu hits\n", static_cast<unsigned long long>(hits));
    return 1;
  }
  std::sort(ticks.begin(), ticks.end());
  std::printf("%u names, IPv%d, %llu hits: %.1f ticks per hit at best, %.1f in the median\n", names,
              v6 ? 6 : 4, static_cast<unsigned long long>(hits), ticks.front(),
              ticks[ticks.size() / 2]);
  return 0;
}

}  // namespace
}  // namespace millrace::test

int main(int argc, char** argv) {
  uint32_t names = 1000;
  bool v6 = false;
  bool count = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--count") {
      count = true;
    } else if (word == "v4" || word == "v6") {
      v6 = word == "v6";
    } else {
      names = static_cast<uint32_t>(std::strtoul(argv[i], nullptr, 10));
    }
  }
  if (names == 0) {
    std::fprintf(stderr, "usage: path-bench [--count] [names] [v4|v6]\n");
    return 2;
  }
  return millrace::test::run(names, v6, count);
}
