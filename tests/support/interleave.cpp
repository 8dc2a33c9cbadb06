// SPDX-License-Identifier: Apache-2.0
#include "tests/support/interleave.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define MR_MODEL_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define MR_MODEL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MR_MODEL_ASAN 1
#elif __has_feature(thread_sanitizer)
#define MR_MODEL_TSAN 1
#endif
#endif

#ifdef MR_MODEL_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef MR_MODEL_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace millrace::test {
namespace {

[[noreturn]] void misuse(const char* what) {
  std::fprintf(stderr, "interleave: %s\n", what);
  std::abort();
}

// A fiber lives as long as the process and runs one body after the other, so that the sanitizers
// see calls and returns in pairs.
struct Fiber {
  static constexpr std::size_t kStackBytes = 256 * 1024;

  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  const void* stack_bottom = nullptr;
  std::size_t stack_bytes = 0;
  void* fake_stack = nullptr;
  void* tsan = nullptr;
  bool started = false;

  std::function<void()> body;
  bool runnable = false;
  bool fresh = false;  // chosen, or to be chosen, for its first access
};

struct Decision {
  uint32_t taken;
  uint32_t options;
};

void join(model::Clock& into, const model::Clock& from) {
  for (uint32_t t = 0; t < kModelThreadsMax; ++t)
    into[t] = std::max(into[t], from[t]);
}

class Machine {
 public:
  static Machine& get() {
    static Machine machine;
    return machine;
  }

  Explored explore(const Limits& limits, const std::function<void(Trial&)>& scenario) {
    limits_ = limits;
    path_.clear();
    Explored result;
    do {
      begin_run();
      Trial trial;
      scenario(trial);
      ++result.runs;
      if (begin_again_) {
        path_.clear();
        continue;
      }
      if (!failure_.empty()) {
        result.failure = failure_ + " [run " + std::to_string(result.runs) + ", " + trace() + "]";
        return result;
      }
      if (!advance()) {
        result.complete = true;
        return result;
      }
    } while (result.runs < limits.runs_max);
    result.failure = "not complete after " + std::to_string(result.runs) + " runs";
    return result;
  }

  void run_threads(std::initializer_list<std::function<void()>> bodies) {
    if (current_ != 0) misuse("threads() inside a thread");
    if (bodies.size() >= kModelThreadsMax) misuse("too many threads");
    uint32_t thread = 0;
    for (const auto& body : bodies) {
      Fiber& fiber = fibers_[++thread];
      fiber.body = body;
      fiber.runnable = true;
      fiber.fresh = true;
      clocks_[thread] = clocks_[0];
    }
    switch_to(pick_runnable());
    for (uint32_t t = 1; t <= bodies.size(); ++t)
      join(clocks_[0], clocks_[t]);
  }

  // Called before each access to an atomic: somebody else may go first.
  void stop_here() {
    // Whoever has just been chosen to start was chosen to make this access.
    const bool chosen = std::exchange(fibers_[current_].fresh, false);
    if (current_ != 0 && !chosen && preemptions_left_ > 0) {
      uint32_t others[kModelThreadsMax];
      uint32_t cnt = 0;
      for (uint32_t t = 1; t < kModelThreadsMax; ++t) {
        if (t != current_ && fibers_[t].runnable) others[cnt++] = t;
      }
      if (const uint32_t taken = choose(cnt + 1); taken != 0) {
        --preemptions_left_;
        switch_to(others[taken - 1]);
      }
    }
    tick();
  }

  // 0 = newest, 1 = the one before, ...
  uint32_t choose_age(uint32_t options) {
    if (stale_reads_left_ == 0) return 0;
    const uint32_t age = choose(options);
    if (age != 0) --stale_reads_left_;
    return age;
  }

  void fail(const std::string& what) {
    if (failure_.empty()) failure_ = what;
  }

  void begin_again() { begin_again_ = true; }

  // A plain access is an event of its own: what was released before it does not cover it.
  model::Clock& tick() {
    ++clocks_[current_][current_];
    return clocks_[current_];
  }

  uint32_t current() const { return current_; }
  model::Clock& clock() { return clocks_[current_]; }

 private:
  void begin_run() {
    position_ = 0;
    preemptions_left_ = limits_.preemptions_max;
    stale_reads_left_ = limits_.stale_reads_max;
    failure_.clear();
    begin_again_ = false;
    for (uint32_t t = 0; t < kModelThreadsMax; ++t) {
      clocks_[t].fill(0);
      clocks_[t][t] = 1;
    }
  }

  uint32_t choose(uint32_t options) {
    if (options == 1) return 0;
    if (position_ == path_.size()) path_.push_back({0, options});
    if (path_[position_].options != options) misuse("the scenario is not deterministic");
    return path_[position_++].taken;
  }

  // To the next path in depth-first order; false when there is none.
  bool advance() {
    path_.resize(position_);
    while (!path_.empty() && path_.back().taken + 1 == path_.back().options)
      path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().taken;
    return true;
  }

  std::string trace() const {
    std::string text = "decisions";
    for (uint32_t i = 0; i < position_; ++i)
      text += " " + std::to_string(path_[i].taken);
    return text;
  }

  uint32_t pick_runnable() {
    uint32_t runnable[kModelThreadsMax];
    uint32_t cnt = 0;
    for (uint32_t t = 1; t < kModelThreadsMax; ++t) {
      if (fibers_[t].runnable) runnable[cnt++] = t;
    }
    return cnt == 0 ? 0 : runnable[choose(cnt)];
  }

  void switch_to(uint32_t next) {
    Fiber& from = fibers_[current_];
    Fiber& to = fibers_[next];
    if (next != 0 && !to.started) start(to);
    current_ = next;
#ifdef MR_MODEL_ASAN
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack_bottom, to.stack_bytes);
#endif
#ifdef MR_MODEL_TSAN
    if (from.tsan == nullptr) from.tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.tsan, 0);
#endif
    swapcontext(&from.context, &to.context);
    arrived(from);
  }

  // First thing on a stack that was switched to.
  void arrived([[maybe_unused]] Fiber& self) {
#ifdef MR_MODEL_ASAN
    const void* bottom = nullptr;
    std::size_t bytes = 0;
    __sanitizer_finish_switch_fiber(self.fake_stack, &bottom, &bytes);
    if (fibers_[0].stack_bottom == nullptr) {  // only the first switch away from it tells
      fibers_[0].stack_bottom = bottom;
      fibers_[0].stack_bytes = bytes;
    }
#endif
  }

  void start(Fiber& fiber) {
    fiber.stack = std::make_unique<char[]>(Fiber::kStackBytes);
    fiber.stack_bottom = fiber.stack.get();
    fiber.stack_bytes = Fiber::kStackBytes;
    fiber.started = true;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = Fiber::kStackBytes;
    makecontext(&fiber.context, &Machine::fiber_main, 0);
#ifdef MR_MODEL_TSAN
    fiber.tsan = __tsan_create_fiber(0);
#endif
  }

  static void fiber_main() {
    Machine& machine = get();
    const uint32_t self = machine.current_;
    machine.arrived(machine.fibers_[self]);
    for (;;) {
      machine.fibers_[self].body();
      machine.fibers_[self].runnable = false;
      machine.switch_to(machine.pick_runnable());
    }
  }

  Limits limits_;
  std::vector<Decision> path_;
  uint32_t position_ = 0;
  uint32_t preemptions_left_ = 0;
  uint32_t stale_reads_left_ = 0;
  std::string failure_;
  bool begin_again_ = false;

  std::array<Fiber, kModelThreadsMax> fibers_;
  std::array<model::Clock, kModelThreadsMax> clocks_{};
  uint32_t current_ = 0;
};

}  // namespace

void Trial::threads(std::initializer_list<std::function<void()>> bodies) {
  Machine::get().run_threads(bodies);
}

void Trial::fail(const std::string& what) {
  Machine::get().fail(what);
}

Explored explore(const Limits& limits, const std::function<void(Trial&)>& scenario) {
  return Machine::get().explore(limits, scenario);
}

namespace model {

uint32_t current_thread() {
  return Machine::get().current();
}

Clock& tick() {
  return Machine::get().tick();
}

void fail(const std::string& what) {
  Machine::get().fail(what);
}

void begin_again() {
  Machine::get().begin_again();
}

History::History() {
  // The first value is there before every thread that can reach this object.
  released_.push_back(Clock{});
}

uint32_t History::floor() const {
  const Clock& clock = Machine::get().clock();
  uint32_t lowest = 0;
  for (uint32_t t = 0; t < kModelThreadsMax; ++t) {
    // Knowledge grows with time, so the last entry that happens before us is the strongest.
    for (auto it = known_[t].rbegin(); it != known_[t].rend(); ++it) {
      if (!includes(clock, t, it->epoch)) continue;
      lowest = std::max(lowest, it->store_idx);
      break;
    }
  }
  return lowest;
}

void History::know(uint32_t store_idx) const {
  Machine& machine = Machine::get();
  const uint32_t self = machine.current();
  known_[self].push_back({machine.clock()[self], store_idx});
}

uint32_t History::append(const Clock& released) {
  released_.push_back(released);
  const auto store_idx = static_cast<uint32_t>(released_.size() - 1);
  know(store_idx);
  return store_idx;
}

uint32_t History::load(bool acquire) const {
  Machine& machine = Machine::get();
  machine.stop_here();
  const auto newest = static_cast<uint32_t>(released_.size() - 1);
  const uint32_t taken = newest - machine.choose_age(newest - floor() + 1);
  know(taken);
  if (acquire) join(machine.clock(), released_[taken]);
  return taken;
}

uint32_t History::store(bool release) {
  Machine& machine = Machine::get();
  machine.stop_here();
  return append(release ? machine.clock() : Clock{});
}

uint32_t History::begin_rmw(bool acquire) {
  Machine& machine = Machine::get();
  machine.stop_here();
  const auto newest = static_cast<uint32_t>(released_.size() - 1);
  if (acquire) join(machine.clock(), released_[newest]);
  return newest;
}

uint32_t History::end_rmw(bool release) {
  Clock released = released_.back();  // the release sequence goes on
  if (release) join(released, Machine::get().clock());
  return append(released);
}

void RaceGuard::read() const {
  Machine& machine = Machine::get();
  const uint32_t self = machine.current();
  const Clock& clock = machine.tick();
  if (!includes(clock, writer_, written_)) machine.fail("data race: read of a write");
  reads_[self] = clock[self];
}

void RaceGuard::write() {
  Machine& machine = Machine::get();
  const uint32_t self = machine.current();
  const Clock& clock = machine.tick();
  if (!includes(clock, writer_, written_)) machine.fail("data race: two writes");
  for (uint32_t t = 0; t < kModelThreadsMax; ++t) {
    if (!includes(clock, t, reads_[t])) machine.fail("data race: write under a reader");
  }
  writer_ = self;
  written_ = clock[self];
}

void require_modelled(std::memory_order order) {
  if (order == std::memory_order_seq_cst || order == std::memory_order_consume) {
    misuse("this memory order is not modelled");
  }
}

}  // namespace model
}  // namespace millrace::test
