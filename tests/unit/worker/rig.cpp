// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/worker/rig.hpp"

#include <algorithm>

namespace millrace::test {
namespace {

uint16_t host_port(const abi::Address& address) {
  return __builtin_bswap16(address.port_be);
}

std::vector<Out> those(const std::vector<Out>& all, auto&& wanted) {
  std::vector<Out> some;
  std::copy_if(all.begin(), all.end(), std::back_inserter(some), wanted);
  return some;
}

}  // namespace

sim::Plan Rig::plan_of(uint32_t workers, uint32_t pendings, uint32_t waiters) {
  sim::Plan plan;
  plan.workers = plan.shards = workers;
  plan.pendings = pendings;
  plan.waiters = waiters;
  return plan;
}

Rig::Rig(uint32_t workers, uint32_t backends, uint32_t pendings, uint32_t waiters,
         slow::TcpUpstreams::Dial dial)
    : plan(plan_of(workers, pendings, waiters)),
      plane(plan, random, dial),
      frames(4096),
      has_slow_path(dial != nullptr) {
  config = make_config(backends);
  publish();
}

Rig::~Rig() {
  // Whoever still waits is answered, whatever was asked is given up.
  clear();
  wait_ms(3ull * config->service.upstream_give_up_ms);
  for (uint32_t w = 0; w < plan.workers; ++w) {
    dp::StepIo& io = plane.core(w).io;
    while (io.stock_cnt > 0)
      frames.give_back(io.stock[--io.stock_cnt]);
    EXPECT_EQ(plane.core(w).worker->counters().rx_packets,
              plane.core(w).worker->counters().outcome_sum());
  }
  EXPECT_EQ(frames.free_cnt(), frames.frame_cnt()) << "frames were lost";
  EXPECT_EQ(plane.rx_packets(), received_);
  uint64_t misses = outcome(Outcome::miss);
  if (has_slow_path) {
    const auto& counters = plane.slow().counters();
    misses += counters.of(Outcome::miss);
    EXPECT_EQ(counters.rx_packets, counters.outcome_sum());
    EXPECT_EQ(plane.slow().frames_out(), 0u);
  }
  EXPECT_EQ(misses, event(Event::waiter_answered) + event(Event::waiter_failed));
}

void Rig::publish() {
  publish_config();
  publish_routes();
}

void Rig::publish_config() {
  config->header.generation = ++generation_;
  old_configs_.push_back(std::make_unique<abi::ConfigImage>(*config));
  plane.config().publish(old_configs_.back().get());
}

void Rig::publish_routes(uint32_t usable, uint32_t by_port_1) {
  routes = make_routes(*config, ++routes_generation_);
  for (uint32_t i = 0; i < routes->backends; ++i) {
    routes->hop[i].usable = static_cast<uint8_t>(usable >> i & 1);
    routes->hop[i].port = static_cast<uint8_t>(by_port_1 >> i & 1);
    // The backend's number, so that Out::backend() tells who was asked in whatever order.
    routes->hop[i].target_mac[5] =
        static_cast<uint8_t>(config->service.backend[i].address.bytes[3] - 10);
  }
  old_routes_.push_back(std::make_unique<abi::RoutesImage>(*routes));
  plane.routes().publish(old_routes_.back().get());
}

void Rig::arrive(const Bytes& frame, uint32_t worker, uint8_t port) {
  dp::StepIo& io = plane.core(worker).io;
  ASSERT_LT(io.rx_cnt, kBurstMax);
  io.rx[io.rx_cnt++] = frames.take({}, frame, port);
  received_ += 1;
}

DnsBuilder Rig::query(const std::string& name, uint16_t type) const {
  return DnsBuilder().id(0x77).rd().question(name, type);
}

void Rig::ask(const std::string& name, uint16_t port, uint32_t worker, uint16_t type) {
  ask(query(name, type), port, worker);
}

void Rig::ask(const DnsBuilder& query, uint16_t port, uint32_t worker) {
  arrive(FrameBuilder().from("198.18.0.9", port).to(kServiceV4, 53).payload(query.build()).build(),
         worker);
}

DnsBuilder Rig::answer_to(const Out& asked) const {
  const ReadQuestion& question = asked.message.questions.at(0);
  return DnsBuilder()
      .id(asked.message.id)
      .response()
      .rd()
      .question(Name::wire(question.name), question.type);
}

DnsBuilder Rig::data_for(const Out& asked, uint32_t ttl_s) const {
  return answer_to(asked).answer(Name::pointer(12), kTypeA, ttl_s, rdata_a("198.18.7.7"));
}

void Rig::answer(const Out& asked, const DnsBuilder& message) {
  answer_from(message, "198.18.1." + std::to_string(10 + asked.backend()), 53,
              host_port(asked.frame.source), asked.worker, asked.port);
}

void Rig::answer_from(const DnsBuilder& message, const std::string& from, uint16_t from_port,
                      uint16_t to_port, uint32_t worker, uint8_t in_by) {
  arrive(
      FrameBuilder().from(from, from_port).to(kSourceV4, to_port).payload(message.build()).build(),
      worker, in_by);
}

void Rig::step(uint32_t worker) {
  dp::StepIo& io = plane.core(worker).io;
  while (stocked && io.stock_cnt < dp::kStockNeed) {
    io.stock[io.stock_cnt++] = frames.take({}, {}, 0);
  }
  plane.step(worker, now_ns);
  for (uint32_t i = 0; i < io.done_cnt; ++i)
    frames.give_back(io.done[i]);
  for (uint32_t i = 0; i < io.tx_cnt; ++i) {
    Bytes bytes;
    frames.give_back(io.tx[i], &bytes);
    std::string why;
    auto frame = read_frame(bytes, &why);
    ASSERT_TRUE(frame.has_value()) << why;
    auto message = read_message(frame->payload, &why);
    ASSERT_TRUE(message.has_value()) << why;
    out.push_back({worker, io.tx[i].port, *frame, *message});
  }
  io.done_cnt = io.tx_cnt = 0;
}

void Rig::step_all(uint32_t rounds) {
  for (uint32_t i = 0; i < rounds; ++i) {
    if (has_slow_path) plane.slow_turn(now_ns);
    for (uint32_t w = 0; w < plan.workers; ++w)
      step(w);
  }
}

void Rig::wait_ms(uint64_t ms) {
  for (uint64_t done = 0; done < ms; done += 5) {
    jump_ms(5);
    step_all();
  }
}

std::vector<Out> Rig::replies() const {
  return those(out, [](const Out& one) { return one.is_reply(); });
}

std::vector<Out> Rig::asked() const {
  return those(out, [](const Out& one) { return !one.is_reply() && one.name().size() > 1; });
}

std::vector<Out> Rig::probes() const {
  return those(out, [](const Out& one) { return !one.is_reply() && one.name().size() == 1; });
}

Out Rig::only_reply() const {
  EXPECT_EQ(replies().size(), 1u);
  return replies().empty() ? Out{} : replies()[0];
}

Out Rig::only_asked() const {
  EXPECT_EQ(asked().size(), 1u);
  return asked().empty() ? Out{} : asked()[0];
}

}  // namespace millrace::test
