// SPDX-License-Identifier: Apache-2.0
#pragma once
// Runs a piece of lock-free code under every schedule and every value that a load may return.
//
// The code under test takes its atomics from ModelAtomics. Each access to an Atomic stops the
// thread that makes it; the explorer decides who goes on and, for a load, which of the stores that
// the C++ memory model allows is read. It repeats the scenario until every combination of decisions
// has been taken (depth first, by replaying a prefix), or a limit is reached. Plain memory is
// checked for races by happens-before, so a missing release or acquire is found whatever the
// machine does.
//
//     auto result = explore({}, [](Trial& trial) {
//       Object<ModelAtomics> object;
//       trial.threads({[&] { object.a(); }, [&] { trial.check(object.b(), "b holds"); }});
//     });
//     EXPECT_TRUE(result.passed()) << result.failure;
//
// The model: every atomic keeps the history of its stores, which is its modification order. Every
// thread has a vector clock. A load may return any store that is not older than one which the
// thread knows of by happens-before or has read itself (coherence). Release stores carry the clock,
// acquire loads join it, read-modify-writes read the newest store and continue release sequences.
// Not modelled: fences, sequentially consistent order (refused), and loads that read from the
// future.
//
// Threads: the modelled threads are fibers of the calling thread; one exploration at a time.
// Scenario bodies must end under every schedule (bounded retries) and must not block.
//
// Sources: C++20 [intro.races], [atomics.order]; the idea of exploring a modelled memory is that of
// Relacy (D. Vyukov) and CDSChecker (B. Norris, B. Demsky, OOPSLA 2013).

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

namespace millrace::test {

inline constexpr uint32_t kModelThreadsMax = 4;  // the scenario itself is number 0

struct Limits {
  uint64_t runs_max = 2'000'000;
  uint32_t preemptions_max = UINT32_MAX;  // per run; a thread that ends is not preempted
  uint32_t stale_reads_max = UINT32_MAX;  // per run: loads that return other than the newest store
};

struct Explored {
  uint64_t runs = 0;
  bool complete = false;  // every decision was tried
  std::string failure;    // of the first run that failed, with its decisions

  bool passed() const { return complete && failure.empty(); }
};

class Trial {
 public:
  // Runs the bodies as threads 1, 2, ... to their end. What was done before happens before them;
  // they happen before what follows.
  void threads(std::initializer_list<std::function<void()>> bodies);

  void check(bool condition, const char* what) {
    if (!condition) fail(what);
  }
  void fail(const std::string& what);
};

Explored explore(const Limits& limits, const std::function<void(Trial&)>& scenario);

namespace model {

using Clock = std::array<uint32_t, kModelThreadsMax>;

// For those who watch memory of their own (compiled_model.hpp).
uint32_t current_thread();
Clock& tick();  // an event of the current thread; its clock
void fail(const std::string& what);
// What was learned in this run makes it worthless: the exploration begins anew after it.
void begin_again();

inline bool includes(const Clock& clock, uint32_t thread, uint32_t epoch) {
  return clock[thread] >= epoch;
}

// What one thread knows to be in, or past, an atomic's modification order.
struct Knowledge {
  uint32_t epoch;
  uint32_t store_idx;
};

// The type-blind part of an atomic.
class History {
 public:
  History();

  // Decides which store a load returns, and joins its clock.
  uint32_t load(bool acquire) const;
  // Appends a store; returns its index.
  uint32_t store(bool release);
  // The newest store, which the read-modify-write being made replaces.
  uint32_t begin_rmw(bool acquire);
  uint32_t end_rmw(bool release);

 private:
  uint32_t floor() const;
  void know(uint32_t store_idx) const;
  uint32_t append(const Clock& released);

  std::vector<Clock> released_;  // what an acquire of store i joins
  mutable std::array<std::vector<Knowledge>, kModelThreadsMax> known_;
};

// The type-blind part of a plain variable.
class RaceGuard {
 public:
  void read() const;
  void write();

 private:
  uint32_t writer_ = 0;
  uint32_t written_ = 0;
  mutable Clock reads_{};
};

constexpr bool acquires(std::memory_order order) {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel;
}
constexpr bool releases(std::memory_order order) {
  return order == std::memory_order_release || order == std::memory_order_acq_rel;
}
// Ends the program when the code under test asks for an order that is not modelled.
void require_modelled(std::memory_order order);

}  // namespace model

// The atomics policy (dataplane/base/atomics.hpp) over modelled memory. kKept: the orders that are
// honoured; the others are weakened to relaxed, which shows that a scenario needs them.
enum class Keep : uint8_t { all, no_acquire, no_release };

template <Keep kKept>
struct ModelAtomicsWith {
  template <class T>
  class Atomic {
   public:
    Atomic() : Atomic(T{}) {}
    Atomic(T first) : values_{first} {}  // NOLINT: std::atomic converts as well
    Atomic(const Atomic&) = delete;
    Atomic& operator=(const Atomic&) = delete;

    T load(std::memory_order order) const {
      model::require_modelled(order);
      return values_[history_.load(acquires(order))];
    }
    void store(T value, std::memory_order order) {
      model::require_modelled(order);
      history_.store(releases(order));
      values_.push_back(value);
    }
    T exchange(T value, std::memory_order order) {
      return modify(order, [&](T) { return value; });
    }
    T fetch_add(T add, std::memory_order order) {
      return modify(order, [&](T old) { return static_cast<T>(old + add); });
    }

   private:
    static bool acquires(std::memory_order order) {
      return kKept != Keep::no_acquire && model::acquires(order);
    }
    static bool releases(std::memory_order order) {
      return kKept != Keep::no_release && model::releases(order);
    }
    template <class Change>
    T modify(std::memory_order order, Change change) {
      model::require_modelled(order);
      const T old = values_[history_.begin_rmw(acquires(order))];
      history_.end_rmw(releases(order));
      values_.push_back(change(old));
      return old;
    }

    model::History history_;
    std::vector<T> values_;  // values_[i]: what store i wrote
  };

  template <class T>
  class Plain {
   public:
    Plain() = default;
    Plain& operator=(const T& value) {
      guard_.write();
      value_ = value;
      return *this;
    }
    operator T() const {  // NOLINT: stands in for a T
      guard_.read();
      return value_;
    }

   private:
    model::RaceGuard guard_;
    T value_{};
  };
};

using ModelAtomics = ModelAtomicsWith<Keep::all>;

}  // namespace millrace::test
