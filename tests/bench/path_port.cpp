// SPDX-License-Identifier: Apache-2.0
// The worker of the appliance on a port that never runs dry: net_pcap with infinite_rx=1, which
// plays a capture from memory for ever and drops what is sent.
//
//   path-port [options] --capture FILE     writes the capture and ends
//   path-port [options] --play FILE        plays it; reads `LOOP MILLISECONDS` from stdin, answers
//                                          each line with one line of JSON; ends with its input
//
//   --names N  --zipf  --packets N  --v6  --edns PERCENT  --no-checksum  --hugepages  --core CPU
//
// LOOP is what the core runs meanwhile:
//
//   worker    LcoreLoop::run(), the code of the appliance; one reply of 1024 is compared with what
//             it must be, octet for octet
//   step      the same parts in the same order, with Worker::step alone timed
//   single    the same, but each packet of a burst has a step (and a send) to itself
//   forward   receive and send: what the port costs
//   swap      the same, and MAC, IP and UDP addresses swapped: what testpmd's 5tswap does
//
// A reading is taken from the port's own statistics and the TSC, at both ends, after a time for
// warming up. tools/bench path drives this program and dpdk-testpmd in turns.

#include "dataplane/port/eal.hpp"
#include "dataplane/port/lcore_loop.hpp"
#include "tests/bench/bench_plane.hpp"
#include "tests/bench/traffic.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <string>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
#include <unistd.h>

namespace millrace::dp {

// Reaches the parts of a turn, to time them.
class LoopProbe {
 public:
  explicit LoopProbe(LcoreLoop& loop) : loop_(loop) {}

  // One turn; the ticks of step() are added to `ticks`.
  uint32_t turn(uint64_t& ticks) {
    loop_.receive();
    const uint32_t packets = loop_.io_->rx_cnt;
    step(ticks);
    finish();
    return packets;
  }

  uint32_t turn_of_singles(uint64_t& ticks) {
    StepIo& io = *loop_.io_;
    loop_.receive();
    Frame burst[kBurstMax];
    const uint32_t packets = io.rx_cnt;
    std::copy_n(io.rx, packets, burst);
    for (uint32_t i = 0; i < packets; ++i) {
      io.rx[0] = burst[i];
      io.rx_cnt = 1;
      step(ticks);
      finish();
    }
    return packets;
  }

 private:
  void step(uint64_t& ticks) {
    loop_.fill_stock();
    const uint64_t now_ns = loop_.clock_.now_ns();
    const uint64_t start = rte_rdtsc();
    loop_.logic_.step(*loop_.io_, now_ns);
    ticks += rte_rdtsc() - start;
  }
  void finish() {
    loop_.send();
    loop_.give_back();
    loop_.readers_.quiescent(loop_.worker_);
  }

  LcoreLoop& loop_;
};

}  // namespace millrace::dp

namespace millrace::test {
namespace {

constexpr uint32_t kSamplePeriod = 1024;
constexpr uint32_t kSamplesMax = 16384;
constexpr uint32_t kSampleBytes = 256;
constexpr useconds_t kWarmUpUs = 60'000;

struct Options {
  TrafficPlan traffic;
  std::string capture, play;
  bool hugepages = false;
  int core = 1;
};

// Copies of replies on their way to the port. The lcore writes, the main thread reads once the
// lcore has ended its loop.
struct Sampler {
  bool on = false;
  uint64_t seen = 0, due = 0;
  uint32_t cnt = 0;
  uint16_t len[kSamplesMax];
  uint8_t bytes[kSamplesMax][kSampleBytes];

  static uint16_t take(uint16_t, uint16_t, rte_mbuf** mbufs, uint16_t n, void* self) {
    auto& s = *static_cast<Sampler*>(self);
    s.seen += n;
    if (s.seen < s.due || !s.on || s.cnt == kSamplesMax) return n;
    s.due = s.seen + kSamplePeriod;
    const rte_mbuf* mbuf = mbufs[s.cnt % n];  // each place in a burst in turn
    s.len[s.cnt] = mbuf->data_len;
    std::memcpy(s.bytes[s.cnt], rte_pktmbuf_mtod(mbuf, const void*),
                std::min<uint32_t>(mbuf->data_len, kSampleBytes));
    ++s.cnt;
    return n;
  }
};

abi::BootSection boot_of(const Options& options, const std::string& capture) {
  abi::BootSection boot{};
  boot.workers = boot.ports = boot.shards = 1;
  // The port keeps the whole capture in buffers of the pool.
  boot.frames_per_worker = options.traffic.packets + 8192;
  boot.hugepages = options.hugepages ? 1 : 0;
  boot.cores[0] = options.core == 0 ? 1 : 0;
  boot.cores[1] = options.core;
  std::snprintf(boot.port[0].name, sizeof boot.port[0].name, "capture");
  const std::string device = "net_pcap0,rx_pcap=" + capture + ",infinite_rx=1";
  if (device.size() >= sizeof boot.port[0].device) throw dp::Failed(capture + ": too long a path");
  std::snprintf(boot.port[0].device, sizeof boot.port[0].device, "%s", device.c_str());
  return boot;
}

void swap_addresses(rte_mbuf* mbuf) {
  auto* eth = rte_pktmbuf_mtod(mbuf, uint8_t*);
  std::swap_ranges(eth, eth + 6, eth + 6);
  uint8_t* ip = eth + 14;
  const bool v6 = eth[12] == 0x86;
  const uint32_t address_bytes = v6 ? 16 : 4;
  uint8_t* source = ip + (v6 ? 8 : 12);
  std::swap_ranges(source, source + address_bytes, source + address_bytes);
  uint8_t* udp = source + 2 * address_bytes;
  std::swap_ranges(udp, udp + 2, udp + 2);
}

class Player {
 public:
  Player(const Options& options, const abi::BootSection& boot)
      : traffic_(options.traffic),
        readers_(1),
        ports_(boot),
        plane_(region_bytes_for(options.traffic.names), options.hugepages, readers_.grace()),
        loop_(0, ports_, readers_, clock_, plane_.worker(), stop_),
        sampler_(new Sampler) {
    plane_.fill(0, options.traffic.names, clock_.now_ns() / 1'000'000);
    filled_ns_ = clock_.now_ns();
    port_ = ports_.queue(0, 0).port;
    if (rte_eth_add_tx_callback(port_, 0, &Sampler::take, sampler_.get()) == nullptr) {
      throw dp::Failed("this DPDK has no transmit callbacks");
    }
  }

  // False: there is no such loop.
  bool play(const std::string& loop, uint32_t milliseconds) {
    const stats::CoreCounters before = plane_.worker().counters();
    step_packets_ = step_ticks_ = 0;
    sampler_->cnt = 0;
    sampler_->on = loop == "worker";
    const std::function<void()> run = loop_named(loop);
    if (!run) return false;
    stop_.store(false, std::memory_order_relaxed);  // the launch orders it
    const auto call = [](void* what) {
      (*static_cast<const std::function<void()>*>(what))();
      return 0;
    };
    if (rte_eal_remote_launch(call, const_cast<std::function<void()>*>(&run), 1) != 0) {
      throw dp::Failed("the core does not start");
    }
    usleep(kWarmUpUs);
    const Reading start = read();
    usleep(milliseconds * 1000);
    const Reading end = read();
    stop_.store(true, std::memory_order_relaxed);  // the wait orders everything else
    rte_eal_wait_lcore(1);
    report(loop, before, start, end);
    return true;
  }

 private:
  struct Reading {
    uint64_t packets, ticks;
  };

  Reading read() const {
    rte_eth_stats stats{};
    rte_eth_stats_get(port_, &stats);
    return {stats.ipackets, rte_rdtsc()};
  }

  std::function<void()> loop_named(const std::string& loop) {
    if (loop == "worker") return [this] { loop_.run(); };
    if (loop == "step") return [this] { probe(&dp::LoopProbe::turn); };
    if (loop == "single") return [this] { probe(&dp::LoopProbe::turn_of_singles); };
    if (loop == "forward") return [this] { forward(false); };
    if (loop == "swap") return [this] { forward(true); };
    return {};
  }

  void probe(uint32_t (dp::LoopProbe::*turn)(uint64_t&)) {
    dp::LoopProbe parts(loop_);
    readers_.online(0);
    // Relaxed: see play().
    while (!stop_.load(std::memory_order_relaxed))
      step_packets_ += (parts.*turn)(step_ticks_);
    readers_.offline(0);
  }

  void forward(bool swap) {
    rte_mbuf* mbufs[kBurstMax];
    // Relaxed: see play().
    while (!stop_.load(std::memory_order_relaxed)) {
      const uint16_t cnt = rte_eth_rx_burst(port_, 0, mbufs, kBurstMax);
      if (swap) {
        for (uint16_t i = 0; i < cnt; ++i) {
          if (i + 1 < cnt) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + 1], void*));
          swap_addresses(mbufs[i]);
        }
      }
      const uint16_t sent = rte_eth_tx_burst(port_, 0, mbufs, cnt);
      if (sent < cnt) rte_pktmbuf_free_bulk(mbufs + sent, cnt - sent);
    }
  }

  // Samples that are not what they must be.
  uint32_t wrong_samples() const {
    const auto waited_s = static_cast<uint32_t>((clock_.now_ns() - filled_ns_) / 1'000'000'000);
    uint32_t wrong = 0;
    for (uint32_t s = 0; s < sampler_->cnt; ++s) {
      const uint8_t* bytes = sampler_->bytes[s];
      const uint16_t len = sampler_->len[s];
      std::size_t ttl_at = 0;
      const uint32_t i = traffic_.query_of(bytes, len, ttl_at);
      bool good = len <= kSampleBytes && i < traffic_.packet_cnt();
      if (good) {
        const uint32_t ttl_s = uint32_t{bytes[ttl_at]} << 24 | uint32_t{bytes[ttl_at + 1]} << 16 |
                               uint32_t{bytes[ttl_at + 2]} << 8 | bytes[ttl_at + 3];
        good = ttl_s <= kAnswerTtlS && ttl_s + waited_s + 1 >= kAnswerTtlS &&
               traffic_.reply(i, ttl_s) == Bytes(bytes, bytes + len);
      }
      wrong += good ? 0 : 1;
    }
    return wrong;
  }

  void report(const std::string& loop, const stats::CoreCounters& before, const Reading& start,
              const Reading& end) {
    const auto& now = plane_.worker().counters();
    const auto delta = [&](auto which) {
      return static_cast<unsigned long long>(now.of(which) - before.of(which));
    };
    std::printf(
        "{\"loop\": \"%s\", \"packets\": %llu, \"ticks\": %llu, \"tsc_hz\": %llu, "
        "\"step_packets\": %llu, \"step_ticks\": %llu, \"steps\": %llu, \"rx\": %llu, "
        "\"hits\": %llu, \"tx\": %llu, \"sleeps\": %llu, \"samples\": %u, \"wrong\": %u}\n",
        loop.c_str(), static_cast<unsigned long long>(end.packets - start.packets),
        static_cast<unsigned long long>(end.ticks - start.ticks),
        static_cast<unsigned long long>(rte_get_tsc_hz()),
        static_cast<unsigned long long>(step_packets_),
        static_cast<unsigned long long>(step_ticks_), delta(abi::Event::steps),
        static_cast<unsigned long long>(now.rx_packets - before.rx_packets),
        delta(abi::Outcome::hit), delta(abi::Event::tx_packets), delta(abi::Event::sleeps),
        sampler_->cnt, wrong_samples());
    std::fflush(stdout);
  }

  Traffic traffic_;
  dp::BootClock clock_;
  dp::ReaderSet readers_;
  dp::PortSet ports_;
  BenchPlane plane_;
  std::atomic<bool> stop_{false};
  dp::LcoreLoop loop_;
  std::unique_ptr<Sampler> sampler_;
  uint16_t port_ = 0;
  uint64_t filled_ns_ = 0;
  uint64_t step_packets_ = 0, step_ticks_ = 0;
};

int play(const Options& options) {
  const abi::BootSection boot = boot_of(options, options.play);
  dp::start_eal(boot, "millrace-bench");
  {
    Player player(options, boot);
    std::printf("{\"ready\": true, \"names\": %u}\n", options.traffic.names);
    std::fflush(stdout);
    std::string loop;
    uint32_t milliseconds = 0;
    while (std::cin >> loop >> milliseconds) {
      if (!player.play(loop, milliseconds)) throw dp::Failed(loop + ": no such loop");
    }
  }
  rte_eal_cleanup();
  return 0;
}

bool read_options(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool last = i + 1 == argc;
    if (word == "--zipf") {
      options.traffic.zipf = true;
    } else if (word == "--v6") {
      options.traffic.v6 = true;
    } else if (word == "--no-checksum") {
      options.traffic.udp_checksum = false;
    } else if (word == "--hugepages") {
      options.hugepages = true;
    } else if (last) {
      return false;
    } else if (word == "--names") {
      options.traffic.names = static_cast<uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    } else if (word == "--packets") {
      options.traffic.packets = static_cast<uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    } else if (word == "--edns") {
      options.traffic.edns_percent = static_cast<uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    } else if (word == "--core") {
      options.core = std::atoi(argv[++i]);
    } else if (word == "--capture") {
      options.capture = argv[++i];
    } else if (word == "--play") {
      options.play = argv[++i];
    } else {
      return false;
    }
  }
  return options.capture.empty() != options.play.empty() && options.traffic.names != 0 &&
         options.traffic.packets != 0;
}

int run(int argc, char** argv) {
  Options options;
  if (!read_options(argc, argv, options)) {
    std::fprintf(stderr, "path-port: wrong options; the head of path_port.cpp lists them\n");
    return 2;
  }
  try {
    if (options.capture.empty()) return play(options);
  } catch (const dp::Failed& failed) {
    std::fprintf(stderr, "path-port: %s\n", failed.what());
    return 1;
  }
  const Traffic traffic(options.traffic);
  if (!write_capture(traffic, options.capture)) {
    std::fprintf(stderr, "path-port: %s cannot be written\n", options.capture.c_str());
    return 1;
  }
  std::printf("{\"packets\": %u, \"distinct_names\": %u}\n", traffic.packet_cnt(),
              traffic.distinct_names());
  return 0;
}

}  // namespace
}  // namespace millrace::test

int main(int argc, char** argv) {
  return millrace::test::run(argc, argv);
}
